//! Which texts go through an encoder together.

use super::tokens::Tokens;

/// Most tokens of a batch, padding included. More does not make the products faster, and leaves the processor's cache.
const TOKENS: usize = 2048;
/// Most texts of a batch.
const TEXTS: usize = 128;

/// Texts that go through the encoder together: indices, the longest first.
pub(super) type Batch = Vec<usize>;

/// Groups texts of about equal length, so that padding is little. The longest come first, so that the last batch, for which
/// the other cores may wait, is a short one.
///
/// What is in a batch follows from the texts alone and not from threads, from other members or from a run that was cut
/// short: products of other shapes may round otherwise.
pub(super) fn batches(texts: &[(&str, Tokens)]) -> Vec<Batch> {
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_unstable_by(|&a, &b| {
        let key = |i: usize| (texts[i].1.ids.len(), texts[i].0);
        key(b).cmp(&key(a))
    });
    let mut rest = order.as_slice();
    let mut batches = Vec::new();
    while let Some(&longest) = rest.first() {
        let fit = (TOKENS / texts[longest].1.ids.len().max(1)).clamp(1, TEXTS);
        let (batch, after) = rest.split_at(fit.min(rest.len()));
        batches.push(batch.to_vec());
        rest = after;
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lengths_meet_whatever_the_order() {
        let texts: Vec<(String, usize)> = (0..1000).map(|i| (format!("text {i}"), 2 + (i * 37) % 110)).collect();
        let batched = |order: Vec<usize>| -> Vec<Vec<&str>> {
            let tokens = |i: &usize| (texts[*i].0.as_str(), Tokens { ids: vec![1; texts[*i].1], cut: 0, unknown: 0 });
            let texts: Vec<_> = order.iter().map(tokens).collect();
            batches(&texts).into_iter().map(|batch| batch.into_iter().map(|i| texts[i].0).collect()).collect()
        };
        let forward = batched((0..1000).collect());
        assert_eq!(forward, batched((0..1000).rev().collect()));
        let all: std::collections::BTreeSet<&str> = forward.iter().flatten().copied().collect();
        assert_eq!(all.len(), 1000);
        let length = |text: &str| texts.iter().find(|(other, _)| other == text).unwrap().1;
        let padded: usize = forward.iter().map(|batch| batch.len() * length(batch[0])).sum();
        let tokens: usize = texts.iter().map(|(_, length)| length).sum();
        assert!(padded as f64 <= 1.1 * tokens as f64, "{padded} padded for {tokens}");
        assert!(forward.iter().all(|batch| batch.len() * length(batch[0]) <= TOKENS));
    }
}
