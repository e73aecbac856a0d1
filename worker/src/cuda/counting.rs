//! A stream that only counts: what an array would take.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use super::{
    error::Result,
    stream::{Argument, Gemm, Memory, Replay, Stream},
};

/// Counts what is allocated, and does nothing.
#[derive(Debug, Default)]
pub(super) struct Counting {
    bytes: AtomicUsize,
    next: AtomicU64,
}

/// To what a card rounds pieces of memory up.
const GRAIN: usize = 512;

impl Counting {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { next: AtomicU64::new(1 << 20), ..Self::default() })
    }

    /// Bytes allocated so far, freed ones included.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Stream for Counting {
    fn name(&self) -> String {
        "counting".to_owned()
    }

    fn memory(&self) -> Result<Memory> {
        Ok(Memory { free: usize::MAX, total: usize::MAX })
    }

    fn allocate(&self, bytes: usize) -> Result<u64> {
        let bytes = bytes.next_multiple_of(GRAIN);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(self.next.fetch_add(bytes as u64, Ordering::Relaxed))
    }

    unsafe fn free(&self, _: u64, _: usize) {}

    unsafe fn upload(&self, _: u64, _: &[u8]) -> Result<()> {
        Ok(())
    }

    unsafe fn download(&self, _: u64, to: &mut [u8]) -> Result<()> {
        to.fill(0);
        Ok(())
    }

    unsafe fn copy(&self, _: u64, _: u64, _: usize) -> Result<()> {
        Ok(())
    }

    unsafe fn zero(&self, _: u64, _: usize) -> Result<()> {
        Ok(())
    }

    unsafe fn launch(&self, _: &'static str, _: [u32; 3], _: [u32; 3], _: &[Argument]) -> Result<()> {
        Ok(())
    }

    unsafe fn gemm(&self, _: &Gemm) -> Result<()> {
        Ok(())
    }

    fn synchronise(&self) -> Result<()> {
        Ok(())
    }

    fn record(&self, _: &mut dyn FnMut() -> Result<()>) -> Result<Option<Box<dyn Replay>>> {
        Ok(None)
    }
}
