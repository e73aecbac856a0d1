//! The loops around a kernel: packing, blocks that fit the caches, threads.

use std::{cell::RefCell, ops::Range};

use rayon::prelude::*;

use super::{
    How, Matrix,
    tiles::{SIDE, Source, TILE, Words},
};

/// Multiplies tiles.
pub(super) trait Kernel: Copy + Send + Sync {
    /// Tiles side by side in a panel of the left and of the right operand.
    const LEFT: usize;
    const RIGHT: usize;
    /// Steps along the inner index after which the sums go to memory, so that a panel's part stays in the first-level cache.
    const STEPS: usize;

    /// What the words of both operands hold.
    fn words(self) -> Words;

    /// To be called by each thread before and after it multiplies.
    fn enter(self);
    fn leave(self);

    /// `c += a b` or `c = a b` for a block of `16 LEFT` rows and `16 RIGHT` columns, whose rows start every `stride` elements.
    ///
    /// # Safety
    /// `a` and `b` point to `steps` steps of a panel, `c` to the block; this thread has called [`Self::enter`].
    unsafe fn block(self, steps: usize, a: *const u32, b: *const u32, c: *mut f32, stride: usize, add: bool);
}

/// Words of the left operand that are packed at a time: a part of the second-level cache.
const LEFT_WORDS: usize = 128 << 10;

/// Words that start at a cache line.
#[derive(Debug, Default)]
pub(super) struct Lines {
    words: Vec<u32>,
    /// What was asked for last.
    used: Range<usize>,
}

impl Lines {
    /// What the last [`Self::get`] gave.
    pub(super) fn all(&self) -> &[u32] {
        &self.words[self.used.clone()]
    }

    /// `len` words with unspecified values.
    fn get(&mut self, len: usize) -> &mut [u32] {
        if self.words.len() < len + SIDE {
            self.words.resize(len + SIDE, 0);
        }
        let skip = self.words.as_ptr().align_offset(4 * SIDE).min(SIDE);
        self.used = skip..skip + len;
        &mut self.words[skip..skip + len]
    }
}

thread_local! {
    /// The right operand of the thread's last product, and the part of the left one that was worked on last: kept, so that training
    /// does not allocate in each step.
    static RIGHT: RefCell<Lines> = RefCell::default();
    static LEFT: RefCell<Lines> = RefCell::default();
}

/// The product, blocked as by Goto and van de Geijn ("Anatomy of high-performance matrix multiplication", ACM TOMS 2008): the
/// right operand is packed once, the left one part by part into the second-level cache.
///
/// # Safety
/// The processor can pack and multiply the kernel's words.
pub(super) unsafe fn product<K: Kernel>(
    kernel: K,
    out: &mut [f32],
    stride: usize,
    a: Matrix<'_>,
    b: Matrix<'_>,
    how: How,
) {
    // Taken out meanwhile: while this thread waits for others it may be given work that multiplies as well.
    let mut lines = RIGHT.take();
    // SAFETY: the caller's.
    unsafe {
        let right = pack_right(kernel, b, &mut lines, how.threads);
        product_packed(kernel, out, stride, a, right, b.columns, how);
    }
    RIGHT.set(lines);
}

/// Packs a right operand.
///
/// # Safety
/// As of [`product`].
pub(super) unsafe fn pack_right<'a, K: Kernel>(
    kernel: K,
    b: Matrix<'_>,
    lines: &'a mut Lines,
    threads: usize,
) -> &'a [u32] {
    let b = Source::right(b, kernel.words());
    let (panels, len) = (b.panels(K::RIGHT), b.panel_len(K::RIGHT, b.steps()));
    let packed = lines.get(panels * len);
    // SAFETY: the caller's.
    let pack = |(panel, out): (usize, &mut [u32])| unsafe { b.pack(panel, K::RIGHT, 0..b.steps(), out) };
    if len == 0 {
        // An empty sum has nothing to pack.
    } else if threads <= 1 {
        packed.chunks_exact_mut(len).enumerate().for_each(pack);
    } else {
        packed.par_chunks_exact_mut(len).enumerate().with_min_len(panels.div_ceil(threads)).for_each(pack);
    }
    packed
}

