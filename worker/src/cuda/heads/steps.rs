//! What an array of heads computes: training steps, and evaluation.

use std::sync::Arc;

use super::{COLUMNS, HeadArray, HeadSizes, HeadSpan, Samples, runs};
use crate::{
    cuda::{Argument, Buffer, Gemm, Operand, Result},
    model::HeadShape,
    train::optimizer::AdamW,
};

/// Threads of a block that works on elements.
const THREADS: usize = 256;

/// Blocks for `elements`, `each` a thread, of `members`.
fn grid(elements: usize, each: usize, members: usize) -> [u32; 3] {
    [elements.div_ceil(each * THREADS) as u32, members as u32, 1]
}

fn u32(value: usize) -> Argument {
    // Sizes of a card's memory in elements of one member stay far below 2^32.
    Argument::U32(value as u32)
}

/// Where a head's tensors are in its parameters.
struct Places {
    norm_weight: usize,
    norm_bias: usize,
    output: usize,
    output_bias: usize,
}

impl Places {
    fn new(shape: HeadShape) -> Self {
        let HeadShape { width, hidden, classes } = shape;
        let norm_weight = hidden * width;
        let output = norm_weight + 2 * hidden;
        Self { norm_weight, norm_bias: norm_weight + hidden, output, output_bias: output + classes * hidden }
    }
}

impl HeadArray {
    /// Trains each of `spans` for as many steps as there are batches between sample `first` of its list and sample `end`: the losses
    /// of the steps by member. All others stay as they are. A member whose loss is not finite stays as it was before that step.
    ///
    /// `lists` are what the spans' `list` counts: samples in the order of training, all of `sizes.train` samples. The host waits once, at the
    /// end; `meanwhile` is called while the card works.
    ///
    /// # Errors
    /// When the card fails.
    ///
    /// # Panics
    /// When lists are too many or of another length, there is no such slot, or there are more steps than `sizes.steps`.
    pub fn train(
        &mut self,
        spans: &[HeadSpan],
        lists: &[Arc<Samples>],
        first: usize,
        end: usize,
        meanwhile: impl FnOnce(),
    ) -> Result<Vec<Vec<f32>>> {
        let HeadSizes { batch, train, steps: most_steps, .. } = self.sizes;
        let starts: Vec<usize> = (first..end).step_by(batch).filter(|start| end - start > 1).collect();
        assert!(starts.len() <= most_steps && end <= train, "{} steps, {end} of {train} samples", starts.len());
        for (i, list) in lists.iter().enumerate() {
            assert!(list.rows.len() == train && list.classes.len() == train, "a list of {} samples", list.rows.len());
            self.lists.upload(i * train, &list.rows)?;
            self.classes.upload(i * train, &list.classes)?;
        }
        self.announce(spans, starts.len())?;
        for (step, &start) in starts.iter().enumerate() {
            self.step(step, start, batch.min(end - start))?;
        }
        meanwhile();
        let members = self.slots.len();
        let mut losses = vec![0.0; members * most_steps];
        self.losses.download_into(0, &mut losses)?;
        for span in spans {
            self.slots[span.slot].batches += starts.len() as u64;
        }
        Ok(spans.iter().map(|span| losses[span.slot * most_steps..][..starts.len()].to_vec()).collect())
    }

