//! Cards with little memory: arrays are smaller then, and nothing fails as long as one member fits.

use std::sync::atomic::{AtomicI64, Ordering};

use super::*;
use crate::{
    cuda::{AdaptorArray, Argument, Arithmetic, CudaError, Gemm, Memory, Replay, heads::HeadSizes},
    model::{AdaptorShape, HeadShape},
    protocol::FailureClass,
    train::sizing,
};

/// Bytes that an array of so many heads of [`Home::classify`] takes, with its features.
fn bytes(members: usize) -> usize {
    let shape = HeadShape { width: support::IMAGE_WIDTH, hidden: 512, classes: 1 };
    let sizes = HeadSizes { shape, binary: true, dropout: 0.2, batch: 8, train: 25, evaluated: 9, steps: 3 };
    sizes.bytes_needed(members) + 4 * 43 * support::IMAGE_WIDTH
}

fn with_memory(bytes: usize) -> Option<Arc<dyn Stream>> {
    Some(Arc::new(Emulation::with_memory(bytes)?))
}

#[test]
fn a_small_card_trains_in_parts() {
    let home = Home::new(25, 9, 9);
    let tasks = heads(&home, 5);
    let Some(stream) = Emulation::open() else { return };
    let expected = tasks_on_card(&stream, &home, &tasks);
    for members in [1, 2, 3] {
        let Some(small) = with_memory(bytes(members) * 107 / 100) else { return };
        for (found, expected) in tasks_on_card(&small, &home, &tasks).iter().zip(&expected) {
            assert_eq!(found.result(), expected.result(), "room for {members}");
        }
    }
}

/// A card that claims to have more memory than it has, and whose memory is full once more after some launches.
#[derive(Debug)]
struct Boaster {
    inner: Emulation,
    launches: AtomicI64,
}

impl Stream for Boaster {
    fn name(&self) -> String {
        self.inner.name()
    }

    fn memory(&self) -> Result<Memory, CudaError> {
        Ok(Memory { free: 1 << 40, total: 1 << 40 })
    }

    fn allocate(&self, bytes: usize) -> Result<u64, CudaError> {
        self.inner.allocate(bytes)
    }

    unsafe fn free(&self, address: u64, bytes: usize) {
        // SAFETY: the caller's word, as below.
        unsafe { self.inner.free(address, bytes) }
    }

    unsafe fn upload(&self, to: u64, from: &[u8]) -> Result<(), CudaError> {
        // SAFETY: as above.
        unsafe { self.inner.upload(to, from) }
    }

    unsafe fn download(&self, from: u64, to: &mut [u8]) -> Result<(), CudaError> {
        // SAFETY: as above.
        unsafe { self.inner.download(from, to) }
    }

    unsafe fn copy(&self, from: u64, to: u64, bytes: usize) -> Result<(), CudaError> {
        // SAFETY: as above.
        unsafe { self.inner.copy(from, to, bytes) }
    }

    unsafe fn zero(&self, at: u64, bytes: usize) -> Result<(), CudaError> {
        // SAFETY: as above.
        unsafe { self.inner.zero(at, bytes) }
    }

    unsafe fn launch(
        &self,
        kernel: &'static str,
        grid: [u32; 3],
        block: [u32; 3],
        arguments: &[Argument],
    ) -> Result<(), CudaError> {
        if self.launches.fetch_sub(1, Ordering::Relaxed) == 0 {
            return Err(CudaError::OutOfMemory { bytes: 1, free: 0 });
        }
        // SAFETY: as above.
        unsafe { self.inner.launch(kernel, grid, block, arguments) }
    }

    unsafe fn gemm(&self, gemm: &Gemm) -> Result<(), CudaError> {
        // SAFETY: as above.
        unsafe { self.inner.gemm(gemm) }
    }

    fn synchronise(&self) -> Result<(), CudaError> {
        self.inner.synchronise()
    }

    fn record(&self, work: &mut dyn FnMut() -> Result<(), CudaError>) -> Result<Option<Box<dyn Replay>>, CudaError> {
        self.inner.record(work)
    }
}

fn boaster(bytes: usize, launches: i64) -> Option<Arc<dyn Stream>> {
    Some(Arc::new(Boaster { inner: Emulation::with_memory(bytes)?, launches: AtomicI64::new(launches) }))
}

