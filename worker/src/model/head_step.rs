//! Forward and backward of the classification head.
//!
//! Masks: the input's element (row, column) draws from stream 0 at `row * width + column`, the hidden layer's from stream
//! 1 at `row * hidden + column`.

use pulp::{Arch, Simd, WithSimd};

use super::{Dropout, HeadShape, RunningStats, head::HeadPlaces, layer::ReluDrop, linear::Linear};
use crate::matrix::{How, Matrix, Precision, product};

/// Heads are trained in 32 bits, each on one core.
const HOW: How = How::new(Precision::F32, 1);

/// As PyTorch's `nn.BatchNorm1d`.
const EPS: f32 = 1e-5;
const MOMENTUM: f32 = 0.1;

/// What a head is trained on.
#[derive(Clone, Copy, Debug)]
pub enum Targets<'a> {
    /// One of 0 and 1 for each sample: binary cross entropy with logits. The head has one output.
    Binary(&'a [f32]),
    /// The class of each sample: cross entropy.
    Classes(&'a [u32]),
}

/// Buffers for the steps of one head. Runs on the calling thread.
#[derive(Debug)]
pub struct HeadStep {
    shape: HeadShape,
    max_batch: usize,
    places: HeadPlaces,
    /// [batch, width]: the input after dropout, and its mask.
    input: Vec<f32>,
    input_mask: Vec<u8>,
    /// [batch, hidden]: before the norm, then normalised.
    normalised: Vec<f32>,
    /// [batch, hidden]: after ReLU and dropout, and the mask.
    relu: Vec<f32>,
    hidden_mask: Vec<u8>,
    /// [batch, hidden].
    gradient: Vec<f32>,
    /// [batch, classes]: logits, then their gradient.
    logits: Vec<f32>,
    /// [hidden]: one over the batch's standard deviation.
    inverse: Vec<f32>,
    /// [hidden], twice.
    sums: Vec<f32>,
    zeros: Vec<f32>,
}

impl HeadStep {
    /// Buffers for batches of at most `max_batch` samples.
    pub fn new(shape: HeadShape, max_batch: usize) -> Self {
        let HeadShape { width, hidden, classes } = shape;
        let deep = || vec![0.0; max_batch * hidden];
        Self {
            shape,
            max_batch,
            places: HeadPlaces::new(shape),
            input: vec![0.0; max_batch * width],
            input_mask: vec![1; max_batch * width],
            normalised: deep(),
            relu: deep(),
            hidden_mask: vec![1; max_batch * hidden],
            gradient: deep(),
            logits: vec![0.0; max_batch * classes],
            inverse: vec![0.0; hidden],
            sums: vec![0.0; 2 * hidden],
            zeros: vec![0.0; width.max(hidden)],
        }
    }

    /// Sizes of the head.
    pub const fn shape(&self) -> HeadShape {
        self.shape
    }

    /// One training step without the update: the mean loss over the batch, its gradient in `g` (overwritten), and the
    /// running statistics moved by 0.1 towards the batch's. `x` is [batch, width].
    ///
    /// # Panics
    /// When a slice has another length than the shape's, the batch is below 2 (BatchNorm needs a variance) or above
    /// the maximum, or a class is out of range.
    #[expect(clippy::too_many_arguments, reason = "buffers stay the caller's")]
    pub fn forward_backward(
        &mut self,
        p: &[f32],
        g: &mut [f32],
        stats: &mut RunningStats,
        x: &[f32],
        targets: Targets<'_>,
        batch: usize,
        dropout: Option<Dropout>,
    ) -> f32 {
        let HeadShape { width, hidden, classes } = self.shape;
        assert!((2..=self.max_batch).contains(&batch), "a batch of {batch}, not 2 to {}", self.max_batch);
        assert_eq!(x.len(), batch * width, "features have another length");
        assert_eq!(p.len(), self.shape.parameters(), "parameters have another length");
        assert_eq!(g.len(), p.len(), "gradients have another length");
        assert_eq!(stats.mean.len(), hidden, "running means have another length");
        assert_eq!(stats.variance.len(), hidden, "running variances have another length");
        self.forward(p, stats, x, batch, dropout);
        let logits = &mut self.logits[..batch * classes];
        let loss = match targets {
            Targets::Binary(labels) => binary(logits, labels),
            Targets::Classes(labels) => cross_entropy(logits, labels, classes),
        };
        self.backward(p, g, batch, dropout);
        loss
    }

    fn forward(&mut self, p: &[f32], stats: &mut RunningStats, x: &[f32], batch: usize, dropout: Option<Dropout>) {
        let HeadShape { width, hidden, .. } = self.shape;
        let scale = Dropout::scale(dropout);
        let input = &mut self.input[..batch * width];
        let mask = &mut self.input_mask[..batch * width];
        Dropout::fill(dropout, 0, width, mask, 1);
        Arch::new().dispatch(Drop { x, mask, scale, out: input });
        let normalised = &mut self.normalised[..batch * hidden];
        hidden_layer(p, &self.places, self.shape).forward(input, normalised, HOW);
        Arch::new().dispatch(BatchNorm {
            rows: normalised,
            inverse: &mut self.inverse,
            sums: &mut self.sums,
            stats,
            weight: &p[self.places.norm_weight.clone()],
            offset: &p[self.places.norm_bias.clone()],
            out: &mut self.relu[..batch * hidden],
        });
        let mask = &mut self.hidden_mask[..batch * hidden];
        Dropout::fill(dropout, 1, hidden, mask, 1);
        let relu = &mut self.relu[..batch * hidden];
        Arch::new().dispatch(ReluDrop { value: relu, bias: &self.zeros[..hidden], mask, scale });
        output(p, &self.places, self.shape, relu, &mut self.logits[..batch * self.shape.classes]);
    }

    /// From the logits' gradient to that of the parameters.
    fn backward(&mut self, p: &[f32], g: &mut [f32], batch: usize, dropout: Option<Dropout>) {
        let HeadShape { width, hidden, classes } = self.shape;
        let logits = &self.logits[..batch * classes];
        let layer = Linear { weight: &p[self.places.output.clone()], inputs: hidden, outputs: classes };
        let relu = &self.relu[..batch * hidden];
        layer.weight_gradient(logits, relu, &mut g[self.places.output.clone()], HOW);
        let bias = &mut g[self.places.output_bias.clone()];
        bias.fill(0.0);
        for row in logits.chunks_exact(classes) {
            for (sum, &value) in bias.iter_mut().zip(row) {
                *sum += value;
            }
        }
        let gradient = &mut self.gradient[..batch * hidden];
        layer.input_gradient(logits, gradient, HOW);
        Arch::new().dispatch(BatchNormGradient {
            gradient,
            relu,
            normalised: &self.normalised[..batch * hidden],
            scale: Dropout::scale(dropout),
            inverse: &self.inverse,
            weight: &p[self.places.norm_weight.clone()],
            sums: &mut self.sums,
        });
        let (offset, slope) = self.sums.split_at(hidden);
        g[self.places.norm_bias.clone()].copy_from_slice(offset);
        g[self.places.norm_weight.clone()].copy_from_slice(slope);
        let input = &self.input[..batch * width];
        let place = self.places.hidden.clone();
        hidden_layer(p, &self.places, self.shape).weight_gradient(gradient, input, &mut g[place], HOW);
    }

    /// Outputs in evaluation mode: `x` is [batch, width], `out` [batch, classes]. Any batch size.
    ///
    /// # Panics
    /// When a slice has another length than the shape's.
    pub fn logits(&mut self, p: &[f32], stats: &RunningStats, x: &[f32], batch: usize, out: &mut [f32]) {
        let HeadShape { width, hidden, classes } = self.shape;
        assert_eq!(x.len(), batch * width, "features have another length");
        assert_eq!(out.len(), batch * classes, "logits have another length");
        assert_eq!(p.len(), self.shape.parameters(), "parameters have another length");
        let weight = &p[self.places.norm_weight.clone()];
        let bias = &p[self.places.norm_bias.clone()];
        let factors: Vec<f32> = stats.variance.iter().zip(weight).map(|(v, w)| w / (v + EPS).sqrt()).collect();
        let parts = x.chunks(self.max_batch * width).zip(out.chunks_mut(self.max_batch * classes));
        for (x, out) in parts {
            let relu = &mut self.relu[..x.len() / width * hidden];
            hidden_layer(p, &self.places, self.shape).forward(x, relu, HOW);
            for row in relu.chunks_exact_mut(hidden) {
                let units = row.iter_mut().zip(&stats.mean).zip(factors.iter().zip(bias));
                for ((value, &mean), (&factor, &bias)) in units {
                    let normal = (*value - mean) * factor + bias;
                    *value = if normal < 0.0 { 0.0 } else { normal };
                }
            }
            output(p, &self.places, self.shape, relu, out);
        }
    }
}

fn hidden_layer<'a>(p: &'a [f32], places: &HeadPlaces, shape: HeadShape) -> Linear<'a> {
    Linear { weight: &p[places.hidden.clone()], inputs: shape.width, outputs: shape.hidden }
}

