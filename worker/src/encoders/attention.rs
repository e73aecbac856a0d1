//! Multi-head self-attention, and the softmax in it, vectorised on the CPU.
//!
//! There, candle would copy queries, keys and values into matrices of their own and call a scalar `exp` for each score. Here the
//! products read them where they lie, a block of queries at a time, so that the scores stay in the processor's cache.

use candle_core::{CpuStorage, CustomOp1, D, Layout, Result, Shape, Tensor, bail};
use candle_nn::ops::softmax_last_dim;
use pulp::{Arch, Simd, WithSimd};

use super::elementwise::add;
use crate::matrix::{How, Matrix, Precision, product_strided};

/// Each sample is one thread's.
const HOW: How = How::new(Precision::F32, 1);

/// Scores that are computed at a time: 1 MiB.
const SCORES: usize = 1 << 18;
/// Fewest queries of a block.
const QUERIES: usize = 32;
/// Values that are worked on side by side.
const LANES: usize = 16;

/// Samples of unequal length.
pub(super) struct Padding {
    /// What is added to scores, [samples, 1, 1, length]: 0, or minus infinity for padding.
    pub(super) mask: Tensor,
    /// Of each sample, at least 1.
    pub(super) lengths: Vec<usize>,
}

/// Multi-head self-attention before its output projection, of `rows`, [samples * length, 3 * width]: queries, keys and values.
/// Gives [samples * length, width]; rows of padding have no meaning, but are finite.
pub(super) fn self_attention(rows: &Tensor, samples: usize, heads: usize, padding: Option<&Padding>) -> Result<Tensor> {
    if rows.device().is_cpu() {
        let lengths = padding.map(|padding| padding.lengths.as_slice());
        return rows.apply_op1_no_bwd(&Attention { samples, heads, lengths });
    }
    in_candle(rows, samples, heads, padding.map(|padding| &padding.mask))
}

/// The same in candle's operations, on any device.
fn in_candle(rows: &Tensor, samples: usize, heads: usize, mask: Option<&Tensor>) -> Result<Tensor> {
    let (count, all) = rows.dims2()?;
    let (length, width) = (count / samples, all / 3);
    let size = width / heads;
    let all = rows.reshape((samples, length, 3, heads, size))?;
    let part = |i: usize| all.narrow(2, i, 1)?.squeeze(2)?.transpose(1, 2)?.contiguous();
    let (query, key, value) = ((part(0)? * (1.0 / (size as f64).sqrt()))?, part(1)?, part(2)?);
    let mut scores = query.matmul(&key.transpose(D::Minus2, D::Minus1)?)?;
    if let Some(mask) = mask {
        scores = add(scores, mask)?;
    }
    softmax_last_dim(&scores)?.matmul(&value)?.transpose(1, 2)?.reshape((count, width))
}

struct Attention<'a> {
    samples: usize,
    heads: usize,
    /// None: all are as long as there is room.
    lengths: Option<&'a [usize]>,
}

impl CustomOp1 for Attention<'_> {
    fn name(&self) -> &'static str {
        "self-attention"
    }

    fn cpu_fwd(&self, rows: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (CpuStorage::F32(rows), Some((start, end))) = (rows, layout.contiguous_offsets()) else {
            bail!("attention is of contiguous f32");
        };
        let (count, all) = layout.shape().dims2()?;
        let (width, length) = (all / 3, count.checked_div(self.samples).unwrap_or(0));
        let fits = self.lengths.is_none_or(|lengths| {
            lengths.len() == self.samples && lengths.iter().all(|found| (1..=length).contains(found))
        });
        if all != 3 * width || self.heads == 0 || width % self.heads != 0 || length * self.samples != count || !fits {
            bail!("attention of {count} x {all} values in {} samples and {} heads", self.samples, self.heads);
        }
        let mut out = vec![0.0; count * width];
        if count > 0 {
            let samples = rows[start..end].chunks_exact(length * all).zip(out.chunks_exact_mut(length * width));
            let mut scores = vec![0.0; SCORES.max(QUERIES * length).min(length * length)];
            for (sample, (rows, out)) in samples.enumerate() {
                let length = self.lengths.map_or(length, |lengths| lengths[sample]);
                for head in 0..self.heads {
                    Head { width, size: width / self.heads, at: head, length }.attend(rows, out, &mut scores);
                }
            }
        }
        Ok((CpuStorage::F32(out), Shape::from((count, width))))
    }
}

/// One head of one sample.
struct Head {
    width: usize,
    size: usize,
    /// Number of the head.
    at: usize,
    length: usize,
}

impl Head {
    /// `rows` are [length or more, 3 * width], `out` [length or more, width].
    fn attend(&self, rows: &[f32], out: &mut [f32], scores: &mut [f32]) {
        let Self { width, size, at, length } = *self;
        let part = |number: usize| &rows[number * width + at * size..];
        let (keys, values) = (part(1), part(2));
        let block = (scores.len() / length).min(length);
        let mut sums = vec![0.0; block];
        for first in (0..length).step_by(block) {
            let count = block.min(length - first);
            let scores = &mut scores[..count * length];
            let queries = &rows[first * 3 * width + at * size..];
            let scale = 1.0 / (size as f32).sqrt();
            let queries = Matrix::strided(queries, count, size, 3 * width);
            let keys = Matrix::strided(keys, length, size, 3 * width).t();
            product_strided(scores, length, queries, keys, HOW.times(scale));
            Arch::new().dispatch(Softmax { length, scores, sums: &mut sums });
            let out = &mut out[first * width + at * size..];
            let values = Matrix::strided(values, length, size, 3 * width);
            product_strided(out, width, Matrix::new(scores, count, length), values, HOW);
            for (row, sum) in out.chunks_mut(width).zip(&sums[..count]) {
                row[..size].iter_mut().for_each(|value| *value /= sum);
            }
        }
    }
}

