//! Matrix products, simple and right.

use half::bf16;

use crate::cuda::{Gemm, Kind, Operand};

/// Bytes that a batch of matrices of `rows` x `columns` spans from its address on.
pub(super) fn span(operand: Operand, rows: usize, columns: usize, batch: usize) -> usize {
    let (rows, columns) = if operand.transposed { (columns, rows) } else { (rows, columns) };
    ((batch - 1) * operand.stride + (rows - 1) * operand.row + columns) * operand.kind.bytes()
}

/// # Safety
/// The three batches are allocated.
pub(super) unsafe fn gemm(gemm: &Gemm) {
    let Gemm { m, n, k, batch, a, b, c, alpha, beta, tf32 } = *gemm;
    assert!(a.kind == b.kind && (c.kind == Kind::F32 || c.kind == a.kind) && !c.transposed, "{gemm:?}");
    let round = |value: f32| if tf32 && a.kind == Kind::F32 { tf32_of(value) } else { value };
    for member in 0..batch {
        // SAFETY: all elements lie in the batches, by the caller's word.
        unsafe {
            let right: Vec<f32> =
                (0..k).flat_map(|p| (0..n).map(move |j| (p, j))).map(|(p, j)| round(read(b, member, p, j))).collect();
            for i in 0..m {
                let mut sums = vec![0.0_f32; n];
                for p in 0..k {
                    let left = round(read(a, member, i, p));
                    for (sum, &right) in sums.iter_mut().zip(&right[p * n..]) {
                        *sum += left * right;
                    }
                }
                for (j, sum) in sums.into_iter().enumerate() {
                    let before = if beta == 0.0 { 0.0 } else { beta * read(c, member, i, j) };
                    write(c, member, i, j, alpha * sum + before);
                }
            }
        }
    }
}

/// With 10 bits of mantissa, to the nearest.
fn tf32_of(value: f32) -> f32 {
    if value.is_finite() { f32::from_bits((value.to_bits() + 0x1000) & !0x1fff) } else { value }
}

fn place(operand: Operand, member: usize, row: usize, column: usize) -> u64 {
    let (row, column) = if operand.transposed { (column, row) } else { (row, column) };
    operand.address + ((member * operand.stride + row * operand.row + column) * operand.kind.bytes()) as u64
}

unsafe fn read(operand: Operand, member: usize, row: usize, column: usize) -> f32 {
    let place = place(operand, member, row, column);
    // SAFETY: the caller's word.
    unsafe {
        match operand.kind {
            Kind::F32 => *(place as *const f32),
            Kind::Bf16 => (*(place as *const bf16)).to_f32(),
        }
    }
}

unsafe fn write(operand: Operand, member: usize, row: usize, column: usize, value: f32) {
    let place = place(operand, member, row, column);
    // SAFETY: the caller's word.
    unsafe {
        match operand.kind {
            Kind::F32 => *(place as *mut f32) = value,
            Kind::Bf16 => *(place as *mut bf16) = bf16::from_f32(value),
        }
    }
}
