//! The document around what plotters draws: millimetres outside, text as text, a title and a description.
//!
//! plotters puts everything at whole units. There are a hundred of them to a point here, so that this is not seen.

use plotters::{
    coord::Shift,
    drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea},
    element::{DashedPathElement, PathElement},
    prelude::SVGBackend,
    style::{Color, RGBColor, ShapeStyle, text_anchor::HPos},
};

use super::{
    error::FigureError,
    png,
    style::{LABEL_PT, Palette, TICK_PT, TITLE_PT},
    text::{self, FAMILY},
};

/// Points in a millimetre.
pub(super) const PT_PER_MM: f64 = 72.0 / 25.4;
/// Units in a point.
pub(super) const UNITS: f64 = 100.0;
/// Around everything, in points.
pub(super) const MARGIN: f64 = 5.0;
/// Height of the area that is drawn on, in points; of a document, as much as is used.
const MOST_HEIGHT: f64 = 20_000.0;

/// Lines of a heading, of an entry of a legend, and of a note, at most.
const HEADING_LINES: usize = 2;
const ENTRY_LINES: usize = 3;
const NOTE_LINES: usize = 3;

/// A place in points; y grows downwards.
pub(super) type Place = (f64, f64);
/// The whole drawing.
pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// What drawing gives.
pub(super) type Drawn<T> = Result<T, DrawingAreaErrorKind<std::io::Error>>;

/// Points in units.
pub(super) fn units(points: f64) -> i32 {
    (points * UNITS).round() as i32
}

fn at((x, y): Place) -> (i32, i32) {
    (units(x), units(y))
}

/// A line `width` points wide.
pub(super) fn stroke(colour: RGBColor, width: f64) -> ShapeStyle {
    colour.stroke_width(units(width) as u32)
}

/// Writes a line of text; `anchor` stands at its place, its capitals are centred on the height.
pub(super) fn write(area: &Area<'_>, place: Place, text: &str, size: f64, colour: RGBColor, anchor: HPos) -> Drawn<()> {
    area.draw_text(&plain(text), &text::style(size, colour, anchor), at(place))
}

/// Draws a line, with `dash` and gap in points; none: solid.
pub(super) fn line(area: &Area<'_>, places: &[Place], style: ShapeStyle, dash: Option<(f64, f64)>) -> Drawn<()> {
    let places: Vec<(i32, i32)> = places.iter().copied().map(at).collect();
    match dash {
        None => area.draw(&PathElement::new(places, style)),
        Some((dash, gap)) => area.draw(&DashedPathElement::new(places, units(dash), units(gap), style)),
    }
}

/// One line of a legend, that is broken where it is too long: what it is about, and names beside samples that are `wide`. Returns where
/// it ends.
pub(super) fn legend<'a, T>(
    area: &Area<'a>,
    palette: &Palette,
    about: &str,
    entries: &[(T, String)],
    (top, width, wide): (f64, f64, f64),
    sample: impl Fn(&T, Place) -> Drawn<()>,
) -> Drawn<f64> {
    let height = LABEL_PT + 3.6;
    let (mut left, mut middle) = (MARGIN + 2.0, top + height - 3.0 - 0.5 * text::CAPITALS * TICK_PT);
    if !about.is_empty() {
        write(area, (left, middle), about, TICK_PT, palette.muted, HPos::Left)?;
        left += text::width(about, TICK_PT) + 8.0;
    }
    let begin = left;
    for (entry, name) in entries {
        let lines = text::wrapped(name, TICK_PT, width - begin - wide - 2.0 * MARGIN - 4.0, ENTRY_LINES);
        let needed = wide + 4.0 + lines.iter().map(|line| text::width(line, TICK_PT)).fold(0.0, f64::max);
        if left + needed > width - MARGIN && left > begin {
            left = begin;
            middle += height;
        }
        sample(entry, (left, middle))?;
        for (i, line) in lines.iter().enumerate() {
            middle += if i > 0 { TICK_PT + 2.6 } else { 0.0 };
            write(area, (left + wide + 3.5, middle), line, TICK_PT, palette.ink, HPos::Left)?;
        }
        left += needed + 10.0;
    }
    Ok(middle + 3.0 + 0.5 * text::CAPITALS * TICK_PT)
}

