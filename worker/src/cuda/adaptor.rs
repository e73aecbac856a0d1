//! Arrays of Adaptors that are trained on a card as one batched model (paper, sections 2.1 and 2.2; `model/adaptor.rs`).
//!
//! The mathematics, the order of samples and the masks of dropout are those of the CPU. Results agree with it to rounding,
//! not to the bit: sums are taken in another order, and cuBLAS may choose another algorithm for another number of members.

use std::sync::Arc;

use super::{
    counting::Counting,
    engine::{Arithmetic, Engine},
    error::{CudaError, Result},
    kernels::{MEMBER_WORDS, SOURCE_WORDS},
    layout::Layout,
    stream::{Kind, Replay, Stream},
    tables::{Order, Pairs, Table},
    values::Values,
};
use crate::{cuda::Buffer, model::Dims, train::optimizer::AdamW};

/// A member of an array.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its sizes. Members of an array differ in the widths of embeddings alone.
    pub dims: Dims,
    /// Image embeddings; members may share them.
    pub images: Arc<Table>,
    /// Text embeddings.
    pub texts: Arc<Table>,
    /// The trial's seed, for dropout.
    pub seed: u64,
    /// Probability of dropout, in [0, 1).
    pub dropout: f64,
    /// Weight of the image-to-text term of the loss.
    pub i2t_weight: f64,
    /// AdamW's.
    pub weight_decay: f64,
}

/// What a checkpoint holds of a member, in the order of [`Dims::layout`].
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// Parameters.
    pub p: Vec<f32>,
    /// First moments.
    pub m: Vec<f32>,
    /// Second moments.
    pub v: Vec<f32>,
    /// Parameters after the best epoch; empty before there is one.
    pub best: Vec<f32>,
}

impl State {
    /// Before the first step.
    pub fn new(p: Vec<f32>) -> Self {
        Self { m: vec![0.0; p.len()], v: vec![0.0; p.len()], best: Vec::new(), p }
    }
}

/// Steps of one member, in one call of [`AdaptorArray::train`].
#[derive(Clone, Debug)]
pub struct Segment {
    /// What it is trained on.
    pub pairs: Arc<Pairs>,
    /// The epoch's order of them.
    pub order: Arc<Order>,
    /// Place in the order of the first step's first pair.
    pub start: usize,
    /// Steps done before, in all.
    pub first_step: u64,
    /// Learning rate of each step.
    pub learning_rates: Vec<f64>,
}

/// Up to a fixed number of members, trained in lock-step. Members are numbered from 0, as in a vector.
pub struct AdaptorArray {
    stream: Arc<dyn Stream>,
    engine: Engine,
    slots: Vec<Slot>,
    /// Members that there is room for.
    room: usize,
    graph: Option<Graph>,
}

#[derive(Debug)]
struct Slot {
    member: Member,
    active: bool,
    has_best: bool,
}

/// A training step, recorded for so many members.
struct Graph {
    members: usize,
    step: Box<dyn Replay>,
}

impl std::fmt::Debug for AdaptorArray {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdaptorArray").field("stream", &self.stream).field("slots", &self.slots).finish_non_exhaustive()
    }
}

impl AdaptorArray {
    /// An array of `members` that train on batches of `batch` pairs, with room for the losses of `steps` steps (it grows when
    /// more are asked for). Their parameters have to be set.
    ///
    /// # Errors
    /// [`CudaError::OutOfMemory`]: try fewer members. [`CudaError::Sizes`] for sizes that the kernels are not made for.
    ///
    /// # Panics
    /// When a table has another width than its member, or `batch` is less than 2.
    pub fn new(
        stream: &Arc<dyn Stream>,
        members: Vec<Member>,
        batch: usize,
        steps: usize,
        arithmetic: Arithmetic,
    ) -> Result<Self> {
        assert!(batch > 1, "a batch of {batch} has no loss");
        for member in &members {
            let Member { dims, images, texts, dropout, .. } = member;
            assert!((0.0..1.0).contains(dropout), "a dropout probability of {dropout}");
            let found = (images.width(), texts.width());
            assert_eq!(found, (dims.image_width, dims.text_width), "embeddings of other widths");
        }
        let dims: Vec<Dims> = members.iter().map(|member| member.dims).collect();
        let engine = Engine::new(stream, Layout::new(&dims)?, members.len(), batch, steps, arithmetic)?;
        let room = members.len();
        let slots = members.into_iter().map(|member| Slot { member, active: true, has_best: false }).collect();
        Ok(Self { stream: Arc::clone(stream), engine, slots, room, graph: None })
    }

