//! Memory on a device that frees itself.

use std::{marker::PhantomData, ops::Range, sync::Arc};

use half::bf16;

use super::{
    error::Result,
    stream::{Argument, Kind, Operand, Stream},
};

/// What buffers hold: plain values for which every pattern of bits is one.
///
/// # Safety
/// Implementors have no padding, and all patterns of their bits are valid.
pub unsafe trait Element: Copy + Default + 'static {}

// SAFETY: primitive numbers.
unsafe impl Element for u8 {}
// SAFETY: as above.
unsafe impl Element for u32 {}
// SAFETY: as above.
unsafe impl Element for u64 {}
// SAFETY: as above.
unsafe impl Element for f32 {}
// SAFETY: as above.
unsafe impl Element for f64 {}
// SAFETY: a transparent `u16`.
unsafe impl Element for bf16 {}

/// Elements of which a matrix product may be made.
pub trait MatrixElement: Element {
    /// Their type.
    const KIND: Kind;
}

impl MatrixElement for f32 {
    const KIND: Kind = Kind::F32;
}

impl MatrixElement for bf16 {
    const KIND: Kind = Kind::Bf16;
}

/// `len` elements on a device.
#[derive(Debug)]
pub struct Buffer<T: Element> {
    stream: Arc<dyn Stream>,
    address: u64,
    len: usize,
    element: PhantomData<T>,
}

impl<T: Element> Buffer<T> {
    /// Elements of which all bytes are 0.
    ///
    /// # Errors
    /// [`super::CudaError::OutOfMemory`], or when the device fails.
    pub fn zeros(stream: &Arc<dyn Stream>, len: usize) -> Result<Self> {
        let buffer = Self::undefined(stream, len)?;
        // SAFETY: the range was just allocated.
        unsafe { stream.zero(buffer.address, buffer.bytes())? };
        Ok(buffer)
    }

    /// Elements that have to be written before they are read.
    ///
    /// # Errors
    /// [`super::CudaError::OutOfMemory`], or when the device fails.
    pub fn undefined(stream: &Arc<dyn Stream>, len: usize) -> Result<Self> {
        // Empty memory has no address of its own.
        let address = stream.allocate((len * size_of::<T>()).max(1))?;
        Ok(Self { stream: Arc::clone(stream), address, len, element: PhantomData })
    }

    /// A copy of `values`.
    ///
    /// # Errors
    /// [`super::CudaError::OutOfMemory`], or when the device fails.
    pub fn from_slice(stream: &Arc<dyn Stream>, values: &[T]) -> Result<Self> {
        let mut buffer = Self::undefined(stream, values.len())?;
        buffer.upload(0, values)?;
        Ok(buffer)
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn bytes(&self) -> usize {
        self.len * size_of::<T>()
    }

    /// Address of element `at`.
    ///
    /// # Panics
    /// When there is no such element, nor is it the end.
    pub fn address(&self, at: usize) -> u64 {
        assert!(at <= self.len, "element {at} of {}", self.len);
        self.address + (at * size_of::<T>()) as u64
    }

    /// For kernels: the address of element `at`.
    ///
    /// # Panics
    /// As [`Self::address`].
    pub fn at(&self, at: usize) -> Argument {
        Argument::Pointer(self.address(at))
    }

    fn check(&self, start: usize, len: usize) {
        assert!(start + len <= self.len, "elements {start}..{} of {}", start + len, self.len);
    }

    /// Writes `values` from element `start` on.
    ///
    /// # Errors
    /// When the device fails.
    ///
    /// # Panics
    /// When they do not fit.
    pub fn upload(&mut self, start: usize, values: &[T]) -> Result<()> {
        self.check(start, values.len());
        // SAFETY: elements have no padding.
        let bytes = unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) };
        // SAFETY: the range was checked.
        unsafe { self.stream.upload(self.address(start), bytes) }
    }

    /// Waits for all work, and reads elements from `start` on.
    ///
    /// # Errors
    /// When the device, or earlier work, fails.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn download_into(&self, start: usize, values: &mut [T]) -> Result<()> {
        self.check(start, values.len());
        // SAFETY: any bytes are elements.
        let bytes = unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), size_of_val(values)) };
        // SAFETY: the range was checked.
        unsafe { self.stream.download(self.address(start), bytes) }
    }

    /// Waits for all work, and reads all elements.
    ///
    /// # Errors
    /// When the device, or earlier work, fails.
    pub fn download(&self) -> Result<Vec<T>> {
        let mut values = vec![T::default(); self.len];
        self.download_into(0, &mut values)?;
        Ok(values)
    }

    /// Copies the elements `range` of `from` to `start` on.
    ///
    /// # Errors
    /// When the device fails.
    ///
    /// # Panics
    /// When a range is not there.
    pub fn copy_from(&mut self, start: usize, from: &Self, range: Range<usize>) -> Result<()> {
        self.check(start, range.len());
        from.check(range.start, range.len());
        // SAFETY: the ranges were checked, and two buffers, one of them borrowed mutably, do not overlap.
        unsafe { self.stream.copy(from.address(range.start), self.address(start), range.len() * size_of::<T>()) }
    }

    /// Copies `len` elements from `from` to `to`, both in this buffer.
    ///
    /// # Errors
    /// When the device fails.
    ///
    /// # Panics
    /// When a range is not there, or they overlap.
    pub fn copy_within(&mut self, from: usize, to: usize, len: usize) -> Result<()> {
        self.check(from, len);
        self.check(to, len);
        assert!(from + len <= to || to + len <= from, "{len} elements from {from} and from {to} overlap");
        // SAFETY: checked just now.
        unsafe { self.stream.copy(self.address(from), self.address(to), len * size_of::<T>()) }
    }

    /// Sets elements to 0.
    ///
    /// # Errors
    /// When the device fails.
    ///
    /// # Panics
    /// When there are no such elements.
    pub fn zero(&mut self, range: Range<usize>) -> Result<()> {
        self.check(range.start, range.len());
        // SAFETY: the range was checked.
        unsafe { self.stream.zero(self.address(range.start), range.len() * size_of::<T>()) }
    }
}

impl<T: MatrixElement> Buffer<T> {
    /// Row-major matrices: the first at element `at`, `row` elements from row to row, `stride` from matrix to matrix.
    ///
    /// # Panics
    /// As [`Self::address`].
    pub fn matrix(&self, at: usize, row: usize, stride: usize) -> Operand {
        Operand { address: self.address(at), kind: T::KIND, row, stride, transposed: false }
    }
}

impl<T: Element> Drop for Buffer<T> {
    fn drop(&mut self) {
        // SAFETY: allocated in `undefined` with these bytes. Whoever records work keeps its buffers (`Replay::replay`).
        unsafe { self.stream.free(self.address, self.bytes().max(1)) };
    }
}
