//! Goes through the epochs of an array that a card trains as one batched model.
//!
//! The card works on all members at once and the host waits for it at the end of an epoch, or after [`Pace::longest`]; members are told
//! to stop, saved and reported then. Members that resume in the middle of an epoch catch up first: those who train together are
//! always at the same step of their epochs, as their batches have equal sizes only then.

use std::{
    collections::{HashMap, VecDeque},
    ops::ControlFlow,
    time::{Duration, Instant},
};

use super::{
    array,
    course::{Course, Past, Quality},
    weights::Saved,
};
use crate::{
    cuda::CudaError,
    error::{Error, Result},
    execute::Reporter,
    protocol::Outcome,
};

/// How long a card may work between two looks at the host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// An epoch that takes longer is cut: somebody may want the array to stop.
    pub(super) longest: Duration,
    /// Steps before the first measurement.
    pub(super) first: u64,
}

#[cfg(test)]
thread_local! {
    /// The default on this thread.
    pub(super) static PACE: std::cell::Cell<Option<Pace>> = const { std::cell::Cell::new(None) };
}

impl Default for Pace {
    fn default() -> Self {
        #[cfg(test)]
        if let Some(pace) = PACE.get() {
            return pace;
        }
        Self { longest: Duration::from_secs(5), first: 64 }
    }
}

