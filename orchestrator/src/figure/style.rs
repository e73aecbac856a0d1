//! Colours, sizes and marks.

use super::svg::Mark;
use crate::sweep::Theme;

/// Sizes of text in points.
pub(super) const TICK_PT: f64 = 7.0;
pub(super) const LABEL_PT: f64 = 7.5;
pub(super) const TITLE_PT: f64 = 8.5;
/// Widths of lines in points.
pub(super) const AXIS_PT: f64 = 0.6;
pub(super) const GRID_PT: f64 = 0.4;
pub(super) const LINE_PT: f64 = 1.1;
/// Radius of a mark in points.
pub(super) const MARK_PT: f64 = 1.8;
/// Dashes in points, that tell lines apart without colour.
pub(super) const DASHES: [&[f64]; 5] = [&[], &[4.0, 1.6], &[1.2, 1.4], &[5.0, 1.5, 1.2, 1.5], &[7.0, 2.0]];

/// Colours of a theme.
#[derive(Clone, Copy, Debug)]
pub(super) struct Palette {
    pub(super) background: &'static str,
    /// Axes and text.
    pub(super) ink: &'static str,
    /// Text of less weight.
    pub(super) muted: &'static str,
    /// Lines that only guide the eye.
    pub(super) grid: &'static str,
    /// What is shown for comparison.
    pub(super) pale: &'static str,
    /// Series, told apart by people with any colour vision (Okabe and Ito, "Color universal design", 2008).
    pub(super) series: [&'static str; 7],
}

impl Palette {
    pub(super) const fn of(theme: Theme) -> Self {
        match theme {
            Theme::Light => Self {
                background: "#ffffff",
                ink: "#1a1a1a",
                muted: "#5c5c5c",
                grid: "#e6e6e6",
                pale: "#9a9a9a",
                series: ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#1a1a1a"],
            },
            Theme::Dark => Self {
                background: "#14161a",
                ink: "#e8e8e8",
                muted: "#a6a9ae",
                grid: "#2c3037",
                pale: "#7f848c",
                series: ["#56b4e9", "#ff8a3d", "#35c49a", "#e6a0c8", "#f0e442", "#9aa7ff", "#f2f2f2"],
            },
        }
    }

    pub(super) fn series(&self, at: usize) -> &'static str {
        self.series[at % self.series.len()]
    }
}

/// The mark of a series.
pub(super) fn mark(at: usize) -> Mark {
    Mark::ALL[at % Mark::ALL.len()]
}

/// The dash of a series.
pub(super) fn dash(at: usize) -> &'static [f64] {
    DASHES[at % DASHES.len()]
}
