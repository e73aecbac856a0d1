//! Images through a DINOv2 or a ResNet-AE.
//!
//! A file is read, resized, padded and cropped, and goes through the encoder once, for all members of an array and for all images that
//! are of this file. On the CPU each image goes through alone, read and encoded by one of several lanes, so that neither threads nor
//! company change a bit of its outputs. On CUDA batches go through, and the processor's cores read ahead. Rows go to disk shard by
//! shard: see [`crate::cache::Writer`].

mod ahead;
mod model;
mod pass;
mod sink;
mod units;

use std::{collections::BTreeMap, ops::Range, path::Path, sync::mpsc};

use self::{
    model::Model,
    pass::Pass,
    units::{Unit, Units},
};
use super::lanes;
use crate::{
    cache::Row,
    device::Device,
    error::{Error, Result},
    execute::{Job, Reporter},
    task::{Embed, Output},
};

/// Pixels of the images that go through a card together.
const BATCH_PIXELS: usize = 64 * 224 * 224;
/// Batches whose outputs wait to be written.
const UNWRITTEN: usize = 2;

/// Runs the members, which share collection, encoder and pixels.
///
/// An image that cannot be read has no embedding; a trial with more than `max_damaged` of them fails.
///
/// Leaves a summary: `samples`, `samples_missing` and `images_damaged` (images without an embedding), `files` (different ones), and
/// `width` where rows have one.
///
/// # Errors
/// When the collection or the encoder cannot be read, or the device or a disk fails. What an encoder does not have concerns only those
/// who ask for it.
pub(super) fn run(device: &Device, job: &Job, reporter: &dyn Reporter) -> Result<()> {
    let first = job.leases[0].task.array_key();
    if job.leases.iter().any(|lease| lease.task.array_key() != first) {
        return Err(Error::input("an array of images or encoders that differ"));
    }
    let (lease, task) = (&job.leases[0], super::task(job, 0)?);
    let dataset = super::dataset(job)?;
    let root = folder(task)?;
    let (model, pixels, place) = Model::open(task, lease, &job.home, &device.candle())?;
    let units = Units::of(&dataset.images);
    for member in 0..job.leases.len() {
        let (images, files) = (units.ids.len(), units.units.len());
        reporter.log(member, &format!("encoder: {place}; {images} images in {files} files, below {}", root.display()));
    }
    let pass = Pass::new(job, reporter, (root, pixels), &model, &units)?;
    let batch = (BATCH_PIXELS / (pixels.crop * pixels.crop)).max(1);
    match device {
        Device::Cpu { threads } => one_by_one(&pass, &model, &units.units, *threads)?,
        Device::Cuda { .. } => batched(&pass, &model, &units.units, device.threads(), batch)?,
    }
    pass.finish();
    Ok(())
}

/// The folder of the images.
fn folder(task: &Embed) -> Result<&Path> {
    let root = task.root.as_ref().ok_or_else(|| Error::Input {
        what: "the collection has no image files".to_owned(),
        cure: Some("use an encoder that reads no pixels, or a collection that has images".to_owned()),
    })?;
    if root.location.is_dir() {
        return Ok(&root.location);
    }
    Err(Error::Input {
        what: format!("{}, the folder of the images, is gone", root.location.display()),
        cure: Some("name its new place in the sweep file, and launch again".to_owned()),
    })
}

/// Each image alone, on one of so many lanes.
fn one_by_one(pass: &Pass<'_>, model: &Model, units: &[Unit<'_>], lanes: usize) -> Result<()> {
    let wanted: Vec<&Unit<'_>> = units.iter().filter(|unit| pass.wants(unit)).collect();
    lanes::run(wanted.len(), lanes, |number| {
        let unit = wanted[number];
        let guard = pass.guard();
        if !pass.wait(unit) {
            return Ok(guard.passed(false));
        }
        let rows = match pass.read(unit)? {
            Ok(levels) => {
                let encoded = model.encode(model.input(&levels), 1)?;
                pass.count_encoded(1);
                encoded.rows(pass.outputs())?.pop().ok_or_else(|| "the encoder made nothing of it".to_owned())
            }
            Err(reason) => Err(reason),
        };
        pass.put(unit, rows);
        Ok(guard.passed(true))
    })
}

/// `batch` images at a time, read ahead on so many threads, their rows written by one more. What is in a batch follows from the
/// collection alone, whatever was done before.
fn batched(pass: &Pass<'_>, model: &Model, units: &[Unit<'_>], threads: usize, batch: usize) -> Result<()> {
    type Rows = Result<BTreeMap<Output, Row>, String>;
    let (sender, receiver) = mpsc::sync_channel::<(Range<usize>, Vec<Rows>)>(UNWRITTEN);
    let wanted: Vec<bool> = units.chunks(batch).map(|units| units.iter().any(|unit| pass.wants(unit))).collect();
    let wanted = wanted.as_slice();
    let read = |number: usize| -> Result<Result<Vec<f32>, String>> {
        if !wanted[number / batch] || !pass.goes_on() {
            return Ok(Err(String::new()));
        }
        Ok(pass.read(&units[number])?.map(|levels| model.input(&levels)))
    };
    // It takes the sender with it, so that the writer ends when nothing more comes.
    let encode = move |numbers: Range<usize>, images: Vec<Result<Vec<f32>, String>>| -> Result<bool> {
        if !pass.goes_on() {
            return Ok(false);
        }
        if !wanted[numbers.start / batch] {
            return Ok(true);
        }
        let input: Vec<f32> = images.iter().flatten().flatten().copied().collect();
        let count = images.iter().flatten().count();
        let mut rows = Vec::new();
        if count > 0 {
            rows = model.encode(input, count)?.rows(pass.outputs())?;
            pass.count_encoded(count);
        }
        let mut rows = rows.into_iter();
        let next = |image: Result<Vec<f32>, String>| {
            image.and_then(|_| rows.next().ok_or_else(|| "the encoder made nothing of it".to_owned()))
        };
        let rows = images.into_iter().map(next).collect();
        // Nobody listens any more after a panic, which is passed on below.
        Ok(sender.send((numbers, rows)).is_ok())
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for (numbers, rows) in receiver {
                for (unit, rows) in units[numbers].iter().zip(rows) {
                    pass.put(unit, rows);
                }
            }
        });
        ahead::run(units.len(), batch, threads, read, encode)
    })
}

#[cfg(test)]
mod tests;
