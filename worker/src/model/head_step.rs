//! Forward and backward of the classification head.
//!
//! Masks: the input's element (row, column) draws from stream 0 at `row * width + column`, the hidden layer's from stream
//! 1 at `row * hidden + column`.

use std::ops::Range;

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
    /// Gradients on their way to the optimiser: [`UNITS`, width], and all but the hidden weights'; empty until they are needed.
    part: Vec<f32>,
    tail: Vec<f32>,
}

/// Hidden units whose weights are updated at once: their gradient stays in the cache (768 kB at a width of 768).
const UNITS: usize = 256;

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
            part: vec![],
            tail: vec![],
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
        assert_eq!(g.len(), p.len(), "gradients have another length");
        let loss = self.forward(p, stats, x, targets, batch, dropout);
        let (hidden, tail) = g.split_at_mut(self.places.hidden.end);
        self.backward(p, tail, batch, dropout);
        let Self { gradient, input, places, shape, .. } = self;
        let (gradient, input) = (&gradient[..batch * shape.hidden], &input[..batch * shape.width]);
        hidden_layer(p, places, *shape).weight_gradient(gradient, input, hidden, HOW);
        loss
    }

    /// One training step with the update, which comes to the same as [`Self::forward_backward`] and an update of all parameters.
    ///
    /// `update` is given a range of the parameters, these, and their gradient. It is called for parts that fit the cache, each
    /// parameter once, and not at all when the loss is not finite.
    ///
    /// # Panics
    /// As [`Self::forward_backward`].
    #[expect(clippy::too_many_arguments, reason = "buffers stay the caller's")]
    pub fn train(
        &mut self,
        p: &mut [f32],
        stats: &mut RunningStats,
        x: &[f32],
        targets: Targets<'_>,
        batch: usize,
        dropout: Option<Dropout>,
        mut update: impl FnMut(Range<usize>, &mut [f32], &[f32]),
    ) -> f32 {
        let HeadShape { width, hidden, .. } = self.shape;
        let loss = self.forward(p, stats, x, targets, batch, dropout);
        if !loss.is_finite() {
            return loss;
        }
        let start = self.places.hidden.end;
        let mut tail = std::mem::take(&mut self.tail);
        tail.resize(p.len() - start, 0.0);
        self.backward(p, &mut tail, batch, dropout);
        update(start..p.len(), &mut p[start..], &tail);
        self.tail = tail;
        self.part.resize(UNITS.min(hidden) * width, 0.0);
        let input = Matrix::new(&self.input[..batch * width], batch, width);
        for first in (0..hidden).step_by(UNITS) {
            let units = UNITS.min(hidden - first);
            // [batch, units] out of the gradient's columns.
            let gradient = Matrix::strided(&self.gradient[first..batch * hidden], batch, units, hidden).t();
            let part = &mut self.part[..units * width];
            product(part, gradient, input, HOW);
            let start = self.places.hidden.start + first * width;
            let range = start..start + part.len();
            update(range.clone(), &mut p[range], part);
        }
        loss
    }

    /// The loss; its gradient is left in `logits`.
    fn forward(
        &mut self,
        p: &[f32],
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
        assert_eq!(stats.mean.len(), hidden, "running means have another length");
        assert_eq!(stats.variance.len(), hidden, "running variances have another length");
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
        let logits = &mut self.logits[..batch * classes];
        output(p, &self.places, self.shape, relu, logits);
        match targets {
            Targets::Binary(labels) => binary(logits, labels),
            Targets::Classes(labels) => cross_entropy(logits, labels, classes),
        }
    }

    /// From the logits' gradient to that of the hidden layer's output, left in `gradient`, and to that of all parameters behind
    /// the hidden weights: `tail`.
    fn backward(&mut self, p: &[f32], tail: &mut [f32], batch: usize, dropout: Option<Dropout>) {
        let HeadShape { hidden, classes, .. } = self.shape;
        let start = self.places.hidden.end;
        let behind = |place: &Range<usize>| place.start - start..place.end - start;
        let logits = &self.logits[..batch * classes];
        let layer = Linear { weight: &p[self.places.output.clone()], inputs: hidden, outputs: classes };
        let relu = &self.relu[..batch * hidden];
        layer.weight_gradient(logits, relu, &mut tail[behind(&self.places.output)], HOW);
        let bias = &mut tail[behind(&self.places.output_bias)];
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
        tail[behind(&self.places.norm_bias)].copy_from_slice(offset);
        tail[behind(&self.places.norm_weight)].copy_from_slice(slope);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Key, Purpose};

    /// The fused step hands out the very gradients of the other one, each once, and nothing when there is no loss.
    #[test]
    fn the_fused_step_comes_to_the_same() {
        let (batch, width) = (9, 24);
        for (hidden, classes) in [(2 * UNITS + 40, 3), (16, 1)] {
            let shape = HeadShape { width, hidden, classes };
            let (mut p, labels, binary) = (shape.init(1), [0, 2, 1, 1, 0, 2, 2, 0, 1], [1.0; 9]);
            let targets = if classes == 1 { Targets::Binary(&binary) } else { Targets::Classes(&labels) };
            let mut x = vec![0.0; batch * width];
            Key::new(1, Purpose::Sample, 0).fill_normal(&mut x, 1.0);
            let dropout = Some(Dropout { p: 0.1, seed: 3, step: 2 });
            let mut step = HeadStep::new(shape, batch);
            let (mut stats, mut fused_stats) = (RunningStats::new(hidden), RunningStats::new(hidden));
            let mut g = vec![f32::NAN; p.len()];
            let loss = step.forward_backward(&p, &mut g, &mut stats, &x, targets, batch, dropout);
            let (before, mut fused) = (p.clone(), vec![f32::NAN; p.len()]);
            let told = step.train(&mut p, &mut fused_stats, &x, targets, batch, dropout, |range, p, g| {
                assert!(fused[range.clone()].iter().all(|value| value.is_nan()), "{range:?} twice");
                fused[range].copy_from_slice(g);
                p.iter_mut().for_each(|p| *p += 1.0);
            });
            assert!(loss == told && stats == fused_stats && g == fused);
            assert!(before.iter().zip(&p).all(|(before, &after)| before + 1.0 == after));
            x[5] = f32::NAN;
            let lost = step.train(&mut p, &mut stats, &x, targets, batch, None, |_, _, _| panic!("there is no loss"));
            assert!(lost.is_nan());
        }
    }
}
