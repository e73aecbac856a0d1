//! One layer: attention over the sample's own token, feed-forward block, residuals, post-norm.
//!
//! With one token a sample the softmax runs over one key and is 1, so attention is `Wo (mask * (Wv x + bv)) + bo`, with one
//! mask element a head; queries and keys do not matter and get the gradient 0. Images and texts share the weights and
//! do not see each other, so their rows are stacked: `rows` below is images then texts.

use pulp::{Simd, WithSimd};

use super::{
    Dims, Dropout,
    blocks::{self, ROWS},
    linear::Linear,
    norm::{ResidualNorm, ResidualNormGradient},
    shape::LayerPlaces,
};
use crate::matrix::How;

/// What one layer's forward keeps for its backward, for up to a fixed number of rows.
#[derive(Debug)]
pub(super) struct Saved {
    /// [rows, width]: the layer's input.
    pub input: Vec<f32>,
    /// [rows, width]: values, after the attention's dropout.
    value: Vec<f32>,
    /// [rows, width] and [rows], of the first norm.
    normalised1: Vec<f32>,
    inverse1: Vec<f32>,
    /// [rows, width]: the feed-forward block's input.
    middle: Vec<f32>,
    /// [rows, hidden]: after ReLU and dropout.
    relu: Vec<f32>,
    /// [rows, width] and [rows], of the second norm.
    normalised2: Vec<f32>,
    inverse2: Vec<f32>,
    /// [rows, heads].
    head_mask: Vec<u8>,
    /// [rows, width].
    mask1: Vec<u8>,
    mask2: Vec<u8>,
}

impl Saved {
    pub fn new(dims: Dims, rows: usize) -> Self {
        let matrix = || vec![0.0; rows * dims.width];
        Self {
            input: matrix(),
            value: matrix(),
            normalised1: matrix(),
            inverse1: vec![0.0; rows],
            middle: matrix(),
            relu: vec![0.0; rows * dims.hidden],
            normalised2: matrix(),
            inverse2: vec![0.0; rows],
            head_mask: vec![1; rows * dims.heads],
            mask1: vec![1; rows * dims.width],
            mask2: vec![1; rows * dims.width],
        }
    }
}

/// Buffers that all layers share.
#[derive(Debug)]
pub(super) struct Scratch {
    /// [rows, width]: a branch, or its gradient.
    branch: Vec<f32>,
    /// [rows, width]: gradient of the values.
    value: Vec<f32>,
    /// [rows, hidden]: gradient of the feed-forward block's hidden layer.
    hidden: Vec<f32>,
    /// [rows, hidden].
    mask: Vec<u8>,
    /// [blocks, the larger of 3 width and hidden].
    sums: Vec<f32>,
}

impl Scratch {
    pub fn new(dims: Dims, rows: usize) -> Self {
        Self {
            branch: vec![0.0; rows * dims.width],
            value: vec![0.0; rows * dims.width],
            hidden: vec![0.0; rows * dims.hidden],
            mask: vec![1; rows * dims.hidden],
            sums: vec![0.0; blocks::count(rows) * dims.hidden.max(3 * dims.width)],
        }
    }
}

/// How the stacked rows are made up, and how they are worked on.
#[derive(Clone, Copy)]
pub(super) struct Pass {
    pub dims: Dims,
    /// Number of the layer.
    pub layer: usize,
    /// Rows that are images; they come first.
    pub images: usize,
    /// All rows.
    pub rows: usize,
    pub dropout: Option<Dropout>,
    pub how: How,
}

impl Pass {
    /// The mask of one site for images and texts.
    fn mask(&self, site: usize, columns: usize, mask: &mut [u8]) {
        let stream = ((4 * self.layer + site) * 2) as u32;
        let (images, texts) = mask.split_at_mut(self.images * columns);
        Dropout::fill(self.dropout, stream, columns, images, self.how.threads);
        Dropout::fill(self.dropout, stream + 1, columns, texts, self.how.threads);
    }
}

/// A layer's parameters.
pub(super) struct Layer<'a> {
    pub p: &'a [f32],
    pub places: &'a LayerPlaces,
}