/// `logits = relu W^T + b`.
fn output(p: &[f32], places: &HeadPlaces, shape: HeadShape, relu: &[f32], logits: &mut [f32]) {
    let HeadShape { hidden, classes, .. } = shape;
    let bias = &p[places.output_bias.clone()];
    for row in logits.chunks_exact_mut(classes) {
        row.copy_from_slice(bias);
    }
    let weight = Matrix::new(&p[places.output.clone()], classes, hidden);
    product(logits, Matrix::new(relu, relu.len() / hidden, hidden), weight.t(), HOW.adding());
}

/// Mean binary cross entropy with logits; the logits become their gradient.
fn binary(logits: &mut [f32], labels: &[f32]) -> f32 {
    assert_eq!(logits.len(), labels.len(), "one binary label a sample, and one output");
    let share = 1.0 / labels.len() as f32;
    let mut total = 0.0;
    for (logit, &label) in logits.iter_mut().zip(labels) {
        let z = *logit;
        let tail = libm::expf(-z.abs());
        let positive = if z < 0.0 { 0.0 } else { z };
        total += f64::from(positive - z * label + libm::log1pf(tail));
        let sigmoid = if z < 0.0 { tail / (1.0 + tail) } else { 1.0 / (1.0 + tail) };
        *logit = (sigmoid - label) * share;
    }
    (total / labels.len() as f64) as f32
}

