//! Work on one device, in order.

use std::fmt::Debug;

use super::error::Result;

/// One device, and a queue of work on it that is done in the order in which it is given.
///
/// All but [`download`](Self::download), [`upload`](Self::upload) and [`synchronise`](Self::synchronise) may return before
/// the work is done; an error of the work itself may then show in a later call. Addresses are the device's. Use
/// [`super::Buffer`] for memory: it frees itself, knows its length, and makes most of this safe.
pub trait Stream: Debug + Send + Sync {
    /// The device's name.
    fn name(&self) -> String;

    /// Bytes of the device's memory.
    ///
    /// # Errors
    /// When the device does not answer.
    fn memory(&self) -> Result<Memory>;

    /// The address of new memory, aligned to 256 bytes. What is in it is not defined.
    ///
    /// # Errors
    /// [`super::CudaError::OutOfMemory`] when there is too little left.
    fn allocate(&self, bytes: usize) -> Result<u64>;

    /// Gives memory back once the work given so far is done.
    ///
    /// # Safety
    /// `address` is of [`Self::allocate`] with the same `bytes`, and nothing uses it afterwards, recorded work included.
    unsafe fn free(&self, address: u64, bytes: usize);

    /// Copies to the device. `from` may change after the return.
    ///
    /// # Errors
    /// When the device fails.
    ///
    /// # Safety
    /// `to..to + from.len()` is allocated.
    unsafe fn upload(&self, to: u64, from: &[u8]) -> Result<()>;

    /// Waits for all work, and copies from the device.
    ///
    /// # Errors
    /// When the device, or earlier work, fails.
    ///
    /// # Safety
    /// `from..from + to.len()` is allocated.
    unsafe fn download(&self, from: u64, to: &mut [u8]) -> Result<()>;

    /// Copies on the device.
    ///
    /// # Errors
    /// When the device fails.
    ///
    /// # Safety
    /// Both ranges are allocated and do not overlap.
    unsafe fn copy(&self, from: u64, to: u64, bytes: usize) -> Result<()>;

    /// Sets bytes to 0.
    ///
    /// # Errors
    /// When the device fails.
    ///
    /// # Safety
    /// The range is allocated.
    unsafe fn zero(&self, at: u64, bytes: usize) -> Result<()>;

    /// Starts a kernel of `kernels/*.cu` on `grid` blocks of `block` threads, each (x, y, z).
    ///
    /// # Errors
    /// When there is no such kernel, or the device fails.
    ///
    /// # Safety
    /// `arguments` are of the number and kinds that the kernel declares, and what it reads and writes is allocated.
    unsafe fn launch(
        &self,
        kernel: &'static str,
        grid: [u32; 3],
        block: [u32; 3],
        arguments: &[Argument],
    ) -> Result<()>;

    /// A batch of matrix products.
    ///
    /// # Errors
    /// When the device fails.
    ///
    /// # Safety
    /// The three matrices of every product are allocated, and results overlap nothing else.
    unsafe fn gemm(&self, gemm: &Gemm) -> Result<()>;

    /// Waits for all work.
    ///
    /// # Errors
    /// When the device, or earlier work, fails.
    fn synchronise(&self) -> Result<()>;

    /// Records what `work` gives to this stream, without doing it, for [`Replay::replay`]. None: this device cannot; run
    /// `work` itself each time. `work` may neither allocate, upload, download nor wait.
    ///
    /// # Errors
    /// Those of `work`, or when the device fails.
    fn record(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<Option<Box<dyn Replay>>>;
}

/// Recorded work.
pub trait Replay {
    /// Does the recorded work once more, after what was given to the stream before.
    ///
    /// # Errors
    /// When the device fails.
    ///
    /// # Safety
    /// All memory that the recorded work uses is still allocated.
    unsafe fn replay(&self) -> Result<()>;
}

/// A device's memory in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// What can be allocated.
    pub free: usize,
    /// All of it.
    pub total: usize,
}

/// What a kernel is given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Argument {
    /// An address on the device.
    Pointer(u64),
    /// `unsigned int`.
    U32(u32),
    /// `unsigned long long`.
    U64(u64),
    /// `float`.
    F32(f32),
}

impl Argument {
    /// The bytes that the kernel sees, from the lowest address on, in the machine's order.
    pub fn bits(self) -> u64 {
        let mut bytes = [0; 8];
        match self {
            Self::Pointer(value) | Self::U64(value) => bytes = value.to_ne_bytes(),
            Self::U32(value) => bytes[..4].copy_from_slice(&value.to_ne_bytes()),
            Self::F32(value) => bytes[..4].copy_from_slice(&value.to_ne_bytes()),
        }
        u64::from_ne_bytes(bytes)
    }
}

/// Type of a matrix's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// 32 bits.
    F32,
    /// The upper 16 bits of an `f32`.
    Bf16,
}

impl Kind {
    /// Bytes of an element.
    pub const fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }
}

/// A batch of row-major matrices of equal size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Operand {
    /// Address of the first element of the first matrix.
    pub address: u64,
    /// Type of the elements.
    pub kind: Kind,
    /// Elements from one row to the next.
    pub row: usize,
    /// Elements from one matrix to the next.
    pub stride: usize,
    /// The matrix that lies there, rows and columns swapped.
    pub transposed: bool,
}

impl Operand {
    /// The same matrices, rows and columns swapped.
    #[must_use]
    pub fn t(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }
}

/// `c = alpha a b + beta c` for each matrix of a batch: `a` is [m, k], `b` [k, n] and `c` [m, n], sums in f32.
///
/// `a` and `b` are of the same kind; `c` is f32, or of their kind. With `beta` 0 what was in `c` does not matter, not even NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gemm {
    /// Rows of the result.
    pub m: usize,
    /// Columns of the result.
    pub n: usize,
    /// Length of the sums.
    pub k: usize,
    /// Number of matrices.
    pub batch: usize,
    /// Left factor.
    pub a: Operand,
    /// Right factor.
    pub b: Operand,
    /// Result; not transposed.
    pub c: Operand,
    /// Factor on the product.
    pub alpha: f32,
    /// Factor on what was in `c`.
    pub beta: f32,
    /// Whether f32 factors may be rounded to TF32 (10 bits of mantissa) to use tensor cores.
    pub tf32: bool,
}