impl<'a> Layer<'a> {
    fn value(&self, width: usize) -> Linear<'a> {
        Linear { weight: &self.p[self.places.value_weight()], inputs: width, outputs: width }
    }

    fn out(&self, width: usize) -> Linear<'a> {
        Linear { weight: &self.p[self.places.out_weight.clone()], inputs: width, outputs: width }
    }

    fn first(&self, dims: Dims) -> Linear<'a> {
        Linear { weight: &self.p[self.places.first_weight.clone()], inputs: dims.width, outputs: dims.hidden }
    }

    fn second(&self, dims: Dims) -> Linear<'a> {
        Linear { weight: &self.p[self.places.second_weight.clone()], inputs: dims.hidden, outputs: dims.width }
    }

    /// From `saved.input` to `out`, both [rows, width].
    pub fn forward(&self, pass: Pass, saved: &mut Saved, scratch: &mut Scratch, out: &mut [f32]) {
        let Pass { dims, rows, how, .. } = pass;
        let Dims { width, heads, hidden, .. } = dims;
        let places = self.places;
        let (wide, deep) = (rows * width, rows * hidden);
        let scale = Dropout::scale(pass.dropout);
        pass.mask(0, heads, &mut saved.head_mask[..rows * heads]);
        pass.mask(1, width, &mut saved.mask1[..wide]);
        pass.mask(2, hidden, &mut scratch.mask[..deep]);
        pass.mask(3, width, &mut saved.mask2[..wide]);

        let value = &mut saved.value[..wide];
        self.value(width).forward(&saved.input[..wide], value, how);
        let bias = &self.p[places.value_bias()];
        let masks = saved.head_mask.chunks(ROWS * heads);
        let parts = value.chunks_mut(ROWS * width).zip(masks);
        blocks::run(how.threads, parts.map(|(value, mask)| HeadDrop { value, bias, mask, heads, scale }));

        let branch = &mut scratch.branch[..wide];
        self.out(width).forward(value, branch, how);
        let part = ROWS * width;
        let inputs = saved.input[..wide].chunks(part).zip(branch.chunks(part)).zip(saved.mask1.chunks(part));
        let outputs = saved.normalised1.chunks_mut(part).zip(saved.inverse1.chunks_mut(ROWS));
        let parts = inputs.zip(outputs.zip(saved.middle[..wide].chunks_mut(part)));
        blocks::run(
            how.threads,
            parts.map(|(((residual, branch), mask), ((normalised, inverse), out))| ResidualNorm {
                residual,
                branch,
                bias: &self.p[places.out_bias.clone()],
                mask,
                scale,
                weight: &self.p[places.norm1_weight.clone()],
                offset: &self.p[places.norm1_bias.clone()],
                normalised: &mut normalised[..residual.len()],
                inverse,
                out,
            }),
        );

        let relu = &mut saved.relu[..deep];
        self.first(dims).forward(&saved.middle[..wide], relu, how);
        let bias = &self.p[places.first_bias.clone()];
        let parts = relu.chunks_mut(ROWS * hidden).zip(scratch.mask.chunks(ROWS * hidden));
        blocks::run(how.threads, parts.map(|(value, mask)| ReluDrop { value, bias, mask, scale }));

        self.second(dims).forward(relu, branch, how);
        let inputs = saved.middle[..wide].chunks(part).zip(branch.chunks(part)).zip(saved.mask2.chunks(part));
        let outputs = saved.normalised2.chunks_mut(part).zip(saved.inverse2.chunks_mut(ROWS));
        let parts = inputs.zip(outputs.zip(out.chunks_mut(part)));
        blocks::run(
            how.threads,
            parts.map(|(((residual, branch), mask), ((normalised, inverse), out))| ResidualNorm {
                residual,
                branch,
                bias: &self.p[places.second_bias.clone()],
                mask,
                scale,
                weight: &self.p[places.norm2_weight.clone()],
                offset: &self.p[places.norm2_bias.clone()],
                normalised: &mut normalised[..residual.len()],
                inverse,
                out,
            }),
        );
    }

    /// `gradient` [rows, width] comes in as that of the output and leaves as that of the input. The layer's part of `g` is
    /// overwritten.
    pub fn backward(&self, pass: Pass, saved: &Saved, scratch: &mut Scratch, gradient: &mut [f32], g: &mut [f32]) {
        let Pass { dims, rows, how, .. } = pass;
        let Dims { width, heads, hidden, .. } = dims;
        let places = self.places;
        let (wide, deep) = (rows * width, rows * hidden);
        let scale = Dropout::scale(pass.dropout);
        let Scratch { branch, value: value_gradient, hidden: deep_gradient, sums, .. } = scratch;
        let (branch, deep_gradient) = (&mut branch[..wide], &mut deep_gradient[..deep]);

        let norm2 = NormPlaces { weight: &places.norm2_weight, offset: &places.norm2_bias, bias: &places.second_bias };
        let kept = NormSaved { normalised: &saved.normalised2, inverse: &saved.inverse2, mask: &saved.mask2 };
        self.norm_backward(pass, norm2, kept, sums, gradient, branch, g);
        let second = self.second(dims);
        second.weight_gradient(branch, &saved.relu[..deep], &mut g[places.second_weight.clone()], how);
        second.input_gradient(branch, deep_gradient, how);
        let parts = deep_gradient.chunks_mut(ROWS * hidden).zip(saved.relu.chunks(ROWS * hidden));
        let parts = parts.zip(sums.chunks_mut(hidden));
        blocks::run(
            how.threads,
            parts.map(|((gradient, relu), sums)| ReluDropGradient { gradient, relu, scale, sums }),
        );
        blocks::reduce(sums, blocks::count(rows), hidden, 0, &mut g[places.first_bias.clone()]);
        let first = self.first(dims);
        first.weight_gradient(deep_gradient, &saved.middle[..wide], &mut g[places.first_weight.clone()], how);
        first.input_gradient(deep_gradient, gradient, how.adding());

        let norm1 = NormPlaces { weight: &places.norm1_weight, offset: &places.norm1_bias, bias: &places.out_bias };
        let kept = NormSaved { normalised: &saved.normalised1, inverse: &saved.inverse1, mask: &saved.mask1 };
        self.norm_backward(pass, norm1, kept, sums, gradient, branch, g);
        let out = self.out(width);
        out.weight_gradient(branch, &saved.value[..wide], &mut g[places.out_weight.clone()], how);
        let value_gradient = &mut value_gradient[..wide];
        out.input_gradient(branch, value_gradient, how);
        let parts = value_gradient.chunks_mut(ROWS * width).zip(saved.head_mask.chunks(ROWS * heads));
        let parts = parts.zip(sums.chunks_mut(width));
        blocks::run(
            how.threads,
            parts.map(|((gradient, mask), sums)| HeadDropGradient { gradient, mask, heads, scale, sums }),
        );
        // Queries and keys come before the values: their gradient is zero.
        g[places.in_weight.clone()].fill(0.0);
        g[places.in_bias.clone()].fill(0.0);
        blocks::reduce(sums, blocks::count(rows), width, 0, &mut g[places.value_bias()]);
        let value = self.value(width);
        value.weight_gradient(value_gradient, &saved.input[..wide], &mut g[places.value_weight()], how);
        value.input_gradient(value_gradient, gradient, how.adding());
    }

    #[expect(clippy::too_many_arguments, reason = "one place for both norms of a layer")]
    fn norm_backward(
        &self,
        pass: Pass,
        places: NormPlaces<'_>,
        saved: NormSaved<'_>,
        sums: &mut [f32],
        gradient: &mut [f32],
        branch: &mut [f32],
        g: &mut [f32],
    ) {
        let width = pass.dims.width;
        let part = ROWS * width;
        let weight = &self.p[places.weight.clone()];
        let scale = Dropout::scale(pass.dropout);
        let outputs = gradient.chunks_mut(part).zip(branch.chunks_mut(part)).zip(sums.chunks_mut(3 * width));
        let inputs = saved.normalised.chunks(part).zip(saved.inverse.chunks(ROWS)).zip(saved.mask.chunks(part));
        blocks::run(
            pass.how.threads,
            outputs.zip(inputs).map(|(((gradient, branch), sums), ((normalised, inverse), mask))| {
                ResidualNormGradient { gradient, branch, normalised, inverse, mask, scale, weight, sums }
            }),
        );
        for (i, place) in [places.weight, places.offset, places.bias].into_iter().enumerate() {
            blocks::reduce(sums, blocks::count(pass.rows), 3 * width, i * width, &mut g[place.clone()]);
        }
    }
}

