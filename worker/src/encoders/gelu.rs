//! The exact GELU, `x (1 + erf(x / sqrt 2)) / 2`, vectorised on the CPU: candle's own calls a scalar `erf` for each value,
//! which takes longer than the products around it.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use pulp::{Arch, Simd, WithSimd};

/// Beyond, `erf` is 1 in single precision.
const LIMIT: f32 = 4.0;
/// `erf(x) = x P(x^2) / Q(x^2)` up to `LIMIT`, fitted by `fit_erf` of `tests/fixtures/make_encoders.py`; in single
/// precision it is off by at most 4e-7. Lowest power first.
const P: [f32; 6] = [1.128_379_1, 0.193_545_09, 0.053_101_752, 0.003_883_345_8, 0.000_284_566, 1.986_783e-6];
/// See [`P`].
const Q: [f32; 6] = [1.0, 0.504_857_42, 0.115_350_015, 0.015_207_255, 0.001_185_571_7, 3.742_018_5e-5];

/// GELU of `x`.
pub(super) fn gelu(x: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() { x.contiguous()?.apply_op1_no_bwd(&Gelu) } else { x.gelu_erf() }
}

struct Gelu;

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (CpuStorage::F32(values), Some((start, end))) = (storage, layout.contiguous_offsets()) else {
            candle_core::bail!("gelu works on contiguous f32");
        };
        let mut out = values[start..end].to_vec();
        Arch::new().dispatch(InPlace(&mut out));
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}

struct InPlace<'a>(&'a mut [f32]);

impl WithSimd for InPlace<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for value in self.0 {
            *value = 0.5 * *value * (1.0 + erf(*value * std::f32::consts::FRAC_1_SQRT_2));
        }
    }
}

#[inline(always)]
fn erf(x: f32) -> f32 {
    // NaN stays NaN.
    let x = x.clamp(-LIMIT, LIMIT);
    let square = x * x;
    let polynomial =
        |c: &[f32; 6]| ((((c[5] * square + c[4]) * square + c[3]) * square + c[2]) * square + c[1]) * square + c[0];
    x * polynomial(&P) / polynomial(&Q)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_exact_gelu() {
        let xs: Vec<f32> = (-80_000..=80_000).map(|i| i as f32 / 10_000.0).collect();
        let tensor = Tensor::new(xs.as_slice(), &candle_core::Device::Cpu).unwrap();
        let found: Vec<f32> = gelu(&tensor).unwrap().to_vec1().unwrap();
        for (x, found) in xs.into_iter().zip(found) {
            let expected = 0.5 * f64::from(x) * (1.0 + libm::erf(f64::from(x) / std::f64::consts::SQRT_2));
            assert!((f64::from(found) - expected).abs() < 1e-6, "{x}: {found}, not {expected}");
            assert!((erf(x) - libm::erff(x)).abs() <= 4e-7, "erf {x}: {}, not {}", erf(x), libm::erff(x));
        }
        assert!(erf(f32::NAN).is_nan());
        assert_eq!((erf(0.0), erf(f32::INFINITY)), (0.0, erf(LIMIT)));
    }
}
