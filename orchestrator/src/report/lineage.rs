//! What trials are, by all that they were made from: not what a sweep file called it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use permafrost_worker::{
    id::TrialId,
    task::{Classify, Embed, Encoder, Fetch, Prepare, Pretrain, Reader, Task, Weights},
};
use serde_json::{Map, Value};

use super::repeats::{self, Outcome};
use crate::sweep;

/// Keys of a task that say where something lies, and not what it is.
const PLACES: &str = "location";

/// Tasks, each with those that it reads.
#[derive(Debug, Default)]
pub struct Lineage {
    tasks: HashMap<TrialId, Task>,
}

impl FromIterator<(TrialId, Task)> for Lineage {
    fn from_iter<T: IntoIterator<Item = (TrialId, Task)>>(tasks: T) -> Self {
        Self { tasks: tasks.into_iter().collect() }
    }
}

impl Lineage {
    /// The task of a trial.
    pub fn task(&self, trial: TrialId) -> Option<&Task> {
        self.tasks.get(&trial)
    }

    /// All tasks.
    pub fn tasks(&self) -> impl Iterator<Item = (&TrialId, &Task)> {
        self.tasks.iter()
    }

    /// The collection that a prepare trial reads.
    pub fn prepare(&self, trial: TrialId) -> Option<&Prepare> {
        match self.task(trial)? {
            Task::Prepare(task) => Some(task),
            _ => None,
        }
    }

    /// What an embed trial does.
    pub fn embed(&self, trial: TrialId) -> Option<&Embed> {
        match self.task(trial)? {
            Task::Embed(task) => Some(task),
            _ => None,
        }
    }

    /// How an Adaptor was trained.
    pub fn pretrain(&self, trial: TrialId) -> Option<&Pretrain> {
        match self.task(trial)? {
            Task::Pretrain(task) => Some(task),
            _ => None,
        }
    }

    /// A collection and what its content is known by: `rsna 3f2a90c1d7`. Of a wheel that is its SHA-256, of files their fingerprint.
    pub fn data(&self, prepare: TrialId) -> Option<String> {
        let task = self.prepare(prepare)?;
        let content = match &task.reader {
            Reader::OpenI { wheel, .. } => match self.task(*wheel)? {
                Task::Fetch(Fetch::Wheel(wheel)) => wheel.sha256.clone(),
                _ => wheel.hex(),
            },
            Reader::MimicCxr { fingerprint, .. }
            | Reader::Rsna { fingerprint, .. }
            | Reader::Covidx { fingerprint, .. }
            | Reader::Siim { fingerprint, .. }
            | Reader::Table { fingerprint, .. } => fingerprint.clone(),
        };
        Some(format!("{} {}", reader(&task.reader), content.get(..10).unwrap_or(&content)))
    }

    /// Collections that a trial was made from, itself and its inputs near and far, each once.
    pub fn all_data(&self, trial: TrialId) -> Vec<String> {
        let mut found: Vec<String> = self.ancestry(trial).into_iter().filter_map(|trial| self.data(trial)).collect();
        found.sort();
        found.dedup();
        found
    }

    /// A trial and its inputs, near and far, each once.
    pub fn ancestry(&self, trial: TrialId) -> Vec<TrialId> {
        let mut found = vec![trial];
        let mut next = 0;
        while let Some(trial) = found.get(next).copied() {
            next += 1;
            for input in self.task(trial).map(Task::inputs).unwrap_or_default() {
                if !found.contains(&input) {
                    found.push(input);
                }
            }
        }
        found
    }

    /// Which encoder an embed trial runs, by its published name where it is one of those: what the hub has under that repository. Of files
    /// in a folder nothing tells whose they are but the name that the sweep gives them, `called`; that is believed.
    pub fn encoder(&self, embed: TrialId, called: Option<&str>) -> Option<String> {
        let encoder = &self.embed(embed)?.encoder;
        let called = || called.unwrap_or("unnamed").to_owned();
        Some(match (encoder, encoder.weights()) {
            (_, Some(Weights::Hub { snapshot })) => match self.task(*snapshot)? {
                Task::Fetch(Fetch::Hub(hub)) => {
                    sweep::encoder_of_repository(&hub.repository).map_or_else(|| hub.repository.clone(), str::to_owned)
                }
                _ => called(),
            },
            (Encoder::ResNetAe { .. }, _) => "resnet-ae".to_owned(),
            _ => called(),
        })
    }

    /// All that determines a trial's result, as one mapping: instead of the identity of an input stands what that does. Where things lie is left out.
    pub fn whole(&self, trial: TrialId) -> Value {
        self.task(trial)
            .and_then(|task| serde_json::to_value(task).ok())
            .map_or(Value::Null, |task| self.expanded(task))
    }

    fn expanded(&self, value: Value) -> Value {
        match value {
            Value::Object(map) => {
                let kept = map.into_iter().filter(|(key, _)| key != PLACES);
                Value::Object(kept.map(|(key, value)| (key, self.expanded(value))).collect())
            }
            Value::Array(items) => items.into_iter().map(|item| self.expanded(item)).collect(),
            Value::String(text) if text.len() == 64 => match text.parse() {
                Ok(input) if self.tasks.contains_key(&input) => self.whole(input),
                _ => Value::String(text),
            },
            other => other,
        }
    }

