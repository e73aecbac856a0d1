//! Products of row-major `f32` matrices: where nearly all of the time of training and of the encoders goes.
//!
//! Both operands are packed into tiles of 16 x 16 words (`tiles`), which three kernels multiply: AMX (`amx`), AVX-512 with or
//! without `bf16` (`avx512`), and the `gemm` crate on every other processor. The kernel is chosen at run time, once.
//!
//! The sum inside an element always runs in the order of the inner index and is never split over threads, so the bits depend
//! neither on the number of threads nor on what else is computed.
//!
//! Precision is the caller's choice:
//! - [`Precision::F32`]: errors as of 32-bit arithmetic. On AMX each number is split into three `bf16` parts that hold its 24 bits
//!   exactly, and the six products of parts above 2^-24 are added up in 32 bits (Henry, Tang and Heinecke, "Leveraging the
//!   bfloat16 artificial intelligence datatype for higher-precision computations", ARITH 2019).
//! - [`Precision::Bf16`]: operands are rounded to `bf16`, sums are in 32 bits. On a processor without such instructions the
//!   numbers are the same up to rounding of the sums, and no faster.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod blocked;
mod packed;
mod portable;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod tiles;

use std::sync::OnceLock;

pub use packed::Packed;

pub use crate::task::Precision;

/// A matrix in a slice, possibly transposed.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    /// Distance between the lines of the slice, at least their length.
    stride: usize,
    /// The lines of the slice are columns.
    transposed: bool,
}

impl<'a> Matrix<'a> {
    /// Row-major [rows, columns].
    ///
    /// # Panics
    /// When the slice has another length.
    pub fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(data.len(), rows * columns, "a matrix of {rows} x {columns} has another length");
        Self { data, rows, columns, stride: columns, transposed: false }
    }

    /// Row-major [rows, columns] whose rows start every `stride` elements.
    ///
    /// # Panics
    /// When rows overlap or the slice is too short.
    pub fn strided(data: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(columns <= stride, "rows of {columns} elements overlap every {stride}");
        let needed = if rows == 0 { 0 } else { (rows - 1) * stride + columns };
        assert!(data.len() >= needed, "a matrix of {rows} x {columns} every {stride} needs {needed} elements");
        Self { data, rows, columns, stride, transposed: false }
    }

    /// The same data, rows and columns swapped.
    #[must_use]
    pub fn t(self) -> Self {
        Self { rows: self.columns, columns: self.rows, transposed: !self.transposed, ..self }
    }
}

/// What computes products on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    /// The `gemm` crate, for any processor.
    Portable,
    /// AVX-512 for [`Precision::F32`]; for `Bf16` too where the processor has `avx512_bf16`.
    #[cfg(target_arch = "x86_64")]
    Avx512 { bf16: bool },
    /// AMX tiles of `bf16`.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    Amx,
}

impl Engine {
    /// The best of this machine.
    pub(crate) fn best() -> Self {
        static BEST: OnceLock<Engine> = OnceLock::new();
        *BEST.get_or_init(|| Self::all().pop().unwrap_or(Self::Portable))
    }

    /// All that this machine has, the best last.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        if let Some(bf16) = avx512::available() {
            all.push(Self::Avx512 { bf16 });
            #[cfg(target_os = "linux")]
            if bf16 && amx::available() {
                all.push(Self::Amx);
            }
        }
        all
    }

    /// Whether `bf16` is faster than `f32`.
    pub(crate) fn has_bf16(self) -> bool {
        match self {
            Self::Portable => false,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 { bf16 } => bf16,
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Self::Amx => true,
        }
    }
}

/// Whether this processor multiplies `bf16` in hardware: without it [`Precision::Bf16`] is right, but no faster.
pub fn has_bf16() -> bool {
    Engine::best().has_bf16()
}

/// Whether this processor runs the kernels of this module, which keep their buffers, and not the `gemm` crate, which asks for memory
/// in every product.
pub fn has_kernels() -> bool {
    Engine::best() != Engine::Portable
}

/// How a product is computed.
#[derive(Clone, Copy, Debug)]
pub struct How {
    /// Added to what is there, instead of replacing it.
    pub add: bool,
    /// Factor on the product.
    pub factor: f32,
    /// See the module.
    pub precision: Precision,
    /// Threads that share the rows of the result.
    pub threads: usize,
}

impl How {
    /// Replaces what is there.
    pub const fn new(precision: Precision, threads: usize) -> Self {
        Self { add: false, factor: 1.0, precision, threads }
    }

    /// Adds to what is there.
    #[must_use]
    pub const fn adding(self) -> Self {
        Self { add: true, ..self }
    }

    /// Multiplies the product.
    #[must_use]
    pub const fn times(self, factor: f32) -> Self {
        Self { factor, ..self }
    }
}

/// `out = factor * a b`, or `out += factor * a b`; `out` is row-major.
///
/// # Panics
/// When sizes do not fit together.
pub fn product(out: &mut [f32], a: Matrix<'_>, b: Matrix<'_>, how: How) {
    assert_eq!(out.len(), a.rows * b.columns, "a product of {} x {} has another length", a.rows, b.columns);
    product_strided(out, b.columns, a, b, how);
}

/// [`product`] into rows that start every `stride` elements.
///
/// # Panics
/// When sizes do not fit together.
pub fn product_strided(out: &mut [f32], stride: usize, a: Matrix<'_>, b: Matrix<'_>, how: How) {
    with_engine(Engine::best(), out, stride, a, b, how);
}

fn with_engine(engine: Engine, out: &mut [f32], stride: usize, a: Matrix<'_>, b: Matrix<'_>, how: How) {
    assert_eq!(a.columns, b.rows, "inner sizes differ");
    if a.rows == 0 || b.columns == 0 {
        return;
    }
    assert!(b.columns <= stride, "rows of {} elements overlap every {stride}", b.columns);
    assert!(out.len() >= (a.rows - 1) * stride + b.columns, "the result does not fit");
    match engine {
        #[cfg(target_arch = "x86_64")]
        Engine::Avx512 { bf16 } if how.precision == Precision::F32 || bf16 => {
            avx512::product(out, stride, a, b, how);
        }
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        Engine::Amx => amx::product(out, stride, a, b, how),
        _ => portable::product(out, stride, a, b, how),
    }
}
