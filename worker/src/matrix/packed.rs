//! Right operands that are multiplied often, such as frozen weights: packed once.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use super::amx;
#[cfg(target_arch = "x86_64")]
use super::avx512;
#[cfg(target_arch = "x86_64")]
use super::blocked::Lines;
use super::portable;
use super::{Engine, How, Matrix, Precision};

/// A matrix as the right operand of products in one precision.
#[derive(Debug)]
pub struct Packed {
    rows: usize,
    columns: usize,
    precision: Precision,
    words: Words,
}

#[derive(Debug)]
enum Words {
    /// As it was: row-major, possibly transposed.
    Plain { data: Vec<f32>, transposed: bool },
    #[cfg(target_arch = "x86_64")]
    Avx512(Lines),
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    Amx(Lines),
}

impl Packed {
    /// Packs a matrix: 4 to 6 bytes an element in [`Precision::F32`], by the processor.
    pub fn new(b: Matrix<'_>, precision: Precision) -> Self {
        Self::with_engine(Engine::best(), b, precision)
    }

    pub(super) fn with_engine(engine: Engine, b: Matrix<'_>, precision: Precision) -> Self {
        let words = match engine {
            #[cfg(target_arch = "x86_64")]
            Engine::Avx512 { bf16 } if precision == Precision::F32 || bf16 => Words::Avx512(avx512::pack(b, precision)),
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Engine::Amx => Words::Amx(amx::pack(b, precision)),
            _ => {
                let (lines, length) = if b.transposed { (b.columns, b.rows) } else { (b.rows, b.columns) };
                let line = |i: usize| &b.data[i * b.stride..i * b.stride + length];
                Words::Plain { data: (0..lines).flat_map(line).copied().collect(), transposed: b.transposed }
            }
        };
        Self { rows: b.rows, columns: b.columns, precision, words }
    }

    /// Rows of the matrix.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of the matrix.
    pub const fn columns(&self) -> usize {
        self.columns
    }

    /// `out = a b`, or `out += a b`, on this thread; `out` is row-major.
    ///
    /// # Panics
    /// When sizes do not fit together.
    pub fn product(&self, out: &mut [f32], a: Matrix<'_>, add: bool) {
        assert_eq!(a.columns, self.rows, "inner sizes differ");
        assert_eq!(out.len(), a.rows * self.columns, "a product of {} x {} has another length", a.rows, self.columns);
        if out.is_empty() {
            return;
        }
        let how = How { add, ..How::new(self.precision, 1) };
        let columns = self.columns;
        match &self.words {
            Words::Plain { data, transposed } => {
                let b = if *transposed {
                    Matrix::new(data, columns, self.rows).t()
                } else {
                    Matrix::new(data, self.rows, columns)
                };
                portable::product(out, columns, a, b, how);
            }
            #[cfg(target_arch = "x86_64")]
            Words::Avx512(lines) => avx512::product_packed(out, columns, a, lines, columns, how),
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Words::Amx(lines) => amx::product_packed(out, columns, a, lines, columns, how),
        }
    }
}
