//! `permafrost history`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use permafrost_worker::{id::TrialId, task::Kind};
use serde_json::{Value, json};

use super::{
    args::{Global, History, Output},
    error::CliError,
    output,
    results::StoredReport,
    status::sweep_named,
    ui, when, which,
};
use crate::{
    report::{
        Table,
        lineage::Lineage,
        versions::{Versions, moment},
    },
    store::{DATABASE, MadeRow, PlacedRow, Reader, SpanRow, SweepRow, WITHOUT_RESULT},
};

/// Fewer digits of a fingerprint would fit too many.
const LEAST_DIGITS: usize = 4;

/// Prints what was launched, or one result across it.
pub(super) async fn run(global: &Global, args: &History) -> Result<(), CliError> {
    let reader = Reader::open(&global.home.join(DATABASE)).await?;
    let sweeps = chosen(&reader, args).await?;
    let rows: Vec<i64> = sweeps.iter().map(|sweep| sweep.sweep).collect();
    let all = All {
        lineage: reader.tasks().await?.into_iter().collect(),
        made: reader.made(&rows).await?,
        placed: reader.placed(&rows).await?,
        values: reader.values(&rows).await?,
        spans: reader.spans(&rows).await?,
    };
    let made = all.made.iter().map(|trial| (trial.id.as_str(), trial)).collect();
    let mut told: Vec<Told> = sweeps.into_iter().map(|sweep| all.tell(sweep, &made)).collect();
    told.retain(|sweep| {
        args.program.as_ref().is_none_or(|program| sweep.programs.contains(program))
            && args.data.as_ref().is_none_or(|data| sweep.reads(data))
    });
    let format = Output::chosen(args.format, global.json, args.output.as_deref());
    let table = match &args.metric {
        Some(metric) => all.versions(&told, metric, args.changed)?,
        None => list(&told, format == Output::Table),
    };
    if table.is_empty() && format == Output::Table && args.metric.is_none() {
        ui::say("no sweep is like that");
    }
    let tables = [table];
    let json = || match &args.metric {
        Some(metric) => json!({"metric": metric, "tables": [tables[0].to_json()]}),
        None => json!({"sweeps": told.iter().map(Told::to_json).collect::<Vec<_>>()}),
    };
    output::write(&tables, format, args.output.as_deref(), json)
}

/// Sweeps that the filters leave of which the table `sweeps` knows, newest first.
async fn chosen(reader: &Reader, args: &History) -> Result<Vec<SweepRow>, CliError> {
    let mut names: Vec<(String, Option<i64>)> = Vec::new();
    for text in &args.sweeps {
        let (name, revision) = which::split(text)?;
        sweep_named(reader, Some(name)).await?;
        if revision.is_some() {
            which::sweep_at(reader, Some(text), None).await?;
        }
        names.push((name.to_owned(), revision));
    }
    let since = args.since.as_deref().map(when::parse).transpose()?;
    let until = args.until.as_deref().map(when::parse).transpose()?;
    let sweeps = reader.sweeps().await?;
    let fits = |sweep: &SweepRow| {
        let tags = tags(sweep);
        let named = |(name, revision): &(String, Option<i64>)| {
            *name == sweep.name && revision.is_none_or(|revision| revision == sweep.revision)
        };
        (names.is_empty() || names.iter().any(named))
            && args.tag.iter().all(|tag| tags.contains(tag))
            && since.is_none_or(|since| sweep.submitted >= since)
            && until.is_none_or(|until| sweep.submitted < until)
    };
    Ok(sweeps.into_iter().filter(fits).collect())
}

fn tags(sweep: &SweepRow) -> Vec<String> {
    serde_json::from_str(&sweep.tags).unwrap_or_default()
}

/// What the database has of these sweeps.
struct All {
    lineage: Lineage,
    made: Vec<MadeRow>,
    placed: Vec<PlacedRow>,
    values: BTreeMap<String, BTreeMap<String, f64>>,
    spans: Vec<SpanRow>,
}

