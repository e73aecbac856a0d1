//! Steps of classification heads on the CPU.

use std::time::Instant;

use super::{Workload, adaptor::gather, lanes};
use crate::{
    error::{Error, Result},
    model::{Dropout, HeadShape, HeadStep, RunningStats, Targets, WIDTH},
    random::{Key, Purpose},
    train::optimizer::AdamW,
};

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeadSetup {
    /// Sizes of a head.
    pub shape: HeadShape,
    /// Samples a step.
    pub batch: usize,
    /// Dropout probability; 0 only to compare losses.
    pub dropout: f64,
}

/// Learning rate and weight decay (COVIDx in the authors' code); they do not change the time.
const LEARNING_RATE: f64 = 5e-4;
const ADAMW: AdamW = AdamW { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.05 };
/// Samples that features are made for.
const SAMPLES: usize = 8192;

impl HeadSetup {
    /// The paper's head (section 2.3) with so many outputs.
    pub const fn paper(batch: usize, classes: usize) -> Self {
        Self { shape: HeadShape { width: WIDTH, hidden: 512, classes }, batch, dropout: 0.1 }
    }

    /// Random features, and a class of each.
    pub(super) fn samples(self) -> (Vec<f32>, Vec<u32>) {
        let Samples { features, labels } = Samples::new(self, SAMPLES.max(self.batch));
        (features, labels)
    }

    /// Losses of each of `heads`, without dropout: [heads, steps]; and what a PyTorch script needs to do the same: [steps, batch] rows of features,
    /// [steps, batch] classes, and initial weights of each head.
    pub fn reference(self, heads: usize, steps: usize) -> (Vec<f32>, Vec<f32>) {
        let setup = Self { dropout: 0.0, ..self };
        let samples = Samples::new(setup, steps * self.batch);
        let mut input = [&samples.features[..], &samples.labels.iter().map(|&y| y as f32).collect::<Vec<_>>()].concat();
        let mut losses = vec![];
        let rows: Vec<u32> = (0..(steps * self.batch) as u32).collect();
        for head in 0..heads {
            let mut lane = Lane::new(setup);
            lane.start(&setup.shape.init(head as u64));
            input.extend_from_slice(&lane.p);
            let steps = (0..).zip(rows.chunks(self.batch));
            losses.extend(steps.map(|(step, rows)| lane.step(&samples, rows, step, head as u64)));
        }
        (input, losses)
    }
}

/// Random features and classes.
struct Samples {
    features: Vec<f32>,
    labels: Vec<u32>,
}

impl Samples {
    fn new(setup: HeadSetup, samples: usize) -> Self {
        let HeadShape { width, classes, .. } = setup.shape;
        let mut features = vec![0.0; samples * width];
        Key::new(0, Purpose::Sample, 0).fill_normal(&mut features, (width as f32).sqrt().recip());
        let mut labels = vec![0; samples];
        Key::new(0, Purpose::Sample, 0).stream(1).bits(&mut labels);
        labels.iter_mut().for_each(|label| *label %= classes.max(2) as u32);
        Self { features, labels }
    }
}

/// One member at a time.
struct Lane {
    setup: HeadSetup,
    step: HeadStep,
    stats: RunningStats,
    x: Vec<f32>,
    y: Vec<u32>,
    y_binary: Vec<f32>,
    p: Vec<f32>,
    m: Vec<f32>,
    v: Vec<f32>,
}

impl Lane {
    fn new(setup: HeadSetup) -> Self {
        let zeros = || vec![0.0; setup.shape.parameters()];
        Self {
            setup,
            step: HeadStep::new(setup.shape, setup.batch),
            stats: RunningStats::new(setup.shape.hidden),
            x: vec![],
            y: vec![],
            y_binary: vec![],
            p: zeros(),
            m: zeros(),
            v: zeros(),
        }
    }

    fn start(&mut self, initial: &[f32]) {
        self.p.copy_from_slice(initial);
        self.m.fill(0.0);
        self.v.fill(0.0);
        self.stats = RunningStats::new(self.setup.shape.hidden);
    }

    /// One step on the samples `rows`, as `train::classify` makes it.
    fn step(&mut self, samples: &Samples, rows: &[u32], step: u64, seed: u64) -> f32 {
        gather(&samples.features, self.setup.shape.width, rows, &mut self.x);
        self.y.clear();
        self.y.extend(rows.iter().map(|&row| samples.labels[row as usize]));
        let targets = if self.setup.shape.classes == 1 {
            self.y_binary.clear();
            self.y_binary.extend(self.y.iter().map(|&class| class as f32));
            Targets::Binary(&self.y_binary)
        } else {
            Targets::Classes(&self.y)
        };
        let p = self.setup.dropout;
        let dropout = (p > 0.0).then_some(Dropout { p, seed, step });
        let update = ADAMW.at(step + 1, LEARNING_RATE);
        let Self { stats, x, p, m, v, .. } = self;
        self.step.train(p, stats, x, targets, rows.len(), dropout, |range, p, g| {
            update.apply(p, g, &mut m[range.clone()], &mut v[range]);
        })
    }
}

/// Members one after another, a lane a thread.
pub(super) struct OnCpu {
    setup: HeadSetup,
    threads: usize,
    samples: Samples,
    initial: Vec<f32>,
    lanes: Vec<Lane>,
}

impl OnCpu {
    pub(super) fn new(setup: HeadSetup, threads: usize) -> Self {
        let (samples, initial) = (Samples::new(setup, SAMPLES.max(setup.batch)), setup.shape.init(0));
        Self { setup, threads, samples, initial, lanes: vec![] }
    }
}

impl Workload for OnCpu {
    fn run(&mut self, members: usize, steps: u32) -> Result<f64> {
        while self.lanes.len() < self.threads.min(members).max(1) {
            self.lanes.push(Lane::new(self.setup));
        }
        let Self { setup, samples, initial, .. } = self;
        lanes::run(&mut self.lanes, members, self.threads, |lane, member, _| {
            lane.start(initial);
            let order = Key::new(member as u64, Purpose::Order, 0).permutation(samples.labels.len());
            let start = Instant::now();
            for (step, rows) in (0..u64::from(steps)).zip(order.chunks_exact(setup.batch).cycle()) {
                let loss = lane.step(samples, rows, step, member as u64);
                if !loss.is_finite() {
                    return Err(Error::input(format!("the loss of member {member} is {loss} at step {step}")));
                }
            }
            Ok(start.elapsed().as_secs_f64())
        })
    }
}
