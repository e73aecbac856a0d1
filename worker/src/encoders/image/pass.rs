//! One pass of images through an encoder, for all members of an array: who takes part, what cannot be read, and when to stop.

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    path::Path,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use super::{
    model::Model,
    sink::Sink,
    units::{Unit, Units},
};
use crate::{
    cache::{Row, Writer},
    error::{Error, Result},
    execute::{Job, Reporter, stopped},
    images::{self, Limits},
    protocol::Outcome,
    task::{Output, Pixels},
};

/// Most images that are named in the log, and in the error when there are too many.
const NAMED: usize = 20;
/// Most bytes of what is said about an image.
const REASON: usize = 400;

/// Members that have not ended, and where their rows go.
pub(super) struct Pass<'a> {
    reporter: &'a dyn Reporter,
    root: &'a Path,
    pixels: Pixels,
    max_damaged: f64,
    /// Images in all.
    images: usize,
    files: usize,
    width: usize,
    sinks: Vec<Sink<'a>>,
    /// Of each member.
    ended: Vec<AtomicBool>,
    /// The first images that could not be read, and why.
    named: Mutex<Vec<String>>,
    encoded: AtomicUsize,
    failed: AtomicBool,
}

/// Whether what the system says is about one file, and not about its disk or network.
const fn is_of_one_file(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::NotFound
            | ErrorKind::PermissionDenied
            | ErrorKind::NotADirectory
            | ErrorKind::IsADirectory
            | ErrorKind::InvalidFilename
            | ErrorKind::InvalidInput
    )
}

/// When it is dropped before all went well, nobody is to wait for what its thread had in hands.
pub(super) struct Guard<'a> {
    failed: &'a AtomicBool,
    passed: bool,
}

impl Guard<'_> {
    /// All went well; gives `value`.
    pub(super) fn passed<T>(mut self, value: T) -> T {
        self.passed = true;
        value
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if !self.passed {
            self.failed.store(true, Ordering::Relaxed);
        }
    }
}

impl<'a> Pass<'a> {
    /// All members but those that ask for what the encoder does not have: these have failed.
    ///
    /// # Errors
    /// When what former attempts left cannot be read.
    pub(super) fn new(
        job: &'a Job,
        reporter: &'a dyn Reporter,
        (root, pixels): (&'a Path, Pixels),
        model: &Model,
        units: &Units<'_>,
    ) -> Result<Self> {
        let ended = job.leases.iter().map(|_| AtomicBool::new(false)).collect();
        let mut pass = Self {
            reporter,
            root,
            pixels,
            max_damaged: crate::encoders::task(job, 0)?.max_damaged,
            images: units.ids.len(),
            files: units.units.len(),
            width: model.width(),
            sinks: Vec::new(),
            ended,
            named: Mutex::default(),
            encoded: AtomicUsize::new(0),
            failed: AtomicBool::new(false),
        };
        for member in 0..job.leases.len() {
            let task = crate::encoders::task(job, member)?;
            let writer = model
                .layout(task.output, task.dtype)
                .and_then(|layout| Writer::open(job, member, reporter, layout, units.ids.clone()));
            match writer {
                Ok(writer) => pass.sinks.push(Sink::new(member, task.output, writer)),
                Err(error @ Error::Input { .. }) => pass.fail(member, error),
                Err(error) => return Err(error),
            }
        }
        for sink in &pass.sinks {
            pass.progress(sink);
        }
        Ok(pass)
    }

    fn active(&self) -> impl Iterator<Item = &Sink<'a>> {
        self.sinks.iter().filter(|sink| !self.ended[sink.member].load(Ordering::Relaxed))
    }

    fn end(&self, member: usize, outcome: Outcome) {
        if !self.ended[member].swap(true, Ordering::Relaxed) {
            self.reporter.finish(member, outcome);
        }
    }

    fn fail(&self, member: usize, error: Error) {
        self.end(member, Outcome::Failed(error.into_failure()));
    }

    /// Whether a row of this unit has still to be made.
    pub(super) fn wants(&self, unit: &Unit<'_>) -> bool {
        self.active().any(|sink| sink.wants(&unit.rows))
    }

    /// Outputs that members ask for.
    pub(super) fn outputs(&self) -> impl Iterator<Item = Output> {
        let mut outputs: Vec<Output> = self.active().map(|sink| sink.output).collect();
        outputs.sort_unstable();
        outputs.dedup();
        outputs.into_iter()
    }

    /// Ends those that must stop. What their finished shards hold is kept. Whether any is left.
    pub(super) fn goes_on(&self) -> bool {
        for sink in self.active() {
            if let Some(why) = self.reporter.stop(sink.member) {
                self.end(sink.member, stopped(why));
            }
        }
        self.active().next().is_some() && !self.failed.load(Ordering::Relaxed)
    }

