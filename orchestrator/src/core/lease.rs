//! The queue and the leases: who gets what, and for how long.

use std::{cmp::Reverse, collections::BTreeMap};

use permafrost_worker::task::Kind;
use uuid::Uuid;

use super::{
    graph::{Held, Index},
    machine::Core,
    types::{Effect, TrialState},
};

/// Place in the queue: what unblocks most comes first, then what was submitted first.
pub(super) type Rank = (Reverse<u64>, Index);

impl Core {
    fn rank(&self, index: Index) -> Rank {
        (Reverse(self.graph.get(index).weight), index)
    }

    /// Puts a ready trial into the queue.
    pub(super) fn enqueue(&mut self, index: Index, not_before_ms: Option<u64>) {
        let rank = self.rank(index);
        let trial = self.graph.get_mut(index);
        trial.not_before_ms = not_before_ms;
        let key = trial.key;
        match not_before_ms {
            Some(at) => {
                self.delayed.insert((at, index));
            }
            None => {
                self.ready.insert(rank);
                self.ready_by_key.entry(key).or_default().insert(rank);
            }
        }
    }

    /// Takes a ready trial out of the queue.
    pub(super) fn dequeue(&mut self, index: Index) {
        let rank = self.rank(index);
        let trial = self.graph.get(index);
        let key = trial.key;
        match trial.not_before_ms {
            Some(at) => {
                self.delayed.remove(&(at, index));
            }
            None => {
                self.ready.remove(&rank);
                if let Some(queue) = self.ready_by_key.get_mut(&key) {
                    queue.remove(&rank);
                    if queue.is_empty() {
                        self.ready_by_key.remove(&key);
                    }
                }
            }
        }
    }

    /// Builds the queue anew after weights have changed.
    pub(super) fn rank_again(&mut self) {
        let ready: Vec<Index> = std::mem::take(&mut self.ready).into_iter().map(|(_, index)| index).collect();
        self.ready_by_key.clear();
        for index in ready {
            self.enqueue(index, None);
        }
    }

    /// Answers a worker that asks for work.
    pub(super) fn lease(&mut self, worker: Uuid, capacity: &BTreeMap<Kind, usize>) {
        self.seen(worker);
        if self.draining {
            self.push(Effect::Leave { worker });
            return;
        }
        let offered = |kind| capacity.get(&kind).copied().unwrap_or(0).min(self.limits.max_array);
        let Some(&(_, best)) = self.ready.iter().find(|&&(_, index)| offered(self.graph.get(index).kind) > 0) else {
            self.push(Effect::Idle { worker });
            return;
        };
        let members = self.array(best, offered(self.graph.get(best).kind));
        for &index in &members {
            self.grant(worker, index, members.len());
        }
        let leases = members.iter().map(|&index| (self.graph.get(index).id, self.graph.get(index).attempts)).collect();
        self.push(Effect::Grant { worker, leases });
    }

    /// The best trial with others of its key: as many as fit, but no more than this worker's share, so that idle
    /// neighbours get some too.
    fn array(&self, best: Index, room: usize) -> Vec<Index> {
        let trial = self.graph.get(best);
        if trial.alone {
            return vec![best];
        }
        let queue = &self.ready_by_key[&trial.key];
        let idle = self.idle_workers().max(1);
        let share = queue.len().div_ceil(idle).clamp(1, room);
        queue.iter().map(|&(_, index)| index).filter(|&index| !self.graph.get(index).alone).take(share).collect()
    }

    fn idle_workers(&self) -> usize {
        let fresh = |last_seen_ms| self.now_ms - last_seen_ms <= self.limits.idle_grace_ms;
        self.workers.values().filter(|worker| worker.held.is_empty() && fresh(worker.last_seen_ms)).count()
    }

    fn grant(&mut self, worker: Uuid, index: Index, members: usize) {
        self.dequeue(index);
        let deadline_ms = self.now_ms + self.limits.lease_ttl_ms;
        let trial = self.graph.get_mut(index);
        self.counts.moved(Some(trial.state), TrialState::Running);
        trial.state = TrialState::Running;
        trial.attempts += 1;
        trial.held = Some(Held { worker, deadline_ms, granted_ms: self.now_ms, members });
        self.deadlines.insert((deadline_ms, index));
        self.workers.entry(worker).or_default().held.insert(index);
    }

    /// Puts a lease's end off.
    pub(super) fn renew(&mut self, index: Index) {
        let deadline_ms = self.now_ms + self.limits.lease_ttl_ms;
        if let Some(held) = &mut self.graph.get_mut(index).held {
            let old = std::mem::replace(&mut held.deadline_ms, deadline_ms);
            self.deadlines.remove(&(old, index));
            self.deadlines.insert((deadline_ms, index));
        }
    }

    /// Ends a lease.
    pub(super) fn release(&mut self, index: Index) -> Option<Held> {
        let held = self.graph.get_mut(index).held.take()?;
        self.deadlines.remove(&(held.deadline_ms, index));
        if let Some(worker) = self.workers.get_mut(&held.worker) {
            worker.held.remove(&index);
        }
        Some(held)
    }
}
