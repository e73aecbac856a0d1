//! A linear layer without bias.

use crate::matrix::{How, Matrix, product};

/// Weight [outputs, inputs].
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
    pub fn forward(&self, x: &[f32], y: &mut [f32], how: How) {
        let rows = x.len() / self.inputs;
        product(y, Matrix::new(x, rows, self.inputs), self.matrix().t(), how);
    }

    /// `dx = dy W`, or `dx += dy W`.
    pub fn input_gradient(&self, dy: &[f32], dx: &mut [f32], how: How) {
        let rows = dy.len() / self.outputs;
        product(dx, Matrix::new(dy, rows, self.outputs), self.matrix(), how);
    }

    /// `dW = dy^T x`.
    pub fn weight_gradient(&self, dy: &[f32], x: &[f32], dw: &mut [f32], how: How) {
        let rows = dy.len() / self.outputs;
        product(dw, Matrix::new(dy, rows, self.outputs).t(), Matrix::new(x, rows, self.inputs), how);
    }
}
