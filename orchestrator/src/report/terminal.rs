//! Tables for the terminal. What is wider than it comes in parts, one below the other; nothing is cut off.

use std::ops::Range;

use comfy_table::{Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, LineStyle, TableStyle};

use super::{
    cell::BLOCKED,
    grid::Grid,
    list::List,
    markdown::EMPTY,
    render::Style,
    sheet::{self, Shown},
    table::{Body, Table},
};

/// Spaces between columns.
const GAP: usize = 2;

/// Texts that are longer may be wrapped to this.
const WRAPPED: usize = 24;

/// Before rows below a line of their own.
const INDENT: &str = "  ";

/// Beside the best cell of a column, where there is no bold type.
const BEST: &str = "*";

/// Narrower than this is treated as this.
const NARROWEST: usize = 20;

pub(super) fn table(table: &Table, style: Style) -> String {
    let mut out = String::new();
    let title = clean(&table.title);
    let subject = match &table.body {
        Body::Grid(grid) => {
            let (value, by) = grid.subject();
            clean(&(value + &by))
        }
        Body::List(_) => String::new(),
    };
    // A title by default is the subject's beginning.
    if !title.is_empty() && !subject.starts_with(&title) {
        out += &emphasis(&title, "1", style);
        out.push('\n');
    }
    let mut notes: Vec<String> = table.note.iter().map(|note| clean(note)).collect();
    match &table.body {
        Body::Grid(grid) => {
            out += &emphasis(&subject, "2", style);
            out.push('\n');
            out += &if table.is_empty() { format!("{EMPTY}\n") } else { draw_grid(grid, style) };
            if !style.color && grid.all().any(|cell| cell.best) {
                notes.push(format!("{BEST}: {}", grid.best_of()));
            }
            notes.extend(grid.legend("second lines").iter().map(|line| clean(line)));
        }
        Body::List(list) if list.columns.is_empty() => out += "no rows\n",
        Body::List(list) => {
            out += &of_list(list).draw(style);
            if list.rows.is_empty() {
                out += "no rows\n";
            }
        }
    }
    for note in notes {
        out += &wrapped(&note, style);
    }
    out
}

/// One text of a sheet.
#[derive(Clone, Default)]
struct Text {
    text: String,
    bold: bool,
    dim: bool,
    color: Option<Color>,
}

impl Text {
    fn plain(text: String) -> Self {
        Self { text, ..Self::default() }
    }
}

/// A column of a sheet.
struct Column {
    /// Heading, outermost value first.
    heading: Vec<String>,
    right: bool,
    /// Its texts may be wrapped.
    wraps: bool,
}

/// What is drawn.
struct Sheet {
    columns: Vec<Column>,
    /// So many columns stand on the left of every part.
    stub: usize,
    rows: Vec<Vec<Text>>,
}

/// The rows' outermost value is a column, or where that is too wide, a line above its rows.
fn draw_grid(grid: &Grid, style: Style) -> String {
    let sheet = of_grid(grid, false, style);
    if grid.rows.is_nested() && !sheet.fits(style) { of_grid(grid, true, style).draw(style) } else { sheet.draw(style) }
}