    /// Bytes that an array takes on a card, from its own allocations. Tables, pairs and orders come on top.
    ///
    /// # Errors
    /// [`CudaError::Sizes`] for sizes that the kernels are not made for.
    pub fn bytes_needed(members: &[Dims], batch: usize, steps: usize, arithmetic: Arithmetic) -> Result<usize> {
        let counting = Counting::new();
        let stream: Arc<dyn Stream> = counting.clone();
        Engine::new(&stream, Layout::new(members)?, members.len(), batch, steps, arithmetic)?;
        Ok(counting.bytes())
    }

    /// Members there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether all members left.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Members that there was room for at first.
    pub fn room(&self) -> usize {
        self.room
    }

    /// Whether a member is updated: its loss was always finite, and it was not frozen.
    ///
    /// # Panics
    /// When there is no such member.
    pub fn is_active(&self, member: usize) -> bool {
        self.slots[member].active
    }

    /// Updates a member no more. It still takes its share of time until it is removed.
    ///
    /// # Panics
    /// When there is no such member.
    pub fn freeze(&mut self, member: usize) {
        self.slots[member].active = false;
    }

    /// Updates a member again.
    ///
    /// # Panics
    /// When there is no such member.
    pub fn thaw(&mut self, member: usize) {
        self.slots[member].active = true;
    }

    /// Sets all that a checkpoint holds.
    ///
    /// # Errors
    /// When the device fails.
    ///
    /// # Panics
    /// When there is no such member, or a vector has another length than its parameters.
    pub fn set_state(&mut self, member: usize, state: &State) -> Result<()> {
        let slot = &mut self.slots[member];
        let dims = slot.member.dims;
        for vector in [&state.p, &state.m, &state.v] {
            assert_eq!(vector.len(), dims.parameters(), "parameters of another length");
        }
        let Engine { layout, training, best, kernels, .. } = &mut self.engine;
        let (stride, trained) = (layout.stride, layout.trained);
        training.p.upload(member * stride, &layout.pack(dims, &state.p, stride))?;
        training.m.upload(member * trained, &layout.pack(dims, &state.m, trained))?;
        training.v.upload(member * trained, &layout.pack(dims, &state.v, trained))?;
        slot.has_best = !state.best.is_empty();
        if slot.has_best {
            best.upload(member * stride, &layout.pack(dims, &state.best, stride))?;
        }
        slot.active = true;
        kernels.narrow(member, training)
    }

    /// All that a checkpoint holds; waits for the device.
    ///
    /// # Errors
    /// When the device fails.
    ///
    /// # Panics
    /// When there is no such member.
    pub fn state(&self, member: usize) -> Result<State> {
        let slot = &self.slots[member];
        let Engine { layout, training, best, .. } = &self.engine;
        let read = |buffer: &Buffer<f32>, len: usize| {
            let mut packed = vec![0.0; len];
            buffer.download_into(member * len, &mut packed)?;
            Ok::<_, CudaError>(layout.unpack(slot.member.dims, &packed))
        };
        Ok(State {
            p: read(&training.p, layout.stride)?,
            m: read(&training.m, layout.trained)?,
            v: read(&training.v, layout.trained)?,
            best: if slot.has_best { read(best, layout.stride)? } else { Vec::new() },
        })
    }

