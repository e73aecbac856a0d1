//! Timing in turn.

use serde::Serialize;

use super::{Torch, Workload};
use crate::error::{Error, Result};

/// What takes part in a comparison.
pub enum Contestant {
    /// Our workload with so many members.
    Ours {
        /// Its members.
        members: usize,
        /// Steps a round.
        steps: u32,
    },
    /// A PyTorch process.
    Torch {
        /// It.
        torch: Torch,
        /// What it trains, one after another or at once.
        members: usize,
        /// Steps a round.
        steps: u32,
    },
}

/// How long a step took: of all members of ours, or of all that a yardstick trains.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// Median over the rounds, in seconds.
    pub median: f64,
    /// Shortest, in seconds.
    pub fastest: f64,
    /// Longest, in seconds.
    pub slowest: f64,
}

impl Measured {
    /// None of no rounds.
    fn of(mut seconds: Vec<f64>) -> Option<Self> {
        seconds.sort_by(f64::total_cmp);
        let (fastest, slowest) = (*seconds.first()?, *seconds.last()?);
        // Of an even number, the mean of the two in the middle.
        let median = f64::midpoint(seconds[(seconds.len() - 1) / 2], seconds[seconds.len() / 2]);
        Some(Self { median, fastest, slowest })
    }
}

/// Runs all of them once a round, one after another. The first round does not count. One that fails
/// drops out, with its error.
pub fn in_turn(
    workload: &mut dyn Workload,
    contestants: &mut [Contestant],
    rounds: u32,
    mut progress: impl FnMut(),
) -> Vec<Result<Measured>> {
    let mut all: Vec<Result<Vec<f64>>> = contestants.iter().map(|_| Ok(vec![])).collect();
    for round in 0..=rounds.max(1) {
        for (contestant, times) in contestants.iter_mut().zip(&mut all) {
            let Ok(list) = times else { continue };
            let (seconds, steps) = match contestant {
                Contestant::Ours { members, steps } => (workload.run(*members, *steps), *steps),
                Contestant::Torch { torch, steps, .. } => (torch.run(*steps), *steps),
            };
            match seconds {
                Ok(seconds) if round > 0 => list.push(seconds / f64::from(steps)),
                Ok(_) => {}
                Err(error) => *times = Err(error),
            }
            progress();
        }
    }
    let told = |times: Vec<f64>| Measured::of(times).ok_or_else(|| Error::input("nothing was timed"));
    all.into_iter().map(|times| times.and_then(told)).collect()
}

/// Largest difference between losses, relative to the first ones; infinite where one is not a number.
///
/// # Errors
/// When there are not equally many.
pub fn largest_difference(ours: &[f32], theirs: &[f32]) -> Result<f32> {
    if ours.len() != theirs.len() {
        return Err(Error::input(format!("{} losses on one side and {} on the other", ours.len(), theirs.len())));
    }
    let apart = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs() / a.abs());
    Ok(apart.fold(0.0, |largest, apart| {
        if apart <= largest {
            largest
        } else if apart.is_nan() {
            f32::INFINITY
        } else {
            apart
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes as many seconds a step as it has run, times its members; fails with seven.
    struct Growing(u32);

    impl Workload for Growing {
        fn run(&mut self, members: usize, steps: u32) -> Result<f64> {
            self.0 += 1;
            if members == 7 {
                return Err(Error::input("seven"));
            }
            Ok(f64::from(self.0) * f64::from(steps) * members as f64)
        }
    }

    #[test]
    fn the_first_round_does_not_count_and_a_failure_stops_nobody_else() {
        let mut contestants = [1, 7].map(|members| Contestant::Ours { members, steps: 5 });
        let mut worked = 0;
        let found = in_turn(&mut Growing(0), &mut contestants, 3, || worked += 1);
        let expected = Measured { median: 4.0, fastest: 3.0, slowest: 5.0 };
        assert_eq!(found[0].as_ref().unwrap(), &expected);
        assert_eq!(found[1].as_ref().unwrap_err().to_string(), "seven");
        assert_eq!(worked, 5);
    }

    #[test]
    fn differences_are_relative_and_nan_is_one() {
        assert_eq!(largest_difference(&[2.0, 4.0], &[2.0, 5.0]).unwrap(), 0.25);
        assert_eq!(largest_difference(&[2.0, 4.0], &[f32::NAN, 4.0]).unwrap(), f32::INFINITY);
        assert!(largest_difference(&[1.0], &[]).is_err());
    }
}
