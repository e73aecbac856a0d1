//! Mean and interval, for who draws them.

use super::cell::Summary;

/// Number, mean and half width of the 95 % interval of the mean (Student's t; none for one value) of values; none when there are none.
pub(crate) fn estimate(values: &[f64]) -> Option<(usize, f64, Option<f64>)> {
    Summary::of(values, false).map(|summary| (summary.n, summary.mean, summary.ci95))
}
