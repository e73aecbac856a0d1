//! Area under the ROC curve and accuracy, as scikit-learn has them.

/// Why a metric has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetricError {
    /// AUROC needs both.
    #[error("all samples are {}: AUROC needs both classes", if *.positive { "positive" } else { "negative" })]
    OneClass {
        /// Which class there is.
        positive: bool,
    },
    /// A score is no number.
    #[error("score {0} is not a number")]
    NotANumber(usize),
    /// Nothing was predicted.
    #[error("there are no samples")]
    Empty,
}

/// The probability that a positive sample scores higher than a negative one, ties counting half (mid-ranks), as
/// `sklearn.metrics.roc_auc_score`. Exact up to one rounding: ranks are summed as whole numbers.
///
/// # Errors
/// [`MetricError`].
///
/// # Panics
/// When the slices differ in length.
pub fn auroc(scores: &[f32], positive: &[bool]) -> Result<f64, MetricError> {
    assert_eq!(scores.len(), positive.len(), "as many scores as labels");
    if let Some(at) = scores.iter().position(|score| score.is_nan()) {
        return Err(MetricError::NotANumber(at));
    }
    let positives = positive.iter().filter(|&&label| label).count() as u64;
    let negatives = positive.len() as u64 - positives;
    match (positives, negatives) {
        (0, 0) => return Err(MetricError::Empty),
        (0, _) => return Err(MetricError::OneClass { positive: false }),
        (_, 0) => return Err(MetricError::OneClass { positive: true }),
        _ => {}
    }
    let mut order: Vec<(f32, bool)> = scores.iter().copied().zip(positive.iter().copied()).collect();
    order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    // Twice the number of pairs in the right order: whole, whatever the ties.
    let (mut doubled, mut negatives_below) = (0_u128, 0_u128);
    let mut rest = order.as_slice();
    while let Some(&(score, _)) = rest.first() {
        // -0.0 and 0.0 are one score.
        let tied = rest.iter().take_while(|other| other.0 == score).count();
        let (tie, after) = rest.split_at(tied);
        let tied_positives = tie.iter().filter(|sample| sample.1).count() as u128;
        let tied_negatives = tied as u128 - tied_positives;
        doubled += tied_positives * (2 * negatives_below + tied_negatives);
        negatives_below += tied_negatives;
        rest = after;
    }
    Ok(doubled as f64 / (2 * positives * negatives) as f64)
}

/// The share of predictions that are right, as `sklearn.metrics.accuracy_score`.
///
/// # Errors
/// [`MetricError::Empty`].
///
/// # Panics
/// When the slices differ in length.
pub fn accuracy<T: PartialEq>(predicted: &[T], truth: &[T]) -> Result<f64, MetricError> {
    assert_eq!(predicted.len(), truth.len(), "as many predictions as labels");
    if truth.is_empty() {
        return Err(MetricError::Empty);
    }
    let right = predicted.iter().zip(truth).filter(|(a, b)| a == b).count();
    Ok(right as f64 / truth.len() as f64)
}

/// Of each of `classes` the share of its samples that is predicted right, as `sklearn.metrics.recall_score(average=None)`; none
/// where there is no sample of it.
///
/// # Panics
/// When the slices differ in length.
pub fn recalls(predicted: &[u32], truth: &[u32], classes: usize) -> Vec<Option<f64>> {
    assert_eq!(predicted.len(), truth.len(), "as many predictions as labels");
    let recall = |class: u32| {
        let of_class: Vec<bool> = predicted
            .iter()
            .zip(truth)
            .filter(|(_, truth)| **truth == class)
            .map(|(found, _)| *found == class)
            .collect();
        let right = of_class.iter().filter(|&&right| right).count();
        (!of_class.is_empty()).then(|| right as f64 / of_class.len() as f64)
    };
    (0..classes as u32).map(recall).collect()
}

/// The position of the largest of `scores`, the first of equal ones; 0 when there is none.
pub fn argmax(scores: &[f32]) -> u32 {
    let best = (0..).zip(scores).reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.map_or(0, |(at, _)| at)
}

/// Turns logits into probabilities, in single precision, the same on every platform.
pub fn softmax(logits: &mut [f32]) {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for value in &mut *logits {
        *value = libm::expf(*value - max);
        sum += *value;
    }
    logits.iter_mut().for_each(|value| *value /= sum);
}

/// The logistic function in single precision, the same on every platform.
pub fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + libm::expf(-logit))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_has_no_value_says_why() {
        assert_eq!(auroc(&[], &[]), Err(MetricError::Empty));
        assert_eq!(auroc(&[0.5], &[true]), Err(MetricError::OneClass { positive: true }));
        assert_eq!(auroc(&[0.5, f32::NAN], &[true, false]), Err(MetricError::NotANumber(1)));
        assert_eq!(accuracy::<u32>(&[], &[]), Err(MetricError::Empty));
    }

    #[test]
    fn ties_and_signed_zeros_count_half() {
        assert_eq!(auroc(&[0.0, -0.0, 1.0, 0.0], &[true, false, true, false]), Ok(0.75));
        assert_eq!(auroc(&[f32::INFINITY, f32::NEG_INFINITY], &[false, true]), Ok(0.0));
    }

    #[test]
    fn several_classes_by_hand() {
        let mut logits = [0.0, 3.0_f32.ln(), 0.0];
        softmax(&mut logits);
        for (found, expected) in logits.iter().zip([0.2, 0.6, 0.2]) {
            assert!((found - expected).abs() < 1e-6, "{logits:?}");
        }
        let mut large = [1e30, 0.0, f32::NEG_INFINITY];
        softmax(&mut large);
        assert_eq!(large, [1.0, 0.0, 0.0]);
        let mut bad = [1.0, f32::NAN];
        softmax(&mut bad);
        assert!(bad.iter().all(|value| value.is_nan()));
        assert_eq!([argmax(&[1.0, 2.0, 2.0]), argmax(&[0.5]), argmax(&[])], [1, 0, 0]);
        assert_eq!(recalls(&[0, 1, 1, 0], &[0, 0, 1, 3], 4), [Some(0.5), Some(1.0), None, Some(0.0)]);
    }

    proptest! {
        #[test]
        fn auroc_is_its_definition(samples in prop::collection::vec((-4_i8..4, any::<bool>()), 1..60)) {
            let scores: Vec<f32> = samples.iter().map(|sample| f32::from(sample.0)).collect();
            let positive: Vec<bool> = samples.iter().map(|sample| sample.1).collect();
            let (mut pairs, mut right) = (0.0, 0.0);
            for (a, &is_positive) in scores.iter().zip(&positive) {
                for (b, &other) in scores.iter().zip(&positive) {
                    if is_positive && !other {
                        pairs += 1.0;
                        right += if a > b { 1.0 } else if a == b { 0.5 } else { 0.0 };
                    }
                }
            }
            match auroc(&scores, &positive) {
                Ok(value) => prop_assert_eq!(value, right / pairs),
                Err(_) => prop_assert_eq!(pairs, 0.0),
            }
        }
    }
}
