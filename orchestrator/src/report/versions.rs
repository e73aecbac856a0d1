//! One result of equal cells over time: which versions of data, program and settings made it, and whether it changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use permafrost_worker::id::TrialId;
use serde_json::{Value, json};

use super::{
    cell::{Summary, is_share},
    lineage::{self, Lineage},
    pairing,
    repeats::{self, Outcome},
    stats::{self, LEVEL},
    table::Table,
};
use crate::store::{MadeRow, PlacedRow};

/// Digits of what settings are known by.
const SHORT: usize = 6;

/// What a table of versions is made of.
#[derive(Debug)]
pub struct Versions<'a> {
    /// All tasks.
    pub lineage: &'a Lineage,
    /// Trials with their last attempt.
    pub made: &'a [MadeRow],
    /// Where they stand.
    pub placed: &'a [PlacedRow],
    /// Results by trial and name.
    pub values: &'a BTreeMap<String, BTreeMap<String, f64>>,
    /// Sweeps as people call them, by their row: `name@revision`.
    pub names: &'a BTreeMap<i64, String>,
    /// The stage, and the result.
    pub stage: Option<&'a str>,
    /// The result.
    pub metric: &'a str,
    /// Whether more of it is better.
    pub maximize: Option<bool>,
    /// Only cells that were made more than once.
    pub changed: bool,
}

/// Trials of a cell that one version made.
#[derive(Default)]
struct Version {
    results: Vec<Outcome>,
    seen: BTreeSet<String>,
    ended: i64,
    program: String,
    settings: String,
    data: String,
    sweeps: BTreeSet<String>,
}

impl Versions<'_> {
    /// A row a version: of each cell (trials of equal parameters but for seeds) those that made it, from the oldest on, each compared with the one before.
    pub fn table(&self) -> Table {
        let cells = self.cells();
        let parameters = differing(cells.keys());
        let mut rows = Vec::new();
        for (cell, versions) in &cells {
            let mut before: Option<&Version> = None;
            for version in versions {
                let own = parameters.iter().map(|name| cell.get(name).cloned().unwrap_or_default());
                rows.push(own.chain(self.numbers(version, before)).collect());
                before = Some(version);
            }
        }
        let numbers = ["made", "program", "data", "settings", "sweeps", "n", "mean", "sd", "change", "p", "verdict"];
        let names: Vec<String> = parameters.iter().cloned().chain(numbers.map(str::to_owned)).collect();
        let note = "change: mean paired difference from the version above of the same cell; p: of the paired t test, from 3 pairs on; \
                    settings tell versions apart: `permafrost diff` says in what";
        let stage = self.stage.map(|stage| format!("{stage}.")).unwrap_or_default();
        let title = format!("{stage}{} over time", self.metric);
        let values = cells.values().flatten().flat_map(|version| &version.results).map(|found| found.value);
        Table::of_rows(&title, Some(note.to_owned()), &names, parameters.len(), rows).alike(&["mean", "change"], values)
    }

    /// Versions of each cell, oldest first.
    fn cells(&self) -> BTreeMap<Parameters, Vec<Version>> {
        let made: HashMap<&str, &MadeRow> = self.made.iter().map(|trial| (trial.id.as_str(), trial)).collect();
        let mut settings: HashMap<&str, String> = HashMap::new();
        let mut cells: BTreeMap<Parameters, BTreeMap<(String, String), Version>> = BTreeMap::new();
        for place in self.placed.iter().filter(|place| self.stage.is_none_or(|stage| stage == place.stage)) {
            let value = self.values.get(&place.id).and_then(|values| values.get(self.metric));
            let (Some(value), Some(trial)) = (value, made.get(place.id.as_str())) else { continue };
            let Ok(id) = place.id.parse::<TrialId>() else { continue };
            let settings = settings.entry(&place.id).or_insert_with(|| self.lineage.settings(id));
            let program = trial.program.clone().unwrap_or_default();
            let cell = cells.entry(Parameters(lineage::without_seeds(&place.parameters))).or_default();
            let version = cell.entry((settings.clone(), program.clone())).or_insert_with(|| Version {
                ended: i64::MAX,
                settings: settings.clone(),
                data: self.lineage.all_data(id).join(", "),
                program,
                ..Version::default()
            });
            version.sweeps.insert(self.names.get(&place.sweep).cloned().unwrap_or_default());
            if version.seen.insert(place.id.clone()) {
                version.ended = version.ended.min(trial.ended.unwrap_or(i64::MAX));
                version.results.push(lineage::outcome(&place.parameters, *value));
            }
        }
        let ordered = |versions: BTreeMap<_, Version>| {
            let mut versions: Vec<Version> = versions.into_values().collect();
            repeats::settle(versions.iter_mut().flat_map(|version| &mut version.results));
            versions.sort_by_key(|version| version.ended);
            versions
        };
        let cells = cells.into_iter().map(|(cell, versions)| (cell, ordered(versions)));
        cells.filter(|(_, versions)| !self.changed || versions.len() > 1).collect()
    }

    fn numbers(&self, version: &Version, before: Option<&Version>) -> Vec<Value> {
        let values = repeats::independent(version.results.iter().map(|found| (found.unit.as_deref(), found.value)));
        let summary = Summary::of(&values, is_share(self.metric));
        let paired = before.and_then(|before| pairing::compare(&version.results, &before.results));
        let paired = paired.filter(|paired| paired.n > 0);
        let verdict = match (before, &paired) {
            (None, _) => "",
            (Some(_), None) => "no pairs",
            (Some(_), Some(paired)) => match (paired.p_t, paired.refused, self.maximize) {
                _ if paired.difference == 0.0 => "equal",
                (None, Some(refused), _) => refused.word(),
                (Some(p), ..) if p >= LEVEL => "alike",
                (_, _, Some(maximize)) if (paired.difference > 0.0) == maximize => "better",
                (_, _, Some(_)) => "worse",
                (_, _, None) => "differs",
            },
        };
        vec![
            json!(moment(version.ended)),
            json!(version.program),
            json!(version.data),
            json!(version.settings.get(..SHORT)),
            json!(version.sweeps.iter().cloned().collect::<Vec<_>>().join(", ")),
            json!(values.len()),
            json!(summary.as_ref().map(|summary| summary.mean)),
            json!(summary.as_ref().and_then(|summary| summary.sd)),
            json!(paired.as_ref().map(|paired| paired.difference)),
            json!(paired.as_ref().and_then(|paired| paired.p_t)),
            json!(verdict),
        ]
    }
}

