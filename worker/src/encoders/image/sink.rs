//! Rows of one member on their way into its shards.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    cache::{Row, Writer},
    error::Result,
    protocol::Artifact,
    task::Output,
};

/// Shards that may be in memory: one is written while the next one fills.
const IN_MEMORY: usize = 2;

/// How often somebody who waits for room looks whether to go on waiting.
const LOOK: Duration = Duration::from_millis(100);

/// Collects the rows of one member until a shard of them is whole, and writes it.
pub(super) struct Sink<'a> {
    pub(super) member: usize,
    pub(super) output: Output,
    writer: Writer<'a>,
    /// First row of each shard.
    starts: Vec<usize>,
    /// Place of each shard among those that are to be made; none: it is there.
    turns: Vec<Option<usize>>,
    state: Mutex<State>,
    room: Condvar,
}

struct State {
    /// Shards that are not whole, by number.
    open: BTreeMap<usize, Open>,
    /// Whether each of those that are to be made is written, in order.
    written: Vec<bool>,
    /// Those before are all written.
    first: usize,
    /// Rows that are done, in this attempt or before.
    rows: usize,
    /// Of these, the ones without a value.
    missing: usize,
}

struct Open {
    rows: Vec<Option<Row>>,
    left: usize,
}

impl<'a> Sink<'a> {
    pub(super) fn new(member: usize, output: Output, writer: Writer<'a>) -> Self {
        let shards = 0..writer.shards();
        let starts = shards.clone().map(|shard| writer.rows(shard).start).collect();
        let mut count = 0;
        let turn = |shard| {
            let turn = (!writer.is_done(shard)).then_some(count);
            count += usize::from(turn.is_some());
            turn
        };
        let turns: Vec<Option<usize>> = shards.clone().map(turn).collect();
        let rows = shards.filter(|&shard| turns[shard].is_none()).map(|shard| writer.rows(shard).len()).sum();
        let (open, written) = (BTreeMap::new(), vec![false; count]);
        let state = Mutex::new(State { open, written, first: 0, rows, missing: writer.missing() });
        Self { member, output, writer, starts, turns, state, room: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shard_of(&self, row: usize) -> usize {
        self.starts.partition_point(|&start| start <= row) - 1
    }

    /// Whether one of these rows has still to be made.
    pub(super) fn wants(&self, rows: &Range<usize>) -> bool {
        (self.shard_of(rows.start)..=self.shard_of(rows.end - 1)).any(|shard| self.turns[shard].is_some())
    }

    /// Rows that are done and have no value.
    pub(super) fn missing(&self) -> usize {
        self.lock().missing
    }

    /// Tells how many rows are done. In turn, so that what is told never goes back.
    pub(super) fn tell(&self, tell: impl Fn(usize)) {
        tell(self.lock().rows);
    }

    /// Waits until there is room for these rows, or `until` says that nobody waits any more. Rows that are asked for in order always
    /// get room in the end: those of the first shard that is not written never wait.
    pub(super) fn wait(&self, rows: &Range<usize>, until: impl Fn() -> bool) {
        let last = (0..=self.shard_of(rows.start)).rev().find_map(|shard| self.turns[shard]);
        let mut state = self.lock();
        while last.is_some_and(|turn| turn >= state.first + IN_MEMORY) && !until() {
            state = self.room.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Takes `row` for all of `rows` that have still to be made, and writes the shards that are whole now.
    ///
    /// # Errors
    /// Those of [`Writer::put`].
    pub(super) fn put(&self, rows: &Range<usize>, row: &Row) -> Result<()> {
        for shard in self.shard_of(rows.start)..=self.shard_of(rows.end - 1) {
            let Some(turn) = self.turns[shard] else { continue };
            let all = self.writer.rows(shard);
            let whole = {
                let mut state = self.lock();
                let open =
                    state.open.entry(shard).or_insert_with(|| Open { rows: vec![None; all.len()], left: all.len() });
                let mut count = 0;
                for at in rows.start.max(all.start)..rows.end.min(all.end) {
                    if open.rows[at - all.start].replace(row.clone()).is_none() {
                        count += 1;
                    }
                }
                open.left -= count;
                let is_whole = open.left == 0;
                state.rows += count;
                state.missing += if matches!(row, Row::Missing(_)) { count } else { 0 };
                if is_whole { state.open.remove(&shard) } else { None }
            };
            let Some(whole) = whole else { continue };
            self.writer.put(shard, whole.rows.into_iter().flatten().collect())?;
            let mut state = self.lock();
            state.written[turn] = true;
            while state.written.get(state.first) == Some(&true) {
                state.first += 1;
            }
            drop(state);
            self.room.notify_all();
        }
        Ok(())
    }

    /// See [`Writer::finish`].
    pub(super) fn finish(&self) -> Result<(Vec<Artifact>, BTreeMap<String, f64>)> {
        self.writer.finish()
    }
}