    /// All that determines a trial's result, by path: `learning_rate`, `adaptor.learning_rate`, `image.encoder.weights.snapshot.revision`. A trial that is
    /// read in several places is told where it is met first. Where things lie is left out.
    pub fn described(&self, trial: TrialId) -> BTreeMap<String, Value> {
        let mut found = BTreeMap::new();
        let mut met = HashSet::from([trial]);
        let mut queue = VecDeque::from([(String::new(), trial)]);
        while let Some((role, trial)) = queue.pop_front() {
            let Some(task) = self.task(trial).and_then(|task| serde_json::to_value(task).ok()) else { continue };
            for (path, value) in flat(&task) {
                let place = if role.is_empty() { path.clone() } else { format!("{role}.{path}") };
                let input = value.as_str().and_then(|text| text.parse().ok()).filter(|id| self.tasks.contains_key(id));
                match input {
                    Some(input) if met.insert(input) => queue.push_back((place, input)),
                    Some(_) => {}
                    None if path.split('.').any(|part| part == PLACES) => {}
                    None => {
                        found.insert(place, value);
                    }
                }
            }
        }
        found
    }

    /// What a trial has in common with those that differ from it, and whose Adaptors differ, in their seeds alone: BLAKE3 in hexadecimal.
    pub fn settings(&self, trial: TrialId) -> String {
        let mut whole = self.whole(trial);
        forget_seed(&mut whole);
        if let Some(adaptor) = whole.get_mut("adaptor") {
            forget_seed(adaptor);
        }
        TrialId::of(&whole).map(|id| id.hex()).unwrap_or_default()
    }

    /// Seeds of a head and of its Adaptor.
    pub fn seeds(&self, head: &Classify) -> (u64, Option<u64>) {
        (head.seed, head.adaptor.and_then(|adaptor| self.pretrain(adaptor)).map(|adaptor| adaptor.seed))
    }
}

fn forget_seed(task: &mut Value) {
    if let Value::Object(map) = task {
        map.remove("seed");
    }
}

/// The name of a reader, as sweep files have it.
pub fn reader(reader: &Reader) -> &'static str {
    match reader {
        Reader::OpenI { .. } => "open-i",
        Reader::MimicCxr { .. } => "mimic-cxr",
        Reader::Rsna { .. } => "rsna",
        Reader::Covidx { .. } => "covidx",
        Reader::Siim { .. } => "siim",
        Reader::Table { .. } => "table",
    }
}

/// A mapping without mappings: `adaptor.learning_rate` and such.
pub fn flat(value: &Value) -> BTreeMap<String, Value> {
    fn walk(value: &Value, path: &str, out: &mut BTreeMap<String, Value>) {
        let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        match value {
            Value::Object(map) => map.iter().for_each(|(key, value)| walk(value, &below(key), out)),
            Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
                items.iter().enumerate().for_each(|(at, value)| walk(value, &below(&at.to_string()), out));
            }
            other => {
                out.insert(path.to_owned(), other.clone());
            }
        }
    }
    let mut out = BTreeMap::new();
    walk(value, "", &mut out);
    out
}

/// A path, and the values there; none where one side has none.
pub type Difference = (String, Option<Value>, Option<Value>);

/// Where two mappings differ, by path.
pub fn differences(a: &BTreeMap<String, Value>, b: &BTreeMap<String, Value>) -> Vec<Difference> {
    let paths: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let differ = paths.into_iter().filter(|path| a.get(*path) != b.get(*path));
    differ.map(|path| (path.clone(), a.get(path).cloned(), b.get(path).cloned())).collect()
}

/// Parameters without seeds, as one text: trials that agree in it are one cell.
pub fn without_seeds<V: Clone>(parameters: &BTreeMap<String, V>) -> BTreeMap<String, V> {
    parameters
        .iter()
        .filter(|(name, _)| !repeats::is_seed(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// A result of a trial of a cell: seeds alone pair it with those of other cells.
pub(crate) fn outcome(parameters: &BTreeMap<String, Value>, value: f64) -> Outcome {
    let kept = |keep: &dyn Fn(&str) -> bool| {
        let kept = parameters.iter().filter(|(name, _)| keep(name));
        let kept: Map<String, Value> = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
        Value::Object(kept).to_string()
    };
    let inputs = parameters.keys().any(|name| repeats::of_input(name));
    Outcome {
        pair: kept(&|name| repeats::own(name) || repeats::of_input(name)),
        unit: inputs.then(|| kept(&repeats::of_input)),
        value,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn mappings_are_compared_by_path() {
        let a = json!({"x": 1, "y": {"z": [1, 2], "w": null}, "list": [{"a": 1}, {"a": 2}]});
        let b = json!({"x": 1, "y": {"z": [1, 3]}, "list": [{"a": 1}, {"a": 5}], "new": true});
        let found = differences(&flat(&a), &flat(&b));
        let paths: Vec<&str> = found.iter().map(|(path, ..)| path.as_str()).collect();
        assert_eq!(paths, ["list.1.a", "new", "y.w", "y.z"]);
        assert_eq!(found[1], ("new".to_owned(), None, Some(json!(true))));
        assert!(differences(&flat(&a), &flat(&a)).is_empty());
    }
}
