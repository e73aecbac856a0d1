//! Work side by side, each piece on one core.
//!
//! Candle splits single products over rayon's threads and does everything else on one. Pieces side by side keep all cores
//! busy all the time instead. Each lane has a rayon pool of one thread, so that what candle would spread over rayon stays on
//! it (`elementwise.rs` deals with candle's other pool).

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use crate::error::{Error, Result};

/// Calls `work` for every number below `count`, at most `lanes` at a time, until one says false or fails.
///
/// # Errors
/// The first error of `work`; [`Error::Resources`] when no thread can be started.
pub(super) fn run(count: usize, lanes: usize, work: impl Fn(usize) -> Result<bool> + Sync) -> Result<()> {
    let next = AtomicUsize::new(0);
    let failure = Mutex::new(None);
    let lane = || {
        loop {
            let piece = next.fetch_add(1, Ordering::Relaxed);
            if piece >= count {
                return;
            }
            match work(piece) {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => {
                    failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                }
            }
            next.store(count, Ordering::Relaxed);
        }
    };
    let pools = (0..lanes.clamp(1, count.max(1))).map(|_| rayon::ThreadPoolBuilder::new().num_threads(1).build());
    let pools: Vec<_> = pools.collect::<Result<_, _>>().map_err(|error| Error::Resources {
        what: format!("no threads for computing: {error}"),
        cure: Some("use fewer with `--threads`".to_owned()),
    })?;
    std::thread::scope(|scope| {
        let lanes: Vec<_> = pools.iter().map(|pool| scope.spawn(|| pool.install(lane))).collect();
        for lane in lanes {
            if let Err(panic) = lane.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_is_worked_on_once_and_stays_on_its_lane() {
        for lanes in 1..4 {
            let seen = Mutex::new(Vec::new());
            run(20, lanes, |piece| {
                assert_eq!(rayon::current_num_threads(), 1);
                seen.lock().unwrap().push(piece);
                Ok(true)
            })
            .unwrap();
            let mut seen = seen.into_inner().unwrap();
            seen.sort_unstable();
            assert_eq!(seen, (0..20).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_error_or_a_stop_ends_all_lanes() {
        let count = AtomicUsize::new(0);
        let work = |stop: bool| {
            run(1000, 2, |piece| {
                count.fetch_add(1, Ordering::Relaxed);
                if stop { Ok(piece != 3) } else { Err(Error::input(format!("piece {piece}"))) }
            })
        };
        assert!(work(true).is_ok());
        assert!(work(false).unwrap_err().to_string().starts_with("piece "));
        assert!(run(0, 2, |_| Err(Error::input("none"))).is_ok());
    }
}