fn of_grid(grid: &Grid, sections: bool, style: Style) -> Sheet {
    let mut shown = sheet::shown(grid);
    // Where there is no bold type, a sign says what it would.
    if !style.color {
        shown.iter_mut().flatten().filter(|cell| cell.best).for_each(|cell| cell.mark = Some(BEST));
    }
    let names = grid.rows.names.len();
    let layouts: Vec<Layout> =
        (0..grid.columns.keys.len()).map(|column| Layout::new(shown.iter().map(|row| &row[column]))).collect();
    let mut columns = stub(grid, sections);
    let stub = columns.len();
    columns.extend(layouts.iter().enumerate().map(|(column, layout)| {
        let mut heading: Vec<String> = grid.heading(column).iter().map(|text| clean(text)).collect();
        if let Some(inner) = heading.last_mut() {
            inner.push_str(&layout.after());
        }
        Column { heading, right: true, wraps: false }
    }));
    let mut rows = Vec::new();
    for (at, cells) in shown.iter().enumerate() {
        let begins = grid.rows.is_nested() && grid.rows.begins_group(at);
        let labels = &grid.rows.labels[at];
        if begins && at > 0 {
            rows.push(vec![Text::default(); columns.len()]);
        }
        if begins && sections {
            let mut section = vec![Text::default(); columns.len()];
            section[0] = Text { bold: true, ..Text::plain(clean(&labels[0])) };
            rows.push(section);
        }
        let repeated = grid.rows.repeated(at).min(names.saturating_sub(1));
        let label = |(level, text): (usize, &String)| if level < repeated { String::new() } else { clean(text) };
        let mut texts: Vec<Text> = labels.iter().enumerate().map(label).map(Text::plain).collect();
        if sections {
            texts.remove(0);
            texts[0].text.insert_str(0, INDENT);
        }
        rows.push(texts.into_iter().chain(cells.iter().zip(&layouts).map(|(cell, to)| to.measured(cell))).collect());
        if cells.iter().any(Shown::refers) {
            let empty = std::iter::repeat_n(Text::default(), stub);
            rows.push(empty.chain(cells.iter().zip(&layouts).map(|(cell, to)| to.published(cell))).collect());
        }
    }
    Sheet { columns, stub, rows }
}

/// The columns on the left.
fn stub(grid: &Grid, sections: bool) -> Vec<Column> {
    let mut headings: Vec<Vec<String>> = grid.rows.names.iter().map(|name| vec![clean(name)]).collect();
    if sections {
        let outer = headings.remove(0);
        headings[0][0].insert_str(0, INDENT);
        headings[0].splice(0..0, outer);
    }
    headings.into_iter().map(|heading| Column { heading, right: false, wraps: false }).collect()
}

/// Widths of the parts of a column's cells, so that points stand below points.
#[derive(Default)]
struct Layout {
    value: usize,
    spread: usize,
    mark: usize,
    partial: usize,
}

impl Layout {
    fn new<'a>(cells: impl Iterator<Item = &'a Shown>) -> Self {
        let width = |text: &Option<String>| text.as_ref().map_or(0, |text| text.chars().count());
        cells.fold(Self::default(), |layout, cell| {
            let value = if cell.word { 0 } else { cell.value.chars().count() };
            Self {
                value: layout.value.max(value).max(width(&cell.reference)),
                spread: layout.spread.max(width(&cell.spread)).max(width(&cell.difference)),
                mark: layout.mark.max(usize::from(cell.mark.is_some())),
                partial: layout.partial.max(width(&cell.partial)),
            }
        })
    }

    fn place(&self, value: &str, spread: Option<&str>, mark: Option<&str>, partial: Option<&str>) -> String {
        let mut out = format!("{value:>width$}", width = self.value);
        for (text, width) in [(spread, self.spread), (mark, self.mark), (partial, self.partial)] {
            if width > 0 {
                out += &format!(" {:>width$}", text.unwrap_or_default());
            }
        }
        out
    }

    /// Room for what follows the numbers.
    fn after(&self) -> String {
        [self.mark, self.partial].iter().filter(|width| **width > 0).map(|width| " ".repeat(width + 1)).collect()
    }

    fn measured(&self, cell: &Shown) -> Text {
        if !cell.word {
            let text = self.place(&cell.value, cell.spread.as_deref(), cell.mark, cell.partial.as_deref());
            return Text { text, bold: cell.best, ..Text::default() };
        }
        let color = color(&cell.value);
        // A word ends where the numbers do.
        let numbers = self.value + if self.spread > 0 { self.spread + 1 } else { 0 };
        let text = format!("{:>numbers$}{}", cell.value, self.after());
        Text { text, dim: color.is_none(), color, bold: false }
    }

    fn published(&self, cell: &Shown) -> Text {
        let Some(reference) = &cell.reference else { return Text::default() };
        Text { text: self.place(reference, cell.difference.as_deref(), None, None), dim: true, ..Text::default() }
    }
}