/// An array of members on a card. Members are numbered as when it was made, also after some have left.
pub(super) trait Batched {
    /// Trains `members`, all at the same step of their epochs, for `steps` steps: the losses of each. A member whose loss is not finite
    /// stays as it was before that step; all others stay as they are.
    fn train(&mut self, members: &[usize], courses: &[Course<'_>], steps: u64) -> Result<Vec<Vec<f32>>, CudaError>;

    /// The most steps of one call of [`Self::train`].
    fn most_steps(&self) -> u64;

    /// How good they are; their epochs have just ended.
    fn validate(&mut self, members: &[usize], courses: &[Course<'_>]) -> Result<Vec<Quality>, CudaError>;

    /// Remembers them as their best so far.
    fn keep_best(&mut self, members: &[usize]) -> Result<(), CudaError>;

    /// Everything the rest of a member's run depends on.
    fn saved(&mut self, member: usize) -> Result<Saved<'static>, CudaError>;

    /// Tests the best models of members that have gone through all epochs, writes their files, and says how they have ended.
    fn finish(&mut self, members: &[usize], courses: &[Course<'_>]) -> Result<Vec<Result<Outcome>>, CudaError>;

    /// They have left: they cost nothing from now on.
    fn leave(&mut self, members: &[usize]) -> Result<(), CudaError>;
}

/// Which member is in each slot of an array on a card.
pub(super) struct Slots(Vec<usize>);

impl Slots {
    /// Each member in the slot of its number.
    pub(super) fn new(members: usize) -> Self {
        Self((0..members).collect())
    }

    /// The members, by slot.
    pub(super) fn members(&self) -> &[usize] {
        &self.0
    }

    /// The slot of `member`.
    ///
    /// # Panics
    /// When it has left.
    pub(super) fn of(&self, member: usize) -> usize {
        let slot = self.0.iter().position(|&other| other == member);
        slot.unwrap_or_else(|| panic!("member {member} has left"))
    }

    /// The slots of many members.
    ///
    /// # Panics
    /// When one has left.
    pub(super) fn all(&self, members: &[usize]) -> Vec<usize> {
        let places: HashMap<usize, usize> = self.0.iter().copied().zip(0..).collect();
        members.iter().map(|member| places[member]).collect()
    }

    /// Lets members go: `remove` takes one out of the array, whose last slot moves into its place.
    pub(super) fn leave(
        &mut self,
        members: &[usize],
        mut remove: impl FnMut(usize) -> Result<(), CudaError>,
    ) -> Result<(), CudaError> {
        for &member in members {
            let slot = self.of(member);
            remove(slot)?;
            self.0.swap_remove(slot);
        }
        Ok(())
    }
}

/// Trains all of `courses` to their ends, and reports them.
///
/// # Errors
/// When the card fails: `left` tells who has not ended.
fn go(
    array: &mut impl Batched,
    courses: &mut [Course<'_>],
    left: &mut Vec<usize>,
    pace: Pace,
) -> Result<(), CudaError> {
    let mut most = pace.first;
    loop {
        let (going, over): (Vec<usize>, Vec<usize>) = left.iter().partition(|&&member| courses[member].goes_on());
        if !over.is_empty() {
            let outcomes = array.finish(&over, courses)?;
            end(array, courses, left, over.into_iter().zip(outcomes).collect())?;
        }
        let Some(place) = going.iter().map(|&member| courses[member].at.epoch_step).max() else { return Ok(()) };
        // Who is behind in its epoch waits for those who are ahead to begin a new one.
        let turn: Vec<usize> = going.into_iter().filter(|&member| courses[member].at.epoch_step == place).collect();
        let steps = (courses[turn[0]].steps_an_epoch - place).min(most.clamp(1, array.most_steps()));
        let begin = Instant::now();
        let losses = array.train(&turn, courses, steps)?;
        let step = begin.elapsed().as_secs_f64() / steps as f64;
        most = (pace.longest.as_secs_f64() / step.max(1e-9)) as u64;

        let mut ended = Vec::new();
        let mut due = Vec::new();
        for (&member, losses) in turn.iter().zip(&losses) {
            match courses[member].took(losses) {
                ControlFlow::Break(outcome) => ended.push((member, Ok(outcome))),
                ControlFlow::Continue(()) if courses[member].is_due() => due.push(member),
                ControlFlow::Continue(()) => {}
            }
        }
        if !due.is_empty() {
            let mut improved = Vec::new();
            for (&member, quality) in due.iter().zip(array.validate(&due, courses)?) {
                match courses[member].end_epoch(quality) {
                    ControlFlow::Break(outcome) => ended.push((member, Ok(outcome))),
                    ControlFlow::Continue(true) => improved.push(member),
                    ControlFlow::Continue(false) => {}
                }
            }
            array.keep_best(&improved)?;
        }
        let gone: Vec<usize> = ended.iter().map(|(member, _)| *member).collect();
        for &member in left.iter().filter(|member| !gone.contains(member)) {
            let mut failed = None;
            let paused = courses[member].pause(|| {
                array.saved(member).map_err(|error| {
                    failed = Some(error.clone());
                    error.into()
                })
            });
            if let Some(error) = failed {
                return Err(error);
            }
            match paused {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(outcome)) => ended.push((member, Ok(outcome))),
                Err(error) => ended.push((member, Err(error))),
            }
        }
        end(array, courses, left, ended)?;
    }
}

/// Members have ended: reports them and takes them out of the array.
fn end(
    array: &mut impl Batched,
    courses: &[Course<'_>],
    left: &mut Vec<usize>,
    ended: Vec<(usize, Result<Outcome>)>,
) -> Result<(), CudaError> {
    let gone: Vec<usize> = ended.iter().map(|(member, _)| *member).collect();
    for (member, outcome) in ended {
        courses[member].end(outcome);
    }
    left.retain(|member| !gone.contains(member));
    array.leave(&gone)
}

/// Runs `members` of a job in arrays of at most `most`, one after another. `make` gives the array of some members, and their
/// courses from where they were last. When the card's memory is full, the array is halved and goes on from its members' last states.
pub(super) fn run<'j, A: Batched>(
    members: Vec<usize>,
    most: usize,
    reporter: &dyn Reporter,
    pace: Pace,
    mut make: impl FnMut(&[usize], &[Past]) -> Result<(A, Vec<Course<'j>>), Made>,
) {
    // Equal parts: 15 members in arrays of at most 8 are 8 and 7.
    let part = members.len().div_ceil(members.len().div_ceil(most.max(1)).max(1)).max(1);
    let mut queue: VecDeque<Vec<(usize, Past)>> =
        members.chunks(part).map(|part| part.iter().map(|&member| (member, Past::default())).collect()).collect();
    while let Some(part) = queue.pop_front() {
        let (members, pasts): (Vec<usize>, Vec<Past>) = part.into_iter().unzip();
        let (error, rest) = match make(&members, &pasts) {
            Ok((mut array, mut courses)) => {
                let mut left = (0..courses.len()).collect();
                match go(&mut array, &mut courses, &mut left, pace) {
                    Ok(()) => continue,
                    Err(error) => {
                        (Made::Card(error), left.into_iter().map(|i| (members[i], courses[i].past())).collect())
                    }
                }
            }
            Err(error) => (error, members.into_iter().zip(pasts).collect::<Vec<_>>()),
        };
        match error {
            Made::Card(CudaError::OutOfMemory { .. }) if rest.len() > 1 => {
                let half = rest.len().div_ceil(2);
                let message = format!("the card's memory is full: goes on in an array of {half}");
                rest.iter().for_each(|(member, _)| reporter.log(*member, &message));
                queue.push_front(rest[half..].to_vec());
                queue.push_front(rest[..half].to_vec());
            }
            Made::Card(error) => {
                rest.iter().for_each(|(member, _)| array::finish(reporter, *member, Err(error.clone().into())));
            }
            Made::Member(at, error) => {
                // It alone has failed: the others are put together anew.
                let others = rest.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, member)| member.clone());
                let others: Vec<_> = others.collect();
                array::finish(reporter, rest[at].0, Err(error));
                if !others.is_empty() {
                    queue.push_front(others);
                }
            }
        }
    }
}

/// Why an array could not be made.
#[derive(Debug)]
pub(super) enum Made {
    /// The card has failed.
    Card(CudaError),
    /// A member, by its place among those that were to be put together.
    Member(usize, Error),
}

impl From<CudaError> for Made {
    fn from(error: CudaError) -> Self {
        Self::Card(error)
    }
}
