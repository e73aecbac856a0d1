//! Products of row-major matrices, through the `gemm` crate.
//!
//! `gemm` splits the columns and rows of a product over threads, never the sum inside an element, so the bits do not
//! depend on the number of threads (a test of the whole step holds it to that).

use gemm::Parallelism;

/// A matrix in a slice, possibly transposed.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Row-major [rows, columns].
    pub fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(data.len(), rows * columns, "a matrix of {rows} x {columns} has another length");
        Self { data, rows, columns, row_stride: columns, column_stride: 1 }
    }

    /// The same data, rows and columns swapped.
    pub fn t(self) -> Self {
        let Self { data, rows, columns, row_stride, column_stride } = self;
        Self { data, rows: columns, columns: rows, row_stride: column_stride, column_stride: row_stride }
    }
}

/// `out = factor * a b`, or `out += factor * a b` with `add`; `out` is row-major.
pub(super) fn product(out: &mut [f32], add: bool, factor: f32, a: Matrix<'_>, b: Matrix<'_>, threads: usize) {
    let (m, n, k) = (a.rows, b.columns, a.columns);
    assert_eq!(k, b.rows, "inner sizes differ");
    assert_eq!(out.len(), m * n, "a product of {m} x {n} has another length");
    let parallelism = if threads <= 1 { Parallelism::None } else { Parallelism::Rayon(threads) };
    // SAFETY: `Matrix` holds exactly rows x columns elements and its strides address only those; `out` is m x n
    // row-major and, being borrowed mutably, overlaps neither operand.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            add,
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            if add { 1.0 } else { 0.0 },
            factor,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// A linear layer without bias: weight [outputs, inputs].
#[derive(Clone, Copy)]
pub(super) struct Linear<'a> {
    pub weight: &'a [f32],
    pub inputs: usize,
    pub outputs: usize,
}

impl Linear<'_> {
    fn matrix(&self) -> Matrix<'_> {
        Matrix::new(self.weight, self.outputs, self.inputs)
    }

    /// `y = x W^T`.
    pub fn forward(&self, x: &[f32], y: &mut [f32], threads: usize) {
        let rows = x.len() / self.inputs;
        product(y, false, 1.0, Matrix::new(x, rows, self.inputs), self.matrix().t(), threads);
    }

    /// `dx = dy W`, or `dx += dy W` with `add`.
    pub fn input_gradient(&self, dy: &[f32], dx: &mut [f32], add: bool, threads: usize) {
        let rows = dy.len() / self.outputs;
        product(dx, add, 1.0, Matrix::new(dy, rows, self.outputs), self.matrix(), threads);
    }

    /// `dW = dy^T x`.
    pub fn weight_gradient(&self, dy: &[f32], x: &[f32], dw: &mut [f32], threads: usize) {
        let rows = dy.len() / self.outputs;
        product(dw, false, 1.0, Matrix::new(dy, rows, self.outputs).t(), Matrix::new(x, rows, self.inputs), threads);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(a: Matrix<'_>, b: Matrix<'_>) -> Vec<f32> {
        let at = |x: Matrix<'_>, i: usize, j: usize| f64::from(x.data[i * x.row_stride + j * x.column_stride]);
        let element = |i, j| (0..a.columns).map(|k| at(a, i, k) * at(b, k, j)).sum::<f64>() as f32;
        (0..a.rows).flat_map(|i| (0..b.columns).map(move |j| (i, j))).map(|(i, j)| element(i, j)).collect()
    }

    #[test]
    fn products_of_all_orientations_are_right() {
        let mut data = vec![0.0; 4000];
        crate::random::Key::new(1, crate::random::Purpose::Init, 0).fill_uniform(&mut data, -1.0, 1.0);
        for (m, n, k) in [(1, 1, 1), (1, 7, 5), (7, 1, 5), (5, 7, 1), (33, 17, 40), (40, 50, 3)] {
            for (ta, tb) in [(false, false), (true, false), (false, true), (true, true)] {
                let a = &data[..m * k];
                let b = &data[2000..2000 + k * n];
                let a = if ta { Matrix::new(a, k, m).t() } else { Matrix::new(a, m, k) };
                let b = if tb { Matrix::new(b, n, k).t() } else { Matrix::new(b, k, n) };
                let expected = plain(a, b);
                for threads in [1, 2] {
                    let mut out = vec![f32::NAN; m * n];
                    product(&mut out, false, 2.0, a, b, threads);
                    product(&mut out, true, -1.0, a, b, threads);
                    for (found, expected) in out.iter().zip(&expected) {
                        assert!((found - expected).abs() < 1e-5, "{m}x{n}x{k} {ta} {tb}: {found} {expected}");
                    }
                }
            }
        }
    }
}