/// A remark below a legend, broken where it is too long. Returns where it ends.
pub(super) fn note(area: &Area<'_>, palette: &Palette, text: &str, (top, width): (f64, f64)) -> Drawn<f64> {
    let mut top = top;
    for line in text::wrapped(text, TICK_PT, width - 2.0 * MARGIN - 2.0, NOTE_LINES) {
        top += TICK_PT + 2.6;
        write(area, (MARGIN + 2.0, top - 0.5 * TICK_PT), &line, TICK_PT, palette.muted, HPos::Left)?;
    }
    Ok(top)
}

/// A finished drawing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Svg {
    text: String,
}

impl Svg {
    /// The document.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same as pixels.
    ///
    /// # Errors
    /// [`FigureError::Size`] when there would be too many, [`FigureError::Pixels`].
    pub fn to_png(&self, dpi: u32) -> Result<Vec<u8>, FigureError> {
        png::render(self.as_str(), dpi)
    }

    /// A document: under the heading, what `draw` draws, which is told where it begins and tells where it ends. The heading, or else the
    /// description, is the title for those who cannot see it.
    pub(super) fn drawn(
        width_mm: f64,
        palette: &Palette,
        heading: Option<&str>,
        description: &str,
        draw: impl FnOnce(&Area<'_>, f64) -> Drawn<f64>,
    ) -> Result<Self, FigureError> {
        let width = width_mm * PT_PER_MM;
        let mut body = String::new();
        let bottom = {
            let area = SVGBackend::with_string(&mut body, (units(width) as u32, units(MOST_HEIGHT) as u32));
            let area = area.into_drawing_area();
            let mut top = MARGIN;
            if let Some(heading) = heading {
                for line in text::wrapped(heading, TITLE_PT + 0.5, width - 2.0 * MARGIN, HEADING_LINES) {
                    write(&area, (MARGIN, top + 0.64 * TITLE_PT), &line, TITLE_PT + 0.5, palette.ink, HPos::Left)?;
                    top += TITLE_PT + 3.0;
                }
                top += 4.0;
            }
            let bottom = draw(&area, top)?;
            area.present()?;
            bottom
        };
        let height = bottom + MARGIN - 1.0;
        let head = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"{:.2}mm\" height=\"{:.2}mm\" viewBox=\"0 0 {} {}\" \
             font-family=\"{FAMILY}\" stroke-linejoin=\"round\">\n<title>{}</title>\n<desc>{}</desc>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#{:02x}{:02x}{:02x}\"/>\n",
            width_mm,
            height / PT_PER_MM,
            units(width),
            units(height),
            escaped(heading.unwrap_or(description)),
            escaped(description),
            palette.background.0,
            palette.background.1,
            palette.background.2,
        );
        Ok(Self { text: finished(head, &body) })
    }
}

/// The document with another first line, the font named once, capitals centred on their height, and text without line breaks, as some
/// programs show those.
fn finished(mut document: String, drawn: &str) -> String {
    let mut lines = drawn.lines().skip(1);
    while let Some(line) = lines.next() {
        if !line.starts_with("<text ") {
            document.push_str(line);
            document.push('\n');
            continue;
        }
        let (content, end) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        if !content.is_empty() {
            document.push_str(&line.replace(" font-family=\"sans-serif\"", "").replace("\"0.5ex\"", "\"0.36em\""));
            document.push_str(content);
            document.push_str(end);
            document.push('\n');
        }
    }
    document
}

/// Text without what XML does not allow at all, and without line breaks.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn escaped(text: &str) -> String {
    plain(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::Theme;

    #[test]
    fn text_cannot_break_out() {
        let palette = Palette::of(Theme::Light);
        let svg = Svg::drawn(60.0, &palette, Some("a < b"), "c & d", |area, top| {
            write(area, (1.0, 2.0), "<script>\"&\u{1}\n</text>", 7.0, palette.ink, HPos::Left)?;
            Ok(top + 10.0)
        });
        let svg = svg.unwrap();
        assert!(svg.as_str().contains(">&lt;script&gt;&quot;&amp;  &lt;/text&gt;</text>"), "{}", svg.as_str());
        assert!(svg.as_str().contains("<title>a &lt; b</title>\n<desc>c &amp; d</desc>"), "{}", svg.as_str());
        assert!(svg.as_str().starts_with("<svg ") && svg.as_str().ends_with("</svg>\n"), "{}", svg.as_str());
        assert!(svg.as_str().contains("width=\"60.00mm\"") && svg.as_str().contains("font-size=\"700\""));
    }
}