    /// Keeps a member's parameters as its best.
    ///
    /// # Errors
    /// When the device fails.
    ///
    /// # Panics
    /// When there is no such member.
    pub fn keep_best(&mut self, member: usize) -> Result<()> {
        self.slots[member].has_best = true;
        let Engine { layout, training, best, .. } = &mut self.engine;
        let start = member * layout.stride;
        best.copy_from(start, &training.p, start..start + layout.stride)
    }

    /// Makes a member's best parameters its parameters, so that [`Self::losses`] and features are those of the best epoch.
    ///
    /// # Errors
    /// When the device fails.
    ///
    /// # Panics
    /// When there is no such member, or nothing was kept.
    pub fn use_best(&mut self, member: usize) -> Result<()> {
        assert!(self.slots[member].has_best, "nothing was kept");
        let Engine { layout, training, best, kernels, .. } = &mut self.engine;
        let start = member * layout.stride;
        training.p.copy_from(start, best, start..start + layout.stride)?;
        kernels.narrow(member, training)
    }

    /// Takes a member out; the last one gets its number, as in `Vec::swap_remove`. The rest trains faster then.
    ///
    /// # Errors
    /// When the device fails.
    ///
    /// # Panics
    /// When there is no such member.
    pub fn remove(&mut self, member: usize) -> Result<()> {
        let last = self.slots.len() - 1;
        self.slots.swap_remove(member);
        self.graph = None;
        if member == last {
            return Ok(());
        }
        let Engine { layout, training, best, kernels, .. } = &mut self.engine;
        let (stride, trained) = (layout.stride, layout.trained);
        for (buffer, len) in [
            (&mut training.p, stride),
            (best, stride),
            (&mut training.m, trained),
            (&mut training.v, trained),
            // Its padding stays zero: no product writes there.
            (&mut training.g, trained),
        ] {
            buffer.copy_within(last * len, member * len, len)?;
        }
        kernels.narrow(member, training)
    }

    /// Trains all members for some steps, without waiting for the device in between, and gives the losses of each member.
    /// A member whose loss is not finite is not updated from that step on, and not active any more.
    ///
    /// # Errors
    /// When the device fails.
    ///
    /// # Panics
    /// When there is not one segment a member, they have different numbers of steps, or pairs run out.
    pub fn train(&mut self, segments: &[Segment]) -> Result<Vec<Vec<f32>>> {
        let members = self.slots.len();
        assert_eq!(segments.len(), members, "one segment a member");
        let steps = segments.first().map_or(0, |segment| segment.learning_rates.len());
        if steps == 0 {
            return Ok(vec![Vec::new(); members]);
        }
        self.make_room(steps)?;
        let batch = self.engine.batch;
        let (mut words, mut constants) = (Vec::new(), Vec::new());
        for (slot, segment) in self.slots.iter().zip(segments) {
            assert_eq!(segment.learning_rates.len(), steps, "members train in lock-step");
            let end = segment.start + steps * batch;
            assert!(end <= segment.order.0.len() && segment.order.0.len() <= segment.pairs.len(), "pairs run out");
            words.extend(slot.member.words(segment.first_step));
            for (step, rate) in (segment.first_step..).zip(&segment.learning_rates) {
                constants.extend(slot.member.constants(step + 1, *rate));
            }
            constants.resize(constants.len() + 3 * (self.engine.record.steps - steps), 0.0);
        }
        self.engine.words.upload(0, &words)?;
        self.engine.constants.upload(0, &constants)?;
        self.send(segments.iter().map(|segment| (&*segment.pairs, Some((&*segment.order, segment.start)))))?;

        for step in 0..steps {
            match &self.graph {
                // SAFETY: the array keeps all its buffers, and borrows what the sources point to.
                Some(Graph { members: recorded, step }) if *recorded == members => unsafe { step.replay()? },
                // The first step is done directly: whatever a library sets up at its first use cannot be recorded.
                _ => {
                    self.engine.train_step(members)?;
                    if step + 1 < steps {
                        let engine = &mut self.engine;
                        let step = self.stream.record(&mut || engine.train_step(members))?;
                        self.graph = step.map(|step| Graph { members, step });
                    }
                }
            }
        }
        let losses = self.read_losses(steps)?;
        for (slot, losses) in self.slots.iter_mut().zip(&losses) {
            slot.active &= losses.iter().all(|loss| loss.is_finite());
        }
        Ok(losses)
    }

