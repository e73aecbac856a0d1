//! Sums, ReLU, SiLU and the exact GELU, `x (1 + erf(x / sqrt 2)) / 2`, in place and vectorised on the CPU.
//!
//! There, candle spreads large sums over a pool of its own, which would fight for the cores with the lanes, and calls a
//! scalar `erf` for each value, which takes longer than the products around it. On CUDA candle's own operations are used.

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor, bail};
use pulp::{Arch, Simd, WithSimd};

/// Beyond, `erf` is 1 in single precision.
const LIMIT: f32 = 4.0;
/// `erf(x) = x P(x^2) / Q(x^2)` up to `LIMIT`, fitted by `fit_erf` of `tests/fixtures/make_encoders.py`; in single
/// precision it is off by at most 4e-7. Lowest power first.
#[expect(clippy::approx_constant, reason = "the fit, and not the constant near it")]
const P: [f32; 6] = [1.128_379_1, 0.193_545_09, 0.053_101_752, 0.003_883_345_8, 0.000_284_566, 1.986_783e-6];
/// See [`P`].
const Q: [f32; 6] = [1.0, 0.504_857_4, 0.115_350_015, 0.015_207_255, 0.001_185_571_7, 3.742_018_5e-5];

/// What is computed of `x` and `y`.
#[derive(Clone, Copy)]
enum What {
    /// `x + y`.
    Add,
    /// GELU of `x + y`.
    AddGelu,
    /// `max(x + y, 0)`.
    AddRelu,
    /// `y x / (1 + exp(-x))`.
    SiluTimes,
}

/// `x + y`, in the place of `x`. `y` is repeated along missing dimensions in front, and along those of size 1 that stand
/// between the first and the last; of two dimensions, the last may be of size 1 too.
pub(super) fn add(x: Tensor, y: &Tensor) -> Result<Tensor> {
    apply(x, y, What::Add)
}

/// GELU of `x + y`, in the place of `x`; see [`add`].
pub(super) fn add_gelu(x: Tensor, y: &Tensor) -> Result<Tensor> {
    apply(x, y, What::AddGelu)
}

/// `max(x + y, 0)`, in the place of `x`; see [`add`].
pub(super) fn add_relu(x: Tensor, y: &Tensor) -> Result<Tensor> {
    apply(x, y, What::AddRelu)
}

/// SiLU of `x` times `y`, `y x / (1 + exp(-x))`, in the place of `x`; see [`add`].
pub(super) fn silu_times(x: Tensor, y: &Tensor) -> Result<Tensor> {
    apply(x, y, What::SiluTimes)
}

fn apply(x: Tensor, y: &Tensor, what: What) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return match what {
            What::Add => x.broadcast_add(y),
            What::AddGelu => x.broadcast_add(y)?.gelu_erf(),
            What::AddRelu => x.broadcast_add(y)?.relu(),
            What::SiluTimes => x.silu()?.broadcast_mul(y),
        };
    }
    let rows = if y.rank() == x.rank() { y.dim(0)? } else { 1 };
    x.inplace_op2(y, &InPlace { rows, what })?;
    Ok(x)
}

struct InPlace {
    /// Rows of `y`: each is for its own part of `x`.
    rows: usize,
    what: What,
}

impl InplaceOp2 for InPlace {
    fn name(&self) -> &'static str {
        "elementwise in place"
    }

    fn cpu_fwd(&self, x: &mut CpuStorage, x_layout: &Layout, y: &CpuStorage, y_layout: &Layout) -> Result<()> {
        let (CpuStorage::F32(x), CpuStorage::F32(y)) = (x, y) else { bail!("operations in place are of f32") };
        let (Some((x_start, x_end)), Some((y_start, y_end))) =
            (x_layout.contiguous_offsets(), y_layout.contiguous_offsets())
        else {
            bail!("operations in place are of contiguous tensors");
        };
        let (x, y) = (&mut x[x_start..x_end], &y[y_start..y_end]);
        if self.rows == 0 || y.is_empty() || y.len() % self.rows != 0 || x.len() % y.len() != 0 {
            bail!("{} values do not fit {} in {} rows", y.len(), x.len(), self.rows);
        }
        Arch::new().dispatch(Kernel { rows: self.rows, what: self.what, x, y });
        Ok(())
    }
}