/// Where the tensors around a norm are.
struct NormPlaces<'a> {
    weight: &'a std::ops::Range<usize>,
    offset: &'a std::ops::Range<usize>,
    /// Bias of the branch.
    bias: &'a std::ops::Range<usize>,
}

/// What the forward kept of a norm.
struct NormSaved<'a> {
    normalised: &'a [f32],
    inverse: &'a [f32],
    mask: &'a [u8],
}

/// `value = (value + bias) * mask`, one mask element a head, for a block of rows.
struct HeadDrop<'a> {
    value: &'a mut [f32],
    bias: &'a [f32],
    mask: &'a [u8],
    heads: usize,
    scale: f32,
}

impl WithSimd for HeadDrop<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { value, bias, mask, heads, scale } = self;
        let width = bias.len();
        for (row, mask) in value.chunks_exact_mut(width).zip(mask.chunks_exact(heads)) {
            let heads = row.chunks_exact_mut(width / heads).zip(bias.chunks_exact(width / heads)).zip(mask);
            for ((head, bias), &keep) in heads {
                let factor = f32::from(keep) * scale;
                for (value, &bias) in head.iter_mut().zip(bias) {
                    *value = (*value + bias) * factor;
                }
            }
        }
    }
}

/// The gradient of [`HeadDrop`], in place; `sums` [width] is that of the bias over these rows.
struct HeadDropGradient<'a> {
    gradient: &'a mut [f32],
    mask: &'a [u8],
    heads: usize,
    scale: f32,
    sums: &'a mut [f32],
}