    /// To be held while a unit is worked on.
    pub(super) fn guard(&self) -> Guard<'_> {
        Guard { failed: &self.failed, passed: false }
    }

    /// Waits until there is room for the rows of this unit; whether to go on with it.
    pub(super) fn wait(&self, unit: &Unit<'_>) -> bool {
        for sink in self.active().filter(|sink| sink.wants(&unit.rows)) {
            sink.wait(&unit.rows, || !self.goes_on() || self.ended[sink.member].load(Ordering::Relaxed));
        }
        self.goes_on()
    }

    /// The grey levels that are encoded of an image, or why there are none.
    ///
    /// # Errors
    /// What is no fault of the image: the disk fails, or the whole folder is gone.
    pub(super) fn read(&self, unit: &Unit<'_>) -> Result<Result<Vec<u8>, String>> {
        let Some(file) = unit.file else { return Ok(Err("the collection names no file".to_owned())) };
        let Pixels { resize, crop } = self.pixels;
        let levels = images::read(&self.root.join(file), &Limits::default())
            .and_then(|image| image.resized_longest(resize))
            .and_then(|image| image.padded_square().centre_crop(crop));
        let what = match levels {
            Ok(levels) => return Ok(Ok(levels.into_pixels())),
            Err(Error::Image { fault, .. }) => fault.to_string(),
            Err(Error::Io { source, .. }) if is_of_one_file(source.kind()) && self.root.is_dir() => match source.kind()
            {
                ErrorKind::NotFound => "the file is missing".to_owned(),
                _ => source.to_string(),
            },
            Err(error) => return Err(error),
        };
        let mut reason = format!("{}: {what}", file.display());
        if reason.len() > REASON {
            reason.truncate(reason.floor_char_boundary(REASON));
            reason.push_str(" ...");
        }
        Ok(Err(reason))
    }

    /// So many files went through the encoder.
    pub(super) fn count_encoded(&self, files: usize) {
        self.encoded.fetch_add(files, Ordering::Relaxed);
    }

    /// Passes the rows of a unit on to all members, or why it has none. Members whose share of damaged images is too large fail.
    pub(super) fn put(&self, unit: &Unit<'_>, rows: Result<BTreeMap<Output, Row>, String>) {
        if let Err(reason) = &rows {
            self.name(unit, reason);
        }
        for sink in self.active() {
            if !sink.wants(&unit.rows) {
                continue;
            }
            let missing;
            let row = match &rows {
                Ok(rows) => match rows.get(&sink.output) {
                    Some(row) => row,
                    None => continue,
                },
                Err(reason) => {
                    missing = Row::Missing(reason.clone());
                    &missing
                }
            };
            if let Err(error) = sink.put(&unit.rows, row) {
                self.fail(sink.member, error);
                continue;
            }
            self.progress(sink);
            if rows.is_err() {
                self.check_damage(sink);
            }
        }
    }

    fn names(&self) -> MutexGuard<'_, Vec<String>> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs the first images that cannot be read.
    fn name(&self, unit: &Unit<'_>, reason: &str) {
        let mut named = self.names();
        let message = match named.len() {
            NAMED => "more images cannot be read; the manifest lists them all".to_owned(),
            already if already > NAMED => return,
            _ => format!("{} image(s) without an embedding: {reason}", unit.rows.len()),
        };
        named.push(reason.to_owned());
        drop(named);
        for sink in self.active() {
            self.reporter.log(sink.member, &message);
        }
    }

    fn check_damage(&self, sink: &Sink<'_>) {
        let missing = sink.missing();
        if missing as f64 <= self.max_damaged * self.images as f64 {
            return;
        }
        let named = self.names();
        let listed = named[..named.len().min(NAMED)].join("; ");
        let error = Error::Input {
            what: format!(
                "{missing} of {} images cannot be read so far, more than `max_damaged: {}` allows: {listed}",
                self.images, self.max_damaged
            ),
            cure: Some(
                "`permafrost data check` lists them all; mend or remove them, or raise `max_damaged` of the data set"
                    .to_owned(),
            ),
        };
        drop(named);
        self.fail(sink.member, error);
    }

    fn progress(&self, sink: &Sink<'_>) {
        sink.tell(|rows| self.reporter.progress(sink.member, rows as u64, self.images as u64));
    }

    /// Writes the manifests of all that are left.
    pub(super) fn finish(&self) {
        let encoded = self.encoded.load(Ordering::Relaxed);
        if !self.goes_on() {
            return;
        }
        for sink in self.active() {
            let member = sink.member;
            self.reporter.log(member, &format!("{encoded} of {} files went through the encoder", self.files));
            let outcome = sink.finish().map(|(artifacts, mut summary)| {
                let missing = sink.missing();
                let mut counts = vec![("images_damaged", missing), ("files", self.files)];
                if sink.output != Output::Maps {
                    counts.push(("width", self.width));
                }
                summary.extend(counts.into_iter().map(|(name, count)| (name.to_owned(), count as f64)));
                Outcome::Done { summary, artifacts }
            });
            self.end(member, outcome.unwrap_or_else(|error| Outcome::Failed(error.into_failure())));
        }
    }
}