struct Kernel<'a> {
    rows: usize,
    what: What,
    x: &'a mut [f32],
    y: &'a [f32],
}

impl Kernel<'_> {
    #[inline(always)]
    fn each(self, f: impl Fn(f32, f32) -> f32) {
        let (part, length) = (self.x.len() / self.rows, self.y.len() / self.rows);
        for (x, y) in self.x.chunks_exact_mut(part).zip(self.y.chunks_exact(length)) {
            if let [y] = *y {
                x.iter_mut().for_each(|x| *x = f(*x, y));
                continue;
            }
            for x in x.chunks_exact_mut(length) {
                x.iter_mut().zip(y).for_each(|(x, y)| *x = f(*x, *y));
            }
        }
    }
}

impl WithSimd for Kernel<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        match self.what {
            What::Add => self.each(|x, y| x + y),
            What::AddGelu => self.each(|x, y| gelu(x + y)),
            What::AddRelu => self.each(|x, y| relu(x + y)),
            What::SiluTimes => self.each(|x, y| x / (1.0 + (-x).exp()) * y),
        }
    }
}

/// NaN stays NaN, which `max` would turn into 0.
#[inline(always)]
fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

#[inline(always)]
fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
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
    use candle_core::Device;

    use super::*;

    #[test]
    fn it_is_the_exact_gelu() {
        let xs: Vec<f32> = (-80_000..=80_000).map(|i| i as f32 / 10_000.0).collect();
        let tensor = Tensor::new(xs.as_slice(), &Device::Cpu).unwrap();
        let zero = Tensor::new(&[0.0_f32], &Device::Cpu).unwrap();
        let found: Vec<f32> = add_gelu(tensor.reshape((xs.len(), 1)).unwrap(), &zero)
            .and_then(|found| found.flatten_all()?.to_vec1())
            .unwrap();
        for (x, found) in xs.into_iter().zip(found) {
            let expected = 0.5 * f64::from(x) * (1.0 + libm::erf(f64::from(x) / std::f64::consts::SQRT_2));
            assert!((f64::from(found) - expected).abs() < 1e-6, "{x}: {found}, not {expected}");
            assert!((erf(x) - libm::erff(x)).abs() <= 4e-7, "erf {x}: {}, not {}", erf(x), libm::erff(x));
        }
        assert!(erf(f32::NAN).is_nan());
        assert_eq!((erf(0.0), erf(f32::INFINITY)), (0.0, erf(LIMIT)));
    }

    #[test]
    fn relu_and_silu_are_candles() {
        let x = Tensor::arange(-6.0_f32, 6.0, &Device::Cpu).unwrap().reshape((3, 4)).unwrap();
        let values = |tensor: Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let bias = Tensor::new(&[[1.0_f32], [-2.0], [0.5]], &Device::Cpu).unwrap();
        let found = add_relu(x.copy().unwrap(), &bias).unwrap();
        assert_eq!(values(found), values(x.broadcast_add(&bias).unwrap().relu().unwrap()));
        let found = values(silu_times(x.copy().unwrap(), &x).unwrap());
        for (found, expected) in found.into_iter().zip(values((x.silu().unwrap() * &x).unwrap())) {
            assert!((found - expected).abs() <= 1e-6 * expected.abs(), "{found}, not {expected}");
        }
        assert!(relu(f32::NAN).is_nan());
    }

    /// All the ways in which encoders add.
    #[test]
    fn sums_repeat_as_candles() {
        let range = |n: usize| Tensor::arange(0.0_f32, n as f32, &Device::Cpu).unwrap();
        let x = range(2 * 3 * 4 * 4).reshape((2, 3, 4, 4)).unwrap();
        let shapes: [&[usize]; 4] = [&[4], &[4, 4], &[2, 3, 4, 4], &[2, 1, 1, 4]];
        let xs = shapes.map(|shape| (x.clone(), shape));
        for (x, shape) in xs.into_iter().chain([(x.reshape((6, 16)).unwrap(), [6, 1].as_slice())]) {
            let y = range(shape.iter().product()).reshape(shape).unwrap();
            let expected = x.broadcast_add(&y).unwrap();
            let found = add(x.copy().unwrap(), &y).unwrap();
            let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(values(&found), values(&expected), "{shape:?}");
        }
        assert!(add(range(6), &range(4)).is_err());
    }
}
