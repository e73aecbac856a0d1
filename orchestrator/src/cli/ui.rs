//! All that is printed. A reader that has gone (`permafrost results | head`) is no error.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
    path::Path,
};

use comfy_table::{CellAlignment, ContentArrangement, presets};
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};
use serde::Serialize;
use serde_json::json;

use super::{error::CliError, unwritable};
use crate::{report::Style, sweep::Problem};

/// Columns of a page that is not a terminal.
const PAGE: usize = 100;

/// Prints a line to standard output.
pub(super) fn out(text: impl Display) -> Result<(), CliError> {
    written(writeln!(io::stdout().lock(), "{text}"))
}

/// Prints a value as indented JSON to standard output.
pub(super) fn json(value: &impl Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value).map_err(|error| written_error(io::Error::other(error)))?;
    out(text)
}

fn written(result: io::Result<()>) -> Result<(), CliError> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(written_error(error)),
        _ => Ok(()),
    }
}

fn written_error(source: io::Error) -> CliError {
    CliError::Io { action: "write", path: "standard output".into(), source }
}

/// Prints a line for people to standard error.
pub(super) fn say(text: impl Display) {
    writeln!(io::stderr().lock(), "{text}").ok();
}

/// Prints an error with its cure.
pub(super) fn error(error: &CliError, as_json: bool) {
    if as_json {
        let mut value = json!({"message": error.to_string(), "cure": error.cure(), "code": error.code()});
        if let CliError::Sweep(errors) = error {
            value["problems"] =
                json!(errors.problems.iter().map(|problem| told(problem, errors.text())).collect::<Vec<_>>());
        }
        say(json!({"error": value}));
    } else {
        say(rendered(error, unwritable::says_its_causes(error)).trim_end());
    }
}

/// A problem of a sweep file, for programs; line and column count from 1.
fn told(problem: &Problem, text: &str) -> serde_json::Value {
    let before = problem.labels.first().and_then(|(span, _)| text.get(..span.offset()));
    let line = before.map(|before| before.matches('\n').count() + 1);
    let column = before.map(|before| before.chars().rev().take_while(|&c| c != '\n').count() + 1);
    json!({"message": problem.message, "code": problem.code, "cure": problem.help, "line": line, "column": column})
}

/// A diagnostic as it is shown on standard error; causes in lines of their own unless its message says them.
pub(super) fn rendered(diagnostic: &dyn Diagnostic, says_its_causes: bool) -> String {
    let terminal = io::stderr().is_terminal();
    let theme = match (terminal, std::env::var_os("NO_COLOR").is_some()) {
        (true, false) => GraphicalTheme::unicode(),
        _ => GraphicalTheme::unicode_nocolor(),
    };
    let mut handler = GraphicalReportHandler::new_themed(theme);
    // A file or a pipe gets whole lines, so that they can be searched.
    handler = match terminal_width() {
        Some(width) if terminal => handler.with_width(width),
        _ => handler.with_wrap_lines(false).with_width(PAGE),
    };
    if says_its_causes {
        handler = handler.without_cause_chain();
    }
    let mut text = String::new();
    match handler.render_report(&mut text, diagnostic) {
        Ok(()) => text,
        Err(_) => diagnostic.to_string(),
    }
}

/// Columns of the terminal.
fn terminal_width() -> Option<usize> {
    let width = rustix::termios::tcgetwinsize(io::stderr()).ok()?.ws_col;
    (width > 0).then_some(usize::from(width))
}

/// How tables look on standard output.
pub(super) fn style() -> Style {
    let terminal = io::stdout().is_terminal();
    let width = rustix::termios::tcgetwinsize(io::stdout()).ok().map(|size| size.ws_col).filter(|width| *width > 0);
    Style { width: if terminal { width } else { None }, color: terminal && std::env::var_os("NO_COLOR").is_none() }
}

/// A table without lines, for facts of various kinds; columns in `right` are numbers.
pub(super) fn grid(headers: &[&str], rows: Vec<Vec<String>>, right: &[usize]) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headers.iter().map(|header| (*header).to_owned()).collect::<Vec<_>>());
    table.add_rows(rows);
    for &column in right {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

/// Lines of at most `width` characters, broken at spaces; a longer word has a line of its own.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A number of things.
pub(super) fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// How much of the units is done, in per cent; of 0 units it is not known.
pub(super) fn share(done: i64, total: i64) -> String {
    if total == 0 { "-".to_owned() } else { format!("{} %", 100 * done / total) }
}

/// Bytes for people.
pub(super) fn bytes(bytes: u64) -> String {
    indicatif::DecimalBytes(bytes).to_string()
}

/// A duration for people.
pub(super) fn duration(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    match seconds {
        0..60 => format!("{}.{} s", seconds, ms.max(0) % 1000 / 100),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A moment in the user's time zone.
pub(super) fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(
        |_| ms.to_string(),
        |at| at.to_zoned_datetime(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string(),
    )
}

/// JSON parameters as `name=value` pairs.
pub(super) fn parameters(value: &serde_json::Value) -> String {
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match value.as_object() {
        Some(map) => map.iter().map(|(name, value)| format!("{name}={}", text(value))).collect::<Vec<_>>().join(" "),
        None => text(value),
    }
}

/// A path as a shell takes it.
pub(super) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// How a user would call this program again, with the home folder where that is not the default.
pub(super) fn program(home: &Path) -> String {
    let typed = std::env::args().next().filter(|name| name.contains('/'));
    let program = match std::env::var_os("CARGO") {
        Some(_) => "cargo run --release --".to_owned(),
        None => typed.unwrap_or_else(|| "permafrost".to_owned()),
    };
    if home == Path::new(".permafrost") || std::env::var_os("PERMAFROST_HOME").is_some() {
        return program;
    }
    format!("{program} --home {}", quoted(home))
}
