//! Trials and their edges: growing the graph, and what unblocks most.

use std::collections::HashMap;

use permafrost_worker::{id::TrialId, protocol::Attempt, task::Kind};
use uuid::Uuid;

use super::types::{CoreError, NewTrial, TrialState};

/// Place of a trial in [`Graph::trials`]: the order of submission.
pub(super) type Index = u32;

/// A lease that is held.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) worker: Uuid,
    pub(super) deadline_ms: u64,
    pub(super) granted_ms: u64,
    /// Members of its array.
    pub(super) members: usize,
}

pub(super) struct Trial {
    pub(super) id: TrialId,
    pub(super) kind: Kind,
    pub(super) key: u32,
    pub(super) inputs: Vec<Index>,
    pub(super) dependants: Vec<Index>,
    pub(super) state: TrialState,
    pub(super) attempts: Attempt,
    /// Inputs without a result.
    pub(super) open_inputs: u32,
    pub(super) not_before_ms: Option<u64>,
    /// Failures by class since a user last said so.
    pub(super) failures: [u32; 4],
    /// Attempts that found an input damaged, since a user last said so.
    pub(super) damaged: u32,
    /// How often its result was made again because a reader found it damaged, since a user last said so.
    pub(super) remade: u32,
    /// Attempts lost in a row.
    pub(super) lost: u32,
    /// It failed beside others: it runs alone from now on, so that it cannot do them harm.
    pub(super) alone: bool,
    /// What it unblocks; see [`Graph::weigh`].
    pub(super) weight: u64,
    pub(super) held: Option<Held>,
}

#[derive(Default)]
pub(super) struct Graph {
    pub(super) trials: Vec<Trial>,
    index: HashMap<TrialId, Index>,
    keys: HashMap<String, u32>,
}

impl Graph {
    pub(super) fn find(&self, id: TrialId) -> Option<Index> {
        self.index.get(&id).copied()
    }

    pub(super) fn require(&self, id: TrialId) -> Result<Index, CoreError> {
        self.find(id).ok_or(CoreError::UnknownTrial(id))
    }

    pub(super) fn get(&self, index: Index) -> &Trial {
        &self.trials[index as usize]
    }

    pub(super) fn get_mut(&mut self, index: Index) -> &mut Trial {
        &mut self.trials[index as usize]
    }

    /// Adds those that are not known yet, all or nothing; returns where the new ones begin. They are `Waiting`, and
    /// their inputs uncounted.
    pub(super) fn add(&mut self, new: Vec<NewTrial>) -> Result<Index, CoreError> {
        let first = self.trials.len();
        let (fresh, place) = self.fresh(new)?;
        let mut edges = Vec::with_capacity(fresh.len());
        for trial in &fresh {
            let mut inputs = Vec::with_capacity(trial.inputs.len());
            for &input in &trial.inputs {
                let known = self.find(input).or_else(|| place.get(&input).map(|&at| (first + at) as Index));
                inputs.push(known.ok_or(CoreError::UnknownInput { trial: trial.id, input })?);
            }
            inputs.sort_unstable();
            inputs.dedup();
            edges.push(inputs);
        }
        if let Some(at) = cycle(first, &edges) {
            return Err(CoreError::Cycle(fresh[at].id));
        }
        self.trials.reserve(fresh.len());
        self.index.reserve(fresh.len());
        for (trial, inputs) in fresh.into_iter().zip(&edges) {
            self.insert(trial, inputs.clone());
        }
        for (at, inputs) in edges.iter().enumerate() {
            for &input in inputs {
                self.get_mut(input).dependants.push((first + at) as Index);
            }
        }
        Ok(first as Index)
    }

    /// The unknown ones, each once, and where each stands among them.
    fn fresh(&self, new: Vec<NewTrial>) -> Result<(Vec<NewTrial>, HashMap<TrialId, usize>), CoreError> {
        let mut seen: HashMap<TrialId, usize> = HashMap::with_capacity(new.len());
        let mut fresh: Vec<NewTrial> = Vec::with_capacity(new.len());
        for trial in new {
            if self.index.contains_key(&trial.id) {
                continue;
            }
            match seen.get(&trial.id) {
                Some(&at) if fresh[at].inputs == trial.inputs => {}
                Some(_) => return Err(CoreError::Ambiguous(trial.id)),
                None => {
                    seen.insert(trial.id, fresh.len());
                    fresh.push(trial);
                }
            }
        }
        Ok((fresh, seen))
    }

    fn insert(&mut self, trial: NewTrial, inputs: Vec<Index>) {
        let next_key = self.keys.len() as u32;
        let key = *self.keys.entry(trial.array_key).or_insert(next_key);
        self.index.insert(trial.id, self.trials.len() as Index);
        self.trials.push(Trial {
            id: trial.id,
            kind: trial.kind,
            key,
            inputs,
            dependants: Vec::new(),
            state: TrialState::Waiting,
            attempts: 0,
            open_inputs: 0,
            not_before_ms: None,
            failures: [0; 4],
            damaged: 0,
            remade: 0,
            lost: 0,
            alone: false,
            weight: 0,
            held: None,
        });
    }

    /// Gives every trial its weight: how many unfinished trials wait for it, directly or through others. Exact where
    /// trials have one input; one that is reached in several ways counts once a way, which is cheap and ranks alike.
    pub(super) fn weigh(&mut self) {
        // Readers before what they read: a reversed topological order.
        let mut unread: Vec<u32> = self.trials.iter().map(|trial| trial.dependants.len() as u32).collect();
        let mut queue: Vec<Index> = (0..self.trials.len() as Index).filter(|&i| unread[i as usize] == 0).collect();
        let mut weights = vec![0_u64; self.trials.len()];
        while let Some(index) = queue.pop() {
            let trial = self.get(index);
            let own = u64::from(trial.state != TrialState::Done);
            let handed = weights[index as usize].saturating_add(own);
            for &input in &trial.inputs {
                let at = input as usize;
                weights[at] = weights[at].saturating_add(handed);
                unread[at] -= 1;
                if unread[at] == 0 {
                    queue.push(input);
                }
            }
        }
        for (trial, weight) in self.trials.iter_mut().zip(weights) {
            trial.weight = weight;
        }
    }
}

/// A new trial that lies on a circle, if there is one. `edges` are the inputs of the trials from `first` on; older
/// trials cannot need newer ones.
fn cycle(first: usize, edges: &[Vec<Index>]) -> Option<usize> {
    let new_inputs = |at: usize| edges[at].iter().filter_map(|&input| (input as usize).checked_sub(first));
    let mut open: Vec<usize> = (0..edges.len()).map(|at| new_inputs(at).count()).collect();
    let mut readers = vec![Vec::new(); edges.len()];
    for at in 0..edges.len() {
        for input in new_inputs(at) {
            readers[input].push(at);
        }
    }
    let mut queue: Vec<usize> = (0..edges.len()).filter(|&at| open[at] == 0).collect();
    while let Some(at) = queue.pop() {
        for &reader in &readers[at] {
            open[reader] -= 1;
            if open[reader] == 0 {
                queue.push(reader);
            }
        }
    }
    // What only waits for a circle has open inputs too; walking back along them ends on the circle itself.
    let mut at = open.iter().position(|&count| count > 0)?;
    for _ in 0..edges.len() {
        at = new_inputs(at).find(|&input| open[input] > 0)?;
    }
    Some(at)
}