/// Mean cross entropy; the logits become their gradient.
fn cross_entropy(logits: &mut [f32], labels: &[u32], classes: usize) -> f32 {
    assert_eq!(logits.len(), labels.len() * classes, "one class a sample");
    let share = 1.0 / labels.len() as f32;
    let mut total = 0.0;
    for (row, &label) in logits.chunks_exact_mut(classes).zip(labels) {
        let label = label as usize;
        assert!(label < classes, "class {label} of {classes}");
        let largest = row.iter().fold(f32::NEG_INFINITY, |largest, &logit| largest.max(logit));
        let chosen = row[label] - largest;
        let mut sum = 0.0;
        for logit in row.iter_mut() {
            *logit = libm::expf(*logit - largest);
            sum += *logit;
        }
        total += f64::from(libm::logf(sum) - chosen);
        for logit in row.iter_mut() {
            *logit *= share / sum;
        }
        row[label] -= share;
    }
    (total / labels.len() as f64) as f32
}

/// `out = x * mask * scale`.
struct Drop<'a> {
    x: &'a [f32],
    mask: &'a [u8],
    scale: f32,
    out: &'a mut [f32],
}

impl WithSimd for Drop<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for ((out, &x), &keep) in self.out.iter_mut().zip(self.x).zip(self.mask) {
            *out = x * (f32::from(keep) * self.scale);
        }
    }
}