    /// Each member's mean loss a pair in evaluation mode, over batches of the fixed size in the pairs' own order; a last batch
    /// of one pair has no loss. NaN where there are no batches.
    ///
    /// # Errors
    /// When the device fails.
    ///
    /// # Panics
    /// When there is not one list of pairs a member.
    pub fn losses(&mut self, pairs: &[Arc<Pairs>]) -> Result<Vec<f64>> {
        let members = self.slots.len();
        assert_eq!(pairs.len(), members, "one list of pairs a member");
        let batch = self.engine.batch;
        let mut means = vec![f64::NAN; members];
        let mut lengths: Vec<usize> = pairs.iter().map(|pairs| pairs.len()).collect();
        lengths.sort_unstable();
        lengths.dedup();
        for length in lengths {
            // Members with lists of another length see that of one of these, and their losses are left aside.
            let Some(stand_in) = pairs.iter().find(|pairs| pairs.len() == length) else { continue };
            let batches: Vec<(usize, usize)> = (0..length)
                .step_by(batch)
                .map(|start| (start, batch.min(length - start)))
                .filter(|&(_, count)| count > 1)
                .collect();
            if batches.is_empty() {
                continue;
            }
            self.make_room(batches.len())?;
            self.send_for_evaluation(pairs.iter().map(|own| if own.len() == length { own } else { stand_in }))?;
            for &(start, count) in &batches {
                self.engine.evaluate(members, start, count)?;
            }
            let losses = self.read_losses(batches.len())?;
            let mine = pairs.iter().zip(&losses).zip(&mut means).filter(|((own, _), _)| own.len() == length);
            for ((_, losses), mean) in mine {
                let weighted = losses.iter().zip(&batches).map(|(&loss, &(_, count))| f64::from(loss) * count as f64);
                *mean = weighted.sum::<f64>() / batches.iter().map(|&(_, count)| count).sum::<usize>() as f64;
            }
        }
        Ok(means)
    }

    /// Features of all rows of `tables`, one a member and all of as many rows, in evaluation mode: [rows, width] each, rows of
    /// length 1. They stay on the card, for heads.
    ///
    /// # Errors
    /// [`CudaError::Sizes`] where activations are bf16; [`CudaError::OutOfMemory`]; or when the device fails.
    ///
    /// # Panics
    /// When there is not one table a member, or they have different numbers of rows.
    pub fn image_features(&mut self, tables: &[Arc<Table>]) -> Result<Vec<Buffer<f32>>> {
        let members = self.slots.len();
        assert_eq!(tables.len(), members, "one table a member");
        let rows = tables.first().map_or(0, |table| table.rows());
        assert!(tables.iter().all(|table| table.rows() == rows), "tables of different lengths");
        if self.engine.arithmetic.kind() == Kind::Bf16 {
            return Err(CudaError::Sizes("features are made in f32".to_owned()));
        }
        let width = self.engine.layout.dims.width;
        let mut features =
            (0..members).map(|_| Buffer::undefined(&self.stream, rows * width)).collect::<Result<Vec<_>>>()?;
        let mut sources = Vec::new();
        for (table, slot) in tables.iter().zip(&self.slots) {
            assert_eq!(table.width(), slot.member.dims.image_width, "embeddings of another width");
            sources.extend(source(table, None, None));
        }
        self.engine.image_sources.upload(0, &sources)?;
        let most = self.engine.most_images();
        for start in (0..rows).step_by(most) {
            let count = most.min(rows - start);
            let Values::F32(values) = self.engine.image_features(members, start, count)? else {
                unreachable!("activations are f32")
            };
            for (member, features) in features.iter_mut().enumerate() {
                let from = member * count * width;
                features.copy_from(start * width, values, from..from + count * width)?;
            }
        }
        Ok(features)
    }

