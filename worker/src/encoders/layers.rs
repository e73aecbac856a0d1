//! Layers that all encoders with attention have, in candle on CUDA; on the CPU the products are this program's.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use super::{elementwise::add, norm::layer_norm};
use crate::matrix::{Matrix, Packed, Precision};

/// `x W^T + b`.
pub(super) struct Linear {
    weight: Weight,
    /// [to].
    pub(super) bias: Tensor,
}

/// [to, from].
enum Weight {
    /// On CUDA; and what is not sound, which is never used.
    Tensor(Tensor),
    /// On the CPU: its transpose, packed once, as it is frozen.
    Packed(Packed),
}

impl Linear {
    /// Of weight [to, from] and bias [to].
    pub(super) fn new(weight: Tensor, bias: Tensor) -> Result<Self> {
        let weight = if weight.device().is_cpu() && weight.rank() == 2 {
            let (to, from) = weight.dims2()?;
            let values: Vec<f32> = weight.flatten_all()?.to_vec1()?;
            Weight::Packed(Packed::new(Matrix::new(&values, to, from).t(), Precision::F32))
        } else {
            Weight::Tensor(weight)
        };
        Ok(Self { weight, bias })
    }

    /// Of rows `x`, [n, from].
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        add(self.product(x)?, &self.bias)
    }

    /// Without the bias.
    pub(super) fn product(&self, x: &Tensor) -> Result<Tensor> {
        match &self.weight {
            Weight::Tensor(weight) => x.matmul(&weight.t()?),
            Weight::Packed(weight) => x.apply_op1_no_bwd(&Product(weight)),
        }
    }
}

/// Rows times a packed matrix.
struct Product<'a>(&'a Packed);

impl CustomOp1 for Product<'_> {
    fn name(&self) -> &'static str {
        "product"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (CpuStorage::F32(x), Some((start, end))) = (x, layout.contiguous_offsets()) else {
            bail!("products are of contiguous f32");
        };
        let (rows, from) = layout.shape().dims2()?;
        if from != self.0.rows() {
            bail!("a product of {rows} x {from} with {} x {}", self.0.rows(), self.0.columns());
        }
        let mut out = vec![0.0; rows * self.0.columns()];
        self.0.product(&mut out, Matrix::new(&x[start..end], rows, from), false);
        Ok((CpuStorage::F32(out), Shape::from((rows, self.0.columns()))))
    }
}

/// Layer normalisation.
pub(super) struct Norm {
    pub(super) weight: Tensor,
    pub(super) bias: Tensor,
    pub(super) eps: f32,
}

impl Norm {
    /// Layer normalisation over the last dimension.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        layer_norm(x, &self.weight, &self.bias, self.eps)
    }
}
