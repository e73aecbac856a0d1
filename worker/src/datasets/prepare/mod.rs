//! Prepare trials: parse a collection, clean it, split it.

mod challenges;
mod fingerprint;
mod mimic_cxr;
mod open_i;
mod places;
mod summary;
mod table;

use std::{collections::BTreeMap, path::Path};

pub(super) use self::challenges::DIAGNOSES;
pub use self::{fingerprint::fingerprint, places::Required};
use super::{Dataset, Image, LabelColumns, Report, Shares, Split, wheel::Wheel};
use crate::{
    error::{Error, Result},
    execute::{Job, Reporter, stopped},
    protocol::{Lease, Outcome},
    task::{Prepare, Reader, Splitting, Task},
};

/// Largest share of images without a file that a published collection may have.
const MAX_MISSING: f64 = 0.01;

/// A collection that was read, and what there is to say about it.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The collection.
    pub dataset: Dataset,
    /// Counts by name: `images`, `reports` and `groups`, images in `train`, `valid` and `test`, for each binary label
    /// `LABEL_positive` and `LABEL_unknown`, for each class `COLUMN=CLASS`, and what the reader left out.
    pub summary: BTreeMap<String, usize>,
    /// What was read, what was left out and what is left, in sentences.
    pub description: String,
    /// Images that the publisher's own table lists, by split; empty where there is no such table.
    pub listed: Vec<(Split, usize)>,
}

/// What a reader has found.
#[derive(Default)]
struct Found {
    columns: LabelColumns,
    reports: Vec<Report>,
    images: Vec<Image>,
    /// What the reader alone counts.
    counts: Vec<(&'static str, usize)>,
    /// What was read and left out.
    sentences: Vec<String>,
    listed: Vec<(Split, usize)>,
}

/// Asked now and then, with the number of reports or images that were read: must reading end?
pub type Stop<'a> = &'a dyn Fn(usize) -> bool;

/// Runs an array of [`Prepare`] trials, one after another.
///
/// Leaves `dataset.json` and the counts of [`Prepared::summary`].
///
/// # Errors
/// Of the first member that fails: those of [`read`], and [`Error::Input`] when the tables are not those that were planned
/// with.
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
    let (wheel, total) = match &task.reader {
        Reader::OpenI { wheel, reports, .. } => {
            let artifacts = lease.inputs.get(wheel).map_or(&[][..], Vec::as_slice);
            (Some(Wheel::open(&job.home, artifacts)?), *reports)
        }
        _ => (None, 0),
    };
    unchanged(&task.reader)?;
    let stop = |done: usize| {
        reporter.progress(member, done as u64, total as u64);
        reporter.stop(member).is_some()
    };
    let Some(prepared) = read_from(&task.reader, &task.split, wheel, &stop)? else {
        return Ok(reporter.stop(member).map_or(Outcome::Preempted { checkpoint: None }, stopped));
    };
    reporter.log(member, &prepared.description);
    let artifact = prepared.dataset.save(&job.home, &job.folder(member))?;
    let read = if total == 0 { prepared.dataset.images.len() } else { total } as u64;
    reporter.progress(member, read, read);
    let summary = prepared.summary.into_iter().map(|(name, count)| (name, count as f64)).collect();
    Ok(Outcome::Done { summary, artifacts: vec![artifact] })
}

/// Checks that the tables are those that the sweep was planned with.
fn unchanged(reader: &Reader) -> Result<()> {
    let Some(planned) = reader.fingerprint() else { return Ok(()) };
    places::check(reader)?;
    if fingerprint(reader)? == planned {
        return Ok(());
    }
    let names: Vec<String> = reader.tables().iter().map(|path| path.display().to_string()).collect();
    let images = if matches!(reader, Reader::Table { .. }) { ", or images that it names" } else { "" };
    Err(Error::Input {
        what: format!("{}{images}: changed since the sweep was planned", names.join(", ")),
        cure: Some("launch again: what depends on the change is then planned anew".to_owned()),
    })
}

/// Reads the collection of `reader` without running a trial. `wheel` is the file that [`Reader::OpenI`] reads. None when
/// `stop` ended it.
///
/// # Errors
/// [`Error::Input`] for files that are missing, malformed (with the line) or not of the published sizes, for more than one
/// image in a hundred without a file (a [`Reader::Table`] says how many), for a split that the collection does not have and
/// for shares that are none; [`Error::Io`].
pub fn read(reader: &Reader, split: &Splitting, wheel: Option<&Path>, stop: Stop<'_>) -> Result<Option<Prepared>> {
    let wheel = wheel.map(|path| Wheel::open_path(path.to_owned())).transpose()?;
    read_from(reader, split, wheel, stop)
}

fn read_from(reader: &Reader, split: &Splitting, wheel: Option<Wheel>, stop: Stop<'_>) -> Result<Option<Prepared>> {
    let by = By::of(split)?;
    places::check(reader)?;
    let found = match reader {
        Reader::OpenI { reports, images, .. } => {
            let wheel = wheel.ok_or_else(|| Error::input("the Open-i reports are in a wheel, and none was given"))?;
            open_i::read(wheel, super::Counts { reports: *reports, images: *images }, &by, stop)?
        }
        Reader::MimicCxr { location, held_out, text, .. } => mimic_cxr::read(location, *held_out, *text, &by, stop)?,
        Reader::Rsna { location, .. } => challenges::rsna(location, &by, stop)?,
        Reader::Covidx { location, .. } => challenges::covidx(location, &by, stop)?,
        Reader::Siim { location, unit, .. } => challenges::siim(location, *unit, &by, stop)?,
        Reader::Table { location, root, columns, clean_texts, max_missing, .. } => {
            table::read(location, &root.location, columns, *clean_texts, *max_missing, &by)?
        }
    };
    found.map(Found::finish).transpose()
}

/// How samples come into their splits, checked.
enum By {
    Published,
    Column,
    Groups { seed: u64, shares: Shares },
}

impl By {
    fn of(split: &Splitting) -> Result<Self> {
        let (seed, train, valid) = match *split {
            Splitting::Published => return Ok(Self::Published),
            Splitting::Column => return Ok(Self::Column),
            Splitting::Groups { seed, train, valid } => (seed, train, valid),
        };
        let share = |share: f64| share > 0.0 && share < 1.0;
        if !share(train) || !share(valid) || train + valid >= 1.0 {
            return Err(Error::input(format!(
                "shares of {train} for training and {valid} for validation leave no test split"
            )));
        }
        Ok(Self::Groups { seed, shares: Shares { train, valid } })
    }
}

/// The error for a way of splitting that `collection` does not know.
fn no_split(collection: &str, by: &str, cure: &str) -> Error {
    Error::Input { what: format!("{collection} has no {by}"), cure: Some(cure.to_owned()) }
}

impl Found {
    /// The checked collection.
    fn finish(self) -> Result<Prepared> {
        if self.images.is_empty() {
            return Err(Error::Input {
                what: format!("{}; nothing is left", self.sentences.join("; ")),
                cure: Some("is this the folder of the collection?".to_owned()),
            });
        }
        let dataset = Dataset::with_columns(self.columns, self.reports, self.images)?;
        let summary = summary::counts(&dataset, self.counts);
        let description = summary::describe(&dataset, &self.sentences);
        Ok(Prepared { dataset, summary, description, listed: self.listed })
    }
}
