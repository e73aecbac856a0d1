//! Lines of columns below a title, of which one may be selected.

use ratatui::{
    Frame,
    layout::Rect,
    style::{Modifier, Style},
    text::{Line, Span},
};

use crate::monitor::top::theme::Theme;

/// From this height on, there are headings.
const HEADINGS: u16 = 5;

/// How wide a column is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Width {
    /// So many columns of the screen.
    Fixed(usize),
    /// As many as are left, shared by all that fill.
    Fill,
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column<'a> {
    title: &'a str,
    width: Width,
    right: bool,
}

impl<'a> Column<'a> {
    pub(super) const fn left(title: &'a str, width: usize) -> Self {
        Self { title, width: Width::Fixed(width), right: false }
    }

    pub(super) const fn right(title: &'a str, width: usize) -> Self {
        Self { title, width: Width::Fixed(width), right: true }
    }

    pub(super) const fn fill(title: &'a str) -> Self {
        Self { title, width: Width::Fill, right: false }
    }
}

/// What a column has in one row: pieces with their styles.
pub(super) type Cell = Vec<(String, Style)>;

/// A cell of plain text.
pub(super) fn plain(text: impl Into<String>) -> Cell {
    vec![(text.into(), Style::new())]
}

/// A cell of one style.
pub(super) fn styled(text: impl Into<String>, style: Style) -> Cell {
    vec![(text.into(), style)]
}

/// Columns of the screen that a text takes.
pub(super) fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// Shortened to so many columns, with a mark where something is left out.
pub(super) fn shortened(text: &str, columns: usize, theme: Theme) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut short = String::new();
    let mut taken = 1;
    for c in text.chars() {
        let mut buffer = [0; 4];
        let wide = width(c.encode_utf8(&mut buffer));
        if taken + wide > columns {
            break;
        }
        taken += wide;
        short.push(c);
    }
    if columns > 0 {
        short.push(if theme.unicode { '…' } else { '~' });
    }
    short
}

/// The part of so many lines that is shown in `height`, so that `cursor` is.
pub(super) fn window(lines: usize, height: usize, cursor: usize) -> std::ops::Range<usize> {
    let first = cursor.saturating_sub(height.saturating_sub(1)).min(lines.saturating_sub(height));
    // The cursor stays in the middle once there is more on both sides.
    let first = if lines > height { cursor.saturating_sub(height / 2).min(lines - height) } else { first };
    first..(first + height).min(lines)
}

/// A title over a line; returns what is left below.
pub(super) fn title(frame: &mut Frame<'_>, area: Rect, text: &str, note: &str, focused: bool, theme: Theme) -> Rect {
    if area.height == 0 {
        return area;
    }
    let columns = usize::from(area.width);
    let line = if theme.unicode { "─" } else { "-" };
    let head = if focused { format!("{} {text} ", theme.pointer()) } else { format!("{line}{line} {text} ") };
    let head = shortened(&head, columns, theme);
    let note =
        if note.is_empty() || width(&head) + width(note) + 3 > columns { String::new() } else { format!(" {note} ") };
    let rest = columns.saturating_sub(width(&head) + width(&note) + usize::from(!note.is_empty()));
    let style = if focused { theme.accent().patch(theme.heading()) } else { theme.dim() };
    let name = if focused { style } else { theme.heading() };
    let mut spans = vec![Span::styled(head, name), Span::styled(line.repeat(rest), style), Span::raw(note.clone())];
    if !note.is_empty() {
        spans.push(Span::styled(line, style));
    }
    frame.render_widget(Line::from(spans), Rect { height: 1, ..area });
    Rect { y: area.y + 1, height: area.height - 1, ..area }
}

