//! Residual + layer normalisation, and L2 normalisation, with their gradients.

use pulp::{Simd, WithSimd};

use super::blocks::{sum, sum2};

/// Under the root, as PyTorch's `nn.LayerNorm`.
const EPS: f32 = 1e-5;
/// Smallest length that is divided by, as PyTorch's `F.normalize`.
const SMALLEST: f32 = 1e-12;

/// `out = LayerNorm(residual + dropout(branch + bias))` for a block of rows.
pub(super) struct ResidualNorm<'a> {
    /// [rows, width].
    pub residual: &'a [f32],
    /// [rows, width].
    pub branch: &'a [f32],
    /// [width], of the branch.
    pub bias: &'a [f32],
    /// [rows, width], of the branch.
    pub mask: &'a [u8],
    /// Factor on what the mask keeps.
    pub scale: f32,
    /// [width], of the norm.
    pub weight: &'a [f32],
    /// [width], of the norm.
    pub offset: &'a [f32],
    /// [rows, width]: before weight and offset.
    pub normalised: &'a mut [f32],
    /// [rows]: one over the standard deviation.
    pub inverse: &'a mut [f32],
    /// [rows, width].
    pub out: &'a mut [f32],
}

impl WithSimd for ResidualNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { residual, branch, bias, mask, scale, weight, offset, normalised, inverse, out } = self;
        let width = bias.len();
        let (weight, offset) = (&weight[..width], &offset[..width]);
        let inputs = residual.chunks_exact(width).zip(branch.chunks_exact(width)).zip(mask.chunks_exact(width));
        let outputs = normalised.chunks_exact_mut(width).zip(inverse).zip(out.chunks_exact_mut(width));
        for (((residual, branch), mask), ((row, inverse), out)) in inputs.zip(outputs) {
            for i in 0..width {
                row[i] = residual[i] + (branch[i] + bias[i]) * (f32::from(mask[i]) * scale);
            }
            let mean = sum(row, |x| x) / width as f32;
            let variance = sum(row, |x| (x - mean) * (x - mean)) / width as f32;
            let factor = 1.0 / (variance + EPS).sqrt();
            *inverse = factor;
            for i in 0..width {
                let value = (row[i] - mean) * factor;
                row[i] = value;
                out[i] = value * weight[i] + offset[i];
            }
        }
    }
}

/// The gradient of [`ResidualNorm`] for a block of rows.
pub(super) struct ResidualNormGradient<'a> {
    /// [rows, width]: in, of the output; out, of the residual.
    pub gradient: &'a mut [f32],
    /// [rows, width]: out, of the branch.
    pub branch: &'a mut [f32],
    /// [rows, width].
    pub normalised: &'a [f32],
    /// [rows].
    pub inverse: &'a [f32],
    /// [rows, width].
    pub mask: &'a [u8],
    /// Factor on what the mask keeps.
    pub scale: f32,
    /// [width].
    pub weight: &'a [f32],
    /// [3, width]: out, sums over these rows of the gradients of the norm's weight, its offset, and the branch's bias.
    pub sums: &'a mut [f32],
}

impl WithSimd for ResidualNormGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { gradient, branch, normalised, inverse, mask, scale, weight, sums } = self;
        let width = weight.len();
        sums.fill(0.0);
        let (weight_sum, sums) = sums.split_at_mut(width);
        let (offset_sum, bias_sum) = sums.split_at_mut(width);
        let bias_sum = &mut bias_sum[..width];
        let outputs = gradient.chunks_exact_mut(width).zip(branch.chunks_exact_mut(width));
        let inputs = normalised.chunks_exact(width).zip(inverse).zip(mask.chunks_exact(width));
        for ((gradient, branch), ((normalised, &inverse), mask)) in outputs.zip(inputs) {
            for i in 0..width {
                weight_sum[i] += gradient[i] * normalised[i];
                offset_sum[i] += gradient[i];
                gradient[i] *= weight[i];
            }
            let mean = sum(gradient, |x| x) / width as f32;
            let slope = sum2(gradient, normalised, |x, y| x * y) / width as f32;
            for i in 0..width {
                let value = (gradient[i] - mean - normalised[i] * slope) * inverse;
                gradient[i] = value;
                let through = value * (f32::from(mask[i]) * scale);
                branch[i] = through;
                bias_sum[i] += through;
            }
        }
    }
}

/// Rows divided by their length, in place, for a block of rows.
pub(super) struct Unit<'a> {
    /// [rows, width].
    pub rows: &'a mut [f32],
    /// [rows]: out, the lengths.
    pub lengths: &'a mut [f32],
    pub width: usize,
}

impl WithSimd for Unit<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (row, length) in self.rows.chunks_exact_mut(self.width).zip(self.lengths) {
            *length = sum(row, |x| x * x).sqrt().max(SMALLEST);
            let factor = 1.0 / *length;
            for value in row {
                *value *= factor;
            }
        }
    }
}

/// The gradient of [`Unit`] for a block of rows.
pub(super) struct UnitGradient<'a> {
    /// [rows, width]: in, of the output; out, of the input.
    pub gradient: &'a mut [f32],
    /// [rows, width]: the output.
    pub unit: &'a [f32],
    /// [rows].
    pub lengths: &'a [f32],
    pub width: usize,
}

impl WithSimd for UnitGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let rows = self.gradient.chunks_exact_mut(self.width).zip(self.unit.chunks_exact(self.width));
        for ((gradient, unit), &length) in rows.zip(self.lengths) {
            let along = sum2(gradient, unit, |x, y| x * y);
            let factor = 1.0 / length;
            for (gradient, &unit) in gradient.iter_mut().zip(unit) {
                *gradient = (*gradient - unit * along) * factor;
            }
        }
    }
}