/// Parameters of a cell, ordered so that cells stand in a fixed order: numbers by size.
#[derive(Clone, Debug, PartialEq)]
struct Parameters(BTreeMap<String, Value>);

impl Parameters {
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }
}

impl Eq for Parameters {}

impl PartialOrd for Parameters {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Parameters {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let entries = self.0.iter().zip(&other.0).map(|((a_name, a), (b_name, b))| {
            let values = match (a.as_f64(), b.as_f64()) {
                (Some(a), Some(b)) => a.total_cmp(&b),
                _ => a.to_string().cmp(&b.to_string()),
            };
            a_name.cmp(b_name).then(values)
        });
        let order = entries.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then);
        order.then(self.0.len().cmp(&other.0.len()))
    }
}

/// Names of the parameters in which cells differ.
fn differing<'a>(cells: impl Iterator<Item = &'a Parameters> + Clone) -> Vec<String> {
    let names: BTreeSet<&String> = cells.clone().flat_map(|cell| cell.0.keys()).collect();
    let differs = |name: &&String| {
        let mut values = cells.clone().map(|cell| cell.0.get(*name));
        let first = values.next();
        values.any(|value| Some(value) != first)
    };
    names.into_iter().filter(differs).cloned().collect()
}

/// A moment in UTC, for people and programs.
pub fn moment(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms)
        .map_or_else(|_| String::new(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// Results of a cell.
pub(crate) type Results = Vec<Outcome>;

/// Values of two sets of trials by seed, compared: what `diff` and tables share.
pub(crate) fn compared(cells: &[(Results, Results)]) -> Vec<Option<Comparison>> {
    let paired = cells.iter().map(|(a, b)| pairing::compare(b, a)).collect();
    let comparison = |compared: super::cell::Compared| Comparison {
        pairs: compared.paired.n,
        difference: compared.paired.difference,
        interval: compared.paired.interval,
        p_t: compared.paired.p_t,
        p_t_holm: compared.p_t,
        refused: compared.paired.refused.map(stats::Refusal::word),
    };
    pairing::family(paired).into_iter().map(|compared| compared.map(comparison)).collect()
}

/// One of them.
#[derive(Clone, Debug)]
pub(crate) struct Comparison {
    /// Pairs.
    pub(crate) pairs: usize,
    /// Second less first.
    pub(crate) difference: f64,
    /// Of the difference.
    pub(crate) interval: Option<stats::Interval>,
    /// Of the paired t test.
    pub(crate) p_t: Option<f64>,
    /// By Holm's correction over all.
    pub(crate) p_t_holm: Option<f64>,
    /// Why there is no test.
    pub(crate) refused: Option<&'static str>,
}

impl Comparison {
    /// In a word.
    pub(crate) fn verdict(&self, maximize: Option<bool>) -> &'static str {
        match (self.p_t_holm, maximize) {
            _ if self.pairs > 0 && self.difference == 0.0 => "equal",
            (None, _) => self.refused.unwrap_or("no pairs"),
            (Some(p), _) if p >= LEVEL => "alike",
            (Some(_), None) => "differs",
            (Some(_), Some(maximize)) if (self.difference > 0.0) == maximize => "better",
            (Some(_), Some(_)) => "worse",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    /// One cell of three seeds, made by three versions: an encoder changed, then nothing but the program.
    #[test]
    fn a_regression_is_seen() {
        let mut tasks = Vec::new();
        let (mut made, mut placed, mut values) = (Vec::new(), Vec::new(), BTreeMap::new());
        // What differs between versions is no parameter: here the steps of a no-op stand for the content of a file.
        let versions = [(1, "0.1.0", 0.80), (2, "0.1.0", 0.75), (2, "0.2.0", 0.75)];
        for (at, (steps, program, mean)) in versions.into_iter().enumerate() {
            for seed in 0..3_i64 {
                // Seeds and repetitions give identities.
                let index = 10 * at as i64 + seed;
                let task = json!({"kind": "noop", "index": 0, "steps": steps, "step_ms": 0, "after": [], "end": "done", "seed": index});
                let id = TrialId::of(&task).unwrap();
                tasks.push((id, serde_json::from_value(task).unwrap()));
                made.push(MadeRow {
                    id: id.hex(),
                    kind: "noop".to_owned(),
                    state: "done".to_owned(),
                    attempts: 1,
                    started: None,
                    ended: Some(at as i64 * HOUR + seed),
                    program: Some(program.to_owned()),
                    host: None,
                    device: None,
                    model: None,
                });
                // The second sweep repeats what the first one has.
                for sweep in [at as i64, 9] {
                    placed.push(PlacedRow {
                        sweep,
                        stage: "heads".to_owned(),
                        id: id.hex(),
                        parameters: serde_json::from_value(json!({"vision": "a", "seed": seed})).unwrap(),
                        reused: false,
                    });
                }
                values.insert(
                    id.hex(),
                    BTreeMap::from([("auroc".to_owned(), mean + 0.001 * (seed * seed + at as i64 * seed) as f64)]),
                );
            }
        }
        let (lineage, names) =
            (tasks.into_iter().collect(), BTreeMap::from([(0, "x@1".to_owned()), (9, "y@1".to_owned())]));
        let versions = Versions {
            lineage: &lineage,
            made: &made,
            placed: &placed,
            values: &values,
            names: &names,
            stage: Some("heads"),
            metric: "auroc",
            maximize: Some(true),
            changed: true,
        };
        let json = versions.table().to_json();
        let column = |name: &str| -> Vec<Value> {
            let at = json["columns"].as_array().unwrap().iter().position(|column| column == name).unwrap();
            json["rows"].as_array().unwrap().iter().map(|row| row[at].clone()).collect()
        };
        assert_eq!(column("n"), [3, 3, 3], "a trial of two sweeps counts once");
        assert_eq!(column("verdict"), ["", "worse", "alike"], "{json}");
        assert_eq!(column("program"), ["0.1.0", "0.1.0", "0.2.0"]);
        assert_eq!(column("made")[1], "1970-01-01T01:00:00Z");
        assert_eq!(column("sweeps")[0], "x@1, y@1");
        let settings = column("settings");
        assert!(settings[0] != settings[1] && settings[1] == settings[2], "{settings:?}");
        assert!(json["columns"].as_array().unwrap().iter().all(|name| name != "vision"), "it is the same in all cells");
    }
}
