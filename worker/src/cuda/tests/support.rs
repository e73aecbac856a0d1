//! What tests on a card share.

use std::sync::Arc;

use crate::{
    cuda::{
        AdaptorArray, Arithmetic, Kind, Member, Order, Pairs, Segment, State, Stream, Table, buffer::Buffer,
        emulation::Emulation,
    },
    model::{AdaptorStep, Dims, Dropout},
    random::{Key, Purpose},
    train::optimizer::AdamW,
};

/// The emulation, and a card where there is one. What is skipped is said on standard error.
pub(crate) fn devices() -> Vec<Arc<dyn Stream>> {
    Emulation::open().into_iter().chain(card()).collect()
}

#[cfg(not(feature = "cuda"))]
fn card() -> Option<Arc<dyn Stream>> {
    None
}

#[cfg(feature = "cuda")]
fn card() -> Option<Arc<dyn Stream>> {
    crate::cuda::card::for_tests()
}

pub(super) fn uniform(stream: u32, n: usize, low: f32, high: f32) -> Vec<f32> {
    let mut values = vec![0.0; n];
    Key::new(77, Purpose::Init, 9).stream(stream).fill_uniform(&mut values, low, high);
    values
}

/// Fails unless values agree to `tolerance` of the largest.
#[track_caller]
pub(super) fn close(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(1e-6_f32, |largest, x| largest.max(x.abs()));
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (found - expected).abs() / largest;
        assert!(error <= tolerance, "{what}, element {i}: {found}, not {expected} ({error:e} of {largest})");
    }
}

/// One trial, as the CPU sees it and as a card does.
#[derive(Clone)]
pub(super) struct Trial {
    pub dims: Dims,
    pub seed: u64,
    pub dropout: f64,
    pub i2t_weight: f64,
    pub weight_decay: f64,
    pub images: Vec<f32>,
    pub texts: Vec<f32>,
    /// Rows of images and texts.
    pub pairs: Vec<(u32, u32)>,
    pub order: Vec<u32>,
    pub first_step: u64,
}

/// Rows of the tables of a trial.
const TABLE: usize = 40;

impl Trial {
    /// Number `number` of some trials: widths, seeds and the rest differ.
    pub(super) fn new(number: usize, dims: Dims, pairs: usize) -> Self {
        let stream = 10 * number as u32;
        let dims = Dims { image_width: dims.image_width - 2 * (number % 3), ..dims };
        let rows = |salt: u32| {
            let row = |x: &f32| ((*x * TABLE as f32) as u32).min(TABLE as u32 - 1);
            uniform(stream + salt, pairs, 0.0, 1.0).iter().map(row).collect::<Vec<u32>>()
        };
        Self {
            dims,
            seed: 1000 + number as u64,
            dropout: [0.1, 0.0, 0.3][number % 3],
            i2t_weight: [0.75, 0.25, 0.5][number % 3],
            weight_decay: [0.01, 0.5, 0.0][number % 3],
            images: uniform(stream, TABLE * dims.image_width, -1.0, 1.0),
            texts: uniform(stream + 1, TABLE * dims.text_width, -1.0, 1.0),
            pairs: rows(2).into_iter().zip(rows(3)).collect(),
            order: Key::new(1000 + number as u64, Purpose::Order, 3).permutation(pairs),
            first_step: [0, 7, (1 << 33) + 5][number % 3],
        }
    }

    pub(super) fn start(&self) -> State {
        let mut p = self.dims.init(self.seed);
        // Biases and norms at their initial 0 and 1 would hide mistakes.
        let shift = uniform(900, p.len(), -0.1, 0.1);
        p.iter_mut().zip(shift).for_each(|(p, shift)| *p += shift);
        State::new(p)
    }

    /// Embeddings of the pairs at `places` of the order, or of the pairs themselves.
    pub(super) fn gather(&self, pairs: impl Iterator<Item = usize>) -> (Vec<f32>, Vec<f32>) {
        let (mut images, mut texts) = (Vec::new(), Vec::new());
        for pair in pairs {
            let (image, text) = self.pairs[pair];
            let row = |values: &[f32], row: u32, width: usize| values[row as usize * width..][..width].to_vec();
            images.extend(row(&self.images, image, self.dims.image_width));
            texts.extend(row(&self.texts, text, self.dims.text_width));
        }
        (images, texts)
    }

    /// Loss and gradient of step `step` of the segment on the CPU.
    pub(super) fn cpu_step(&self, p: &[f32], batch: usize, step: usize) -> (f32, Vec<f32>) {
        let places = (step * batch..(step + 1) * batch).map(|place| self.order[place] as usize);
        let (images, texts) = self.gather(places);
        let mut g = vec![0.0; p.len()];
        let dropout = Dropout { p: self.dropout, seed: self.seed, step: self.first_step + step as u64 };
        let mut adaptor = AdaptorStep::new(self.dims, batch);
        let loss = adaptor.forward_backward(p, &mut g, &images, &texts, batch, Some(dropout), self.i2t_weight, 1);
        (loss, g)
    }

    /// Some steps on the CPU: losses and what is left.
    pub(super) fn cpu_train(&self, batch: usize, rates: &[f64]) -> (Vec<f32>, State) {
        let State { mut p, mut m, mut v, .. } = self.start();
        let optimizer = AdamW { weight_decay: self.weight_decay, ..AdamW::default() };
        let mut losses = Vec::new();
        for (step, &rate) in rates.iter().enumerate() {
            let (loss, g) = self.cpu_step(&p, batch, step);
            losses.push(loss);
            if loss.is_finite() {
                optimizer.step(&mut p, &g, &mut m, &mut v, self.first_step + step as u64 + 1, rate);
            }
        }
        (losses, State { p, m, v, best: Vec::new() })
    }

    pub(super) fn member(&self, stream: &Arc<dyn Stream>, kind: Kind) -> Member {
        let Dims { image_width, text_width, .. } = self.dims;
        Member {
            dims: self.dims,
            images: Arc::new(Table::from_rows(stream, kind, image_width, &self.images).unwrap()),
            texts: Arc::new(Table::from_rows(stream, kind, text_width, &self.texts).unwrap()),
            seed: self.seed,
            dropout: self.dropout,
            i2t_weight: self.i2t_weight,
            weight_decay: self.weight_decay,
        }
    }

    pub(super) fn segment(&self, stream: &Arc<dyn Stream>, rates: &[f64]) -> Segment {
        Segment {
            pairs: Arc::new(Pairs::upload(stream, &self.pairs).unwrap()),
            order: Arc::new(Order(Buffer::from_slice(stream, &self.order).unwrap())),
            start: 0,
            first_step: self.first_step,
            learning_rates: rates.to_vec(),
        }
    }
}

/// An array of trials, with their initial weights.
pub(super) fn array(stream: &Arc<dyn Stream>, trials: &[Trial], batch: usize, arithmetic: Arithmetic) -> AdaptorArray {
    let kind = arithmetic.kind();
    let members = trials.iter().map(|trial| trial.member(stream, kind)).collect();
    let mut array = AdaptorArray::new(stream, members, batch, 4, arithmetic).unwrap();
    for (member, trial) in trials.iter().enumerate() {
        array.set_state(member, &trial.start()).unwrap();
    }
    array
}

/// Trains all trials for some steps in one call.
pub(super) fn train(
    stream: &Arc<dyn Stream>,
    array: &mut AdaptorArray,
    trials: &[Trial],
    rates: &[f64],
) -> Vec<Vec<f32>> {
    let segments: Vec<_> = trials.iter().map(|trial| trial.segment(stream, rates)).collect();
    array.train(&segments).unwrap()
}
