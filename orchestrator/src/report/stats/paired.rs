//! Paired comparisons.

use super::{
    interval::{self, Interval},
    moments::moments,
    student, wilcoxon,
};

/// Fewer pairs are not compared: the interval of two has one degree of freedom, and is 13 standard errors wide to each side.
pub(crate) const MIN_PAIRS: usize = 3;

/// With fewer differences that are not zero, no p of the signed-rank test can be below 0.05: the least is 2 / 2^n.
const MIN_SIGNED: usize = 6;

/// What is called a difference.
pub(crate) const LEVEL: f64 = 0.05;

/// Why there is no test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Fewer than [`MIN_PAIRS`] pairs.
    FewPairs,
    /// Several results of a cell answer to one of the other.
    NotPaired,
    /// All differences are equal, and not zero: t is infinite.
    NoSpread,
}

impl Refusal {
    /// In a few words.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::FewPairs => "fewer than 3 pairs",
            Self::NotPaired => "not paired",
            Self::NoSpread => "differences without spread",
        }
    }
}

/// One set of results compared with another, pair by pair.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Paired {
    /// Pairs.
    pub(crate) n: usize,
    /// Mean difference.
    pub(crate) difference: f64,
    /// Its 95 % interval, by Student's t.
    pub(crate) interval: Option<Interval>,
    /// Two-sided, of the paired t test.
    pub(crate) p_t: Option<f64>,
    /// Two-sided, of Wilcoxon's signed-rank test; none with fewer than six differences that are not zero.
    pub(crate) p_wilcoxon: Option<f64>,
    /// Why there is no t test.
    pub(crate) refused: Option<Refusal>,
}

/// Compares by the differences of the pairs; none without any.
pub(crate) fn paired(differences: &[f64]) -> Option<Paired> {
    let n = differences.len();
    let (mean, sd) = moments(differences)?;
    let mut paired = Paired { n, difference: mean, interval: None, p_t: None, p_wilcoxon: None, refused: None };
    let Some(sd) = sd.filter(|_| n >= MIN_PAIRS) else {
        return Some(Paired { refused: Some(Refusal::FewPairs), ..paired });
    };
    paired.interval = interval::of_mean(n, mean, sd, false);
    // Rounding leaves a spread of some last digits where there is none.
    if sd <= 1e-12 * mean.abs() {
        if mean == 0.0 {
            paired.p_t = Some(1.0);
        } else {
            paired.refused = Some(Refusal::NoSpread);
        }
    } else {
        paired.p_t = Some(student::two_sided(mean / (sd / (n as f64).sqrt()), n - 1));
    }
    if differences.iter().filter(|d| **d != 0.0).count() >= MIN_SIGNED {
        paired.p_wilcoxon = wilcoxon::signed_rank(differences);
    }
    Some(paired)
}

/// Holm's correction: probabilities that stand for a family of tests, in the order of those given.
pub(crate) fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let mut corrected = vec![0.0; p.len()];
    let mut least: f64 = 0.0;
    for (rank, at) in order.into_iter().enumerate() {
        least = least.max((p.len() - rank) as f64 * p[at]).min(1.0);
        corrected[at] = least;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::report::stats::wilcoxon::signed_rank;

    /// Made by `tests/fixtures/make_stats.py` with SciPy and statsmodels.
    #[derive(Deserialize)]
    struct Fixture {
        paired: Vec<Case>,
        wilcoxon: Vec<Signed>,
        holm: Vec<Family>,
    }

    #[derive(Deserialize)]
    struct Case {
        differences: Vec<f64>,
        mean: f64,
        low: f64,
        high: f64,
        p: f64,
    }

    #[derive(Deserialize)]
    struct Signed {
        differences: Vec<f64>,
        p: f64,
    }

    #[derive(Deserialize)]
    struct Family {
        p: Vec<f64>,
        corrected: Vec<f64>,
    }

    fn fixture() -> Fixture {
        serde_json::from_str(include_str!("../../../../tests/fixtures/stats.json")).unwrap()
    }

    fn close(ours: f64, theirs: f64, what: &str) {
        assert!((ours - theirs).abs() <= 1e-9 * theirs.abs() + 1e-300, "{what}: {ours:e}, not {theirs:e}");
    }

    #[test]
    fn the_paired_t_test_is_scipys() {
        let cases = fixture().paired;
        assert!(cases.len() >= 8);
        for case in cases {
            let ours = paired(&case.differences).unwrap();
            let what = format!("n = {}", case.differences.len());
            close(ours.difference, case.mean, &what);
            let interval = ours.interval.unwrap();
            close(interval.low, case.low, &what);
            close(interval.high, case.high, &what);
            close(ours.p_t.unwrap(), case.p, &what);
        }
    }

    #[test]
    fn the_signed_rank_test_is_scipys() {
        let cases = fixture().wilcoxon;
        assert!(cases.len() >= 8);
        for case in cases {
            let ours = signed_rank(&case.differences).unwrap();
            close(ours, case.p, &format!("n = {}", case.differences.len()));
        }
        assert_eq!(signed_rank(&[0.0, 0.0]), None);
    }

    #[test]
    fn holms_correction_is_that_of_statsmodels() {
        for family in fixture().holm {
            for (ours, theirs) in holm(&family.p).into_iter().zip(family.corrected) {
                close(ours, theirs, "holm");
            }
        }
        assert!(holm(&[]).is_empty());
    }

    #[test]
    fn too_few_pairs_are_refused() {
        assert_eq!(paired(&[]), None);
        let two = paired(&[0.1, 0.2]).unwrap();
        assert_eq!((two.refused, two.p_t, two.interval), (Some(Refusal::FewPairs), None, None));
        let five = paired(&[0.1, 0.2, 0.15, 0.12, 0.17]).unwrap();
        assert!(five.p_t.is_some() && five.p_wilcoxon.is_none(), "five pairs cannot reach 0.05 by ranks");
    }

    #[test]
    fn differences_without_spread() {
        assert_eq!(paired(&[0.25; 4]).unwrap().refused, Some(Refusal::NoSpread));
        let equal = paired(&[0.0; 8]).unwrap();
        assert_eq!((equal.p_t, equal.refused, equal.p_wilcoxon), (Some(1.0), None, None));
    }
}
