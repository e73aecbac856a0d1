//! `permafrost explain`.

use super::{
    args::{Explain, Global},
    connect,
    error::CliError,
    failures::is_launched_again,
    ui, usage, which,
};
use crate::store::{AttemptRow, DATABASE, Reader, TrialDetail};

/// Prints why a trial is where it is.
pub(super) async fn run(global: &Global, args: &Explain) -> Result<(), CliError> {
    let reader = Reader::open(&global.home.join(DATABASE)).await?;
    let instead = |sweep: &str| {
        format!(
            "`permafrost status {sweep}` says how far it is, `permafrost results {sweep} --trials` lists its trials"
        )
    };
    let trial = reader.trial(which::trial(&reader, &args.trial, instead).await?).await?;
    if global.json {
        return ui::json(&trial);
    }
    let coordinated = connect::running(&global.home).await.ok().flatten().is_some();
    ui::out(format_args!("{} trial {} is {}", trial.kind, trial.id.short(), trial.state))?;
    for line in why(&trial, coordinated) {
        ui::out(format_args!("  {line}"))?;
    }
    ui::out(format_args!("\nidentity    {}", trial.id))?;
    for place in &trial.places {
        let parameters = ui::parameters(&place.parameters);
        ui::out(format_args!(
            "in          {} (revision {}), stage {}: {parameters}",
            place.sweep, place.revision, place.stage
        ))?;
    }
    if !trial.inputs.is_empty() {
        let rows =
            trial.inputs.iter().map(|input| vec![input.kind.clone(), input.id[..10].to_owned(), input.state.clone()]);
        ui::out(format_args!("\n{}", ui::grid(&["reads", "trial", "state"], rows.collect(), &[])))?;
    }
    if !trial.attempts.is_empty() {
        ui::out(format_args!("\n{}", attempts(&trial.attempts)))?;
        ui::out(format_args!("\n{}", usage::of_trial(&trial)))?;
    }
    if !trial.results.is_empty() {
        let rows = trial.results.iter().map(|(name, value)| vec![name.clone(), format!("{value}")]);
        ui::out(format_args!("\n{}", ui::grid(&["result", "value"], rows.collect(), &[1])))?;
    }
    if !trial.artifacts.is_empty() {
        let rows = trial.artifacts.iter().map(|file| {
            vec![file.name.clone(), ui::bytes(file.bytes as u64), global.home.join(&file.path).display().to_string()]
        });
        ui::out(format_args!("\n{}", ui::grid(&["file", "size", "path"], rows.collect(), &[1])))?;
    }
    if !trial.events.is_empty() {
        let rows = trial.events.iter().map(|event| {
            let attempt = event.attempt.map(|attempt| attempt.to_string()).unwrap_or_default();
            vec![ui::time(event.at), event.kind.clone(), attempt, event.detail.clone().unwrap_or_default()]
        });
        ui::out(format_args!("\n{}", ui::grid(&["time", "event", "attempt", "detail"], rows.collect(), &[])))?;
    }
    Ok(())
}

/// The reasons, and what to do.
fn why(trial: &TrialDetail, coordinated: bool) -> Vec<String> {
    let mut lines = Vec::new();
    let last = trial.attempts.last();
    if let Some(why) = &trial.why_waiting {
        lines.push(format!("it {why}"));
        if why.starts_with("cannot run") {
            let digits = trial.id.short();
            lines.push(format!(
                "hint: `permafrost retry {digits}` runs it again with those inputs; then launch its sweep"
            ));
        } else if !coordinated {
            lines.push("no coordinator runs: launch its sweep to go on".to_owned());
        }
    }
    match trial.state.as_str() {
        "running" if !coordinated => {
            lines.push("no coordinator runs: its attempt is lost, and the next launch starts another".to_owned());
        }
        "cancelled" => {
            lines.push("a user cancelled it; launching its sweep again, or `permafrost retry`, runs it".to_owned())
        }
        "diverged" => {
            lines.push("a loss or weight was not finite: that is a result, so it is not tried again".to_owned())
        }
        _ => {}
    }
    if trial.state != "done"
        && let Some(last) = last
    {
        if let Some(message) = &last.message {
            let class = last.class.as_ref().map(|class| format!(" ({class})")).unwrap_or_default();
            lines.push(format!("attempt {} {}{class}: {message}", last.attempt, last.state));
        }
        if let Some(cure) = &last.cure {
            lines.push(format!("hint: {cure}"));
        }
        if trial.state == "failed" {
            lines.push(if is_launched_again(&trial.state, last.class.as_deref()) {
                "then launch its sweep again: that tries it again".to_owned()
            } else {
                format!("then `permafrost retry {}` and launch its sweep again", trial.id.short())
            });
        }
    }
    lines
}

fn attempts(attempts: &[AttemptRow]) -> String {
    let now = jiff::Timestamp::now().as_millisecond();
    let rows = attempts
        .iter()
        .map(|attempt| {
            vec![
                attempt.attempt.to_string(),
                attempt.state.clone(),
                ui::time(attempt.started),
                ui::duration(attempt.ended.unwrap_or(now) - attempt.started),
                ui::share(attempt.done_units, attempt.total_units),
                attempt.members.to_string(),
                attempt.resumed_step.map_or("the start".to_owned(), |step| format!("step {step}")),
                format!("{} ({})", attempt.device, attempt.model),
                attempt.host.clone(),
                attempt.program.clone(),
            ]
        })
        .collect();
    let headers = ["attempt", "state", "started", "took", "done", "array of", "from", "device", "host", "version"];
    ui::grid(&headers, rows, &[3, 4, 5])
}
