//! Kernels with AVX-512: 8 rows by 48 columns of sums in 24 registers.

use std::arch::x86_64::*;

use super::{
    How, Matrix, Precision,
    blocked::{self, Kernel, Lines},
    tiles::{SIDE, TILE, Words},
};

/// Whether there is AVX-512, and then whether it multiplies `bf16`.
pub(super) fn available() -> Option<bool> {
    let f32 = is_x86_feature_detected!("avx512f");
    f32.then(|| is_x86_feature_detected!("avx512bf16"))
}

pub(super) fn product(out: &mut [f32], stride: usize, a: Matrix<'_>, b: Matrix<'_>, how: How) {
    // SAFETY: this engine is chosen only where `available` says that the processor can do it.
    unsafe {
        match how.precision {
            Precision::F32 => blocked::product(F32, out, stride, a, b, how),
            Precision::Bf16 => blocked::product(Bf16, out, stride, a, b, how),
        }
    }
}

/// Packs `b` for [`product_packed`].
pub(super) fn pack(b: Matrix<'_>, precision: Precision) -> Lines {
    let mut lines = Lines::default();
    // SAFETY: as above.
    unsafe {
        match precision {
            Precision::F32 => blocked::pack_right(F32, b, &mut lines, 1),
            Precision::Bf16 => blocked::pack_right(Bf16, b, &mut lines, 1),
        };
    }
    lines
}

/// [`product`] with what [`pack`] made of a matrix of `columns` columns.
pub(super) fn product_packed(out: &mut [f32], stride: usize, a: Matrix<'_>, b: &Lines, columns: usize, how: How) {
    // SAFETY: as above.
    unsafe {
        match how.precision {
            Precision::F32 => blocked::product_packed(F32, out, stride, a, b.all(), columns, how),
            Precision::Bf16 => blocked::product_packed(Bf16, out, stride, a, b.all(), columns, how),
        }
    }
}

/// Rows whose sums are in registers at a time, and vectors of columns.
const ROWS: usize = 8;
const VECTORS: usize = 3;

/// Products of `f32`.
#[derive(Clone, Copy)]
struct F32;

/// Products of `bf16` pairs.
#[derive(Clone, Copy)]
struct Bf16;

impl Kernel for F32 {
    const LEFT: usize = 1;
    const RIGHT: usize = VECTORS;
    const STEPS: usize = 24;

    fn words(self) -> Words {
        Words::F32
    }

    fn enter(self) {}

    fn leave(self) {}

    unsafe fn block(self, steps: usize, a: *const u32, b: *const u32, c: *mut f32, stride: usize, add: bool) {
        // SAFETY: the caller's; AVX-512 was detected.
        unsafe { f32_block(steps, a, b, c, stride, add) }
    }
}

impl Kernel for Bf16 {
    const LEFT: usize = 1;
    const RIGHT: usize = VECTORS;
    const STEPS: usize = 16;

    fn words(self) -> Words {
        Words::Bf16
    }

    fn enter(self) {}

    fn leave(self) {}

    unsafe fn block(self, steps: usize, a: *const u32, b: *const u32, c: *mut f32, stride: usize, add: bool) {
        // SAFETY: the caller's; AVX-512 with `bf16` was detected.
        unsafe { bf16_block(steps, a, b, c, stride, add) }
    }
}

/// # Safety
/// See [`Kernel::block`].
#[target_feature(enable = "avx512f")]
unsafe fn f32_block(steps: usize, a: *const u32, b: *const u32, c: *mut f32, stride: usize, add: bool) {
    // SAFETY: the caller's.
    unsafe {
        block(steps, a, b, c, stride, add, |sum, a, b| {
            _mm512_fmadd_ps(_mm512_castsi512_ps(b), _mm512_castsi512_ps(a), sum)
        });
    }
}

/// # Safety
/// See [`Kernel::block`].
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn bf16_block(steps: usize, a: *const u32, b: *const u32, c: *mut f32, stride: usize, add: bool) {
    // SAFETY: the caller's; the vectors are plain bits.
    unsafe {
        block(steps, a, b, c, stride, add, |sum, a, b| {
            _mm512_dpbf16_ps(
                sum,
                std::mem::transmute::<__m512i, __m512bh>(b),
                std::mem::transmute::<__m512i, __m512bh>(a),
            )
        });
    }
}

/// # Safety
/// See [`Kernel::block`]; inlined where AVX-512 is enabled.
#[inline(always)]
unsafe fn block(
    steps: usize,
    a: *const u32,
    b: *const u32,
    c: *mut f32,
    stride: usize,
    add: bool,
    multiply: impl Fn(__m512, __m512i, __m512i) -> __m512,
) {
    // SAFETY: each step has one tile on the left and three on the right; `c` has 16 rows of 48 columns.
    unsafe {
        for half in 0..SIDE / ROWS {
            let mut sums = [[_mm512_setzero_ps(); VECTORS]; ROWS];
            let c = c.add(half * ROWS * stride);
            for row in 0..ROWS {
                for column in 0..VECTORS {
                    _mm_prefetch::<_MM_HINT_T0>(c.add(row * stride + column * SIDE).cast());
                }
            }
            let (mut a, mut b) = (a.add(half * ROWS * SIDE), b);
            for _ in 0..steps {
                for word in 0..SIDE {
                    let right: [__m512i; VECTORS] =
                        std::array::from_fn(|i| _mm512_loadu_si512(b.add(i * TILE + word * SIDE).cast()));
                    for (row, sums) in sums.iter_mut().enumerate() {
                        let left = _mm512_set1_epi32(*a.add(row * SIDE + word) as i32);
                        for (sum, right) in sums.iter_mut().zip(right) {
                            *sum = multiply(*sum, left, right);
                        }
                    }
                }
                a = a.add(TILE);
                b = b.add(VECTORS * TILE);
            }
            for (row, sums) in sums.into_iter().enumerate() {
                for (column, sum) in sums.into_iter().enumerate() {
                    let at = c.add(row * stride + column * SIDE);
                    let sum = if add { _mm512_add_ps(sum, _mm512_loadu_ps(at)) } else { sum };
                    _mm512_storeu_ps(at, sum);
                }
            }
        }
    }
}
