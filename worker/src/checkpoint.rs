//! Checkpoints: everything the rest of a training run depends on, in one safetensors file.
//!
//! Whole numbers (step, epoch, counters; floating-point ones by their bits) stand in the metadata, vectors are tensors.

use std::collections::BTreeMap;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::{
    error::{Error, Result},
    execute::{Job, Reporter},
    files,
    protocol::{Checkpoint, Lease},
};

/// Version of this layout.
const FORMAT: &str = "1";

/// A state to go on from.
#[derive(Debug, Default, PartialEq)]
pub struct State {
    /// Steps done.
    pub step: u64,
    /// Counters.
    pub numbers: BTreeMap<String, u64>,
    /// Vectors.
    pub vectors: BTreeMap<String, Vec<f32>>,
}

impl State {
    /// Counter `name`.
    ///
    /// # Errors
    /// [`Error::Input`] when the checkpoint has none.
    pub fn number(&self, name: &str) -> Result<u64> {
        self.numbers.get(name).copied().ok_or_else(|| Error::input(format!("the checkpoint has no number `{name}`")))
    }

    /// Takes vector `name`, which must have `len` values.
    ///
    /// # Errors
    /// [`Error::Input`] when it has none, or of another length.
    pub fn take(&mut self, name: &str, len: usize) -> Result<Vec<f32>> {
        match self.vectors.remove(name) {
            Some(vector) if vector.len() == len => Ok(vector),
            Some(vector) => {
                Err(Error::input(format!("`{name}` of the checkpoint has {} values, not {len}", vector.len())))
            }
            None => Err(Error::input(format!("the checkpoint has no vector `{name}`"))),
        }
    }
}

