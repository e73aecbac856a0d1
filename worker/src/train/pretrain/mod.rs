//! Pre-training of one Adaptor on image-text pairs (paper, sections 2.2 and 3.1).
//!
//! Batches are drawn without replacement, in a new order each epoch; what does not fill a batch at the end of an epoch is
//! left out, as the loss compares the members of a batch. The validation loss is the mean over batches of the same size in
//! a fixed order (the last one may be smaller): it depends on the batch size, so compare it among equal ones only.

mod card;
mod host;
mod pairs;
mod plan;

use self::{card::Trainee, pairs::Pairs, plan::Plan};
use super::{array, batched::Pace, inputs::Inputs};
use crate::{
    device::Device,
    error::{Error, Result},
    execute::{Job, Reporter},
    task::{Attention, Pretrain, Task},
};

/// Name of the artifact.
pub const ADAPTOR: &str = "adaptor.safetensors";

/// Runs the members.
///
/// # Errors
/// When the device cannot train; each member has its own outcome otherwise.
pub fn run(device: &Device, job: &Job, reporter: &dyn Reporter) -> Result<()> {
    let inputs = Inputs::default();
    if let Some(stream) = device.stream()? {
        let members = (0..job.leases.len()).map(|member| (member, read(&inputs, job, member)));
        let (mut read, mut trainees) = (Vec::new(), Vec::new());
        for (member, found) in members {
            match found {
                Ok((task, pairs)) => read.push((member, task, pairs)),
                Err(error) => array::finish(reporter, member, Err(error)),
            }
        }
        for (member, task, pairs) in &read {
            match Plan::new(task, pairs) {
                Ok(plan) => trainees.push(Trainee { member: *member, plan }),
                Err(error) => array::finish(reporter, *member, Err(error)),
            }
        }
        return card::run(&stream, trainees, job, reporter, Pace::default());
    }
    let threads = device.threads();
    array::run(job.leases.len(), threads, reporter, |member, threads| {
        let (task, pairs) = read(&inputs, job, member)?;
        host::run(&Plan::new(task, &pairs)?, threads, job, member, reporter)
    });
    Ok(())
}

/// The task of a member, and what it reads.
fn read<'j>(inputs: &Inputs, job: &'j Job, member: usize) -> Result<(&'j Pretrain, Pairs)> {
    let lease = &job.leases[member];
    let Task::Pretrain(task) = &lease.task else { return Err(Error::input("not a pre-training task")) };
    let Attention::OwnKv = task.attention;
    let dataset = inputs.dataset(job, lease, task.dataset)?;
    let images = inputs.embeddings(job, lease, task.image, task.image_width)?;
    let texts = inputs.embeddings(job, lease, task.text, task.text_width)?;
    Ok((task, Pairs { dataset, images, texts }))
}
