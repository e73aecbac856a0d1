//! Steps of arrays on a card, and what the card does at most.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use half::bf16;

use super::{AdaptorSetup, GRID, HeadSetup, Peak, Workload};
use crate::{
    cuda::{
        AdaptorArray, Arithmetic, Buffer, CudaError, Gemm, Kind, MatrixElement, Member, Order, Orders, Pairs, Segment,
        State, Stream, Table,
        heads::{HeadArray, HeadMember, HeadSizes, HeadSpan, HeadState, Samples},
    },
    error::{Error, Result},
    model::Dims,
    random::{Key, Purpose},
    task::Precision,
};

/// Embeddings of each side that lie on the card: as many as the paper has pairs. The members share them.
pub(super) const EMBEDDINGS: usize = GRID.pairs as usize;
/// Steps that an array is made for; more are done in several calls.
const STEPS: usize = 256;
const LEARNING_RATE: f64 = 2e-5;

const fn arithmetic(precision: Precision) -> Arithmetic {
    match precision {
        Precision::F32 => Arithmetic::F32,
        Precision::Bf16 => Arithmetic::Bf16,
    }
}

fn finite(losses: &[Vec<f32>]) -> Result<()> {
    let wrong = |(member, losses): (usize, &Vec<f32>)| Some((member, *losses.iter().find(|loss| !loss.is_finite())?));
    match losses.iter().enumerate().find_map(wrong) {
        None => Ok(()),
        Some((member, loss)) => Err(Error::input(format!("the loss of member {member} is {loss}"))),
    }
}

/// Arrays of Adaptors.
pub(super) struct Adaptors {
    stream: Arc<dyn Stream>,
    setup: AdaptorSetup,
    images: Arc<Table>,
    texts: Arc<Table>,
    pairs: Arc<Pairs>,
    order: Arc<Order>,
    initial: State,
    /// By their members, with the steps they have done.
    arrays: BTreeMap<usize, (AdaptorArray, u64)>,
}

impl Adaptors {
    /// With so many embeddings of each side.
    pub(super) fn new(stream: Arc<dyn Stream>, setup: AdaptorSetup, embeddings: usize) -> Result<Self> {
        let kind = arithmetic(setup.precision).kind();
        let rows = embeddings.max(setup.batch);
        let table = |side: u32, width: usize| {
            Table::upload(&stream, kind, rows, width, |row, out| {
                let start = out.len();
                out.resize(start + width, 0.0);
                Key::new(0, Purpose::Sample, row as u64).stream(side).fill_uniform(&mut out[start..], -1.7, 1.7);
            })
        };
        let pairs: Vec<(u32, u32)> = (0..rows as u32).map(|row| (row, row)).collect();
        Ok(Self {
            images: Arc::new(table(0, setup.shape.image_width)?),
            texts: Arc::new(table(1, setup.shape.text_width)?),
            pairs: Arc::new(Pairs::upload(&stream, &pairs)?),
            order: Orders::new(&stream).get(0, 0, rows)?,
            initial: State::new(setup.shape.init(0)),
            arrays: BTreeMap::new(),
            stream,
            setup,
        })
    }

    fn array(&self, members: usize) -> Result<AdaptorArray, CudaError> {
        let AdaptorSetup { shape, batch, precision, dropout } = self.setup;
        let member = |seed| Member {
            dims: Dims::from(shape),
            images: Arc::clone(&self.images),
            texts: Arc::clone(&self.texts),
            seed,
            dropout,
            i2t_weight: 0.75,
            weight_decay: 0.01,
        };
        let all = (0..members as u64).map(member).collect();
        let mut array = AdaptorArray::new(&self.stream, all, batch, STEPS, arithmetic(precision))?;
        (0..members).try_for_each(|member| array.set_state(member, &self.initial))?;
        Ok(array)
    }
}

