//! `permafrost status`.

use serde_json::json;

use super::{
    args::{Global, Status},
    connect, devices,
    error::CliError,
    failures, ui, usage,
};
use crate::{
    monitor::estimate::time_left,
    store::{DATABASE, Reader, StageCounts, SweepProgress, SweepRow, WorkerRow},
};

/// Running trials that are listed.
const MAX_RUNNING: usize = 20;
/// Sweeps that are named.
const MAX_SWEEPS: usize = 20;

/// The sweep of that name; without one, the sweep launched last.
///
/// # Errors
/// [`CliError::NotFound`] that names those there are.
pub(super) async fn sweep_named(reader: &Reader, name: Option<&str>) -> Result<SweepRow, CliError> {
    if let Some(sweep) = reader.latest(name).await? {
        return Ok(sweep);
    }
    let names = names(&reader.sweeps().await?);
    let cure = match (name, names.as_slice()) {
        (_, []) => "launch one first".to_owned(),
        (Some(name), names) => {
            let near = names.iter().max_by(|a, b| strsim::jaro(a, name).total_cmp(&strsim::jaro(b, name)));
            let near = near.filter(|near| strsim::jaro(near, name) > 0.7);
            near.map_or_else(|| format!("there are {}", names.join(", ")), |near| format!("did you mean `{near}`?"))
        }
        (None, names) => format!("there are {}", names.join(", ")),
    };
    let what =
        name.map_or("there is no sweep in this database".to_owned(), |name| format!("there is no sweep `{name}`"));
    Err(CliError::NotFound { what, cure })
}

/// Names of sweeps, each once, newest first.
fn names(sweeps: &[SweepRow]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for sweep in sweeps {
        if !names.contains(&sweep.name) && names.len() < MAX_SWEEPS {
            names.push(sweep.name.clone());
        }
    }
    names
}

/// Prints how far a sweep is.
pub(super) async fn run(global: &Global, args: &Status) -> Result<(), CliError> {
    let reader = Reader::open(&global.home.join(DATABASE)).await?;
    let sweep = sweep_named(&reader, args.sweep.as_deref()).await?;
    let progress = reader.progress(sweep.sweep).await?;
    let failures = failures::reasons(&reader.failures(sweep.sweep).await?);
    let workers = reader.workers().await?;
    let now = jiff::Timestamp::now().as_millisecond();
    let here: Vec<&WorkerRow> = workers.iter().filter(|worker| worker.is_here(now)).collect();
    let others: Vec<String> = names(&reader.sweeps().await?).into_iter().filter(|name| *name != sweep.name).collect();
    let coordinator = connect::running(&global.home).await.ok().flatten().map(|client| client.endpoint().clone());
    let devices = devices::now(&reader).await?;
    let usage = reader.sweep_total(sweep.sweep).await?;
    // Workers that nobody leads end soon.
    let devices_at_work = if coordinator.is_some() { here.len() } else { 0 };
    let left = time_left(&progress, &reader.mean_duration_ms().await?, devices_at_work, now);
    if global.json {
        return ui::json(&json!({
            "sweep": as_json(&sweep), "stages": progress.by_stage(), "left": left, "running": progress.running, "failures": failures,
            "workers": workers, "devices": devices.states, "advice": devices.advice, "usage": usage,
            "coordinator": coordinator, "other_sweeps": others,
        }));
    }
    ui::out(format_args!("{} (revision {}), launched {}", sweep.name, sweep.revision, ui::time(sweep.submitted)))?;
    ui::out(stages(&progress))?;
    if let Some(left) = left.words().filter(|_| !progress.is_finished()) {
        ui::out(left)?;
    }
    if let Some(total) = &usage {
        ui::out(usage::of_sweep(total, progress.work.iter().any(|row| row.reused > 0)))?;
    }
    // Without a coordinator, what is there as running was lost with it.
    if coordinator.is_some() && !progress.running.is_empty() {
        ui::out(format_args!("\n{}", running(&progress)))?;
    }
    for reason in failures {
        ui::out(format_args!("\n{reason}"))?;
        if let Some(cure) = reason.cure {
            ui::out(format_args!("  hint: {cure}"))?;
        }
    }
    let watched = coordinator.is_some();
    match coordinator {
        Some(endpoint) => {
            ui::out(format_args!(
                "\ncoordinator: process {} at {}, with {}",
                endpoint.pid,
                endpoint.address,
                ui::counted(here.len(), "worker")
            ))?;
            for worker in here {
                ui::out(format_args!(
                    "  {} on {} ({}), {} trials",
                    worker.device, worker.host, worker.model, worker.running
                ))?;
            }
        }
        None if progress.is_finished() => {}
        None => {
            let lost = match progress.running.len() {
                0 => String::new(),
                lost => format!("; {} ran when it was lost", ui::counted(lost, "trial")),
            };
            ui::out(format_args!("\nno coordinator runs{lost}: launch the sweep again to go on"))?;
        }
    }
    if watched {
        devices.print()?;
    }
    if !others.is_empty() {
        ui::out(format_args!("\nother sweeps: {}", others.join(", ")))?;
    }
    Ok(())
}

/// A sweep with its tags as a list.
fn as_json(sweep: &SweepRow) -> serde_json::Value {
    let mut value = json!(sweep);
    value["tags"] = serde_json::from_str(&sweep.tags).unwrap_or_default();
    value
}

fn stages(progress: &SweepProgress) -> String {
    let rows = progress.by_stage().into_iter().map(|counts| {
        let StageCounts { stage, total, done, running, ready, waiting, blocked, without_result, reused, share: _ } =
            counts;
        let numbers =
            [done, running, ready, waiting - blocked, blocked, without_result, total, reused].map(|n| n.to_string());
        std::iter::once(stage).chain(numbers).collect()
    });
    let headers = ["stage", "done", "running", "ready", "waiting", "blocked", "without result", "trials", "reused"];
    ui::grid(&headers, rows.collect(), &[1, 2, 3, 4, 5, 6, 7, 8])
}

fn running(progress: &SweepProgress) -> String {
    let now = jiff::Timestamp::now().as_millisecond();
    let rows = progress
        .running
        .iter()
        .take(MAX_RUNNING)
        .map(|row| {
            let done = ui::share(row.done_units, row.total_units);
            let since = row.begun.map_or("-".to_owned(), |begun| ui::duration(now - begun));
            vec![
                row.stage.clone(),
                row.id[..10].to_owned(),
                row.attempt.to_string(),
                done,
                since,
                row.device.clone(),
                row.host.clone(),
            ]
        })
        .collect();
    let table = ui::grid(&["running", "trial", "attempt", "done", "since", "device", "host"], rows, &[2, 3, 4]);
    match progress.running.len().saturating_sub(MAX_RUNNING) {
        0 => table,
        more => format!("{table}\nand {more} more"),
    }
}