/// What a state looks like.
fn color(state: &str) -> Option<Color> {
    match state {
        "failed" | "no value" | BLOCKED => Some(Color::Red),
        "diverged" => Some(Color::Yellow),
        "running" => Some(Color::Cyan),
        _ => None,
    }
}

fn of_list(list: &List) -> Sheet {
    let column = |at: usize| {
        let right = list.is_number(at);
        Column { heading: vec![clean(list.heading(at))], right, wraps: !right }
    };
    let columns: Vec<Column> = (0..list.columns.len()).map(column).collect();
    let texts = sheet::texts(list);
    let text = |(at, text): (usize, &String)| {
        let color = if list.columns[at].name == "state" { color(text) } else { None };
        Text { color, ..Text::plain(clean(text)) }
    };
    let rows: Vec<Vec<Text>> = texts.iter().map(|row| row.iter().enumerate().map(text).collect()).collect();
    // Where the first column names the rows, it stands in every part.
    let short = rows.iter().all(|row| row[0].text.chars().count() <= WRAPPED && !row[0].text.contains('\n'));
    Sheet { stub: usize::from(short && columns.len() > 1), columns, rows }
}

impl Sheet {
    fn widths(&self, style: Style) -> Vec<usize> {
        let all: Vec<usize> = (0..self.columns.len()).collect();
        self.build(&all, style).column_max_content_widths().into_iter().map(usize::from).collect()
    }

    fn fits(&self, style: Style) -> bool {
        limit(style).is_none_or(|limit| total(&self.widths(style)) <= limit)
    }

    fn draw(&self, style: Style) -> String {
        let natural = self.widths(style);
        let Some(limit) = limit(style).filter(|limit| total(&natural) > *limit) else {
            return self.part(0..self.columns.len(), None, style);
        };
        let least = |at: usize| {
            let width = natural[at];
            if self.columns[at].wraps { width.min(WRAPPED) } else { width }
        };
        let parts = self.parts(limit, least);
        let parts: Vec<String> = parts.into_iter().map(|part| self.part(part, Some(limit), style)).collect();
        parts.join("\n")
    }

    /// Which columns stand beside each other. Groups of columns stay together where they fit.
    fn parts(&self, limit: usize, width: impl Fn(usize) -> usize) -> Vec<Range<usize>> {
        let stub: usize = (0..self.stub).map(|at| width(at) + GAP).sum();
        let room = (limit + GAP).saturating_sub(stub);
        let total = |range: Range<usize>| range.map(|at| width(at) + GAP).sum::<usize>();
        let mut groups: Vec<Range<usize>> = Vec::new();
        for at in self.stub..self.columns.len() {
            let joins = |group: &Range<usize>| {
                let (one, other) = (&self.columns[group.start].heading, &self.columns[at].heading);
                one.len() > 1 && one.first() == other.first() && total(group.start..at + 1) <= room
            };
            match groups.last_mut() {
                Some(group) if joins(group) => group.end = at + 1,
                _ => groups.push(at..at + 1),
            }
        }
        let mut parts: Vec<Range<usize>> = Vec::new();
        for group in groups {
            match parts.last_mut() {
                Some(part) if total(part.start..group.end) <= room => part.end = group.end,
                _ => parts.push(group),
            }
        }
        parts
    }

    fn part(&self, range: Range<usize>, limit: Option<usize>, style: Style) -> String {
        let columns: Vec<usize> = (0..self.stub).chain(range.start.max(self.stub)..range.end).collect();
        let mut table = self.build(&columns, style);
        let widths: Vec<usize> = table.column_max_content_widths().into_iter().map(usize::from).collect();
        if let Some(limit) = limit.filter(|limit| total(&widths) > *limit) {
            table.set_content_arrangement(ContentArrangement::Dynamic);
            table.set_width(u16::try_from(limit).unwrap_or(u16::MAX));
            for (place, at) in columns.iter().enumerate() {
                // Only numbers are never broken.
                let whole = *at >= self.stub && !self.columns[*at].wraps;
                if let Some(column) = table.column_mut(place).filter(|_| whole) {
                    column.set_constraint(ColumnConstraint::ContentWidth);
                }
            }
        }
        let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
        lines.join("\n") + "\n"
    }

