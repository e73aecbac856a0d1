//! Tables for web pages.

use super::{
    grid::Grid,
    list::List,
    sheet::{self, Shown},
    table::{Body, Table},
};

/// What stands for a table without rows.
pub(super) const EMPTY: &str = "no trials";

pub(super) fn table(table: &Table) -> String {
    let mut blocks = Vec::new();
    if !table.title.is_empty() {
        blocks.push(format!("### {}", escape(&table.title)));
    }
    let mut notes: Vec<String> = table.note.iter().map(|note| prose(note)).collect();
    match &table.body {
        Body::Grid(grid) => {
            let (value, by) = grid.subject();
            blocks.push(format!("`{value}`{}", escape(&by)));
            blocks.push(if table.is_empty() { EMPTY.to_owned() } else { self::grid(grid) });
            let signs = grid.bold().into_iter().chain(grid.legend("in brackets at the end"));
            notes.extend(signs.map(|line| prose(&line)));
        }
        Body::List(list) => blocks.push(self::list(list)),
    }
    blocks.extend(notes);
    blocks.join("\n\n") + "\n"
}

fn grid(grid: &Grid) -> String {
    let mut header: Vec<String> = grid.rows.names.clone();
    header.extend((0..grid.columns.keys.len()).map(|column| grid.heading(column).join(" ")));
    let stub = grid.rows.names.len();
    let mut lines = vec![line(header.iter().map(|text| escape(text))), rule((0..header.len()).map(|at| at >= stub))];
    for (labels, cells) in grid.rows.labels.iter().zip(sheet::shown(grid)) {
        lines.push(line(labels.iter().map(|text| escape(text)).chain(cells.iter().map(cell))));
    }
    lines.join("\n")
}

fn cell(shown: &Shown) -> String {
    let mut text = escape(&shown.text());
    if shown.best {
        text = format!("**{text}**");
    }
    let reference = match (&shown.reference, &shown.difference) {
        (Some(reference), Some(difference)) => format!(" [{reference}, {difference}]"),
        (Some(reference), None) => format!(" [{reference}]"),
        (None, _) => String::new(),
    };
    text + &reference
}

fn list(list: &List) -> String {
    if list.columns.is_empty() {
        return "no rows".to_owned();
    }
    let mut lines = vec![
        line((0..list.columns.len()).map(|column| escape(list.heading(column)))),
        rule((0..list.columns.len()).map(|at| list.is_number(at))),
    ];
    lines.extend(sheet::texts(list).iter().map(|row| line(row.iter().map(|text| escape(text)))));
    lines.join("\n")
}

fn line(cells: impl Iterator<Item = String>) -> String {
    cells.fold("|".to_owned(), |line, cell| line + " " + &cell + " |")
}

/// The line under the header; numbers stand on the right.
fn rule(right: impl Iterator<Item = bool>) -> String {
    right.fold("|".to_owned(), |line, right| line + if right { " ---: |" } else { " :--- |" })
}

/// Text that shows as it is, but for what stands between backticks, which is code.
fn prose(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    // One that is not closed is a backtick.
    if parts.len().is_multiple_of(2) {
        return escape(text);
    }
    let part = |(at, part): (usize, &&str)| if at % 2 == 1 { format!("`{part}`") } else { escape(part) };
    parts.iter().enumerate().map(part).collect()
}

/// Text that shows as it is.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    let mut before = ' ';
    while let Some(letter) = letters.next() {
        let inside = before.is_alphanumeric() && letters.peek().is_some_and(|next| next.is_alphanumeric());
        before = letter;
        match letter {
            '_' if inside => out.push('_'),
            '|' | '*' | '_' | '`' | '<' | '\\' | '[' | ']' => out.extend(['\\', letter]),
            '\r' => {}
            '\n' => out.push_str("<br>"),
            other => out.push(other),
        }
    }
    out
}
