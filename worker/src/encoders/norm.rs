//! Layer normalisation, vectorised on the CPU, where candle adds up one value after the other.

use candle_core::{CpuStorage, CustomOp3, D, Layout, Result, Shape, Tensor, bail};
use pulp::{Arch, Simd, WithSimd};

/// Values that are added up side by side.
const LANES: usize = 16;

/// Layer normalisation of `x` over its last dimension, by `weight` and `bias` of that size.
pub(super) fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f32) -> Result<Tensor> {
    debug_assert_eq!(x.dim(D::Minus1)?, weight.dim(0)?);
    if x.device().is_cpu() {
        x.apply_op3_no_bwd(weight, bias, &Norm { eps })
    } else {
        candle_nn::ops::layer_norm(x, weight, bias, eps)
    }
}

struct Norm {
    eps: f32,
}

impl CustomOp3 for Norm {
    fn name(&self) -> &'static str {
        "layer norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (Some(x), Some(weight), Some(bias)) =
            (slice(x, x_layout), slice(weight, weight_layout), slice(bias, bias_layout))
        else {
            bail!("layer norms are of contiguous f32");
        };
        let width = weight.len();
        if width == 0 || bias.len() != width || x.len() % width != 0 {
            bail!("{} values by {width} weights and {} biases", x.len(), bias.len());
        }
        let mut out = vec![0.0; x.len()];
        Arch::new().dispatch(Kernel { eps: self.eps, x, weight, bias, out: &mut out });
        Ok((CpuStorage::F32(out), x_layout.shape().clone()))
    }
}

/// The values of a contiguous tensor of f32.
fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Option<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => values.get(start..end),
        _ => None,
    }
}

struct Kernel<'a> {
    eps: f32,
    x: &'a [f32],
    weight: &'a [f32],
    bias: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Kernel<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let width = self.weight.len();
        for (x, out) in self.x.chunks_exact(width).zip(self.out.chunks_exact_mut(width)) {
            let mean = sum(x, |value| value) / width as f32;
            let variance = sum(x, |value| (value - mean) * (value - mean)) / width as f32;
            let scale = 1.0 / (variance + self.eps).sqrt();
            for (((out, x), weight), bias) in out.iter_mut().zip(x).zip(self.weight).zip(self.bias) {
                *out = (x - mean) * scale * weight + bias;
            }
        }
    }
}

/// The sum of `of` of each value.
#[inline(always)]
fn sum(values: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += of(*value);
        }
    }
    sums.iter().sum::<f32>() + rest.iter().map(|value| of(*value)).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn it_is_candles() {
        for width in [1, 7, 16, 50, 384] {
            let random = |shape: &[usize]| Tensor::randn(3.0_f32, 2.0, shape, &Device::Cpu).unwrap();
            let (x, weight, bias) = (random(&[5, width]), random(&[width]), random(&[width]));
            let found = layer_norm(&x, &weight, &bias, 1e-6).unwrap();
            let expected = candle_nn::ops::layer_norm_slow(&x, &weight, &bias, 1e-6).unwrap();
            crate::encoders::vision::assert_close(&found, &expected);
        }
        let x = Tensor::zeros((2, 3), candle_core::DType::F32, &Device::Cpu).unwrap();
        let weight = Tensor::zeros(2, candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(x.apply_op3_no_bwd(&weight, &weight, &Norm { eps: 1e-6 }).is_ok());
        assert!(weight.apply_op3_no_bwd(&x, &weight, &Norm { eps: 1e-6 }).is_err());
    }
}
