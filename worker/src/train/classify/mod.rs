//! Training and testing of one classification head on frozen features (paper, sections 2.3 and 3.2).
//!
//! A new order each epoch; a last batch of one sample is left out, as BatchNorm needs two. Chosen on the validation split by
//! AUROC, or accuracy where there are several classes, then tested once. Images whose label is unknown are left out everywhere.

mod card;
mod host;
mod plan;
mod results;
mod samples;

use std::sync::Arc;

use self::plan::Plan;
use super::{
    array,
    batched::Pace,
    features::{self, Source},
    inputs::Inputs,
};
use crate::{
    cuda::Stream,
    device::Device,
    error::{Error, Result},
    execute::{Job, Reporter},
    task::Task,
};

/// Width of the hidden layer (paper, section 2.3).
const HIDDEN: usize = 512;
/// Samples that are tested at once.
const TEST_BATCH: usize = 512;
/// Length of the schedule's period, as a share of all steps, and its least rate (the authors' code).
const PERIOD: f64 = 0.4;
const ETA_MIN: f64 = 1e-8;

/// Runs the members.
///
/// # Errors
/// When the device cannot train; each member has its own outcome otherwise.
pub fn run(device: &Device, job: &Job, reporter: &dyn Reporter) -> Result<()> {
    let inputs = Inputs::default();
    let threads = device.threads();
    if let Some(stream) = device.stream()? {
        let plan = |member| match read(&inputs, job, member, threads, Some(&stream)) {
            Ok(plan) => Some((member, plan)),
            Err(error) => {
                array::finish(reporter, member, Err(error));
                None
            }
        };
        let plans = (0..job.leases.len()).filter_map(plan).collect();
        return card::run(&stream, plans, job, reporter, Pace::default());
    }
    array::run(job.leases.len(), threads, reporter, |member, _| {
        host::run(&read(&inputs, job, member, threads, None)?, job, member, reporter)
    });
    Ok(())
}

/// What a member trains on.
fn read<'j>(
    inputs: &Inputs,
    job: &'j Job,
    member: usize,
    threads: usize,
    card: Option<&Arc<dyn Stream>>,
) -> Result<Plan<'j>> {
    let lease = &job.leases[member];
    let Task::Classify(task) = &lease.task else { return Err(Error::input("not a classification task")) };
    let dataset = inputs.dataset(job, lease, task.dataset)?;
    let embeddings = inputs.embeddings(job, lease, task.image, task.image_width)?;
    let source = Source { dataset: task.dataset, image: task.image, adaptor: task.adaptor };
    let features = features::of(source, &dataset, &embeddings, job, lease, threads, card)?;
    Plan::new(task, dataset, features)
}
