//! Arrays of classification heads: K members as one batched model, in f32 (paper, section 2.3).
//!
//! The mathematics and the masks are those of [`crate::model::HeadStep`]. Features lie on the card once, whoever trains on them.
//! A member has a *slot*, 0 to K; when one leaves, the last moves into its place, so that who is gone costs nothing.

mod steps;
#[cfg(test)]
mod tests;

use std::{ops::Range, sync::Arc};

use super::{Buffer, CudaError, Result, Stream};
use crate::model::{HeadShape, RunningStats};

/// The kernels of the norm work on so many columns at once.
const COLUMNS: usize = 32;

/// Sizes of an array of heads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeadSizes {
    /// Sizes of each head. The hidden layer's is a multiple of 32.
    pub shape: HeadShape,
    /// Whether the label is binary: one output, binary cross entropy. Else cross entropy.
    pub binary: bool,
    /// Dropout probability.
    pub dropout: f64,
    /// Samples a step.
    pub batch: usize,
    /// Training samples of each member.
    pub train: usize,
    /// Most samples that a member is evaluated on at once.
    pub evaluated: usize,
    /// Most steps of one call of [`HeadArray::train`].
    pub steps: usize,
}

impl HeadSizes {
    /// Elements of a member's parameters on the card: aligned, so that cuBLAS may take its fast paths.
    fn stride(&self) -> usize {
        self.shape.parameters().next_multiple_of(64)
    }

    /// Bytes of the card's memory that an array of `members` takes, its features not counted.
    pub fn bytes_needed(&self, members: usize) -> usize {
        let HeadShape { width, hidden, classes } = self.shape;
        let floats = 5 * self.stride()
            + 5 * hidden
            + self.batch * (width + 2 * hidden + classes)
            + self.evaluated * classes
            + 4 * self.steps;
        // Lists of training samples, with their classes, and of evaluated ones.
        let indices = 2 * self.train + self.evaluated;
        // Seeds and the like; every buffer is aligned to 256 bytes.
        members * (4 * (floats + indices) + 64) + 4 * self.steps + 24 * 256
    }
}

/// What a member is, beside its weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeadMember {
    /// Of its dropout.
    pub seed: u64,
    /// Of AdamW.
    pub weight_decay: f64,
    /// First row of its features in the table.
    pub table: usize,
}

/// Everything the rest of a member's training depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadState {
    /// Parameters and AdamW's moments, in the order of [`HeadShape::layout`].
    pub p: Vec<f32>,
    /// First moments.
    pub m: Vec<f32>,
    /// Second moments.
    pub v: Vec<f32>,
    /// Parameters of the best epoch; empty before the first.
    pub best: Vec<f32>,
    /// Running statistics.
    pub stats: RunningStats,
    /// Those of the best epoch.
    pub best_stats: RunningStats,
}

impl HeadState {
    /// That of an untrained head.
    pub fn new(shape: HeadShape, seed: u64) -> Self {
        let zeros = || vec![0.0; shape.parameters()];
        let stats = || RunningStats::new(shape.hidden);
        Self { p: shape.init(seed), m: zeros(), v: zeros(), best: Vec::new(), stats: stats(), best_stats: stats() }
    }
}

/// Samples in order: rows of a member's table, and the class of each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Samples {
    /// Rows of the table of features.
    pub rows: Vec<u32>,
    /// Classes; for a binary label 0 or 1. Not needed to evaluate.
    pub classes: Vec<u32>,
}

/// What a member does in [`HeadArray::train`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeadSpan {
    /// The member.
    pub slot: usize,
    /// Steps it has done in all.
    pub step: u64,
    /// Learning rate of these steps.
    pub learning_rate: f64,
    /// Which of the lists of samples it goes through.
    pub list: usize,
}

/// What is kept of a slot on the host.
#[derive(Clone, Copy, Debug)]
struct Slot {
    member: HeadMember,
    batches: u64,
    best_batches: u64,
    has_best: bool,
}

