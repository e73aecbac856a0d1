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
    pub(super) const fn of(theme: Theme) -> Self {
        match theme {
            Theme::Light => Self {
                background: rgb(0xff_ff_ff),
                ink: rgb(0x1a_1a_1a),
                muted: rgb(0x5c_5c_5c),
                grid: rgb(0xe6_e6_e6),
                pale: rgb(0x9a_9a_9a),
                series: [
                    rgb(0x00_72_b2),
                    rgb(0xd5_5e_00),
                    rgb(0x00_9e_73),
                    rgb(0xcc_79_a7),
                    rgb(0xe6_9f_00),
                    rgb(0x56_b4_e9),
                    rgb(0x1a_1a_1a),
                ],
            },
            Theme::Dark => Self {
                background: rgb(0x14_16_1a),
                ink: rgb(0xe8_e8_e8),
                muted: rgb(0xa6_a9_ae),
                grid: rgb(0x2c_30_37),
                pale: rgb(0x7f_84_8c),
                series: [
                    rgb(0x56_b4_e9),
                    rgb(0xff_8a_3d),
                    rgb(0x35_c4_9a),
                    rgb(0xe6_a0_c8),
                    rgb(0xf0_e4_42),
                    rgb(0x9a_a7_ff),
                    rgb(0xf2_f2_f2),
                ],
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
