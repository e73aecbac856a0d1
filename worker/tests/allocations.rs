//! The steady step asks for no memory: all its buffers are made before the first one.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    io::Write,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use permafrost_worker::{
    matrix,
    model::{AdaptorShape, AdaptorStep, Dropout, HeadShape, HeadStep, RunningStats, Targets},
    train::optimizer::AdamW,
};

/// The system's allocator, counting what it is asked for, by every thread.
struct Counting;

thread_local! {
    /// Allocations of this thread, and their bytes.
    static OWN: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

/// Those of the process.
static COUNT: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);

fn note(size: usize) {
    let (count, bytes) = OWN.get();
    OWN.set((count + 1, bytes + size));
    COUNT.fetch_add(1, Relaxed);
    BYTES.fetch_add(size, Relaxed);
}

// SAFETY: everything is passed on as it comes.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller keeps to the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller keeps to the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size);
        // SAFETY: the caller keeps to the contract of `realloc`.
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps to the contract of `dealloc`.
        unsafe { System.dealloc(old, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The counters are the process's, so one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What this thread has asked for.
fn own() -> (usize, usize) {
    OWN.get()
}

/// What the process has asked for: the harness's threads, too.
fn all() -> (usize, usize) {
    (COUNT.load(Relaxed), BYTES.load(Relaxed))
}

/// Nothing was asked for, but by the `gemm` crate where it multiplies.
fn none(count: usize, bytes: usize) {
    if matrix::has_kernels() {
        assert_eq!(count, 0, "{bytes} bytes in {STEPS} steps");
    } else {
        let text = "skipped: matrix products of this processor are the `gemm` crate's, which asks for memory";
        writeln!(std::io::stderr().lock(), "{text}").ok();
    }
}

/// Allocations and bytes of `STEPS` calls, after some that may allocate.
fn asked_for(counted: fn() -> (usize, usize), mut step: impl FnMut(u64)) -> (usize, usize) {
    (0..3).for_each(&mut step);
    let before = counted();
    (3..3 + STEPS).for_each(&mut step);
    let after = counted();
    (after.0 - before.0, after.1 - before.1)
}

const STEPS: u64 = 4;

#[test]
fn the_counter_counts() {
    let _alone = alone();
    let found = asked_for(own, |step| drop(std::hint::black_box(vec![step; 100])));
    assert_eq!(found, (STEPS as usize, STEPS as usize * 800));
    let found = asked_for(all, |step| drop(std::hint::black_box(vec![step; 100])));
    assert!(found.0 >= STEPS as usize && found.1 >= STEPS as usize * 800, "{found:?}");
}

fn adaptor(counted: fn() -> (usize, usize), threads: usize) -> (usize, usize) {
    let shape = AdaptorShape { image_width: 384, text_width: 768 };
    let batch = 70;
    let mut p = shape.init(0);
    let zeros = || vec![0.0; shape.parameters()];
    let (mut g, mut m, mut v) = (zeros(), zeros(), zeros());
    let (images, texts) = (vec![0.5; batch * 384], vec![0.25; batch * 768]);
    let mut buffers = AdaptorStep::new(shape, batch);
    asked_for(counted, |step| {
        let dropout = Some(Dropout { p: 0.1, seed: 0, step });
        let loss = buffers.forward_backward(&p, &mut g, &images, &texts, batch, dropout, 0.75, threads);
        AdamW::default().step(&mut p, &g, &mut m, &mut v, step + 1, 1e-5);
        assert!(loss.is_finite());
    })
}

#[test]
fn a_step_of_the_adaptor_asks_for_no_memory() {
    let _alone = alone();
    let (count, bytes) = adaptor(own, 1);
    none(count, bytes);
}

/// What rayon's queues need is not ours to keep, but it is little.
#[test]
fn a_step_on_two_threads_asks_for_little() {
    let _alone = alone();
    let (count, bytes) = adaptor(all, 2);
    assert!(bytes < STEPS as usize * (64 << 10), "{count} allocations, {bytes} bytes in {STEPS} steps");
}

#[test]
fn a_step_of_a_head_asks_for_no_memory() {
    let _alone = alone();
    let (batch, width, hidden) = (64, 768, 512);
    for classes in [1, 3] {
        let shape = HeadShape { width, hidden, classes };
        let mut p = shape.init(0);
        let zeros = || vec![0.0; shape.parameters()];
        let (mut m, mut v) = (zeros(), zeros());
        let (x, labels, binary) = (vec![0.5; batch * width], vec![0; batch], vec![1.0; batch]);
        let targets = if classes == 1 { Targets::Binary(&binary) } else { Targets::Classes(&labels) };
        let mut stats = RunningStats::new(hidden);
        let mut buffers = HeadStep::new(shape, batch);
        let (count, bytes) = asked_for(own, |step| {
            let dropout = Some(Dropout { p: 0.1, seed: 0, step });
            let update = AdamW::default().at(step + 1, 5e-4);
            let loss = buffers.train(&mut p, &mut stats, &x, targets, batch, dropout, |range, p, g| {
                update.apply(p, g, &mut m[range.clone()], &mut v[range]);
            });
            assert!(loss.is_finite());
        });
        none(count, bytes);
    }
}
