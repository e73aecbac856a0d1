//! The trials of a stage.

use std::collections::BTreeMap;

use ratatui::{Frame, layout::Rect};
use serde_json::Value;

use super::rows::{Column, plain, rows, styled, title};
use crate::monitor::top::{fetch::MAX_LIST, format, state::State};

/// Columns that the name of a result has at most.
const METRIC: usize = 20;

/// Draws it.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State, stage: Option<&str>, cursor: usize) {
    let theme = state.theme;
    let name = stage.map_or("Trials".to_owned(), |stage| format!("Trials of {stage}"));
    let Some(list) = &state.snapshot.list else {
        title(frame, area, &name, "reading", true, theme);
        return;
    };
    let more = list.len() as i64 >= MAX_LIST;
    let note = if more { format!("the first {MAX_LIST}: / finds others") } else { format!("{}", list.len()) };
    let area = title(frame, area, &name, &note, true, theme);
    let metric = stage.and_then(|stage| state.snapshot.sweep.as_ref()?.metrics.get(stage)).map(String::as_str);
    let columns = [
        Column::left("trial", 10),
        Column::left("state", 9),
        Column::right("ended", 8),
        Column::right(metric.unwrap_or_default(), metric.map_or(0, |name| name.chars().count().clamp(9, METRIC))),
        Column::fill("parameters"),
    ];
    let parsed: Vec<BTreeMap<String, Value>> =
        list.iter().map(|row| serde_json::from_str(&row.parameters).unwrap_or_default()).collect();
    let differs = |name: &str| parsed.len() == 1 || parsed.iter().any(|other| other.get(name) != parsed[0].get(name));
    let mut known: BTreeMap<&str, bool> = BTreeMap::new();
    for name in parsed.iter().flat_map(BTreeMap::keys) {
        known.entry(name).or_insert_with(|| differs(name));
    }
    rows(frame, area, &columns, list.len(), Some(cursor), theme, |at| {
        let row = &list[at];
        let told = parsed[at].iter().filter(|(name, _)| known.get(name.as_str()) == Some(&true));
        let told: Vec<String> = told.map(|(name, value)| format!("{name}={}", format::plain(value))).collect();
        let message = row.message.as_deref().map(|message| format!("{}  ", format::one_line(message)));
        vec![
            styled(row.id.get(..10).unwrap_or_default(), theme.heading()),
            styled(row.state.clone(), theme.state(&row.state)),
            styled(row.ended.map(|at| format::time_of_day(at, &state.zone)).unwrap_or_default(), theme.dim()),
            plain(row.value.map(format::number).unwrap_or_default()),
            vec![(message.unwrap_or_default(), theme.bad()), (told.join(" "), ratatui::style::Style::new())],
        ]
    });
}
