//! Steps of pre-training on the CPU.

use std::time::Instant;

use super::{Workload, lanes};
use crate::{
    error::{Error, Result},
    model::{AdaptorShape, AdaptorStep, Dropout},
    random::{Key, Purpose},
    task::Precision,
    train::optimizer::AdamW,
};

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaptorSetup {
    /// Widths of the embeddings.
    pub shape: AdaptorShape,
    /// Pairs a step.
    pub batch: usize,
    /// Of the matrix products.
    pub precision: Precision,
    /// Dropout probability; 0 only to compare losses.
    pub dropout: f64,
}

impl AdaptorSetup {
    /// The paper's (section 3.1), with encoders of 768 values such as DINOv2-B and BERT.
    pub const fn paper(batch: usize, precision: Precision) -> Self {
        Self { shape: AdaptorShape { image_width: 768, text_width: 768 }, batch, precision, dropout: 0.1 }
    }

    /// Loss of each of `steps` steps on one and the same batch, without dropout; and what a PyTorch script needs to do the same: initial
    /// weights, images, texts.
    pub fn reference(self, steps: u32, threads: usize) -> (Vec<f32>, Vec<f32>) {
        let mut lane = Lane::new(Self { dropout: 0.0, ..self });
        let pairs = Pairs::new(self, self.batch);
        let input = [&lane.p[..], &pairs.images, &pairs.texts].concat();
        let rows: Vec<u32> = (0..self.batch as u32).collect();
        let losses = (0..steps).map(|step| lane.step(&pairs, &rows, u64::from(step), 0, threads)).collect();
        (input, losses)
    }
}

/// Learning rate and weight of the image-to-text term; they do not change the time.
const LEARNING_RATE: f64 = 2e-5;
const I2T_WEIGHT: f64 = 0.75;

/// Random embeddings.
struct Pairs {
    images: Vec<f32>,
    texts: Vec<f32>,
}

impl Pairs {
    fn new(setup: AdaptorSetup, rows: usize) -> Self {
        let table = |stream, width: usize| {
            let mut x = vec![0.0; rows * width];
            Key::new(0, Purpose::Sample, 0).stream(stream).fill_normal(&mut x, 1.0);
            x
        };
        Self { images: table(0, setup.shape.image_width), texts: table(1, setup.shape.text_width) }
    }
}

/// One member at a time.
struct Lane {
    setup: AdaptorSetup,
    step: AdaptorStep,
    images: Vec<f32>,
    texts: Vec<f32>,
    p: Vec<f32>,
    g: Vec<f32>,
    m: Vec<f32>,
    v: Vec<f32>,
}

impl Lane {
    fn new(setup: AdaptorSetup) -> Self {
        let p = setup.shape.init(0);
        let n = p.len();
        Self {
            setup,
            step: AdaptorStep::with_precision(setup.shape, setup.batch, setup.precision),
            images: vec![],
            texts: vec![],
            p,
            g: vec![0.0; n],
            m: vec![0.0; n],
            v: vec![0.0; n],
        }
    }

    /// One step on the pairs `rows`, as `train::pretrain` makes it.
    fn step(&mut self, pairs: &Pairs, rows: &[u32], step: u64, seed: u64, threads: usize) -> f32 {
        gather(&pairs.images, self.setup.shape.image_width, rows, &mut self.images);
        gather(&pairs.texts, self.setup.shape.text_width, rows, &mut self.texts);
        let p = self.setup.dropout;
        let dropout = (p > 0.0).then_some(Dropout { p, seed, step });
        let Self { images, texts, p, g, m, v, .. } = self;
        let loss = self.step.forward_backward(p, g, images, texts, rows.len(), dropout, I2T_WEIGHT, threads);
        AdamW::default().step(p, g, m, v, step + 1, LEARNING_RATE);
        loss
    }
}

/// Copies rows of a table together.
pub(super) fn gather(table: &[f32], width: usize, rows: &[u32], out: &mut Vec<f32>) {
    out.clear();
    for &row in rows {
        out.extend_from_slice(&table[row as usize * width..][..width]);
    }
}

/// Batches that the table of random embeddings holds.
const BATCHES: usize = 4;

/// Members one after another, a lane a thread.
pub(super) struct OnCpu {
    setup: AdaptorSetup,
    threads: usize,
    pairs: Pairs,
    lanes: Vec<Lane>,
    initial: Vec<f32>,
}

impl OnCpu {
    pub(super) fn new(setup: AdaptorSetup, threads: usize) -> Self {
        let lane = Lane::new(setup);
        let initial = lane.p.clone();
        Self { setup, threads, pairs: Pairs::new(setup, BATCHES * setup.batch), lanes: vec![lane], initial }
    }
}

impl Workload for OnCpu {
    fn run(&mut self, members: usize, steps: u32) -> Result<f64> {
        while self.lanes.len() < self.threads.min(members) {
            self.lanes.push(Lane::new(self.setup));
        }
        let Self { setup, pairs, initial, .. } = self;
        lanes::run(&mut self.lanes, members, self.threads, |lane, member, threads| {
            lane.p.copy_from_slice(initial);
            lane.m.fill(0.0);
            lane.v.fill(0.0);
            let order = Key::new(member as u64, Purpose::Order, 0).permutation(BATCHES * setup.batch);
            let start = Instant::now();
            for (step, rows) in (0..u64::from(steps)).zip(order.chunks(setup.batch).cycle()) {
                let loss = lane.step(pairs, rows, step, member as u64, threads);
                if !loss.is_finite() {
                    return Err(Error::input(format!("the loss of member {member} is {loss} at step {step}")));
                }
            }
            Ok(start.elapsed().as_secs_f64())
        })
    }
}