impl WithSimd for HeadDropGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { gradient, mask, heads, scale, sums } = self;
        let width = sums.len();
        sums.fill(0.0);
        for (row, mask) in gradient.chunks_exact_mut(width).zip(mask.chunks_exact(heads)) {
            let heads = row.chunks_exact_mut(width / heads).zip(sums.chunks_exact_mut(width / heads)).zip(mask);
            for ((head, sums), &keep) in heads {
                let factor = f32::from(keep) * scale;
                for (value, sum) in head.iter_mut().zip(sums) {
                    *value *= factor;
                    *sum += *value;
                }
            }
        }
    }
}

/// `value = dropout(relu(value + bias))` for a block of rows.
pub(super) struct ReluDrop<'a> {
    pub value: &'a mut [f32],
    pub bias: &'a [f32],
    pub mask: &'a [u8],
    pub scale: f32,
}

impl WithSimd for ReluDrop<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { value, bias, mask, scale } = self;
        let hidden = bias.len();
        for (row, mask) in value.chunks_exact_mut(hidden).zip(mask.chunks_exact(hidden)) {
            for ((value, &bias), &keep) in row.iter_mut().zip(bias).zip(mask) {
                let sum = *value + bias;
                // Unlike `max`, this lets NaN through: a diverged step must show in the loss.
                let relu = if sum < 0.0 { 0.0 } else { sum };
                *value = relu * (f32::from(keep) * scale);
            }
        }
    }
}

/// The gradient of [`ReluDrop`], in place: an output of zero was dropped or negative. `sums` [hidden] is that of the
/// bias over these rows.
pub(super) struct ReluDropGradient<'a> {
    pub gradient: &'a mut [f32],
    pub relu: &'a [f32],
    pub scale: f32,
    pub sums: &'a mut [f32],
}

impl WithSimd for ReluDropGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { gradient, relu, scale, sums } = self;
        let hidden = sums.len();
        sums.fill(0.0);
        for (gradient, relu) in gradient.chunks_exact_mut(hidden).zip(relu.chunks_exact(hidden)) {
            for ((gradient, &relu), sum) in gradient.iter_mut().zip(relu).zip(sums.iter_mut()) {
                *gradient = if relu > 0.0 { *gradient * scale } else { 0.0 };
                *sum += *gradient;
            }
        }
    }
}
