//! `permafrost plan`.

use std::collections::{BTreeMap, HashMap, HashSet};

use permafrost_worker::id::TrialId;
use serde_json::json;

use super::{
    args::{Global, Plan as Arguments},
    error::{CliError, grouped},
    ui,
};
use crate::{
    store::{DATABASE, Reader, StoreError},
    sweep::{
        self, Missing, Plan,
        room::{self, Shortage},
    },
};

/// What the database knows of a plan.
#[derive(Default)]
struct Known {
    states: HashMap<TrialId, String>,
    /// Mean duration of a trial by array key, in milliseconds.
    durations: BTreeMap<String, f64>,
}

/// A stage of a plan, beside what the database knows.
struct Row {
    reused: usize,
    to_run: usize,
    disk_bytes: u64,
    /// Estimated from earlier trials of the same shape; none: some have had none.
    work_ms: Option<f64>,
}

/// Prints what a sweep would run.
pub(super) async fn run(global: &Global, args: &Arguments) -> Result<(), CliError> {
    let plan = sweep::load(&args.file)?;
    let known = known(global, &plan).await?;
    let rows = rows(&plan, &known);
    if global.json {
        return ui::json(&as_json(&plan, &rows, &known, args.trials));
    }
    let (reused, to_run) = (sum(&rows, |row| row.reused), sum(&rows, |row| row.to_run));
    ui::out(format_args!("{}: {} trials, {reused} reused, {to_run} to run", plan.name, reused + to_run))?;
    let table = plan.stages.iter().zip(&rows).map(|(stage, row)| {
        let work = row.work_ms.map_or("-".to_owned(), |ms| ui::duration(ms as i64));
        let numbers = [stage.trials, row.reused, row.to_run].map(|n| n.to_string());
        let mut line = vec![stage.name.clone()];
        line.extend(numbers);
        line.extend([ui::bytes(row.disk_bytes), work, stage.note.clone()]);
        line
    });
    let headers = ["stage", "trials", "reused", "to run", "new on disk", "work", "how"];
    ui::out(ui::grid(&headers, table.collect(), &[1, 2, 3, 4, 5]))?;
    let disk: u64 = rows.iter().map(|row| row.disk_bytes).sum();
    ui::out(format_args!("\nestimated: {} more on disk", ui::bytes(disk)))?;
    // What cannot be told, `doctor` says.
    if let Ok(free) = room::free_bytes(&global.home)
        && let Some(shortage) = Shortage::of(disk, free)
    {
        ui::say(format_args!("warning: {shortage}; {}", shortage.cure()));
    }
    if args.trials {
        list(&plan, &known)?;
    }
    print_missing(&plan.missing)?;
    if plan.missing.is_empty() {
        ui::out(format_args!("\nnext: {} launch {}", ui::program(&global.home), ui::quoted(&args.file)))?;
    }
    Ok(())
}

async fn known(global: &Global, plan: &Plan) -> Result<Known, CliError> {
    let Some(reader) = reader(global).await? else { return Ok(Known::default()) };
    Ok(Known { states: states(&reader, plan).await?, durations: reader.mean_duration_ms().await? })
}

/// The database, if there is one.
async fn reader(global: &Global) -> Result<Option<Reader>, CliError> {
    match Reader::open(&global.home.join(DATABASE)).await {
        Ok(reader) => Ok(Some(reader)),
        Err(StoreError::Missing(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn states(reader: &Reader, plan: &Plan) -> Result<HashMap<TrialId, String>, StoreError> {
    reader.states(&plan.trials.iter().map(|trial| trial.id).collect::<Vec<_>>()).await
}

/// Trials of a plan that are done. Durations, for which all attempts are read, are not asked for.
pub(super) async fn done(global: &Global, plan: &Plan) -> Result<HashSet<TrialId>, CliError> {
    let Some(reader) = reader(global).await? else { return Ok(HashSet::new()) };
    let states = states(&reader, plan).await?;
    Ok(states.into_iter().filter(|(_, state)| state == "done").map(|(id, _)| id).collect())
}

fn rows(plan: &Plan, known: &Known) -> Vec<Row> {
    // A trial that is part of several stages takes room once.
    let mut counted = HashSet::new();
    let row = |stage: &sweep::StagePlan| {
        let trials = plan.trials.iter().filter(|trial| trial.stage == stage.name);
        let mut row = Row { reused: 0, to_run: 0, disk_bytes: 0, work_ms: Some(0.0) };
        for trial in trials {
            if known.states.get(&trial.id).is_some_and(|state| state == "done") {
                row.reused += 1;
                continue;
            }
            row.to_run += 1;
            let mean = known.durations.get(&trial.task.array_key());
            row.work_ms = row.work_ms.zip(mean).map(|(sum, mean)| sum + mean);
            if counted.insert(trial.id) {
                row.disk_bytes += trial.disk_bytes;
            }
        }
        row
    };
    plan.stages.iter().map(row).collect()
}

fn sum(rows: &[Row], of: impl Fn(&Row) -> usize) -> usize {
    rows.iter().map(of).sum()
}

fn as_json(plan: &Plan, rows: &[Row], known: &Known, trials: bool) -> serde_json::Value {
    let stages = plan.stages.iter().zip(rows).map(|(stage, row)| {
        json!({
            "stage": stage.name, "kind": stage.kind, "trials": stage.trials, "reused": row.reused, "to_run": row.to_run,
            "disk_bytes": row.disk_bytes, "work_ms": row.work_ms, "note": stage.note,
        })
    });
    let mut value = json!({
        "name": plan.name, "digest": plan.digest, "stages": stages.collect::<Vec<_>>(), "missing": plan.missing,
        "reused": sum(rows, |row| row.reused), "to_run": sum(rows, |row| row.to_run),
        "disk_bytes": rows.iter().map(|row| row.disk_bytes).sum::<u64>(),
    });
    if trials {
        let trials = plan.trials.iter().map(|trial| {
            json!({
                "trial": trial.id, "stage": trial.stage, "parameters": trial.parameters, "inputs": trial.task.inputs(),
                "state": known.states.get(&trial.id),
            })
        });
        value["trials"] = trials.collect();
    }
    value
}

fn list(plan: &Plan, known: &Known) -> Result<(), CliError> {
    let rows = plan.trials.iter().map(|trial| {
        let inputs: Vec<String> = trial.task.inputs().iter().map(TrialId::short).collect();
        let state = known.states.get(&trial.id).map_or("new", String::as_str);
        vec![
            trial.stage.clone(),
            trial.id.short(),
            state.to_owned(),
            ui::parameters(&trial.parameters),
            inputs.join(" "),
        ]
    });
    ui::out(format_args!("\n{}", ui::grid(&["stage", "trial", "state", "parameters", "reads"], rows.collect(), &[])))
}

fn print_missing(missing: &[Missing]) -> Result<(), CliError> {
    if missing.is_empty() {
        return Ok(());
    }
    ui::out("\nmissing:")?;
    grouped(missing, "  ").iter().try_for_each(ui::out)
}
