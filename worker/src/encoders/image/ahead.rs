//! Reading ahead: many threads prepare what one thread uses in batches.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use crate::error::{Error, Result};

/// Batches that may be prepared, or in preparation, at a time.
const BATCHES: usize = 4;

struct State<T> {
    /// What nobody prepares yet.
    next: usize,
    /// What is used up.
    used: usize,
    ready: BTreeMap<usize, T>,
    /// Whether it is over: all is used, somebody said stop, or something failed.
    over: bool,
    failure: Option<Error>,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<T>>) -> MutexGuard<'a, State<T>> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, failure: Option<Error>) {
        let mut state = self.lock();
        state.over = true;
        if state.failure.is_none() {
            state.failure = failure;
        }
        drop(state);
        self.changed.notify_all();
    }
}

/// Ends it all when its thread panics, so that nobody waits for what will never come.
struct Guard<'a, T>(&'a Shared<T>);

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.end(None);
        }
    }
}

/// Calls `prepare` for every number below `count` on `threads` threads, and `take` on this one with what came of `batch` numbers in a
/// row, in order, until it says false. Which numbers are in a batch follows from `count` and `batch` alone; no more than
/// [`BATCHES`] batches are held.
///
/// # Errors
/// The first error of either.
pub(super) fn run<T: Send>(
    count: usize,
    batch: usize,
    threads: usize,
    prepare: impl Fn(usize) -> Result<T> + Sync,
    mut take: impl FnMut(Range<usize>, Vec<T>) -> Result<bool>,
) -> Result<()> {
    let state = State { next: 0, used: 0, ready: BTreeMap::new(), over: count == 0, failure: None };
    let shared = Shared { state: Mutex::new(state), changed: Condvar::new() };
    let work = || {
        let _guard = Guard(&shared);
        loop {
            let mut state = shared.lock();
            while !state.over && state.next < count && state.next >= state.used + BATCHES * batch {
                state = shared.wait(state);
            }
            if state.over || state.next >= count {
                return;
            }
            let number = state.next;
            state.next += 1;
            drop(state);
            match prepare(number) {
                Ok(ready) => {
                    shared.lock().ready.insert(number, ready);
                    shared.changed.notify_all();
                }
                Err(error) => shared.end(Some(error)),
            }
        }
    };
    std::thread::scope(|scope| {
        let _guard = Guard(&shared);
        for _ in 0..threads.clamp(1, count.max(1)) {
            scope.spawn(work);
        }
        let mut start = 0;
        while start < count {
            let numbers = start..(start + batch).min(count);
            let mut state = shared.lock();
            while !state.over && !numbers.clone().all(|number| state.ready.contains_key(&number)) {
                state = shared.wait(state);
            }
            if state.over {
                break;
            }
            let ready = numbers.clone().filter_map(|number| state.ready.remove(&number)).collect();
            state.used = numbers.end;
            drop(state);
            shared.changed.notify_all();
            start = numbers.end;
            match take(numbers, ready) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    shared.end(Some(error));
                    break;
                }
            }
        }
        shared.end(None);
    });
    shared.lock().failure.take().map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;

    #[test]
    fn batches_come_in_order_and_not_too_far_ahead() {
        for threads in [1, 3] {
            let used = AtomicUsize::new(0);
            let mut seen = Vec::new();
            let prepare = |number: usize| {
                assert!(number < used.load(SeqCst) + (BATCHES + 1) * 4, "{number} is too far ahead");
                Ok(number * 10)
            };
            let take = |numbers: Range<usize>, ready: Vec<usize>| {
                assert!(numbers.clone().map(|number| number * 10).eq(ready));
                used.store(numbers.end, SeqCst);
                seen.push(numbers);
                Ok(true)
            };
            run(50, 4, threads, prepare, take).unwrap();
            let expected: Vec<Range<usize>> = (0..50).step_by(4).map(|start| start..(start + 4).min(50)).collect();
            assert_eq!(seen, expected);
        }
    }

    #[test]
    fn a_stop_an_error_or_a_panic_ends_it() {
        let failing = |number: usize| if number == 30 { Err(Error::input("thirty")) } else { Ok(number) };
        let mut batches = 0;
        let all = |_: Range<usize>, _: Vec<usize>| Ok(true);
        assert_eq!(run(1000, 4, 2, failing, all).unwrap_err().to_string(), "thirty");
        let some = |_: Range<usize>, _: Vec<usize>| {
            batches += 1;
            Ok(batches < 3)
        };
        run(1000, 4, 2, Ok, some).unwrap();
        assert_eq!(batches, 3);
        let refuse = |_: Range<usize>, _: Vec<usize>| Err(Error::input("refused"));
        assert_eq!(run(1000, 4, 2, Ok, refuse).unwrap_err().to_string(), "refused");
        let panics = |number: usize| if number == 5 { panic!("five") } else { Ok(number) };
        assert!(std::panic::catch_unwind(|| run(1000, 4, 2, panics, all)).is_err());
        run(0, 4, 2, Ok, refuse).unwrap();
    }
}