/// Widths of columns in so many columns of the screen, with one between any two.
fn widths(columns: &[Column<'_>], total: usize) -> Vec<usize> {
    let gaps = columns.len().saturating_sub(1);
    let fixed: usize =
        columns.iter().map(|column| if let Width::Fixed(width) = column.width { width } else { 0 }).sum();
    let fills = columns.iter().filter(|column| matches!(column.width, Width::Fill)).count();
    let left = total.saturating_sub(fixed + gaps);
    let share = left.checked_div(fills).unwrap_or(0);
    columns.iter().map(|column| if let Width::Fixed(width) = column.width { width } else { share }).collect()
}

/// Pieces in a column of this width, padded.
fn fitted(cell: Cell, columns: usize, right: bool, theme: Theme) -> Vec<Span<'static>> {
    let mut spans = Vec::new();
    let mut left = columns;
    for (text, style) in cell {
        let text = shortened(&text, left, theme);
        left -= width(&text).min(left);
        spans.push(Span::styled(text, style));
    }
    let padding = Span::raw(" ".repeat(left));
    if right {
        spans.insert(0, padding);
    } else {
        spans.push(padding);
    }
    spans
}

/// A line of cells. The first column of the screen is for the pointer.
fn line(cells: Vec<Cell>, columns: &[Column<'_>], widths: &[usize], pointer: &str, theme: Theme) -> Line<'static> {
    let mut spans = vec![Span::raw(pointer.to_owned())];
    for (at, cell) in cells.into_iter().enumerate() {
        if at > 0 {
            spans.push(Span::raw(" "));
        }
        spans.extend(fitted(cell, widths[at], columns[at].right, theme));
    }
    Line::from(spans)
}

/// Rows that fit into an area below headings that are not empty.
pub(super) fn rows_in(area: Rect) -> usize {
    usize::from(area.height) - usize::from(area.height >= HEADINGS)
}

/// Headings where there is room, then the part of the rows around the cursor. `row` makes the cells of one.
pub(super) fn rows(
    frame: &mut Frame<'_>,
    area: Rect,
    columns: &[Column<'_>],
    count: usize,
    cursor: Option<usize>,
    theme: Theme,
    row: impl Fn(usize) -> Vec<Cell>,
) {
    let widths = widths(columns, usize::from(area.width).saturating_sub(1));
    let mut area = area;
    if area.height >= HEADINGS && columns.iter().any(|column| !column.title.is_empty()) {
        let titles = columns.iter().map(|column| styled(column.title, theme.dim())).collect();
        frame.render_widget(line(titles, columns, &widths, " ", theme), Rect { height: 1, ..area });
        area = Rect { y: area.y + 1, height: area.height - 1, ..area };
    }
    for (offset, at) in window(count, usize::from(area.height), cursor.unwrap_or(0)).enumerate() {
        let selected = cursor == Some(at);
        let pointer = if selected { theme.pointer() } else { " " };
        let mut text = line(row(at), columns, &widths, pointer, theme);
        if selected {
            text = text.style(theme.selected());
            for span in &mut text.spans {
                // Reversed colours would be loud, and a dim text unreadable.
                let bold = span.style.add_modifier & Modifier::BOLD;
                span.style = theme.selected().add_modifier(bold);
            }
        }
        frame.render_widget(text, Rect { y: area.y + offset as u16, height: 1, ..area });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_is_in_the_window() {
        for lines in 0..40 {
            for height in 0..12 {
                for cursor in 0..lines {
                    let window = window(lines, height, cursor);
                    assert!(height == 0 || window.contains(&cursor), "{lines} {height} {cursor}");
                    assert_eq!(window.len(), height.min(lines));
                }
            }
        }
    }

    #[test]
    fn texts_are_shortened_to_columns() {
        let theme = Theme { color: false, unicode: true };
        assert_eq!(shortened("abcdef", 4, theme), "abc…");
        assert_eq!(shortened("abcd", 4, theme), "abcd");
        assert_eq!(shortened("日本語", 4, theme), "日…", "wide characters");
        assert_eq!(shortened("abc", 0, theme), "");
    }
}