    /// Writes what the kernels look up of members: who is active, with which constants.
    fn announce(&mut self, spans: &[HeadSpan], steps: usize) -> Result<()> {
        let members = self.slots.len();
        let most_steps = self.sizes.steps;
        let (mut list, mut active, mut step) = (vec![0; members], vec![0; members], vec![0; members]);
        let mut constants = vec![0.0; members * most_steps * 3];
        for span in spans {
            let slot = span.slot;
            (list[slot], active[slot], step[slot]) = (span.list as u32, 1, span.step);
            let optimizer = AdamW { weight_decay: self.slots[slot].member.weight_decay, ..AdamW::default() };
            let places = constants[slot * most_steps * 3..].chunks_exact_mut(3).take(steps);
            for (t, place) in (span.step + 1..).zip(places) {
                let now = optimizer.constants(t, span.learning_rate);
                place.copy_from_slice(&[now.keep, now.root, now.size]);
            }
        }
        let table: Vec<u32> = self.slots.iter().map(|slot| slot.member.table as u32).collect();
        let seeds: Vec<u64> = self.slots.iter().map(|slot| slot.member.seed).collect();
        self.list.upload(0, &list)?;
        self.active.upload(0, &active)?;
        self.steps.upload(0, &step)?;
        self.constants.upload(0, &constants)?;
        self.table.upload(0, &table)?;
        self.seeds.upload(0, &seeds)
    }

    /// One training step of all active members on `rows` samples from `first` of their lists on.
    fn step(&mut self, step: usize, first: usize, rows: usize) -> Result<()> {
        let HeadSizes { shape, binary, dropout, batch, train, steps, .. } = self.sizes;
        let HeadShape { width, hidden, classes } = shape;
        let (members, stride) = (self.slots.len(), self.sizes.stride());
        let places = Places::new(shape);
        let dropped = Argument::U32((dropout * 4_294_967_296.0).round() as u32);
        let scale = Argument::F32((1.0 / (1.0 - dropout)) as f32);
        let (active, seeds, counts) = (self.active.at(0), self.seeds.at(0), self.steps.at(0));
        self.gather(&self.lists, train, first, rows, members, 0, Some(step))?;
        self.product(
            [rows, hidden, width, members],
            self.x.matrix(0, width, batch * width),
            self.p.matrix(0, width, stride).t(),
            self.h.matrix(0, hidden, batch * hidden),
        )?;
        let norm_grid = [(hidden / COLUMNS) as u32, members as u32, 1];
        let norm_block = [COLUMNS as u32 / 4, 32, 1];
        let arguments = [
            self.h.at(0),
            self.relu.at(0),
            self.inverse.at(0),
            self.running.at(0),
            self.p.at(places.norm_weight),
            self.p.at(places.norm_bias),
            u32(stride),
            active,
            seeds,
            counts,
            u32(batch),
            u32(hidden),
            u32(rows),
            u32(step),
            dropped,
            scale,
        ];
        // SAFETY: these are the kernel's arguments, and the buffers have the sizes that it names.
        unsafe { self.stream.launch("head_norm", norm_grid, norm_block, &arguments)? };
        let relu = self.relu.matrix(0, hidden, batch * hidden);
        let logits = self.logits.matrix(0, classes, batch * classes);
        self.product([rows, classes, hidden, members], relu, self.p.matrix(places.output, hidden, stride).t(), logits)?;
        let arguments = [
            self.logits.at(0),
            self.g.at(places.output_bias),
            self.p.at(places.output_bias),
            u32(stride),
            self.classes.at(0),
            self.list.at(0),
            active,
            self.losses.at(0),
            u32(steps),
            u32(step),
            u32(batch),
            u32(classes),
            u32(train),
            u32(first),
            u32(rows),
            Argument::U32(binary.into()),
        ];
        // SAFETY: as above.
        unsafe { self.stream.launch("head_loss", [1, members as u32, 1], [THREADS as u32, 1, 1], &arguments)? };
        let output_gradient = self.g.matrix(places.output, hidden, stride);
        self.product([classes, hidden, rows, members], logits.t(), relu, output_gradient)?;
        let arguments = [
            self.relu.at(0),
            self.h.at(0),
            self.logits.at(0),
            self.inverse.at(0),
            self.p.at(places.output),
            self.p.at(places.norm_weight),
            self.g.at(places.norm_weight),
            self.g.at(places.norm_bias),
            u32(stride),
            active,
            u32(batch),
            u32(hidden),
            u32(classes),
            u32(rows),
            scale,
        ];
        // SAFETY: as above.
        unsafe { self.stream.launch("head_norm_back", norm_grid, norm_block, &arguments)? };
        self.product(
            [hidden, width, rows, members],
            relu.t(),
            self.x.matrix(0, width, batch * width),
            self.g.matrix(0, width, stride),
        )?;
        self.update(step)
    }

