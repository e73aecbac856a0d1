//! Prepare trials: parse a collection, clean it, split it.

use std::collections::BTreeMap;

use super::{
    Dataset, Split,
    openi::{self, Collection, Counts},
    wheel::Wheel,
};
use crate::{
    error::{Error, Result},
    execute::{Job, Reporter, stopped},
    protocol::{Lease, Outcome},
    task::{Prepare, Reader, Splitting, Task},
};

/// Runs an array of [`Prepare`] trials, one after another.
///
/// Leaves `dataset.json` and a summary: `reports` and `images` kept, `reports_without_image`, `reports_too_short`,
/// `images_dropped`, images in `train`, `valid` and `test`, and for each label `LABEL_positive` and `LABEL_unknown` (images).
///
/// # Errors
/// Of the first member that fails: [`Error::Input`] for shares that are none, an archive that is damaged (the file in it
/// is named) or not of the published size; [`Error::Io`].
pub fn run(job: &Job, reporter: &dyn Reporter) -> Result<()> {
    for (member, lease) in job.leases.iter().enumerate() {
        let Task::Prepare(task) = &lease.task else {
            return Err(Error::input(format!("a {} trial among prepare trials", lease.task.kind().name())));
        };
        let outcome = prepare(job, member, lease, task, reporter)?;
        reporter.finish(member, outcome);
    }
    Ok(())
}

fn prepare(job: &Job, member: usize, lease: &Lease, task: &Prepare, reporter: &dyn Reporter) -> Result<Outcome> {
    let Splitting::Groups { seed, train, valid } = task.split else {
        return Err(Error::input("this version splits by groups alone"));
    };
    let share = |share: f64| share > 0.0 && share < 1.0;
    if !share(train) || !share(valid) || train + valid >= 1.0 {
        return Err(Error::input(format!(
            "shares of {train} for training and {valid} for validation leave no test split"
        )));
    }
    let (wheel, published) = match &task.reader {
        Reader::OpenI { wheel, reports, images } => (wheel, Counts { reports: *reports, images: *images }),
        _ => {
            return Err(Error::Resources {
                what: "this version cannot read that collection yet".to_owned(),
                cure: Some("`permafrost plan` shows what it would run".to_owned()),
            });
        }
    };
    let artifacts = lease.inputs.get(wheel).map_or(&[][..], Vec::as_slice);
    let mut archive = Wheel::open(&job.home, artifacts)?;
    let total = published.reports;
    let stop = |done: usize| {
        reporter.progress(member, done as u64, total as u64);
        reporter.stop(member).is_some()
    };
    let Some(mut collection) = openi::read(&mut archive, published, &stop)? else {
        return Ok(reporter.stop(member).map_or(Outcome::Preempted { checkpoint: None }, stopped));
    };
    openi::split(&mut collection, seed, train, valid);
    let summary = summary(&collection);
    reporter.log(member, &describe(&collection, published));
    let dataset = Dataset::new(collection.labels, collection.reports, collection.images)?;
    let artifact = dataset.save(&job.home, &job.folder(member))?;
    reporter.progress(member, total as u64, total as u64);
    Ok(Outcome::Done { summary, artifacts: vec![artifact] })
}

fn describe(collection: &Collection, published: Counts) -> String {
    format!(
        "{} reports that name {} images, the published sizes; dropped {} reports without an image and {} with fewer than \
         three words (and their {} images); left {} reports and {} images",
        published.reports,
        published.images,
        collection.reports_without_image,
        collection.reports_too_short,
        collection.images_dropped,
        collection.reports.len(),
        collection.images.len()
    )
}

fn summary(collection: &Collection) -> BTreeMap<String, f64> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    counts.insert("reports".to_owned(), collection.reports.len());
    counts.insert("images".to_owned(), collection.images.len());
    counts.insert("reports_without_image".to_owned(), collection.reports_without_image);
    counts.insert("reports_too_short".to_owned(), collection.reports_too_short);
    counts.insert("images_dropped".to_owned(), collection.images_dropped);
    for split in Split::ALL {
        let images = collection.images.iter().filter(|image| image.split == split).count();
        counts.insert(split.name().to_owned(), images);
    }
    for (column, label) in collection.labels.iter().enumerate() {
        let count = |value| collection.images.iter().filter(|image| image.labels[column] == value).count();
        counts.insert(format!("{label}_positive"), count(Some(true)));
        counts.insert(format!("{label}_unknown"), count(None));
    }
    counts.into_iter().map(|(name, count)| (name, count as f64)).collect()
}
