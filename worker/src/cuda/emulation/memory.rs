//! Emulated memory of a device, with guards around each piece.

use std::{
    alloc::{Layout, alloc, dealloc},
    collections::BTreeMap,
};

use crate::cuda::{CudaError, Memory, Result};

/// Bytes before and after each piece that nothing may write to.
const GUARD: usize = 256;
const MARK: u8 = 0xa5;

/// What is allocated, by address.
#[derive(Debug)]
pub(super) struct Pieces {
    total: usize,
    used: usize,
    lengths: BTreeMap<u64, usize>,
}

fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes + 2 * GUARD, 256).unwrap()
}

impl Pieces {
    pub(super) fn new(total: usize) -> Self {
        Self { total, used: 0, lengths: BTreeMap::new() }
    }

    pub(super) fn memory(&self) -> Memory {
        Memory { free: self.total - self.used, total: self.total }
    }

    /// New memory, in which every float is NaN.
    pub(super) fn allocate(&mut self, bytes: usize) -> Result<u64> {
        let free = self.total - self.used;
        if bytes > free {
            return Err(CudaError::OutOfMemory { bytes, free });
        }
        // SAFETY: the layout is not empty; the guards and what is between them are inside.
        let address = unsafe {
            let start = alloc(layout(bytes));
            start.write_bytes(MARK, GUARD);
            start.add(GUARD).write_bytes(0xff, bytes);
            start.add(GUARD + bytes).write_bytes(MARK, GUARD);
            start as u64 + GUARD as u64
        };
        self.used += bytes;
        self.lengths.insert(address, bytes);
        Ok(address)
    }

    pub(super) fn free(&mut self, address: u64, bytes: usize) {
        assert_eq!(self.lengths.remove(&address), Some(bytes), "no such memory");
        check_guards(address, bytes);
        self.used -= bytes;
        // SAFETY: allocated above with the same layout.
        unsafe { dealloc((address - GUARD as u64) as *mut u8, layout(bytes)) };
    }

    /// Panics unless `bytes` from `address` on lie in one piece.
    pub(super) fn check(&self, address: u64, bytes: usize) {
        let piece = self.lengths.range(..=address).next_back();
        let inside = piece.is_some_and(|(&start, &length)| address + bytes as u64 <= start + length as u64);
        assert!(inside, "{bytes} bytes at {address:#x} are not allocated: {piece:x?}");
    }

    /// Panics when anything was written outside of a piece.
    pub(super) fn check_all(&self) {
        self.lengths.iter().for_each(|(&address, &bytes)| check_guards(address, bytes));
    }
}

fn check_guards(address: u64, bytes: usize) {
    for start in [address - GUARD as u64, address + bytes as u64] {
        // SAFETY: the guards of a piece.
        let guard = unsafe { std::slice::from_raw_parts(start as *const u8, GUARD) };
        assert!(
            guard.iter().all(|&byte| byte == MARK),
            "something was written outside of {bytes} bytes at {address:#x}"
        );
    }
}