impl Workload for Adaptors {
    fn run(&mut self, members: usize, steps: u32) -> Result<f64> {
        if !self.arrays.contains_key(&members) {
            self.arrays.insert(members, (self.array(members)?, 0));
        }
        let Self { stream, setup, pairs, order, arrays, .. } = self;
        let Some((array, done)) = arrays.get_mut(&members) else { return Ok(0.0) };
        let an_epoch = pairs.len() / setup.batch;
        stream.synchronise()?;
        let start = Instant::now();
        let mut left = steps as usize;
        while left > 0 {
            let place = *done as usize % an_epoch;
            let now = left.min(STEPS).min(an_epoch - place);
            let segment = Segment {
                pairs: Arc::clone(pairs),
                order: Arc::clone(order),
                start: place * setup.batch,
                first_step: *done,
                learning_rates: vec![LEARNING_RATE; now],
            };
            // This waits for the card.
            finite(&array.train(&vec![segment; members])?)?;
            *done += now as u64;
            left -= now;
        }
        Ok(start.elapsed().as_secs_f64())
    }
}

/// Arrays of heads. Members go through the samples in one of five orders, as the paper's sweeps have five seeds.
pub(super) struct Heads {
    stream: Arc<dyn Stream>,
    setup: HeadSetup,
    features: Arc<Buffer<f32>>,
    lists: Vec<Arc<Samples>>,
    arrays: BTreeMap<usize, (HeadArray, u64)>,
}

const LISTS: usize = 5;

impl Heads {
    pub(super) fn new(stream: Arc<dyn Stream>, setup: HeadSetup) -> Result<Self> {
        let (features, labels) = setup.samples();
        let list = |seed: usize| {
            let rows = Key::new(seed as u64, Purpose::Order, 0).permutation(labels.len());
            let classes = rows.iter().map(|&row| labels[row as usize]).collect();
            Arc::new(Samples { rows, classes })
        };
        let lists = (0..LISTS).map(list).collect();
        let features = Arc::new(Buffer::from_slice(&stream, &features)?);
        Ok(Self { stream, setup, features, lists, arrays: BTreeMap::new() })
    }

    fn array(&self, members: usize) -> Result<HeadArray, CudaError> {
        let HeadSetup { shape, batch, dropout } = self.setup;
        let train = self.lists[0].rows.len();
        let sizes =
            HeadSizes { shape, binary: shape.classes == 1, dropout, batch, train, evaluated: 1, steps: train / batch };
        let mut array = HeadArray::new(&self.stream, sizes, members, Arc::clone(&self.features))?;
        let state = HeadState::new(shape, 0);
        for seed in 0..members as u64 {
            array.push(HeadMember { seed, weight_decay: 0.05, table: 0 }, &state)?;
        }
        Ok(array)
    }
}

impl Workload for Heads {
    fn run(&mut self, members: usize, steps: u32) -> Result<f64> {
        if !self.arrays.contains_key(&members) {
            self.arrays.insert(members, (self.array(members)?, 0));
        }
        let Self { stream, setup, lists, arrays, .. } = self;
        let Some((array, done)) = arrays.get_mut(&members) else { return Ok(0.0) };
        let lists = &lists[..LISTS.min(members)];
        let an_epoch = lists[0].rows.len() / setup.batch;
        stream.synchronise()?;
        let start = Instant::now();
        let mut left = steps as usize;
        while left > 0 {
            let place = *done as usize % an_epoch;
            let now = left.min(an_epoch - place);
            let (step, learning_rate) = (*done, 5e-4);
            let span = |slot: usize| HeadSpan { slot, step, learning_rate, list: slot % lists.len() };
            let spans: Vec<HeadSpan> = (0..members).map(span).collect();
            let samples = place * setup.batch..(place + now) * setup.batch;
            // This waits for the card.
            finite(&array.train(&spans, lists, samples.start, samples.end, || {})?)?;
            *done += now as u64;
            left -= now;
        }
        Ok(start.elapsed().as_secs_f64())
    }
}

