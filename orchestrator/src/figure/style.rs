//! Colours, sizes and marks.

use plotters::{
    element::{Circle, EmptyElement, Polygon},
    style::{Color, RGBAColor, RGBColor},
};

use super::{
    panel::Plane,
    svg::{Area, Drawn, Place, units},
};
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
/// Dashes and gaps in points, that tell lines apart without colour; none: solid.
pub(super) const DASHES: [Option<(f64, f64)>; 5] =
    [None, Some((4.0, 1.6)), Some((1.2, 1.4)), Some((9.0, 2.0)), Some((2.4, 3.2))];

/// Colours of a theme.
#[derive(Clone, Copy, Debug)]
pub(super) struct Palette {
    pub(super) background: RGBColor,
    /// Axes and text.
    pub(super) ink: RGBColor,
    /// Text of less weight.
    pub(super) muted: RGBColor,
    /// Lines that only guide the eye.
    pub(super) grid: RGBColor,
    /// What is shown for comparison.
    pub(super) pale: RGBColor,
    /// Series, told apart by people with any colour vision (Okabe and Ito, "Color universal design", 2008).
    series: [RGBColor; 7],
}

const fn rgb(code: u32) -> RGBColor {
    let [_, red, green, blue] = code.to_be_bytes();
    RGBColor(red, green, blue)
}

impl Palette {
    pub(super) fn of(theme: Theme) -> Self {
        match theme {
            Theme::Light => Self {
                background: rgb(0xffffff),
                ink: rgb(0x1a1a1a),
                muted: rgb(0x5c5c5c),
                grid: rgb(0xe6e6e6),
                pale: rgb(0x9a9a9a),
                series: [0x0072b2, 0xd55e00, 0x009e73, 0xcc79a7, 0xe69f00, 0x56b4e9, 0x1a1a1a].map(rgb),
            },
            Theme::Dark => Self {
                background: rgb(0x14161a),
                ink: rgb(0xe8e8e8),
                muted: rgb(0xa6a9ae),
                grid: rgb(0x2c3037),
                pale: rgb(0x7f848c),
                series: [0x56b4e9, 0xff8a3d, 0x35c49a, 0xe6a0c8, 0xf0e442, 0x9aa7ff, 0xf2f2f2].map(rgb),
            },
        }
    }

    pub(super) fn series(&self, at: usize) -> RGBColor {
        self.series[at % self.series.len()]
    }
}

/// The dash of a series.
pub(super) fn dash(at: usize) -> Option<(f64, f64)> {
    DASHES[at % DASHES.len()]
}

/// Corners of marks of the area of a circle of radius 1; the first mark is that circle.
const MARKS: [&[Place]; 5] = [
    &[],
    &[(-0.886, -0.886), (0.886, -0.886), (0.886, 0.886), (-0.886, 0.886)],
    &[(0.0, -1.4), (1.22, 0.8), (-1.22, 0.8)],
    &[(0.0, -1.25), (1.25, 0.0), (0.0, 1.25), (-1.25, 0.0)],
    &[(0.0, 1.4), (1.22, -0.8), (-1.22, -0.8)],
];

/// Corners of a mark around its place, in units; none: it is a circle.
fn corners(at: usize, size: f64) -> Option<Vec<(i32, i32)>> {
    let corners = MARKS[at % MARKS.len()].iter().map(|(x, y)| (units(x * size), units(y * size)));
    Some(corners.collect()).filter(|corners: &Vec<_>| !corners.is_empty())
}

/// Draws the marks of a series, which tell it from others without colour; `size` is in points.
pub(super) fn marks(
    plane: &mut Plane<'_>,
    at: usize,
    places: impl Iterator<Item = (f64, f64)>,
    size: f64,
    colour: RGBAColor,
) -> Drawn<()> {
    match corners(at, size) {
        None => plane.draw_series(places.map(|place| Circle::new(place, units(size), colour.filled())))?,
        Some(corners) => {
            let mark = |place| EmptyElement::at(place) + Polygon::new(corners.clone(), colour);
            plane.draw_series(places.map(mark))?
        }
    };
    Ok(())
}

/// Draws one mark, at a place of the whole drawing.
pub(super) fn mark(area: &Area<'_>, at: usize, (x, y): Place, size: f64, colour: RGBColor) -> Drawn<()> {
    let (x, y) = (units(x), units(y));
    match corners(at, size) {
        None => area.draw(&Circle::new((x, y), units(size), colour.filled())),
        Some(corners) => {
            let corners: Vec<(i32, i32)> = corners.into_iter().map(|(dx, dy)| (x + dx, y + dy)).collect();
            area.draw(&Polygon::new(corners, colour))
        }
    }
}