/// Heads that are trained together.
#[derive(Debug)]
pub struct HeadArray {
    stream: Arc<dyn Stream>,
    sizes: HeadSizes,
    most: usize,
    slots: Vec<Slot>,
    /// [rows, width], of all tables.
    features: Arc<Buffer<f32>>,
    /// [members, stride].
    p: Buffer<f32>,
    g: Buffer<f32>,
    m: Buffer<f32>,
    v: Buffer<f32>,
    best: Buffer<f32>,
    /// [members, 2, hidden]: running means and variances.
    running: Buffer<f32>,
    best_running: Buffer<f32>,
    /// [members, batch, width]: input after dropout.
    x: Buffer<f32>,
    /// [members, batch, hidden], each: normalised; after ReLU and dropout, then its gradient.
    h: Buffer<f32>,
    relu: Buffer<f32>,
    /// [members, hidden].
    inverse: Buffer<f32>,
    /// [members, batch, classes].
    logits: Buffer<f32>,
    /// [members, evaluated, classes].
    outputs: Buffer<f32>,
    /// [members, steps], in the memory of `members * steps`.
    losses: Buffer<f32>,
    /// [members, steps, 3]: constants of AdamW.
    constants: Buffer<f32>,
    /// 0, 1, 2, ...: where kernels look up the number of their step.
    numbers: Buffer<u32>,
    /// [lists, train].
    lists: Buffer<u32>,
    classes: Buffer<u32>,
    /// [lists, evaluated].
    evaluated: Buffer<u32>,
    /// [members], each.
    list: Buffer<u32>,
    table: Buffer<u32>,
    active: Buffer<u32>,
    seeds: Buffer<u64>,
    steps: Buffer<u64>,
}

impl HeadArray {
    /// Room for `members` heads on `features`, which are [rows, width].
    ///
    /// # Errors
    /// [`CudaError::OutOfMemory`]: a smaller array may fit. [`CudaError::Sizes`] for a hidden layer that the kernels are not
    /// written for, or a batch below 2.
    pub fn new(stream: &Arc<dyn Stream>, sizes: HeadSizes, members: usize, features: Arc<Buffer<f32>>) -> Result<Self> {
        let HeadShape { width, hidden, classes } = sizes.shape;
        if !hidden.is_multiple_of(COLUMNS) || sizes.batch < 2 || (sizes.binary && classes != 1) {
            let what =
                format!("heads with {sizes:?}: the hidden layer must be a multiple of {COLUMNS}, a batch at least 2");
            return Err(CudaError::Sizes(what));
        }
        let parameters = || Buffer::zeros(stream, members * sizes.stride());
        let rows = |columns: usize| Buffer::undefined(stream, members * sizes.batch * columns);
        Ok(Self {
            p: parameters()?,
            g: parameters()?,
            m: parameters()?,
            v: parameters()?,
            best: parameters()?,
            running: Buffer::undefined(stream, members * 2 * hidden)?,
            best_running: Buffer::undefined(stream, members * 2 * hidden)?,
            x: rows(width)?,
            h: rows(hidden)?,
            relu: rows(hidden)?,
            inverse: Buffer::undefined(stream, members * hidden)?,
            logits: rows(classes)?,
            outputs: Buffer::undefined(stream, members * sizes.evaluated * classes)?,
            losses: Buffer::undefined(stream, members * sizes.steps)?,
            constants: Buffer::undefined(stream, members * sizes.steps * 3)?,
            numbers: Buffer::from_slice(stream, &(0..sizes.steps as u32).collect::<Vec<_>>())?,
            lists: Buffer::undefined(stream, members * sizes.train)?,
            classes: Buffer::undefined(stream, members * sizes.train)?,
            evaluated: Buffer::undefined(stream, members * sizes.evaluated)?,
            list: Buffer::zeros(stream, members)?,
            table: Buffer::zeros(stream, members)?,
            active: Buffer::zeros(stream, members)?,
            seeds: Buffer::zeros(stream, members)?,
            steps: Buffer::zeros(stream, members)?,
            stream: Arc::clone(stream),
            slots: Vec::new(),
            most: members,
            features,
            sizes,
        })
    }