    fn build(&self, columns: &[usize], style: Style) -> comfy_table::Table {
        let line = LineStyle::none().fill('─').junction('─');
        let mut table = comfy_table::Table::new();
        table.load_style(TableStyle::new().top_border(line).header_separator(line).bottom_border(line));
        table.force_no_tty().set_content_arrangement(ContentArrangement::Disabled);
        if style.color {
            table.enforce_styling();
        }
        table.set_header(self.headings(columns).into_iter().map(|text| cell(text, style)));
        for row in &self.rows {
            table.add_row(columns.iter().map(|at| cell(row[*at].clone(), style)));
        }
        for (place, at) in columns.iter().enumerate() {
            let Some(column) = table.column_mut(place) else { continue };
            let last = place + 1 == columns.len();
            // Where other tables have a line there is one more space.
            column.set_padding((0, if last { 0 } else { GAP as u16 - 1 }));
            let right = self.columns[*at].right;
            column.set_cell_alignment(if right { CellAlignment::Right } else { CellAlignment::Left });
        }
        table
    }

    /// Headings of some columns, a line a level. An outer value stands above the first column of its group, with a line over
    /// the others.
    fn headings(&self, columns: &[usize]) -> Vec<Text> {
        let levels = columns.iter().map(|at| self.columns[*at].heading.len()).max().unwrap_or(1);
        let mut before: &[String] = &[];
        let mut texts = Vec::new();
        for at in columns {
            let heading = &self.columns[*at].heading;
            let mut lines = vec![String::new(); levels - heading.len()];
            if *at < self.stub {
                lines.extend(heading.iter().cloned());
            } else {
                let repeated = heading.iter().zip(before).take_while(|(this, before)| this == before).count();
                let width = self.rows.iter().map(|row| row[*at].text.chars().count());
                let width = heading.iter().map(|text| text.chars().count()).chain(width).max().unwrap_or_default();
                lines.extend(heading.iter().enumerate().map(|(level, text)| match level {
                    level if level + 1 == heading.len() => text.clone(),
                    level if level < repeated => "─".repeat(width),
                    _ if text.chars().count() + 2 > width => text.clone(),
                    _ => format!("{:─<width$}", format!("{text} ")),
                }));
                before = heading;
            }
            texts.push(Text::plain(lines.join("\n")));
        }
        texts
    }
}

/// Columns of the terminal.
fn limit(style: Style) -> Option<usize> {
    style.width.map(|width| usize::from(width).max(NARROWEST))
}

/// Width of columns beside each other.
fn total(widths: &[usize]) -> usize {
    (widths.iter().sum::<usize>() + widths.len() * GAP).saturating_sub(GAP)
}

fn cell(text: Text, style: Style) -> Cell {
    let mut cell = Cell::new(text.text);
    if style.color {
        if text.bold {
            cell = cell.add_attribute(Attribute::Bold);
        }
        if text.dim {
            cell = cell.add_attribute(Attribute::Dim);
        }
        if let Some(color) = text.color {
            cell = cell.fg(color);
        }
    }
    cell
}

fn emphasis(text: &str, code: &str, style: Style) -> String {
    if style.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// Text without what would steer the terminal.
fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\n' => out.push('\n'),
            '\t' => out.push_str("    "),
            other if other.is_control() => out.extend(other.escape_default()),
            other => out.push(other),
        }
    }
    out
}

/// Breaks lines between words.
fn wrapped(text: &str, style: Style) -> String {
    let limit = limit(style).unwrap_or(usize::MAX);
    let mut out = String::new();
    for paragraph in text.lines() {
        let mut length = 0;
        for word in paragraph.split(' ') {
            let letters = word.chars().count();
            if length > 0 && length + 1 + letters > limit {
                out.push('\n');
                length = 0;
            } else if length > 0 {
                out.push(' ');
                length += 1;
            }
            out += word;
            length += letters;
        }
        out.push('\n');
    }
    out
}