/// Batch normalisation with the batch's own statistics, which move the running ones.
struct BatchNorm<'a> {
    /// [batch, hidden]: in, values; out, normalised values.
    rows: &'a mut [f32],
    inverse: &'a mut [f32],
    /// Scratch, [2, hidden].
    sums: &'a mut [f32],
    stats: &'a mut RunningStats,
    weight: &'a [f32],
    offset: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for BatchNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { rows, inverse, sums, stats, weight, offset, out } = self;
        let hidden = weight.len();
        let batch = (rows.len() / hidden) as f32;
        let (mean, variance) = sums.split_at_mut(hidden);
        mean.fill(0.0);
        variance.fill(0.0);
        for row in rows.chunks_exact(hidden) {
            for (sum, &value) in mean.iter_mut().zip(row) {
                *sum += value;
            }
        }
        mean.iter_mut().for_each(|sum| *sum /= batch);
        for row in rows.chunks_exact(hidden) {
            for ((sum, &mean), &value) in variance.iter_mut().zip(mean.iter()).zip(row) {
                *sum += (value - mean) * (value - mean);
            }
        }
        let running = stats.mean.iter_mut().zip(&mut stats.variance);
        for (((running_mean, running_variance), inverse), (&mean, &sum)) in
            running.zip(inverse.iter_mut()).zip(mean.iter().zip(variance.iter()))
        {
            *inverse = 1.0 / (sum / batch + EPS).sqrt();
            *running_mean += MOMENTUM * (mean - *running_mean);
            *running_variance += MOMENTUM * (sum / (batch - 1.0) - *running_variance);
        }
        stats.batches += 1;
        for (row, out) in rows.chunks_exact_mut(hidden).zip(out.chunks_exact_mut(hidden)) {
            let values = row.iter_mut().zip(mean.iter().zip(inverse.iter()));
            for ((value, (&mean, &inverse)), ((out, &weight), &offset)) in
                values.zip(out.iter_mut().zip(weight).zip(offset))
            {
                *value = (*value - mean) * inverse;
                *out = *value * weight + offset;
            }
        }
    }
}

/// Back through dropout, ReLU and [`BatchNorm`], in place.
struct BatchNormGradient<'a> {
    gradient: &'a mut [f32],
    /// The output after ReLU and dropout: zero where nothing comes back.
    relu: &'a [f32],
    normalised: &'a [f32],
    scale: f32,
    inverse: &'a [f32],
    weight: &'a [f32],
    /// [2, hidden]: out, gradients of the norm's offset and weight.
    sums: &'a mut [f32],
}

impl WithSimd for BatchNormGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { gradient, relu, normalised, scale, inverse, weight, sums } = self;
        let hidden = weight.len();
        let batch = (gradient.len() / hidden) as f32;
        sums.fill(0.0);
        let (offset, slope) = sums.split_at_mut(hidden);
        let rows =
            gradient.chunks_exact_mut(hidden).zip(relu.chunks_exact(hidden)).zip(normalised.chunks_exact(hidden));
        for ((gradient, relu), normalised) in rows {
            let sums = offset.iter_mut().zip(slope.iter_mut());
            let values = gradient.iter_mut().zip(relu).zip(normalised);
            for (((gradient, &relu), &normalised), (offset, slope)) in values.zip(sums) {
                *gradient = if relu > 0.0 { *gradient * scale } else { 0.0 };
                *offset += *gradient;
                *slope += *gradient * normalised;
            }
        }
        for (gradient, normalised) in gradient.chunks_exact_mut(hidden).zip(normalised.chunks_exact(hidden)) {
            let units = offset.iter().zip(slope.iter()).zip(inverse.iter().zip(weight));
            for ((gradient, &normalised), ((&offset, &slope), (&inverse, &weight))) in
                gradient.iter_mut().zip(normalised).zip(units)
            {
                *gradient = (*gradient - (offset + normalised * slope) / batch) * inverse * weight;
            }
        }
    }
}