/// A sweep in a line.
struct Told {
    sweep: SweepRow,
    trials: usize,
    done: usize,
    without_result: usize,
    reused: usize,
    /// When the last trial that was not done before ended.
    ended: Option<i64>,
    /// Time in which at least one of its trials ran; none: none has.
    took_ms: Option<i64>,
    programs: BTreeSet<String>,
    data: BTreeSet<String>,
    best: Option<Best>,
    report: Option<StoredReport>,
}

/// The best result of what a sweep is about.
struct Best {
    value: f64,
    /// Such as `classify.auroc`.
    of: String,
    trial: String,
}

impl All {
    fn tell(&self, sweep: SweepRow, made: &HashMap<&str, &MadeRow>) -> Told {
        let report = StoredReport::of_row(&sweep).ok();
        let mut told = Told {
            trials: 0,
            done: 0,
            without_result: 0,
            reused: 0,
            ended: None,
            took_ms: took(self.spans.iter().filter(|span| span.sweep == sweep.sweep), sweep.submitted),
            programs: BTreeSet::new(),
            data: BTreeSet::new(),
            best: None,
            report: None,
            sweep,
        };
        let subject = report.as_ref().and_then(StoredReport::subject);
        for place in self.placed.iter().filter(|place| place.sweep == told.sweep.sweep) {
            let Some(trial) = made.get(place.id.as_str()) else { continue };
            told.trials += 1;
            told.done += usize::from(trial.state == "done");
            told.without_result += usize::from(WITHOUT_RESULT.contains(&trial.state.as_str()));
            told.reused += usize::from(place.reused);
            told.programs.extend(trial.program.clone().filter(|_| trial.state == "done"));
            if !place.reused {
                told.ended = told.ended.max(trial.ended);
            }
            if trial.kind == Kind::Prepare.name() {
                told.data.extend(place.id.parse::<TrialId>().ok().and_then(|id| self.lineage.data(id)));
            }
            let Some((stage, metric, maximize)) = subject.filter(|(stage, ..)| *stage == place.stage) else { continue };
            let value = self.values.get(&place.id).and_then(|values| values.get(metric)).copied();
            let better = |than: f64, value: f64| if maximize { value > than } else { value < than };
            if let Some(value) = value.filter(|value| told.best.as_ref().is_none_or(|best| better(best.value, *value)))
            {
                told.best = Some(Best { value, of: format!("{stage}.{metric}"), trial: place.id.clone() });
            }
        }
        told.report = report;
        told
    }

    /// One result across sweeps.
    fn versions(&self, told: &[Told], metric: &str, changed: bool) -> Result<Table, CliError> {
        let (stage, metric) = match metric.split_once('.') {
            Some((stage, metric)) => (Some(stage), metric),
            None => (None, metric),
        };
        let rows: BTreeSet<i64> = told.iter().map(|told| told.sweep.sweep).collect();
        let placed: Vec<PlacedRow> = self.placed.iter().filter(|place| rows.contains(&place.sweep)).cloned().collect();
        let known: BTreeSet<&str> = placed
            .iter()
            .filter_map(|place| self.values.get(&place.id))
            .flatten()
            .map(|(name, _)| name.as_str())
            .collect();
        if !known.contains(metric) {
            let what = format!("no trial of these sweeps has a result `{metric}`");
            let cure = if known.is_empty() {
                "wait for the first trial that is done".to_owned()
            } else {
                format!("there are {}", known.into_iter().collect::<Vec<_>>().join(", "))
            };
            return Err(CliError::NotFound { what, cure });
        }
        let stages: BTreeSet<&str> = placed.iter().map(|place| place.stage.as_str()).collect();
        if let Some(stage) = stage.filter(|stage| !stages.contains(stage)) {
            let cure = format!("there are {}", stages.into_iter().collect::<Vec<_>>().join(", "));
            return Err(CliError::NotFound { what: format!("these sweeps have no stage `{stage}`"), cure });
        }
        let names = told.iter().map(|told| (told.sweep.sweep, told.name())).collect();
        let reports = told.iter().filter_map(|told| told.report.as_ref());
        let maximize = reports.into_iter().find_map(|report| report.goal_of(stage, metric));
        let versions = Versions {
            lineage: &self.lineage,
            made: &self.made,
            placed: &placed,
            values: &self.values,
            names: &names,
            stage,
            metric,
            maximize,
            changed,
        };
        Ok(versions.table())
    }
}

