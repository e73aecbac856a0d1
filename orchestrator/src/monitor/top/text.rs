//! A snapshot as plain text, for `top --once` and where there is no terminal.

use jiff::tz::TimeZone;

use super::{
    format,
    snapshot::{Nothing, Snapshot},
};

/// Trials of each sort that are listed.
const MAX_LISTED: usize = 20;
/// Events that are listed.
const MAX_EVENTS: usize = 10;

/// The text; `home` is where it looked.
pub fn text(snapshot: &Snapshot, home: &str, zone: &TimeZone) -> String {
    let mut lines = Vec::new();
    match &snapshot.coordinator {
        Some(coordinator) => lines.push(format!("coordinator: process {} at {}", coordinator.pid, coordinator.address)),
        None => lines.push("no coordinator runs".to_owned()),
    }
    match &snapshot.nothing {
        Some(Nothing::NoDatabase) => lines.push(format!("there is no database in {home} yet: launch a sweep")),
        Some(Nothing::NoSweep) => lines.push("no sweep was launched yet".to_owned()),
        Some(Nothing::NoSuchSweep(name)) => lines.push(format!("there is no sweep `{name}`")),
        Some(Nothing::Unreadable(why)) => lines.push(why.clone()),
        None => {}
    }
    if let Some(sweep) = &snapshot.sweep {
        let all = snapshot.all();
        let launched = format::day_and_time(sweep.submitted, zone);
        let mut parts = vec![
            format!("{} (revision {}, launched {launched})", sweep.name, sweep.revision),
            snapshot.state().to_owned(),
            format!("{}/{} trials", all.done, all.total),
            format::percent(all.share),
            snapshot.time_left(),
        ];
        parts.retain(|part| !part.is_empty());
        lines.push(parts.join(", "));
    }
    sections(snapshot, zone, &mut lines);
    lines.join("\n")
}

fn sections(snapshot: &Snapshot, zone: &TimeZone, lines: &mut Vec<String>) {
    let number = |count: i64| count.to_string();
    let stages = snapshot.stages.iter().map(|stage| {
        let counts = [stage.done, stage.running, stage.ready, stage.waiting - stage.blocked, stage.blocked];
        let mut row = vec![stage.stage.clone()];
        row.extend(counts.map(number));
        row.extend([stage.without_result, stage.total, stage.reused].map(number));
        row
    });
    let headings = ["stage", "done", "running", "ready", "waiting", "blocked", "without result", "trials", "reused"];
    section(&headings, 1..9, stages.collect(), lines);
    let running = snapshot.running.iter().take(MAX_LISTED).map(|view| {
        vec![
            view.row.stage.clone(),
            view.row.id.get(..10).unwrap_or_default().to_owned(),
            view.row.share().map_or("-".to_owned(), format::percent),
            view.row.begun.map_or("-".to_owned(), |begun| format::clock(snapshot.at - begun)),
            view.metric.clone().unwrap_or("-".to_owned()),
            view.curve.last().map_or("-".to_owned(), |value| format::number(*value)),
            view.row.device.clone(),
            view.row.host.clone(),
        ]
    });
    section(
        &["running", "trial", "done", "since", "metric", "value", "device", "host"],
        2..4,
        running.collect(),
        lines,
    );
    rest(snapshot.all().running as usize, MAX_LISTED, lines);
    let devices = snapshot.devices.iter().map(|device| {
        let sample = device.sample.as_ref();
        let known = |text: Option<String>| text.unwrap_or("-".to_owned());
        let memory = |used| Some(format!("{} of {}", format::bytes(used), format::bytes(sample?.memory_bytes)));
        vec![
            device.name.clone(),
            device.running.to_string(),
            known(sample.and_then(|sample| sample.utilisation).map(format::percent)),
            known(sample.and_then(|sample| sample.memory_used_bytes).and_then(memory)),
            known(sample.and_then(|sample| sample.power_w).map(|power| format!("{power:.0} W"))),
            known(sample.and_then(|sample| sample.temperature_c).map(|celsius| format!("{celsius:.0} C"))),
            device.host.clone(),
            device.model.clone(),
            device.advice.clone().unwrap_or_default(),
        ]
    });
    let headings = ["device", "trials", "utilisation", "memory", "power", "temperature", "host", "model", ""];
    section(&headings, 1..6, devices.collect(), lines);
    let failures = snapshot.failures.iter().take(MAX_LISTED).map(|row| {
        let why = format::one_line(row.message.as_deref().unwrap_or_default());
        let cure = row.cure.as_ref().map(|cure| format!(" ({})", format::one_line(cure))).unwrap_or_default();
        vec![
            row.stage.clone(),
            row.id.get(..10).unwrap_or_default().to_owned(),
            row.state.clone(),
            format!("{why}{cure}"),
        ]
    });
    section(&["without result", "trial", "state", "why"], 0..0, failures.collect(), lines);
    rest(snapshot.all().without_result as usize, MAX_LISTED, lines);
    let events = snapshot.events.iter().take(MAX_EVENTS).map(|row| {
        vec![
            format::day_and_time(row.at, zone),
            row.kind.clone(),
            row.id.as_deref().and_then(|id| id.get(..10)).unwrap_or("-").to_owned(),
            format::one_line(row.detail.as_deref().unwrap_or_default()),
        ]
    });
    section(&["time", "event", "trial", "detail"], 0..0, events.collect(), lines);
}

/// Rows below their headings, after an empty line; columns in `right` are numbers. Nothing where there are no rows.
fn section(headings: &[&str], right: std::ops::Range<usize>, rows: Vec<Vec<String>>, lines: &mut Vec<String>) {
    if rows.is_empty() {
        return;
    }
    let longest = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> =
        headings.iter().enumerate().map(|(column, name)| name.chars().count().max(longest(column))).collect();
    let line = |cells: &[&str]| {
        let padded = cells.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            if right.contains(&column) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    lines.push(String::new());
    lines.push(line(headings));
    lines.extend(rows.iter().map(|row| line(&row.iter().map(String::as_str).collect::<Vec<_>>())));
}

fn rest(all: usize, listed: usize, lines: &mut Vec<String>) {
    if all > listed {
        lines.push(format!("and {} more", all - listed));
    }
}
