//! Products through the `gemm` crate, on every processor.
//!
//! `gemm` splits the columns and rows of a product over threads, never the sum inside an element.

use std::cell::RefCell;

use gemm::Parallelism;
use half::bf16;

use super::{How, Matrix, Precision};

thread_local! {
    /// Both operands, rounded.
    static ROUNDED: RefCell<[Vec<f32>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

pub(super) fn product(out: &mut [f32], stride: usize, a: Matrix<'_>, b: Matrix<'_>, how: How) {
    match how.precision {
        Precision::F32 => plain(out, stride, a, b, how),
        // Products of two `bf16` are exact in 32 bits, so that this is what the hardware would do.
        Precision::Bf16 => ROUNDED.with_borrow_mut(|[left, right]| {
            let a = Matrix { data: rounded(left, a.data), ..a };
            let b = Matrix { data: rounded(right, b.data), ..b };
            plain(out, stride, a, b, how);
        }),
    }
}

fn rounded<'a>(to: &'a mut Vec<f32>, from: &[f32]) -> &'a [f32] {
    to.clear();
    to.extend(from.iter().map(|&value| bf16::from_f32(value).to_f32()));
    to
}

fn plain(out: &mut [f32], stride: usize, a: Matrix<'_>, b: Matrix<'_>, how: How) {
    let (m, n, k) = (a.rows, b.columns, a.columns);
    let parallelism = if how.threads <= 1 { Parallelism::None } else { Parallelism::Rayon(how.threads) };
    let strides = |x: Matrix<'_>| if x.transposed { (1, x.stride as isize) } else { (x.stride as isize, 1) };
    let ((a_rows, a_columns), (b_rows, b_columns)) = (strides(a), strides(b));
    // SAFETY: a `Matrix` addresses only elements of its slice (checked when it was made); `out` holds m rows of n elements
    // every `stride` (checked by the caller) and, being borrowed mutably, overlaps neither operand.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            stride as isize,
            how.add,
            a.data.as_ptr(),
            a_columns,
            a_rows,
            b.data.as_ptr(),
            b_columns,
            b_rows,
            if how.add { 1.0 } else { 0.0 },
            how.factor,
            false,
            false,
            false,
            parallelism,
        );
    }
}