    /// AdamW's update of all active members.
    fn update(&self, step: usize) -> Result<()> {
        let (members, stride) = (self.slots.len(), self.sizes.stride());
        let optimizer = AdamW::default();
        let arguments = [
            self.p.at(0),
            self.g.at(0),
            self.m.at(0),
            self.v.at(0),
            // No copy in bf16.
            Argument::Pointer(0),
            u32(stride),
            u32(stride),
            self.constants.at(0),
            self.numbers.at(step),
            u32(self.sizes.steps),
            self.active.at(0),
            Argument::F32((1.0 - optimizer.beta1) as f32),
            Argument::F32(optimizer.beta2 as f32),
            Argument::F32((1.0 - optimizer.beta2) as f32),
            Argument::F32(optimizer.eps as f32),
        ];
        // SAFETY: these are the kernel's arguments, and the buffers have the sizes that it names.
        unsafe { self.stream.launch("adamw", grid(stride, 4, members), [THREADS as u32, 1, 1], &arguments) }
    }

    /// Features of `rows` samples from `first` of the members' lists into `x`; with dropout in training step `step`.
    #[expect(clippy::too_many_arguments, reason = "training and evaluation read alike")]
    fn gather(
        &self,
        lists: &Buffer<u32>,
        length: usize,
        first: usize,
        rows: usize,
        members: usize,
        slot: usize,
        step: Option<usize>,
    ) -> Result<()> {
        let HeadSizes { shape: HeadShape { width, .. }, dropout, batch, .. } = self.sizes;
        let dropout = if step.is_some() { dropout } else { 0.0 };
        let arguments = [
            self.x.at(slot * batch * width),
            self.features.at(0),
            lists.at(0),
            self.list.at(slot),
            self.table.at(slot),
            self.active.at(slot),
            self.seeds.at(slot),
            self.steps.at(slot),
            u32(batch),
            u32(width),
            u32(length),
            u32(first),
            u32(rows),
            u32(step.unwrap_or(0)),
            Argument::U32((dropout * 4_294_967_296.0).round() as u32),
            Argument::F32((1.0 / (1.0 - dropout)) as f32),
        ];
        let grid = grid(rows * width, 4, members);
        // SAFETY: these are the kernel's arguments, and the buffers have the sizes that it names.
        unsafe { self.stream.launch("head_gather", grid, [THREADS as u32, 1, 1], &arguments) }
    }

    /// `c = a b` of each member, [m, k] by [k, n]; sizes are m, n, k and the number of members.
    fn product(&self, [m, n, k, batch]: [usize; 4], a: Operand, b: Operand, c: Operand) -> Result<()> {
        let gemm = Gemm { m, n, k, batch, a, b, c, alpha: 1.0, beta: 0.0, tf32: false };
        // SAFETY: the operands lie in this array's buffers, which have room for `most` members and batches of `sizes.batch`.
        unsafe { self.stream.gemm(&gemm) }
    }

