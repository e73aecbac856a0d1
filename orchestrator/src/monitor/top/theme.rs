//! How things look: with colour or without, with the characters that the terminal has. Nothing is told by colour alone.

use ratatui::{
    style::{Color, Modifier, Style},
    symbols::border,
};

/// Levels of a sparkline.
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const PLAIN_LEVELS: [char; 8] = ['_', '.', ':', '-', '=', '+', '*', '#'];

/// What the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    /// It has colours, and the user wants them.
    pub color: bool,
    /// It has blocks, lines and braille.
    pub unicode: bool,
}

impl Theme {
    /// What the environment says: `NO_COLOR`, `TERM`, and the locale.
    pub fn from_env() -> Self {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let term = set("TERM").unwrap_or_default();
        // The first that is set counts, as in the C library.
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default().to_lowercase();
        let utf8 = locale.contains("utf-8") || locale.contains("utf8");
        let plain = term.starts_with("vt") || term == "linux" || term == "ansi" || term == "dumb";
        Self { color: set("NO_COLOR").is_none() && !term.starts_with("vt") && term != "dumb", unicode: utf8 && !plain }
    }

    fn colored(self, color: Color, plain: Modifier) -> Style {
        if self.color { Style::new().fg(color) } else { Style::new().add_modifier(plain) }
    }

    pub(super) fn heading(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub(super) fn dim(self) -> Style {
        // Not dark grey: some palettes have the background there.
        Style::new().add_modifier(Modifier::DIM)
    }

    pub(super) fn accent(self) -> Style {
        self.colored(Color::Cyan, Modifier::empty())
    }

    pub(super) fn good(self) -> Style {
        self.colored(Color::Green, Modifier::empty())
    }

    pub(super) fn warning(self) -> Style {
        self.colored(Color::Yellow, Modifier::BOLD)
    }

    pub(super) fn bad(self) -> Style {
        self.colored(Color::Red, Modifier::BOLD)
    }

    pub(super) fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// Of a trial's state, which is always written beside it.
    pub(super) fn state(self, state: &str) -> Style {
        match state {
            "done" => self.good(),
            "running" => self.accent(),
            "failed" | "diverged" => self.bad(),
            "cancelled" | "pruned" | "lost" | "pre-empted" | "stopped" | "ended" => self.warning(),
            _ => Style::new(),
        }
    }

    /// What stands before the selected line.
    pub(super) fn pointer(self) -> &'static str {
        if self.unicode { "▶" } else { ">" }
    }

    pub(super) fn border(self) -> border::Set<'static> {
        const PLAIN: border::Set<'static> = border::Set {
            top_left: "+",
            top_right: "+",
            bottom_left: "+",
            bottom_right: "+",
            vertical_left: "|",
            vertical_right: "|",
            horizontal_top: "-",
            horizontal_bottom: "-",
        };
        if self.unicode { border::PLAIN } else { PLAIN }
    }

    /// The part of a bar that is full, and the rest.
    pub(super) fn bar(self, share: f64, width: usize) -> (String, String) {
        let (full, half, empty) = if self.unicode { ("━", "╸", "─") } else { ("#", "", ".") };
        let parts = if half.is_empty() { 1 } else { 2 };
        let steps = (share.clamp(0.0, 1.0) * (parts * width) as f64).floor() as usize;
        // Something is not nothing.
        let steps = steps.max(usize::from(share > 0.0 && width > 0));
        let mut done = full.repeat(steps / parts);
        if steps % parts == 1 {
            done.push_str(half);
        }
        let rest = empty.repeat(width.saturating_sub(done.chars().count()));
        (done, rest)
    }

    /// Values as a line of so many columns at most, between `low` and `high`.
    pub(super) fn spark(self, values: &[f64], width: usize, range: Option<(f64, f64)>) -> String {
        let values: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
        if values.is_empty() || width == 0 {
            return String::new();
        }
        let columns = width.min(values.len());
        let mean = |column: usize| {
            let (from, to) = (column * values.len() / columns, (column + 1) * values.len() / columns);
            values[from..to].iter().sum::<f64>() / (to - from) as f64
        };
        let means: Vec<f64> = (0..columns).map(mean).collect();
        let (low, high) = range.unwrap_or_else(|| {
            means
                .iter()
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)))
        });
        let levels = if self.unicode { LEVELS } else { PLAIN_LEVELS };
        let level = |value: &f64| {
            let share = if high > low { (value - low) / (high - low) } else { 0.0 };
            levels[((share * 8.0) as usize).min(7)]
        };
        means.iter().map(level).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RICH: Theme = Theme { color: true, unicode: true };
    const PLAIN: Theme = Theme { color: false, unicode: false };

    #[test]
    fn bars_have_their_width() {
        for theme in [RICH, PLAIN] {
            for step in 0..=100 {
                let (done, rest) = theme.bar(f64::from(step) / 100.0, 7);
                assert_eq!(done.chars().count() + rest.chars().count(), 7, "{step}: {done}{rest}");
                assert_eq!(done.is_empty(), step == 0);
                assert_eq!(
                    rest.is_empty(),
                    if theme.unicode { step >= 93 } else { step == 100 },
                    "{step}: {done}{rest}"
                );
            }
        }
        assert_eq!(RICH.bar(0.5, 3), ("━╸".to_owned(), "─".to_owned()));
        assert_eq!(RICH.bar(0.5, 0), (String::new(), String::new()));
    }

    #[test]
    fn sparklines_show_the_range() {
        assert_eq!(RICH.spark(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], 8, None), "▁▂▃▄▅▆▇█");
        assert_eq!(RICH.spark(&[0.0, 0.0, 4.0, 4.0], 2, None), "▁█");
        assert_eq!(RICH.spark(&[1.0, 1.0], 9, None), "▁▁", "flat");
        assert_eq!(PLAIN.spark(&[0.0, 0.5, 1.0], 9, Some((0.0, 1.0))), "_=#");
        assert_eq!(RICH.spark(&[f64::NAN], 9, None), "");
    }
}