/// Of each row the exponentials of the distances to its largest value, and their sum.
struct Softmax<'a> {
    length: usize,
    /// Rows of `length`.
    scores: &'a mut [f32],
    sums: &'a mut [f32],
}

impl WithSimd for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (row, sum) in self.scores.chunks_exact_mut(self.length).zip(self.sums) {
            *sum = exponentials(row);
        }
    }
}

/// Turns `row` into the exponentials of the distances to its largest value; their sum. NaN becomes NaN.
#[inline(always)]
fn exponentials(row: &mut [f32]) -> f32 {
    let larger = |a: f32, b: f32| if a > b { a } else { b };
    let (chunks, rest) = row.as_chunks::<LANES>();
    let mut most = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for (most, value) in most.iter_mut().zip(chunk) {
            *most = larger(*value, *most);
        }
    }
    let most = most.iter().chain(rest).fold(f32::NEG_INFINITY, |most, value| larger(*value, most));
    let (chunks, rest) = row.as_chunks_mut::<LANES>();
    let mut sums = [0.0; LANES];
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *value = exp(*value - most);
            *sum += *value;
        }
    }
    let mut sum = 0.0;
    for value in rest {
        *value = exp(*value - most);
        sum += *value;
    }
    sum + sums.iter().sum::<f32>()
}

/// `exp` of what is not above 0, within 2e-7 of it; 0 from -87 on.
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// What is added to a number between -2^22 and 2^22 to round it: its lowest bits are then the whole number.
    const ROUND: f32 = 12_582_912.0;
    /// The logarithm of 2 in two parts; few bits of the first are set, so that its multiples are exact.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    let bounded = if x < -87.0 { -87.0 } else { x };
    let rounded = bounded * std::f32::consts::LOG2_E + ROUND;
    let whole = rounded - ROUND;
    let rest = bounded - whole * LN_2[0] - whole * LN_2[1];
    // The series of Taylor: `rest` is at most 0.35.
    let mut sum = 1.0 / 5040.0;
    for divisor in [720.0_f32, 120.0, 24.0, 6.0, 2.0, 1.0, 1.0] {
        sum = sum * rest + 1.0 / divisor;
    }
    let power = f32::from_bits((rounded.to_bits() << 23).wrapping_add(1.0_f32.to_bits()));
    if x < -87.0 { 0.0 } else { sum * power }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn it_is_the_exponential() {
        for i in 0..900_000 {
            let x = -i as f32 / 10_000.0;
            let expected = f64::from(x).exp();
            if x >= -87.0 {
                let error = (f64::from(exp(x)) - expected).abs() / expected;
                assert!(error <= 2e-7, "{x}: {}, not {expected}, off by {error}", exp(x));
            } else {
                assert_eq!(exp(x), 0.0, "{x}");
            }
        }
        assert_eq!((exp(0.0), exp(f32::NEG_INFINITY)), (1.0, 0.0));
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn it_is_candles_for_all_shapes() {
        for (samples, length, heads, size) in
            [(1, 1, 1, 1), (2, 5, 3, 4), (1, 257, 2, 8), (3, 33, 2, 16), (1, 700, 1, 2)]
        {
            let width = heads * size;
            let rows = Tensor::randn(0.0_f32, 2.0, (samples * length, 3 * width), &Device::Cpu).unwrap();
            let found = self_attention(&rows, samples, heads, None).unwrap();
            crate::encoders::vision::assert_close(&found, &in_candle(&rows, samples, heads, None).unwrap());
        }
    }

    #[test]
    fn padding_changes_no_bit_of_the_rest() {
        let (length, heads, width) = (40, 2, 12);
        let rows = Tensor::randn(0.0_f32, 1.0, (3 * length, 3 * width), &Device::Cpu).unwrap();
        let lengths = vec![40, 1, 23];
        let mask = |sample: usize, at: usize| if at < lengths[sample] { 0.0_f32 } else { f32::NEG_INFINITY };
        let mask: Vec<f32> = (0..3 * length).map(|i| mask(i / length, i % length)).collect();
        let mask = Tensor::from_vec(mask, (3, 1, 1, length), &Device::Cpu).unwrap();
        let padding = Padding { mask, lengths };
        let found = self_attention(&rows, 3, heads, Some(&padding)).unwrap();
        let in_candle = in_candle(&rows, 3, heads, Some(&padding.mask)).unwrap();
        for (sample, &own) in padding.lengths.iter().enumerate() {
            let part = |tensor: &Tensor| tensor.narrow(0, sample * length, own).unwrap();
            let alone = self_attention(&part(&rows), 1, heads, None).unwrap();
            let values = |tensor: &Tensor| tensor.to_vec2::<f32>().unwrap();
            assert_eq!(values(&part(&found)), values(&alone));
            crate::encoders::vision::assert_close(&alone, &part(&in_candle).contiguous().unwrap());
        }
    }

    #[test]
    fn not_a_number_stays_so() {
        let mut row = vec![0.5_f32; 40];
        row[37] = f32::NAN;
        assert!(exponentials(&mut row).is_nan());
        let mut row = vec![0.5_f32; 40];
        row[3] = f32::NAN;
        assert!(exponentials(&mut row).is_nan());
        assert!(
            self_attention(&Tensor::zeros((4, 9), candle_core::DType::F32, &Device::Cpu).unwrap(), 3, 1, None).is_err()
        );
    }
}