    /// Members in the array.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    fn weights(&self, slot: usize) -> Range<usize> {
        let start = slot * self.sizes.stride();
        start..start + self.sizes.shape.parameters()
    }

    fn statistics(&self, slot: usize) -> Range<usize> {
        let length = 2 * self.sizes.shape.hidden;
        slot * length..(slot + 1) * length
    }

    /// Adds a member: its slot.
    ///
    /// # Errors
    /// When the card fails.
    ///
    /// # Panics
    /// When the array is full, or the state is of another shape.
    pub fn push(&mut self, member: HeadMember, state: &HeadState) -> Result<usize> {
        let slot = self.slots.len();
        assert!(slot < self.most, "the array has room for {} members", self.most);
        let start = self.weights(slot).start;
        for (buffer, values) in [(&mut self.p, &state.p), (&mut self.m, &state.m), (&mut self.v, &state.v)] {
            assert_eq!(values.len(), self.sizes.shape.parameters(), "a state of another shape");
            buffer.upload(start, values)?;
        }
        self.best.upload(start, &state.best)?;
        let statistics = self.statistics(slot).start;
        for (buffer, stats) in [(&mut self.running, &state.stats), (&mut self.best_running, &state.best_stats)] {
            buffer.upload(statistics, &[&stats.mean[..], &stats.variance].concat())?;
        }
        self.slots.push(Slot {
            member,
            batches: state.stats.batches,
            best_batches: state.best_stats.batches,
            has_best: !state.best.is_empty(),
        });
        Ok(slot)
    }

    /// The member leaves; the one in the last slot, if that is another, moves into its place.
    ///
    /// # Errors
    /// When the card fails.
    ///
    /// # Panics
    /// When there is no such member.
    pub fn remove(&mut self, slot: usize) -> Result<()> {
        let last = self.slots.len() - 1;
        self.slots.swap_remove(slot);
        if slot == last {
            return Ok(());
        }
        let (from, to) = (self.weights(last), self.weights(slot).start);
        for buffer in [&mut self.p, &mut self.m, &mut self.v, &mut self.best] {
            buffer.copy_within(from.start, to, from.len())?;
        }
        let (from, to) = (self.statistics(last), self.statistics(slot).start);
        self.running.copy_within(from.start, to, from.len())?;
        self.best_running.copy_within(from.start, to, from.len())
    }

    /// Remembers members' parameters and running statistics as their best so far.
    ///
    /// # Errors
    /// When the card fails.
    ///
    /// # Panics
    /// When there is no such member.
    pub fn keep_best(&mut self, slots: &[usize]) -> Result<()> {
        for run in runs(slots) {
            let weights = self.weights(run.start).start..self.weights(run.end - 1).end;
            self.best.copy_from(weights.start, &self.p, weights)?;
            let statistics = self.statistics(run.start).start..self.statistics(run.end - 1).end;
            self.best_running.copy_from(statistics.start, &self.running, statistics)?;
            for slot in &mut self.slots[run] {
                (slot.has_best, slot.best_batches) = (true, slot.batches);
            }
        }
        Ok(())
    }

    /// Everything the rest of a member's training depends on.
    ///
    /// # Errors
    /// When the card, or earlier work, fails.
    ///
    /// # Panics
    /// When there is no such member.
    pub fn state(&self, slot: usize) -> Result<HeadState> {
        let Slot { batches, has_best, .. } = self.slots[slot];
        let weights = |buffer: &Buffer<f32>| self.part(buffer, self.weights(slot));
        let (best, best_stats) =
            if has_best { self.best(slot)? } else { (Vec::new(), self.stats(&self.best_running, slot, 0)?) };
        Ok(HeadState {
            p: weights(&self.p)?,
            m: weights(&self.m)?,
            v: weights(&self.v)?,
            best,
            stats: self.stats(&self.running, slot, batches)?,
            best_stats,
        })
    }

    /// The parameters and running statistics of a member's best epoch.
    ///
    /// # Errors
    /// When the card, or earlier work, fails.
    ///
    /// # Panics
    /// When there is no such member.
    pub fn best(&self, slot: usize) -> Result<(Vec<f32>, RunningStats)> {
        let best = self.part(&self.best, self.weights(slot))?;
        Ok((best, self.stats(&self.best_running, slot, self.slots[slot].best_batches)?))
    }

    fn part(&self, buffer: &Buffer<f32>, range: Range<usize>) -> Result<Vec<f32>> {
        let mut values = vec![0.0; range.len()];
        buffer.download_into(range.start, &mut values)?;
        Ok(values)
    }

    fn stats(&self, buffer: &Buffer<f32>, slot: usize, batches: u64) -> Result<RunningStats> {
        let mut mean = self.part(buffer, self.statistics(slot))?;
        let variance = mean.split_off(self.sizes.shape.hidden);
        Ok(RunningStats { mean, variance, batches })
    }
}

/// `slots` as ranges of neighbours, in ascending order.
fn runs(slots: &[usize]) -> Vec<Range<usize>> {
    let mut sorted = slots.to_vec();
    sorted.sort_unstable();
    let mut runs: Vec<Range<usize>> = Vec::new();
    for slot in sorted {
        match runs.last_mut() {
            Some(run) if run.end == slot => run.end += 1,
            _ => runs.push(slot..slot + 1),
        }
    }
    runs
}
