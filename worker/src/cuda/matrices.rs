//! Matrix products of whole batches, with checked sizes.

use half::bf16;

use super::{
    buffer::{Buffer, MatrixElement},
    error::Result,
    kernels::Kernels,
    stream::{Gemm, Kind, Operand},
    values::Values,
};

/// A batch of matrices that lie in a buffer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Matrices {
    operand: Operand,
    rows: usize,
    columns: usize,
    batch: usize,
}

/// Where matrices lie in a buffer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// First element of the first matrix.
    pub at: usize,
    /// Elements from row to row.
    pub row: usize,
    /// Elements from matrix to matrix.
    pub stride: usize,
}

impl Matrices {
    /// `batch` matrices of `size` (rows, columns), not transposed.
    ///
    /// # Panics
    /// When they do not lie in the buffer.
    pub fn of<T: MatrixElement>(buffer: &Buffer<T>, place: Place, size: [usize; 2], batch: usize) -> Self {
        let ([rows, columns], Place { at, row, stride }) = (size, place);
        assert!(rows > 0 && columns > 0 && batch > 0 && columns <= row, "{batch} matrices of {rows} x {columns}");
        let end = at + (batch - 1) * stride + (rows - 1) * row + columns;
        assert!(end <= buffer.len(), "matrices end at {end}, the buffer at {}", buffer.len());
        Self { operand: buffer.matrix(at, row, stride), rows, columns, batch }
    }

    /// The same in a buffer of either kind.
    pub fn of_values(values: &Values, place: Place, size: [usize; 2], batch: usize) -> Self {
        match values {
            Values::F32(buffer) => Self::of(buffer, place, size, batch),
            Values::Bf16(buffer) => Self::of(buffer, place, size, batch),
        }
    }

    /// Matrices that were made smaller in place: rows of `kind` take the first part of rows of floats.
    pub fn narrowed(self, kind: Kind) -> Self {
        let Operand { row, stride, kind: Kind::F32, .. } = self.operand else { return self };
        let times = size_of::<f32>() / kind.bytes();
        debug_assert_eq!(Kind::Bf16.bytes(), size_of::<bf16>());
        Self { operand: Operand { kind, row: times * row, stride: times * stride, ..self.operand }, ..self }
    }

    /// Rows and columns swapped.
    pub fn t(self) -> Self {
        Self { operand: self.operand.t(), rows: self.columns, columns: self.rows, ..self }
    }
}

impl Kernels {
    /// `c = a b`, or `c += a b` with `add`, for each member. `tf32` as in [`Gemm`].
    ///
    /// # Panics
    /// When sizes do not fit.
    pub fn product(&self, a: Matrices, b: Matrices, c: Matrices, add: bool, tf32: bool) -> Result<()> {
        assert!(a.columns == b.rows && a.rows == c.rows && b.columns == c.columns, "{a:?} {b:?} {c:?}");
        assert!(a.batch == b.batch && a.batch == c.batch && a.operand.kind == b.operand.kind, "{a:?} {b:?} {c:?}");
        let gemm = Gemm {
            m: a.rows,
            n: b.columns,
            k: a.columns,
            batch: a.batch,
            a: a.operand,
            b: b.operand,
            c: c.operand,
            alpha: 1.0,
            beta: if add { 1.0 } else { 0.0 },
            tf32,
        };
        // SAFETY: the matrices lie in their buffers, which live as long as the stream's work on them (they are freed in
        // order); results are buffers of their own.
        unsafe { self.stream.gemm(&gemm) }
    }
}
