//! One member on the CPU.

use std::ops::ControlFlow;

use super::{pairs::Pair, plan::Plan};
use crate::{
    error::Result,
    execute::{Job, Reporter},
    matrix::{self, Precision},
    model::{AdaptorStep, Dropout},
    protocol::Outcome,
    train::{
        course::{Model, Past, Position, Quality},
        weights::{Saved, Weights},
    },
};

/// Trains and tests one member.
pub(super) fn run(
    plan: &Plan<'_>,
    threads: usize,
    job: &Job,
    member: usize,
    reporter: &dyn Reporter,
) -> Result<Outcome> {
    let (mut course, state) = plan.begin(job, member, reporter, &Past::default())?;
    let mut weights = Weights::new(plan.shape.init(plan.task.seed), plan.task.weight_decay).with_gradient();
    if let Some(mut state) = state {
        weights.restore(&mut state)?;
    }
    if plan.task.precision == Precision::Bf16 && !matrix::has_bf16() {
        reporter.log(member, "this processor has no bf16 products: operands are rounded, at the speed of f32");
    }
    let step = AdaptorStep::with_precision(plan.shape, plan.batch, plan.task.precision);
    let order = (course.at.epoch, plan.order(course.at.epoch));
    let mut host = Host { plan, weights, order, rows: Rows { step, threads, images: Vec::new(), texts: Vec::new() } };
    if let ControlFlow::Break(outcome) = course.run(&mut host)? {
        return Ok(outcome);
    }
    let Host { weights, mut rows, .. } = host;
    let test_loss = (!plan.test.is_empty()).then(|| rows.loss(plan, &weights.best, &plan.test));
    plan.finish(&course, &weights.best, test_loss)
}

struct Host<'a> {
    plan: &'a Plan<'a>,
    weights: Weights,
    /// Of the training pairs, in this epoch.
    order: (u32, Vec<u32>),
    rows: Rows,
}

/// Buffers of a step.
struct Rows {
    step: AdaptorStep,
    threads: usize,
    /// Rows of the present batch.
    images: Vec<f32>,
    texts: Vec<f32>,
}

impl Rows {
    /// Mean loss a pair, in evaluation mode, in batches of the fixed size. A last batch of one pair has no loss.
    fn loss(&mut self, plan: &Plan<'_>, p: &[f32], pairs: &[Pair]) -> f64 {
        let (mut sum, mut count) = (0.0, 0);
        for batch in pairs.chunks(plan.batch).filter(|batch| batch.len() > 1) {
            plan.pairs.gather(batch.iter().copied(), &mut self.images, &mut self.texts);
            let (weight, threads) = (plan.task.i2t_weight, self.threads);
            let loss = self.step.loss(p, &self.images, &self.texts, batch.len(), weight, threads);
            sum += f64::from(loss) * batch.len() as f64;
            count += batch.len();
        }
        sum / count as f64
    }
}

impl Model for Host<'_> {
    fn train_step(&mut self, at: &Position) -> f32 {
        let Self { plan, weights, order, rows } = self;
        if order.0 != at.epoch {
            *order = (at.epoch, plan.order(at.epoch));
        }
        let start = at.epoch_step as usize * plan.batch;
        let batch = order.1[start..start + plan.batch].iter().map(|&row| plan.train[row as usize]);
        plan.pairs.gather(batch, &mut rows.images, &mut rows.texts);
        let dropout = Dropout { p: plan.task.dropout, seed: plan.task.seed, step: at.step };
        let loss = rows.step.forward_backward(
            &weights.p,
            &mut weights.g,
            &rows.images,
            &rows.texts,
            plan.batch,
            Some(dropout),
            plan.task.i2t_weight,
            rows.threads,
        );
        if loss.is_finite() {
            weights.update(at.step, plan.learning_rate(at.step));
        }
        loss
    }

    fn validate(&mut self, at: &Position) -> Quality {
        let val_loss = self.rows.loss(self.plan, &self.weights.p, &self.plan.valid);
        Quality::Loss { val_loss, learning_rate: self.plan.learning_rate(at.step - 1) }
    }

    fn keep_best(&mut self) {
        self.weights.keep_best();
    }

    fn saved(&self) -> Saved<'_> {
        self.weights.saved()
    }
}
