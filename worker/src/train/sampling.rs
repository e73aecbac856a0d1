//! Which training samples a fraction uses.

use crate::random::{Key, Purpose, derive_seed};

/// The indices of the training samples that `fraction` uses, ascending.
///
/// Drawn class by class, so that the share of positives stays, at least one of each. Fractions of one seed are nested: 1 %
/// lies inside 10 %. What is drawn depends on the labels and the seed alone, so seeds are paired across backbones.
pub(super) fn fraction(positive: &[bool], fraction: f64, seed: u64) -> Vec<usize> {
    let mut chosen = Vec::new();
    for class in [false, true] {
        let members: Vec<usize> = (0..positive.len()).filter(|&i| positive[i] == class).collect();
        if members.is_empty() {
            continue;
        }
        let seed = derive_seed(seed, if class { "positive" } else { "negative" });
        let order = Key::new(seed, Purpose::Sample, 0).permutation(members.len());
        let count = ((members.len() as f64 * fraction).round() as usize).clamp(1, members.len());
        chosen.extend(order[..count].iter().map(|&at| members[at as usize]));
    }
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn fractions_are_nested_and_keep_the_share(
            positive in prop::collection::vec(prop::bool::weighted(0.2), 2..400),
            seed in any::<u64>(),
        ) {
            let sets: Vec<BTreeSet<usize>> =
                [0.01, 0.1, 0.5, 1.0].map(|share| fraction(&positive, share, seed).into_iter().collect()).into();
            for pair in sets.windows(2) {
                prop_assert!(pair[0].is_subset(&pair[1]));
            }
            prop_assert_eq!(sets[3].len(), positive.len());
            let positives = positive.iter().filter(|&&label| label).count();
            let found = sets[2].iter().filter(|&&i| positive[i]).count();
            prop_assert!((found as f64 - positives as f64 / 2.0).abs() <= 1.0);
            prop_assert_eq!(found == 0, positives == 0);
        }
    }

    #[test]
    fn seeds_differ_and_repeat() {
        let positive: Vec<bool> = (0..100).map(|i| i % 4 == 0).collect();
        assert_eq!(fraction(&positive, 0.1, 1), fraction(&positive, 0.1, 1));
        assert_ne!(fraction(&positive, 0.1, 1), fraction(&positive, 0.1, 2));
        // 7.5 of 75 and 2.5 of 25, each rounded.
        assert_eq!(fraction(&positive, 0.1, 1).len(), 8 + 3);
    }
}
