//! What the rows are made of, and how they are cut into shards.

use std::{collections::HashSet, ops::Range};

use crate::{
    error::{Error, Result},
    task::Dtype,
};

/// The tensor of [`crate::task::Output::Pooled`].
pub const EMBEDDINGS: &str = "embeddings";
/// The tensor of [`crate::task::Output::Tokens`].
pub const TOKENS: &str = "tokens";

/// Shards that are aimed at.
const SHARDS: usize = 64;
/// Fewest and most samples of a shard: fewer are not worth a file, more are too much to lose.
const SAMPLES: [usize; 2] = [32, 4096];
/// Most bytes of values in a shard.
const SHARD_BYTES: usize = 256 << 20;

/// What a sample's row is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Tensors: name, and shape of one sample, such as `[256, 384]`.
    pub tensors: Vec<(String, Vec<usize>)>,
    /// How values are kept.
    pub dtype: Dtype,
}

impl Layout {
    /// One vector of `width` values.
    pub fn pooled(width: usize, dtype: Dtype) -> Self {
        Self { tensors: vec![(EMBEDDINGS.to_owned(), vec![width])], dtype }
    }

    /// `patches` vectors of `width` values.
    pub fn tokens(patches: usize, width: usize, dtype: Dtype) -> Self {
        Self { tensors: vec![(TOKENS.to_owned(), vec![patches, width])], dtype }
    }

    /// Values of one sample in each tensor.
    pub(super) fn lengths(&self) -> impl Iterator<Item = usize> {
        self.tensors.iter().map(|(_, shape)| shape.iter().product())
    }

    /// Bytes of one sample.
    pub(super) fn row_bytes(&self) -> usize {
        self.lengths().sum::<usize>() * self.dtype.bytes()
    }

    /// What a sample's values of tensor `at` are called in messages.
    pub(super) fn called(&self, at: usize, id: &str) -> String {
        match self.tensors[at].0.as_str() {
            EMBEDDINGS => format!("the embedding of `{id}`"),
            name => format!("`{name}` of `{id}`"),
        }
    }

    /// Checks that there are tensors, each with values and with a name of its own.
    ///
    /// # Errors
    /// [`Error::Input`].
    pub(super) fn check(&self) -> Result<()> {
        let mut names = HashSet::new();
        if self.tensors.is_empty() {
            return Err(Error::input("embeddings without a tensor"));
        }
        for (name, shape) in &self.tensors {
            if shape.is_empty() || shape.contains(&0) {
                return Err(Error::input(format!(
                    "embeddings of shape {shape:?}: `{name}` needs a width of at least 1"
                )));
            }
            if name.is_empty() || !names.insert(name) {
                return Err(Error::input(format!("tensor name `{name}` is empty or there twice")));
            }
        }
        Ok(())
    }
}

/// How samples are cut into shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shards {
    samples: usize,
    each: usize,
}

impl Shards {
    /// Of `samples` with rows of `row_bytes`.
    pub(super) fn new(samples: usize, row_bytes: usize) -> Self {
        let mut each = samples.div_ceil(SHARDS).next_power_of_two().clamp(SAMPLES[0], SAMPLES[1]);
        while each > 1 && each.saturating_mul(row_bytes) > SHARD_BYTES {
            each /= 2;
        }
        Self { samples, each }
    }

    pub(super) fn count(self) -> usize {
        self.samples.div_ceil(self.each)
    }

    /// Samples of shard `shard`.
    pub(super) fn samples(self, shard: usize) -> Range<usize> {
        shard * self.each..((shard + 1) * self.each).min(self.samples)
    }

    /// Name of the file of shard `shard`.
    pub(super) fn file(self, shard: usize) -> String {
        file_name(shard, self.count())
    }
}

/// Name of the file of shard `shard` of `count`.
pub(super) fn file_name(shard: usize, count: usize) -> String {
    format!("embeddings-{shard:05}-of-{count:05}.safetensors")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_follow_from_numbers_alone() {
        let each = |samples, row_bytes| Shards::new(samples, row_bytes).each;
        assert_eq!([each(1, 4), each(2_048, 4), each(2_049, 4)], [32, 32, 64]);
        assert_eq!([each(26_684, 1536), each(377_110, 3072)], [512, 4096]);
        // Maps of a ResNet-AE: 1.6 million values; and a row larger than any shard.
        assert_eq!([each(26_684, 6_400_000), each(10, 1 << 30)], [32, 1]);
    }

    #[test]
    fn every_sample_is_in_one_shard() {
        for samples in [1, 31, 32, 33, 5000, 100_000] {
            let shards = Shards::new(samples, 1536);
            let all: Vec<usize> = (0..shards.count()).flat_map(|shard| shards.samples(shard)).collect();
            assert_eq!(all, (0..samples).collect::<Vec<_>>());
            assert!(shards.count() <= SHARDS);
        }
        assert_eq!(Shards::new(33, 4).file(1), "embeddings-00001-of-00002.safetensors");
    }
}