/// Side of the matrices on a card.
pub(super) const SIDE: usize = 8192;
const TRIES: usize = 3;
/// Products a try: the waiting between them is not measured.
const PRODUCTS: usize = 10;

/// The fastest of some products of square matrices, by cuBLAS. f32 is not rounded to TF32, as in training.
pub(super) fn peak(stream: &Arc<dyn Stream>, precision: Precision, side: usize) -> Result<Peak> {
    match arithmetic(precision).kind() {
        Kind::F32 => peak_of(stream, precision, side, |value| value),
        Kind::Bf16 => peak_of(stream, precision, side, bf16::from_f32),
    }
}

fn peak_of<T: MatrixElement>(
    stream: &Arc<dyn Stream>,
    precision: Precision,
    side: usize,
    element: impl Fn(f32) -> T,
) -> Result<Peak> {
    let matrix = |number: u32| {
        let mut values = vec![0.0; side * side];
        Key::new(0, Purpose::Sample, 0).stream(number).fill_uniform(&mut values, -1.0, 1.0);
        Buffer::from_slice(stream, &values.into_iter().map(&element).collect::<Vec<T>>())
    };
    let (a, b, c) = (matrix(0)?, matrix(1)?, Buffer::<T>::undefined(stream, side * side)?);
    let [a, b, c] = [&a, &b, &c].map(|buffer| buffer.matrix(0, side, side * side));
    let gemm = Gemm { m: side, n: side, k: side, batch: 1, a, b, c, alpha: 1.0, beta: 0.0, tf32: false };
    let mut fastest = f64::INFINITY;
    // The first try is not measured: libraries are loaded.
    for number in 0..=TRIES {
        stream.synchronise()?;
        let start = Instant::now();
        for _ in 0..PRODUCTS {
            // SAFETY: the three buffers live until the stream has been waited for, and do not overlap.
            unsafe { stream.gemm(&gemm)? };
        }
        stream.synchronise()?;
        if number > 0 {
            fastest = fastest.min(start.elapsed().as_secs_f64());
        }
    }
    let gflops = 2.0 * (side as f64).powi(3) * PRODUCTS as f64 / fastest / 1e9;
    Ok(Peak { of: format!("{} product of {side} x {side} matrices by cuBLAS", precision.name()), gflops })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cuda::emulation::Emulation,
        model::{AdaptorShape, HeadShape},
    };

    /// More steps than an epoch has, in several runs, of several sizes of arrays.
    #[test]
    fn arrays_are_timed_under_the_emulation() {
        let Some(stream) = Emulation::open() else { return };
        let stream: Arc<dyn Stream> = stream;
        for precision in [Precision::F32, Precision::Bf16] {
            let shape = AdaptorShape { image_width: 24, text_width: 16 };
            let setup = AdaptorSetup { shape, batch: 4, precision, dropout: 0.1 };
            let mut adaptors = Adaptors::new(Arc::clone(&stream), setup, 13).unwrap();
            for (members, steps) in [(1, 2), (2, 5), (1, 1)] {
                assert!(adaptors.run(members, steps).unwrap() > 0.0);
            }
            let done: Vec<(usize, u64)> =
                adaptors.arrays.iter().map(|(members, (_, done))| (*members, *done)).collect();
            assert_eq!(done, [(1, 3), (2, 5)]);
            assert!(peak(&stream, precision, 16).unwrap().gflops > 0.0);
        }
        let shape = HeadShape { width: 16, hidden: 32, classes: 3 };
        let mut heads = Heads::new(stream, HeadSetup { shape, batch: 3000, dropout: 0.1 }).unwrap();
        for (members, steps) in [(1, 1), (7, 3)] {
            assert!(heads.run(members, steps).unwrap() > 0.0);
        }
        let losses = vec![vec![1.0, 2.0], vec![1.0, f32::NAN]];
        assert!(finite(&losses).unwrap_err().to_string().contains("member 1 is NaN"));
    }
}
