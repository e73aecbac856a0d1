//! InfoNCE both ways (paper, Eq. 4) with its gradient.

use pulp::{Simd, WithSimd};

use super::blocks::{self, ROWS, max, sum, sum2};
use crate::matrix::{How, Matrix, product};

/// Buffers for batches up to a fixed size.
#[derive(Debug)]
pub(super) struct InfoNce {
    /// [batch, batch], row: image, column: text; first logits, then their gradient.
    logits: Vec<f32>,
    /// [batch]: logarithm of the sum of exponentials of each row, and of each column.
    row_sums: Vec<f32>,
    column_sums: Vec<f32>,
    /// [batch]: maximum of each column.
    column_max: Vec<f32>,
    /// [blocks, batch].
    partials: Vec<f32>,
    /// [batch]: of each row, gradient times logit.
    products: Vec<f32>,
    /// [batch]: the logits of the pairs.
    pairs: Vec<f32>,
}

/// What a loss is made of.
#[derive(Clone, Copy)]
pub(super) struct Features<'a> {
    /// [batch, width], of length 1.
    pub images: &'a [f32],
    /// [batch, width], of length 1.
    pub texts: &'a [f32],
    pub batch: usize,
    pub logit_scale: f32,
    /// Weight of the image-to-text term.
    pub i2t_weight: f64,
    pub how: How,
}

impl InfoNce {
    pub fn new(max_batch: usize) -> Self {
        let vector = || vec![0.0; max_batch];
        Self {
            logits: vec![0.0; max_batch * max_batch],
            row_sums: vector(),
            column_sums: vector(),
            column_max: vector(),
            partials: vec![0.0; blocks::count(max_batch) * max_batch],
            products: vector(),
            pairs: vector(),
        }
    }

    /// The loss, with softmaxes over the batch. Logits stay in the buffer for [`Self::backward`].
    pub fn forward(&mut self, features: Features<'_>) -> f32 {
        let Features { images, texts, batch, logit_scale, i2t_weight, how } = features;
        let width = images.len() / batch;
        let logits = &mut self.logits[..batch * batch];
        let (image, text) = (Matrix::new(images, batch, width), Matrix::new(texts, batch, width));
        product(logits, image, text.t(), how.times(libm::expf(logit_scale)));
        for (i, pair) in self.pairs[..batch].iter_mut().enumerate() {
            *pair = logits[i * batch + i];
        }
        let row_sums = &mut self.row_sums[..batch];
        let rows = logits.chunks(ROWS * batch).zip(row_sums.chunks_mut(ROWS));
        blocks::run(how.threads, rows.map(|(logits, sums)| RowSums { logits, sums, batch }));
        self.columns(batch, how.threads);
        let mean = |sums: &[f32]| {
            let losses = sums.iter().zip(&self.pairs).map(|(&sum, &pair)| f64::from(sum) - f64::from(pair));
            losses.sum::<f64>() / batch as f64
        };
        let to_text = mean(&self.row_sums[..batch]);
        let to_image = mean(&self.column_sums[..batch]);
        (i2t_weight * to_text + (1.0 - i2t_weight) * to_image) as f32
    }

    fn columns(&mut self, batch: usize, threads: usize) {
        let logits = &self.logits[..batch * batch];
        let partials = &mut self.partials[..blocks::count(batch) * batch];
        let parts = logits.chunks(ROWS * batch).zip(partials.chunks_mut(batch));
        blocks::run(threads, parts.map(|(logits, max)| ColumnMax { logits, max }));
        let column_max = &mut self.column_max[..batch];
        column_max.fill(f32::NEG_INFINITY);
        for part in partials.chunks(batch) {
            for (max, &value) in column_max.iter_mut().zip(part) {
                *max = if value > *max { value } else { *max };
            }
        }
        let shift = &self.column_max[..batch];
        let parts = logits.chunks(ROWS * batch).zip(partials.chunks_mut(batch));
        blocks::run(threads, parts.map(|(logits, sums)| ColumnSums { logits, shift, sums }));
        let sums = &mut self.column_sums[..batch];
        blocks::reduce(partials, blocks::count(batch), batch, 0, sums);
        for (sum, &max) in sums.iter_mut().zip(shift) {
            *sum = max + libm::logf(*sum);
        }
    }

    /// After [`Self::forward`] with the same features: their gradients, and that of the logit scale.
    pub fn backward(&mut self, features: Features<'_>, images: &mut [f32], texts: &mut [f32]) -> f32 {
        let Features { batch, logit_scale, i2t_weight, how, .. } = features;
        let logits = &mut self.logits[..batch * batch];
        let column_sums = &self.column_sums[..batch];
        let rows = logits.chunks_mut(ROWS * batch).zip(self.row_sums.chunks(ROWS));
        let rows = rows.zip(self.products[..batch].chunks_mut(ROWS)).enumerate();
        blocks::run(
            how.threads,
            rows.map(|(i, ((logits, row_sums), products))| LogitGradient {
                logits,
                row_sums,
                column_sums,
                products,
                first: i * ROWS,
                row_weight: (i2t_weight / batch as f64) as f32,
                column_weight: ((1.0 - i2t_weight) / batch as f64) as f32,
            }),
        );
        let scale = libm::expf(logit_scale);
        let width = images.len() / batch;
        let gradient = Matrix::new(logits, batch, batch);
        product(images, gradient, Matrix::new(features.texts, batch, width), how.times(scale));
        product(texts, gradient.t(), Matrix::new(features.images, batch, width), how.times(scale));
        // A logit is exp(scale) times a cosine, so its derivative by the scale is itself.
        self.products[..batch].iter().map(|&value| f64::from(value)).sum::<f64>() as f32
    }
}

