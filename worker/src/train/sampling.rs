//! Which training samples a fraction uses.

use crate::random::{Key, Purpose, derive_seed};

/// The indices of the training samples that `fraction` uses, ascending. `classes` are the samples' classes, indices into `names`.
///
/// Drawn class by class, so that their shares stay, at least one of each. Fractions of one seed are nested: 1 % lies inside
/// 10 %. What is drawn depends on the labels and the seed alone, so seeds are paired across backbones.
pub(super) fn fraction(classes: &[u32], names: &[&str], fraction: f64, seed: u64) -> Vec<usize> {
    let mut chosen = Vec::new();
    for (class, name) in (0..).zip(names) {
        let members: Vec<usize> = (0..classes.len()).filter(|&i| classes[i] == class).collect();
        if members.is_empty() {
            continue;
        }
        let order = Key::new(derive_seed(seed, name), Purpose::Sample, 0).permutation(members.len());
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

    const NAMES: [&str; 3] = ["negative", "positive", "third"];

    proptest! {
        #[test]
        fn fractions_are_nested_and_keep_the_share(
            classes in prop::collection::vec(prop_oneof![8 => 0_u32..2, 1 => Just(2)], 2..400),
            seed in any::<u64>(),
        ) {
            let sets: Vec<BTreeSet<usize>> =
                [0.01, 0.1, 0.5, 1.0].map(|share| fraction(&classes, &NAMES, share, seed).into_iter().collect()).into();
            for pair in sets.windows(2) {
                prop_assert!(pair[0].is_subset(&pair[1]));
            }
            prop_assert_eq!(sets[3].len(), classes.len());
            for class in 0..3 {
                let all = classes.iter().filter(|&&found| found == class).count();
                let found = sets[2].iter().filter(|&&i| classes[i] == class).count();
                prop_assert!((found as f64 - all as f64 / 2.0).abs() <= 1.0);
                prop_assert_eq!(found == 0, all == 0);
            }
        }
    }

    #[test]
    fn seeds_differ_and_repeat() {
        let classes: Vec<u32> = (0..100).map(|i| u32::from(i % 4 == 0)).collect();
        let tenth = |seed| fraction(&classes, &NAMES, 0.1, seed);
        assert_eq!(tenth(1), tenth(1));
        assert_ne!(tenth(1), tenth(2));
        // 7.5 of 75 and 2.5 of 25, each rounded.
        assert_eq!(tenth(1).len(), 8 + 3);
    }
}