/// Time in which something ran, of spans by their beginning: a trial that runs again days later does not make the days between count.
fn took<'a>(spans: impl Iterator<Item = &'a SpanRow>, since: i64) -> Option<i64> {
    let mut sum = None;
    let mut until = since;
    for span in spans {
        let more = (span.ended - span.started.max(until)).max(0);
        sum = Some(sum.unwrap_or(0) + more);
        until = until.max(span.ended);
    }
    sum
}

impl Told {
    fn name(&self) -> String {
        format!("{}@{}", self.sweep.name, self.sweep.revision)
    }

    /// Whether it reads data of that reader, or of a fingerprint that begins so.
    fn reads(&self, wanted: &str) -> bool {
        // As many digits as are told of a fingerprint.
        let digits = wanted.get(..10).unwrap_or(wanted);
        self.data.iter().filter_map(|data| data.split_once(' ')).any(|(reader, fingerprint)| {
            reader == wanted || digits.len() >= LEAST_DIGITS && fingerprint.starts_with(digits)
        })
    }

    fn to_json(&self) -> Value {
        json!({
            "sweep": self.sweep.name,
            "revision": self.sweep.revision,
            "digest": self.sweep.digest,
            "tags": tags(&self.sweep),
            "submitted": self.sweep.submitted,
            "ended": self.ended,
            "took_ms": self.took_ms,
            "trials": self.trials,
            "done": self.done,
            "without_result": self.without_result,
            "reused": self.reused,
            "programs": self.programs,
            "data": self.data,
            "best": self.best.as_ref().map(|best| json!({"result": best.of, "value": best.value, "trial": best.trial})),
        })
    }
}

/// Sweeps as a table; `people` get times of their zone and durations.
fn list(told: &[Told], people: bool) -> Table {
    let names = [
        "sweep",
        "launched",
        "took",
        "trials",
        "done",
        "without result",
        "reused",
        "program",
        "data",
        "best",
        "of",
        "trial",
        "tags",
    ];
    let joined = |texts: &BTreeSet<String>| texts.iter().cloned().collect::<Vec<_>>().join(", ");
    let row = |told: &Told| {
        let submitted = told.sweep.submitted;
        let took = told.took_ms;
        vec![
            json!(told.name()),
            if people { json!(ui::time(submitted)) } else { json!(moment(submitted)) },
            if people { json!(took.map(ui::duration)) } else { json!(took.map(|ms| ms as f64 / 1000.0)) },
            json!(told.trials),
            json!(told.done),
            json!(told.without_result),
            json!(told.reused),
            json!(joined(&told.programs)),
            json!(joined(&told.data)),
            json!(told.best.as_ref().map(|best| best.value)),
            json!(told.best.as_ref().map(|best| &best.of)),
            json!(told.best.as_ref().map(|best| &best.trial[..10])),
            json!(tags(&told.sweep).join(", ")),
        ]
    };
    let names: Vec<String> = names
        .iter()
        .map(|name| if *name == "took" && !people { "took_s".to_owned() } else { (*name).to_owned() })
        .collect();
    Table::of_rows("Sweeps", None, &names, 0, told.iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_between_do_not_count() {
        let span = |started, ended| SpanRow { sweep: 1, started, ended };
        assert_eq!(took([].iter(), 0), None);
        // Two at once, one within another, and one much later.
        let spans = [span(10, 40), span(20, 30), span(35, 60), span(1_000_000, 1_000_005)];
        assert_eq!(took(spans.iter(), 0), Some(55));
        // What ran before the sweep was launched is another one's.
        assert_eq!(took(spans.iter(), 50), Some(15));
    }
}