struct RowSums<'a> {
    logits: &'a [f32],
    sums: &'a mut [f32],
    batch: usize,
}

impl WithSimd for RowSums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (row, total) in self.logits.chunks_exact(self.batch).zip(self.sums) {
            let largest = max(row);
            *total = largest + libm::logf(sum(row, |logit| exp(logit - largest)));
        }
    }
}

struct ColumnMax<'a> {
    logits: &'a [f32],
    max: &'a mut [f32],
}

impl WithSimd for ColumnMax<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.max.fill(f32::NEG_INFINITY);
        for row in self.logits.chunks_exact(self.max.len()) {
            for (max, &logit) in self.max.iter_mut().zip(row) {
                *max = if logit > *max { logit } else { *max };
            }
        }
    }
}

struct ColumnSums<'a> {
    logits: &'a [f32],
    shift: &'a [f32],
    sums: &'a mut [f32],
}

impl WithSimd for ColumnSums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.sums.fill(0.0);
        for row in self.logits.chunks_exact(self.sums.len()) {
            for ((sum, &shift), &logit) in self.sums.iter_mut().zip(self.shift).zip(row) {
                *sum += exp(logit - shift);
            }
        }
    }
}

/// Logits become their gradient, in place.
struct LogitGradient<'a> {
    logits: &'a mut [f32],
    row_sums: &'a [f32],
    column_sums: &'a [f32],
    products: &'a mut [f32],
    /// Number of the first row.
    first: usize,
    row_weight: f32,
    column_weight: f32,
}

impl WithSimd for LogitGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { logits, row_sums, column_sums, products, first, row_weight, column_weight } = self;
        let rows = logits.chunks_exact_mut(column_sums.len()).zip(row_sums).zip(products).enumerate();
        for (i, ((row, &row_sum), product)) in rows {
            let pair = row[first + i];
            let share = |logit: f32, column_sum: f32| {
                row_weight * exp(logit - row_sum) + column_weight * exp(logit - column_sum)
            };
            let whole = row_weight + column_weight;
            *product = sum2(row, column_sums, |logit, column_sum| logit * share(logit, column_sum)) - pair * whole;
            for (logit, &column_sum) in row.iter_mut().zip(column_sums) {
                *logit = share(*logit, column_sum);
            }
            row[first + i] -= whole;
        }
    }
}

/// The exponential to about 2 units in the last place, in plain arithmetic so that loops over it vectorise. Arguments below
/// -87 give a value near the smallest normal number; NaN stays NaN.
#[inline(always)]
fn exp(x: f32) -> f32 {
    // ln 2 in two parts, the first of which is exact in few bits (Cody and Waite).
    const HIGH: f32 = 0.693_359_4;
    const LOW: f32 = -2.121_944_4e-4;
    // Adding and taking away 1.5 * 2^23 rounds to an integer.
    const ROUND: f32 = 12_582_912.0;
    let x = if x < -87.0 { -87.0 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * HIGH) - n * LOW;
    // Taylor's series: the remainder at |r| <= 0.35 is below half a unit in the last place.
    let mut tail = 1.0 / 5040.0;
    for factor in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5] {
        tail = tail * r + factor;
    }
    let value = 1.0 + (r + r * r * tail);
    // The low bits of `shifted` are the integer. A NaN's are anything, but `value` carries it on.
    value * f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Precision;

    #[test]
    fn the_exponential_is_exact_enough() {
        for i in -87_000..=88_000 {
            let x = i as f32 / 1000.0;
            let expected = f64::from(x).exp();
            let error = (f64::from(exp(x)) - expected).abs() / expected;
            assert!(error < 3e-7, "{x}: {error}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(f32::NEG_INFINITY) < 1e-37);
    }

    /// One pair: both softmaxes are over one element.
    #[test]
    fn a_batch_of_one_has_no_loss() {
        let (images, texts) = ([0.6, 0.8], [1.0, 0.0]);
        let features = Features {
            images: &images,
            texts: &texts,
            batch: 1,
            logit_scale: 2.0,
            i2t_weight: 0.75,
            how: How::new(Precision::F32, 1),
        };
        let mut loss = InfoNce::new(1);
        assert_eq!(loss.forward(features), 0.0);
        let (mut dx, mut dt) = ([1.0; 2], [1.0; 2]);
        assert_eq!(loss.backward(features, &mut dx, &mut dt), 0.0);
        assert_eq!((dx, dt), ([0.0; 2], [0.0; 2]));
    }
}
