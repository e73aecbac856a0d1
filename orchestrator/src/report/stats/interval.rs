//! Intervals of a mean.

use super::student;

/// 95 % interval of a mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Interval {
    /// Lower bound.
    pub(crate) low: f64,
    /// Upper bound.
    pub(crate) high: f64,
}

/// The 95 % interval of a mean of `n` values with the sample standard deviation `sd`, by Student's t.
///
/// Of a share (`bounded`: AUROC, accuracy, ...) it is made on the logit scale by the delta method, logit(mean) +- t sd / (sqrt(n) mean (1 - mean)), and
/// transformed back. So it holds the mean, does not leave [0, 1], and is the ordinary one where the spread is small. (Pepe, The Statistical
/// Evaluation of Medical Tests, 2003, section 5.2, does so with the AUROC.)
pub(crate) fn of_mean(n: usize, mean: f64, sd: f64, bounded: bool) -> Option<Interval> {
    if n < 2 {
        return None;
    }
    let half = sd / (n as f64).sqrt() * student::quantile_975(n - 1);
    let interval = if !bounded || half == 0.0 || !(0.0..=1.0).contains(&mean) {
        Interval { low: mean - half, high: mean + half }
    } else {
        let (logit, scaled) = ((mean / (1.0 - mean)).ln(), half / (mean * (1.0 - mean)));
        let share = |logit: f64| 1.0 / (1.0 + (-logit).exp());
        Interval { low: share(logit - scaled), high: share(logit + scaled) }
    };
    Some(interval).filter(|interval| interval.low.is_finite() && interval.high.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_stays_one() {
        for (mean, sd) in [(0.99, 0.01), (0.999, 0.002), (0.5, 0.3), (0.01, 0.02), (1.0 - 1e-12, 1e-12)] {
            for n in [2, 3, 5, 100] {
                let Interval { low, high } = of_mean(n, mean, sd, true).unwrap();
                assert!(0.0 <= low && low <= mean && mean <= high && high <= 1.0, "{n} {mean} {sd}: {low} {high}");
            }
        }
        let ordinary = of_mean(3, 0.99, 0.01, false).unwrap();
        assert!(ordinary.high > 1.0, "the ordinary one leaves [0, 1] here");
    }

    #[test]
    fn a_small_spread_gives_the_ordinary_interval() {
        let (one, other) = (of_mean(5, 0.8, 1e-5, true).unwrap(), of_mean(5, 0.8, 1e-5, false).unwrap());
        assert!((one.low - other.low).abs() < 1e-9 && (one.high - other.high).abs() < 1e-9);
    }

    #[test]
    fn no_spread_is_a_point() {
        assert_eq!(of_mean(3, 1.0, 0.0, true), Some(Interval { low: 1.0, high: 1.0 }));
        assert_eq!(of_mean(1, 0.5, 0.0, true), None);
    }
}
