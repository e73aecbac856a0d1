//! Mean and spread.

/// Mean and sample standard deviation of some values; none of none. A single value has no standard deviation.
///
/// The mean is taken around the first value: equal values have exactly that mean and no spread.
pub(crate) fn moments(values: &[f64]) -> Option<(f64, Option<f64>)> {
    let first = *values.first()?;
    let n = values.len();
    let mean = first + values.iter().map(|value| value - first).sum::<f64>() / n as f64;
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    Some((mean, (n > 1).then(|| (squares / (n - 1) as f64).sqrt())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_have_no_spread() {
        assert_eq!(moments(&[0.1; 3]), Some((0.1, Some(0.0))));
        assert_eq!(moments(&[0.1]), Some((0.1, None)));
        assert_eq!(moments(&[]), None);
        let (mean, sd) = moments(&[1.0, 2.0, 4.0]).unwrap();
        assert!((mean - 7.0 / 3.0).abs() < 1e-15 && (sd.unwrap() - (7.0_f64 / 3.0).sqrt()).abs() < 1e-15);
    }
}