/// Writes the state of `member` after `step` steps.
///
/// # Errors
/// [`Error::Io`].
pub fn write(
    job: &Job,
    member: usize,
    step: u64,
    numbers: &[(&str, u64)],
    vectors: &[(&str, &[f32])],
) -> Result<Checkpoint> {
    let path = job.folder(member).join(format!("checkpoint-{step}.safetensors"));
    let mut metadata: std::collections::HashMap<String, String> =
        numbers.iter().map(|(name, value)| (format!("number.{name}"), value.to_string())).collect();
    metadata.insert("format".to_owned(), FORMAT.to_owned());
    metadata.insert("trial".to_owned(), job.leases[member].trial.hex());
    metadata.insert("step".to_owned(), step.to_string());
    let views: Vec<(&str, TensorView<'_>)> = vectors
        .iter()
        .map(|&(name, vector)| {
            let view = TensorView::new(Dtype::F32, vec![vector.len()], files::bytes_of(vector));
            view.map(|view| (name, view)).map_err(|error| Error::input(format!("cannot write `{name}`: {error}")))
        })
        .collect::<Result<_>>()?;
    let bytes = safetensors::serialize(views, Some(metadata))
        .map_err(|error| Error::input(format!("cannot write the checkpoint: {error}")))?;
    files::write_atomic(&path, |out| out.write_all(&bytes))?;
    Ok(Checkpoint { step, file: files::describe(&job.home, &path)? })
}

/// The newest checkpoint of `member` that is whole; none: start from the beginning. Each that is not is logged.
pub fn load(job: &Job, member: usize, reporter: &dyn Reporter) -> Option<State> {
    load_after(None, job, member, reporter)
}

/// As [`load`], when this attempt has itself written `newer`.
pub(crate) fn load_after(
    newer: Option<&Checkpoint>,
    job: &Job,
    member: usize,
    reporter: &dyn Reporter,
) -> Option<State> {
    let lease = &job.leases[member];
    newer.into_iter().chain(&lease.checkpoints).find_map(|checkpoint| match read(job, lease, checkpoint) {
        Ok(state) => {
            reporter.log(member, &format!("goes on from the checkpoint of step {}", checkpoint.step));
            reporter.resumed(member, checkpoint.step);
            Some(state)
        }
        Err(error) => {
            reporter.log(member, &format!("passes over the checkpoint of step {}: {error}", checkpoint.step));
            None
        }
    })
}

fn read(job: &Job, lease: &Lease, checkpoint: &Checkpoint) -> Result<State> {
    let path = files::verified(&job.home, &checkpoint.file)?;
    let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
    parse(&bytes, &lease.trial.hex(), checkpoint.step).map_err(|what| Error::Damaged { path: path.clone(), what })
}

fn parse(bytes: &[u8], trial: &str, step: u64) -> Result<State, String> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
    let metadata = header.metadata().clone().unwrap_or_default();
    let expect = |name: &str, wanted: &str| match metadata.get(name) {
        Some(found) if found == wanted => Ok(()),
        found => Err(format!("its {name} is {found:?}, not {wanted}")),
    };
    expect("format", FORMAT)?;
    expect("trial", trial)?;
    expect("step", &step.to_string())?;
    let mut state = State { step, ..State::default() };
    for (name, value) in &metadata {
        if let Some(name) = name.strip_prefix("number.") {
            let value = value.parse().map_err(|_| format!("number `{name}` is `{value}`"))?;
            state.numbers.insert(name.to_owned(), value);
        }
    }
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    for (name, tensor) in tensors.tensors() {
        if tensor.dtype() != Dtype::F32 {
            return Err(format!("`{name}` is {:?}", tensor.dtype()));
        }
        let (words, _) = tensor.data().as_chunks::<4>();
        state.vectors.insert(name, words.iter().map(|word| f32::from_le_bytes(*word)).collect());
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        id::TrialId,
        protocol::{Outcome, Stop},
        task::{Noop, NoopEnd, Task},
    };

    /// Collects what is logged.
    #[derive(Default)]
    struct Log(std::sync::Mutex<Vec<String>>);

    impl Reporter for Log {
        fn progress(&self, _: usize, _: u64, _: u64) {}
        fn metric(&self, _: usize, _: &str, _: u64, _: f64) {}
        fn checkpoint(&self, _: usize, _: Checkpoint) {}
        fn log(&self, _: usize, message: &str) {
            self.0.lock().unwrap().push(message.to_owned());
        }
        fn stop(&self, _: usize) -> Option<Stop> {
            None
        }
        fn finish(&self, _: usize, _: Outcome) {}
    }

    fn job(home: &std::path::Path) -> Job {
        let noop = Noop { index: 0, steps: 0, step_ms: 0, after: vec![], end: NoopEnd::Done };
        let lease = Lease {
            trial: TrialId::of(&1).unwrap(),
            attempt: 1,
            task: Task::Noop(noop),
            inputs: BTreeMap::new(),
            checkpoints: vec![],
        };
        Job { leases: vec![lease], home: home.to_owned(), wheel_dir: None, checkpoint_ms: 0 }
    }

    fn write_two(job: &mut Job) {
        for step in [7, 9] {
            let vector = [step as f32, f32::MIN_POSITIVE, -0.0];
            let checkpoint = write(job, 0, step, &[("epoch", step / 2)], &[("p", &vector)]).unwrap();
            job.leases[0].checkpoints.insert(0, checkpoint);
        }
    }

    #[test]
    fn every_bit_comes_back() {
        let home = tempfile::tempdir().unwrap();
        let mut job = job(home.path());
        write_two(&mut job);
        let mut state = load(&job, 0, &Log::default()).unwrap();
        assert_eq!((state.step, state.number("epoch").unwrap()), (9, 4));
        let bits: Vec<u32> = state.take("p", 3).unwrap().into_iter().map(f32::to_bits).collect();
        assert_eq!(bits, [9.0, f32::MIN_POSITIVE, -0.0].map(f32::to_bits));
        assert!(state.take("p", 3).is_err());
    }

    #[test]
    fn a_damaged_one_is_passed_over() {
        let home = tempfile::tempdir().unwrap();
        let mut job = job(home.path());
        write_two(&mut job);
        let path = home.path().join(&job.leases[0].checkpoints[0].file.path);
        let whole = std::fs::read(&path).unwrap();
        for cut in [0, 1, 8, whole.len() / 2, whole.len() - 1] {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let log = Log::default();
            assert_eq!(load(&job, 0, &log).unwrap().step, 7);
            assert!(log.0.lock().unwrap()[0].contains("passes over"), "{log:?}", log = log.0);
        }
        let mut flipped = whole.clone();
        flipped[whole.len() - 2] ^= 1;
        std::fs::write(&path, flipped).unwrap();
        assert_eq!(load(&job, 0, &Log::default()).unwrap().step, 7);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(load(&job, 0, &Log::default()).unwrap().step, 7);
    }

    #[test]
    fn another_trials_checkpoint_is_no_use() {
        let home = tempfile::tempdir().unwrap();
        let mut job = job(home.path());
        write_two(&mut job);
        job.leases[0].trial = TrialId::of(&2).unwrap();
        assert!(load(&job, 0, &Log::default()).is_none());
    }

    #[test]
    fn garbage_never_panics() {
        let home = tempfile::tempdir().unwrap();
        let mut job = job(home.path());
        write_two(&mut job);
        let path = home.path().join(&job.leases[0].checkpoints[0].file.path);
        let whole = std::fs::read(&path).unwrap();
        let trial = job.leases[0].trial.hex();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] = damaged[at].wrapping_add(1 + at as u8);
            parse(&damaged, &trial, 9).ok();
            parse(&whole[..at], &trial, 9).unwrap_err();
        }
    }
}