#[test]
fn an_array_that_does_not_fit_is_halved() {
    let home = Home::new(25, 9, 9);
    let tasks = heads(&home, 5);
    let Some(stream) = Emulation::open() else { return };
    let expected = tasks_on_card(&stream, &home, &tasks);
    for members in [1, 2, 4] {
        let Some(boaster) = boaster(bytes(members), -1) else { return };
        for (found, expected) in tasks_on_card(&boaster, &home, &tasks).iter().zip(&expected) {
            assert_eq!(found.result(), expected.result(), "room for {members}");
        }
    }
    let Some(tiny) = boaster(bytes(1) / 2, -1) else { return };
    for member in tasks_on_card(&tiny, &home, &tasks) {
        assert_eq!(member.failure().class, FailureClass::Resources);
    }
}

/// Members go on from what was saved last, and report nothing twice.
#[test]
fn memory_that_is_full_on_the_way_changes_no_bit() {
    let home = Home::new(25, 9, 9);
    let tasks = heads(&home, 3);
    let Some(stream) = Emulation::open() else { return };
    let expected = tasks_on_card(&stream, &home, &tasks);
    // In the first epoch, in a validation, in the last epoch; with checkpoints and without.
    for (launches, checkpoint_ms) in [(3, u64::MAX), (17, u64::MAX), (19, 0), (60, u64::MAX), (61, 0)] {
        let Some(boaster) = boaster(8 << 30, launches) else { return };
        let leases = tasks.iter().map(|task| home.lease(task, 1, vec![])).collect();
        let found = run_on_card(&boaster, &home, leases, checkpoint_ms, &|_| None);
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found.result(), expected.result(), "{launches} launches");
        }
    }
}

#[test]
fn adaptors_that_do_not_fit_together_are_trained_one_after_another() {
    let home = Home::new(9, 3, 0);
    let mut other = home.pretrain();
    other.seed = 4;
    let tasks = [home.pretrain(), other].map(Task::Pretrain);
    let Some(stream) = Emulation::open() else { return };
    let expected = tasks_on_card(&stream, &home, &tasks);
    let dims = AdaptorShape { image_width: support::IMAGE_WIDTH, text_width: support::TEXT_WIDTH }.into();
    let bytes = AdaptorArray::bytes_needed(&[dims], 4, 6, Arithmetic::F32).unwrap();
    let Some(boaster) = boaster(bytes * 3 / 2, -1) else { return };
    for (found, expected) in tasks_on_card(&boaster, &home, &tasks).iter().zip(&expected) {
        assert_eq!(found.result(), expected.result());
    }
}

/// The emulation is one processor: more members are no faster, whatever is chosen. What is measured does not change what is trained.
#[test]
fn the_size_is_measured() {
    let home = Home::new(25, 9, 9);
    let tasks = heads(&home, 4);
    let Some(stream) = Emulation::open() else { return };
    let expected = tasks_on_card(&stream, &home, &tasks);
    sizing::MEASURE.set(true);
    let Some(device) = Emulation::with_memory(8 << 30) else { return };
    let measured: Arc<dyn Stream> = Arc::new(device.clone());
    let found = tasks_on_card(&measured, &home, &tasks);
    sizing::MEASURE.set(false);
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found.result(), expected.result());
    }
    // A trial has steps beside those of the training.
    let again = device.launches();
    tasks_on_card(&measured, &home, &tasks);
    assert!(again > device.launches() - again, "no trial was run: {again}");
}

#[test]
fn a_card_without_room_for_one_member_says_so() {
    let home = Home::new(25, 9, 9);
    let tasks = heads(&home, 2);
    let Some(tiny) = with_memory(bytes(1) / 2) else { return };
    for member in tasks_on_card(&tiny, &home, &tasks) {
        let failure = member.failure();
        assert_eq!(failure.class, FailureClass::Resources);
        assert!(failure.cure.as_deref().is_some_and(|cure| cure.contains("batch_size")), "{failure:?}");
    }
    let tasks = [Task::Pretrain(home.pretrain())];
    assert_eq!(tasks_on_card(&tiny, &home, &tasks)[0].failure().class, FailureClass::Resources);
}