    /// Room for the losses and learning rates of so many steps.
    fn make_room(&mut self, steps: usize) -> Result<()> {
        if steps > self.engine.record.steps {
            // Recorded work knows the old places.
            self.graph = None;
            self.engine.record.losses = Buffer::zeros(&self.stream, self.room * steps)?;
            self.engine.constants = Buffer::zeros(&self.stream, self.room * 3 * steps)?;
            self.engine.record.steps = steps;
        }
        Ok(())
    }

    fn send_for_evaluation<'a>(&mut self, pairs: impl Iterator<Item = &'a Arc<Pairs>>) -> Result<()> {
        self.send(pairs.map(|pairs| (&**pairs, None)))
    }

    /// What each member reads, and from where in its order on.
    fn send<'a>(&mut self, parts: impl Iterator<Item = (&'a Pairs, Option<(&'a Order, usize)>)>) -> Result<()> {
        let (mut images, mut texts, mut active, mut weights) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (Slot { member, active: own, .. }, (pairs, order)) in self.slots.iter().zip(parts) {
            let there = (member.images.rows(), member.texts.rows());
            assert!(pairs.rows.0 <= there.0 && pairs.rows.1 <= there.1, "pairs of embeddings that are not there");
            let order = order.map(|(order, start)| order.0.address(start));
            images.extend(source(&member.images, Some(&pairs.images), order));
            texts.extend(source(&member.texts, Some(&pairs.texts), order));
            active.push(u32::from(*own));
            weights.push(member.i2t_weight);
        }
        self.engine.image_sources.upload(0, &images)?;
        self.engine.text_sources.upload(0, &texts)?;
        self.engine.training.active.upload(0, &active)?;
        self.engine.loss.i2t_weights.upload(0, &weights)?;
        self.engine.record.position.upload(0, &[0])
    }

    /// Waits for the device.
    fn read_losses(&self, steps: usize) -> Result<Vec<Vec<f32>>> {
        let record = &self.engine.record;
        let mut all = vec![0.0; self.slots.len() * record.steps];
        record.losses.download_into(0, &mut all)?;
        Ok(all.chunks_exact(record.steps).map(|losses| losses[..steps].to_vec()).collect())
    }
}

impl Member {
    /// What its masks depend on (`Member` in `dropout.cuh`).
    fn words(&self, first_step: u64) -> [u32; MEMBER_WORDS] {
        let dropped = (self.dropout * 4_294_967_296.0).round() as u32;
        let scale = (1.0 / (1.0 - self.dropout)) as f32;
        let [seed, step] = [self.seed, first_step].map(|value| [value as u32, (value >> 32) as u32]);
        [seed[0], seed[1], dropped, scale.to_bits(), step[0], step[1]]
    }

    /// AdamW's constants of step `t`, counted from 1, as the CPU's optimizer has them.
    fn constants(&self, t: u64, learning_rate: f64) -> [f32; 3] {
        let AdamW { beta1, beta2, .. } = AdamW::default();
        let power = t.min(i32::MAX as u64) as i32;
        let (first, second) = (1.0 - beta1.powi(power), 1.0 - beta2.powi(power));
        [(1.0 - learning_rate * self.weight_decay) as f32, second.sqrt() as f32, (learning_rate / first) as f32]
    }
}

/// `Source` in `rows.cuh`.
fn source(table: &Table, rows: Option<&Buffer<u32>>, order: Option<u64>) -> [u64; SOURCE_WORDS] {
    let halves = u64::from(table.values.kind() == Kind::Bf16);
    let rows = rows.map_or(0, |rows| rows.address(0));
    [table.values.address(0), rows, order.unwrap_or(0), table.row() as u64, halves]
}

#[cfg(test)]
impl AdaptorArray {
    /// The gradient of a member's last step, in the order of [`Dims::layout`]; queries and keys have 0.
    pub(super) fn gradient(&self, member: usize) -> Result<Vec<f32>> {
        let packed = self.engine.gradient(member)?;
        Ok(self.engine.layout.unpack(self.slots[member].member.dims, &packed))
    }
}