/// The product with a right operand of `columns` columns from [`pack_right`].
///
/// # Safety
/// As of [`product`].
pub(super) unsafe fn product_packed<K: Kernel>(
    kernel: K,
    out: &mut [f32],
    stride: usize,
    a: Matrix<'_>,
    right: &[u32],
    columns: usize,
    how: How,
) {
    let rows = a.rows;
    let a = Source::left(a, how.factor, kernel.words());
    if a.steps() == 0 {
        // An empty sum.
        if !how.add {
            out.chunks_mut(stride).take(rows).for_each(|row| row[..columns].fill(0.0));
        }
        return;
    }
    let threads = how.threads.clamp(1, a.panels(K::LEFT));
    if threads == 1 {
        // SAFETY: the caller's.
        unsafe { Rows { kernel, a, first: 0, rows, right, columns, stride, add: how.add }.multiply(out) };
    } else {
        let height = a.panels(K::LEFT).div_ceil(threads) * K::LEFT * SIDE;
        out.par_chunks_mut(height * stride).enumerate().for_each(|(part, out)| {
            let first = part * height;
            // What lies behind the last row is no part of the result.
            if first < rows {
                let rows = height.min(rows - first);
                // SAFETY: the caller's.
                unsafe { Rows { kernel, a, first, rows, right, columns, stride, add: how.add }.multiply(out) };
            }
        });
    }
}

/// Some rows of a product, for one thread.
struct Rows<'a, K> {
    kernel: K,
    a: Source<'a>,
    first: usize,
    rows: usize,
    /// The right operand, packed.
    right: &'a [u32],
    columns: usize,
    stride: usize,
    add: bool,
}

impl<K: Kernel> Rows<'_, K> {
    /// # Safety
    /// As of [`product`].
    unsafe fn multiply(&self, out: &mut [f32]) {
        let mut left = LEFT.take();
        let (height, steps) = (K::LEFT * SIDE, self.a.steps());
        // Parts of about equal length, so that the last one is not a stub.
        let part = steps.div_ceil(steps.div_ceil(K::STEPS));
        let len = self.a.panel_len(K::LEFT, part);
        let block = (LEFT_WORDS / len).max(1);
        let panels = self.rows.div_ceil(height);
        self.kernel.enter();
        for from in (0..panels).step_by(block) {
            let panels = from..panels.min(from + block);
            for first in (0..steps).step_by(part) {
                let steps = first..steps.min(first + part);
                let len = self.a.panel_len(K::LEFT, steps.len());
                let packed = left.get(panels.len() * len);
                for (panel, out) in panels.clone().zip(packed.chunks_exact_mut(len)) {
                    // SAFETY: the caller's.
                    unsafe { self.a.pack(self.first / height + panel, K::LEFT, steps.clone(), out) };
                }
                self.block(out, packed, panels.clone(), steps);
            }
        }
        self.kernel.leave();
        LEFT.set(left);
    }

    /// Some panels of the left operand, packed in `left`, times all of the right one, over some steps.
    fn block(&self, out: &mut [f32], left: &[u32], panels: Range<usize>, steps: Range<usize>) {
        let (height, width, stride) = (K::LEFT * SIDE, K::RIGHT * SIDE, self.stride);
        let step = self.kernel.words().planes() * K::RIGHT * TILE;
        let add = self.add || steps.start > 0;
        let count = steps.len();
        let mut edge = [0.0_f32; 32 * 48];
        assert!(height * width <= edge.len(), "a block is larger than its buffer");
        for (j, b) in self.right.chunks_exact(self.a.steps() * step).enumerate() {
            let b = &b[steps.start * step..steps.end * step];
            let column = j * width;
            let wide = width.min(self.columns - column);
            for (panel, a) in panels.clone().zip(left.chunks_exact(left.len() / panels.len())) {
                let row = panel * height;
                let tall = height.min(self.rows - row);
                if tall == height && wide == width {
                    let c = &mut out[row * stride + column..][..(height - 1) * stride + width];
                    // SAFETY: `a` and `b` have `count` steps, `c` covers the block, and this thread has entered.
                    unsafe { self.kernel.block(count, a.as_ptr(), b.as_ptr(), c.as_mut_ptr(), stride, add) };
                    continue;
                }
                let line = |i: usize| (row + i) * stride + column..(row + i) * stride + column + wide;
                if add {
                    for (i, edge) in edge.chunks_exact_mut(width).take(tall).enumerate() {
                        edge[..wide].copy_from_slice(&out[line(i)]);
                    }
                }
                // SAFETY: as above, with the buffer as the block.
                unsafe { self.kernel.block(count, a.as_ptr(), b.as_ptr(), edge.as_mut_ptr(), width, add) };
                for (i, edge) in edge.chunks_exact(width).take(tall).enumerate() {
                    out[line(i)].copy_from_slice(&edge[..wide]);
                }
            }
        }
    }
}
