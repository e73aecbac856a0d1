//! Splits by group: whole reports or patients, never parts of them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Image, Split};

/// Shares of groups for training and validation; the rest is for testing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shares {
    /// For training, in [0, 1].
    pub train: f64,
    /// For validation, in [0, 1 - `train`].
    pub valid: f64,
}

/// The split of each of `groups`, which must be different: in the order of BLAKE3(seed, group), the first `train` of
/// them train, the next `valid` validate, the rest test.
pub fn assign<'a>(groups: impl Iterator<Item = &'a str>, seed: u64, shares: Shares) -> Vec<Split> {
    let mut order: Vec<([u8; 32], usize)> = groups
        .enumerate()
        .map(|(index, group)| {
            let mut hasher = blake3::Hasher::new_derive_key("permafrost 2026 split by group");
            hasher.update(&seed.to_le_bytes()).update(group.as_bytes());
            (*hasher.finalize().as_bytes(), index)
        })
        .collect();
    order.sort_unstable();
    let count = order.len() as f64;
    let train = (count * shares.train).round() as usize;
    let valid = (count * (shares.train + shares.valid)).round() as usize;
    let mut splits = vec![Split::Test; order.len()];
    for (rank, (_, group)) in order.into_iter().enumerate() {
        splits[group] = match rank {
            rank if rank < train => Split::Train,
            rank if rank < valid => Split::Valid,
            _ => Split::Test,
        };
    }
    splits
}

/// Splits images by their groups, those without one each alone; see [`assign`].
pub fn assign_images(images: &mut [Image], seed: u64, shares: Shares) {
    let group = |image: &Image| image.group.clone().unwrap_or_else(|| image.id.clone());
    let names: BTreeSet<String> = images.iter().map(group).collect();
    let splits = assign(names.iter().map(String::as_str), seed, shares);
    let split_of: BTreeMap<String, Split> = names.into_iter().zip(splits).collect();
    for image in images {
        image.split = split_of[&group(image)];
    }
}