    /// Outputs, [samples, classes] each, of some members in evaluation mode: of the present models, or of the best so far. Each of
    /// `members` is a slot and which of `lists` it is evaluated on; these may differ in length.
    ///
    /// # Errors
    /// When the card fails.
    ///
    /// # Panics
    /// When there is no such slot, or lists are too many or too long.
    pub fn evaluate(&mut self, members: &[(usize, usize)], lists: &[Samples], best: bool) -> Result<Vec<Vec<f32>>> {
        let HeadSizes { shape: HeadShape { classes, .. }, evaluated, .. } = self.sizes;
        let longest = lists.iter().map(|list| list.rows.len()).max().unwrap_or(0);
        assert!(longest <= evaluated, "{longest} samples, there is room for {evaluated}");
        let mut rows = vec![0; longest];
        for (i, list) in lists.iter().enumerate() {
            rows[..list.rows.len()].copy_from_slice(&list.rows);
            // What is left over is a row that exists.
            rows[list.rows.len()..].fill(0);
            self.evaluated.upload(i * evaluated, &rows)?;
        }
        let slots: Vec<usize> = members.iter().map(|&(slot, _)| slot).collect();
        let mut list = vec![0; self.slots.len()];
        members.iter().for_each(|&(slot, which)| list[slot] = which as u32);
        self.list.upload(0, &list)?;
        self.active.upload(0, &vec![1; self.slots.len()])?;
        let table: Vec<u32> = self.slots.iter().map(|slot| slot.member.table as u32).collect();
        self.table.upload(0, &table)?;
        let mut values = vec![Vec::new(); self.slots.len()];
        for run in runs(&slots) {
            for first in (0..longest).step_by(self.sizes.batch) {
                self.evaluate_batch(run.start, run.len(), first, self.sizes.batch.min(longest - first), best)?;
            }
            let mut all = vec![0.0; run.len() * evaluated * classes];
            self.outputs.download_into(run.start * evaluated * classes, &mut all)?;
            for (slot, outputs) in run.zip(all.chunks_exact(evaluated * classes)) {
                values[slot] = outputs.to_vec();
            }
        }
        let outputs = |&(slot, which): &(usize, usize)| {
            let mut outputs = std::mem::take(&mut values[slot]);
            outputs.truncate(lists[which].rows.len() * classes);
            outputs
        };
        Ok(members.iter().map(outputs).collect())
    }

    /// Outputs of `members` neighbours from `slot` on, for `rows` samples from `first` of their lists on.
    fn evaluate_batch(&self, slot: usize, members: usize, first: usize, rows: usize, best: bool) -> Result<()> {
        let HeadSizes { shape, batch, evaluated, .. } = self.sizes;
        let HeadShape { width, hidden, classes } = shape;
        let stride = self.sizes.stride();
        let places = Places::new(shape);
        let (p, running) = if best { (&self.best, &self.best_running) } else { (&self.p, &self.running) };
        let weights = |place: usize| slot * stride + place;
        self.gather(&self.evaluated, evaluated, first, rows, members, slot, None)?;
        let h = self.h.matrix(slot * batch * hidden, hidden, batch * hidden);
        self.product(
            [rows, hidden, width, members],
            self.x.matrix(slot * batch * width, width, batch * width),
            p.matrix(weights(0), width, stride).t(),
            h,
        )?;
        let arguments = [
            self.h.at(slot * batch * hidden),
            running.at(slot * 2 * hidden),
            p.at(weights(places.norm_weight)),
            p.at(weights(places.norm_bias)),
            u32(stride),
            u32(batch),
            u32(hidden),
            u32(rows),
        ];
        let blocks = grid(rows * hidden, 4, members);
        // SAFETY: these are the kernel's arguments, and the buffers have the sizes that it names.
        unsafe { self.stream.launch("head_evaluate", blocks, [THREADS as u32, 1, 1], &arguments)? };
        let arguments = [
            self.outputs.at(slot * evaluated * classes),
            p.at(weights(places.output_bias)),
            u32(stride),
            u32(evaluated),
            u32(classes),
            u32(first),
            u32(rows),
        ];
        let blocks = grid(rows * classes, 1, members);
        // SAFETY: as above.
        unsafe { self.stream.launch("head_bias", blocks, [THREADS as u32, 1, 1], &arguments)? };
        let b = p.matrix(weights(places.output), hidden, stride).t();
        let c = self.outputs.matrix((slot * evaluated + first) * classes, classes, evaluated * classes);
        let (m, n, k) = (rows, classes, hidden);
        let gemm = Gemm { m, n, k, batch: members, a: h, b, c, alpha: 1.0, beta: 1.0, tf32: false };
        // SAFETY: the operands lie in this array's buffers; results have room for `evaluated` rows a member.
        unsafe { self.stream.gemm(&gemm) }
    }
}
