//! Members of an array on the CPU: one after another in each lane, a lane a thread, as `train` does it.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use crate::error::Result;

/// Runs `work(lane, member, threads)` for each member; it gives its seconds. Gives those of the lane that worked longest.
///
/// A lane keeps its buffers from one member to the next.
pub(super) fn run<L: Send>(
    lanes: &mut [L],
    members: usize,
    threads: usize,
    work: impl Fn(&mut L, usize, usize) -> Result<f64> + Sync,
) -> Result<f64> {
    let used = lanes.len().min(members).max(1);
    let next = AtomicUsize::new(0);
    let outcome = Mutex::new(Ok(0.0));
    let lane = |lane: &mut L| {
        let mut sum = 0.0;
        loop {
            let member = next.fetch_add(1, Ordering::Relaxed);
            if member >= members {
                break;
            }
            match work(lane, member, threads / used) {
                Ok(seconds) => sum += seconds,
                Err(error) => {
                    *outcome.lock().unwrap_or_else(PoisonError::into_inner) = Err(error);
                    return;
                }
            }
        }
        if let Ok(longest) = &mut *outcome.lock().unwrap_or_else(PoisonError::into_inner) {
            *longest = f64::max(*longest, sum);
        }
    };
    std::thread::scope(|scope| {
        let mut own = None;
        for each in lanes.iter_mut().take(used) {
            match own {
                None => own = Some(each),
                Some(_) => {
                    scope.spawn(|| lane(each));
                }
            }
        }
        if let Some(own) = own {
            lane(own);
        }
    });
    outcome.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn every_member_runs_once_and_the_longest_lane_counts() {
        let mut lanes = vec![Vec::new(); 2];
        let seconds = run(&mut lanes, 5, 4, |lane, member, threads| {
            assert_eq!(threads, 2);
            lane.push(member);
            Ok(1.0)
        });
        let mut all = lanes.concat();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4]);
        assert_eq!(seconds.unwrap(), lanes.iter().map(Vec::len).max().unwrap() as f64);
    }

    #[test]
    fn a_lone_member_has_all_threads_and_errors_come_out() {
        let told = run(&mut [(), ()], 1, 2, |(), _, threads| Err(Error::input(format!("{threads} threads"))));
        assert_eq!(told.unwrap_err().to_string(), "2 threads");
    }
}
