//! One member on the CPU.

use std::{borrow::Cow, ops::ControlFlow};

use super::{
    HIDDEN, TEST_BATCH,
    plan::{Plan, restore_stats, save_stats},
    samples::Samples,
};
use crate::{
    error::Result,
    execute::{Job, Reporter},
    model::{Dropout, HeadStep, RunningStats, Targets},
    protocol::Outcome,
    task::Target,
    train::{
        course::{Model, Past, Position, Quality},
        weights::{Saved, Weights},
    },
};

/// Trains and tests one member.
pub(super) fn run(plan: &Plan<'_>, job: &Job, member: usize, reporter: &dyn Reporter) -> Result<Outcome> {
    let (mut course, state) = plan.begin(job, member, reporter, &Past::default())?;
    let batch = plan.task.batch_size.min(plan.splits.train.images.len());
    let mut host = Host {
        plan,
        weights: Weights::new(plan.shape.init(plan.task.seed), plan.task.weight_decay),
        stats: RunningStats::new(HIDDEN),
        best_stats: RunningStats::new(HIDDEN),
        order: (course.at.epoch, plan.order(course.at.epoch)),
        step: HeadStep::new(plan.shape, batch.max(TEST_BATCH)),
        x: Vec::new(),
        y: Vec::new(),
        y_binary: Vec::new(),
    };
    if let Some(mut state) = state {
        host.weights.restore(&mut state)?;
        [host.stats, host.best_stats] = restore_stats(&mut state)?;
    }
    if let ControlFlow::Break(outcome) = course.run(&mut host)? {
        return Ok(outcome);
    }
    let Host { mut step, weights, best_stats, .. } = host;
    let logits = logits(&mut step, plan, &weights.best, &best_stats, &plan.splits.test);
    plan.finish(&course, &weights.best, &best_stats, logits)
}

struct Host<'a> {
    plan: &'a Plan<'a>,
    weights: Weights,
    stats: RunningStats,
    best_stats: RunningStats,
    /// Of the training samples, in this epoch.
    order: (u32, Vec<u32>),
    step: HeadStep,
    /// Features of the present batch, [batch, width], and its classes, as a binary label's numbers too.
    x: Vec<f32>,
    y: Vec<u32>,
    y_binary: Vec<f32>,
}

impl Model for Host<'_> {
    fn train_step(&mut self, at: &Position) -> f32 {
        let Plan { task, features, splits, .. } = self.plan;
        if self.order.0 != at.epoch {
            self.order = (at.epoch, self.plan.order(at.epoch));
        }
        let order = &self.order.1;
        let start = at.epoch_step as usize * task.batch_size;
        let end = (start + task.batch_size).min(order.len());
        self.x.clear();
        self.y.clear();
        for &sample in &order[start..end] {
            let sample = sample as usize;
            self.x.extend_from_slice(features.row(splits.train.images[sample]));
            self.y.push(splits.train.classes[sample]);
        }
        let targets = match task.target {
            Target::Binary => {
                self.y_binary.clear();
                self.y_binary.extend(self.y.iter().map(|&class| class as f32));
                Targets::Binary(&self.y_binary)
            }
            Target::Classes => Targets::Classes(&self.y),
        };
        let dropout = Dropout { p: task.dropout, seed: task.seed, step: at.step };
        let (p, update) = self.weights.in_parts(at.step, self.plan.learning_rate(at.epoch));
        self.step.train(p, &mut self.stats, &self.x, targets, end - start, Some(dropout), update)
    }

    fn validate(&mut self, _: &Position) -> Quality {
        let Self { plan, weights, stats, step, .. } = self;
        plan.quality(logits(step, plan, &weights.p, stats, &plan.splits.valid))
    }

    fn keep_best(&mut self) {
        self.weights.keep_best();
        self.best_stats.clone_from(&self.stats);
    }

    fn saved(&self) -> Saved<'_> {
        let mut saved = self.weights.saved();
        save_stats(&mut saved, Cow::Borrowed(&self.stats), Cow::Borrowed(&self.best_stats));
        saved
    }
}

/// Outputs of `samples`, in evaluation mode, [samples, classes].
fn logits(step: &mut HeadStep, plan: &Plan<'_>, p: &[f32], stats: &RunningStats, samples: &Samples) -> Vec<f32> {
    let outputs = plan.shape.classes;
    let mut logits = vec![0.0; samples.images.len() * outputs];
    let mut x = Vec::new();
    for (images, out) in samples.images.chunks(TEST_BATCH).zip(logits.chunks_mut(TEST_BATCH * outputs)) {
        x.clear();
        images.iter().for_each(|&image| x.extend_from_slice(plan.features.row(image)));
        step.logits(p, stats, &x, images.len(), out);
    }
    logits
}
