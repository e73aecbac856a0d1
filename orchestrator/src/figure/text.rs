//! The font of figures, which is part of the program, so that they look the same everywhere.

use std::sync::Once;

use plotters::style::{
    Color, FontDesc, FontFamily, FontStyle, RGBColor, TextStyle, register_font,
    text_anchor::{HPos, Pos, VPos},
};

use super::svg::UNITS;

/// DejaVu Sans, the characters that figures need; see `font/LICENSE`.
pub(super) const FONT: &[u8] = include_bytes!("font/DejaVuSans-subset.ttf");
/// Families by which a reader of an SVG looks for it; Verdana has the same widths.
pub(super) const FAMILY: &str = "DejaVu Sans, Verdana, sans-serif";
/// Height of capital letters, as a share of the size.
pub(super) const CAPITALS: f64 = 0.729;
/// The font's units to an em, and from its descent to its ascent: plotters measures by the latter.
const EM: f64 = 2048.0;
const HEIGHT: f64 = 2384.0;
/// What plotters divides a size by when it writes it.
const WRITTEN: f64 = 1.24;

fn font(size: f64) -> FontDesc<'static> {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        // The font is part of the program, and tested.
        register_font(FontFamily::SansSerif.as_str(), FontStyle::Normal, FONT).ok();
    });
    FontDesc::new(FontFamily::SansSerif, size, FontStyle::Normal)
}

/// How text of a size in points is written: `anchor` stands at its place, its capitals are centred on the height.
pub(super) fn style(size: f64, colour: RGBColor, anchor: HPos) -> TextStyle<'static> {
    let pos = Pos::new(anchor, VPos::Center);
    TextStyle { font: font(size * UNITS * WRITTEN), color: colour.to_backend_color(), pos }
}

/// Width of a line of text.
pub(super) fn width(text: &str, size: f64) -> f64 {
    let (units, _) = font(HEIGHT).box_size(text).unwrap_or_default();
    size * f64::from(units) / EM
}

/// Text that is cut to a width, with dots where it is longer.
pub(super) fn fitted(text: &str, size: f64, room: f64) -> String {
    if width(text, size) <= room {
        return text.to_owned();
    }
    let mut cut: Vec<char> = text.chars().collect();
    while !cut.is_empty() && width(&cut.iter().collect::<String>(), size) + width("…", size) > room {
        cut.pop();
    }
    cut.into_iter().chain(['…']).collect()
}

/// Text in at most `most` lines of a width, broken between words; what is left after the last one is cut with dots.
pub(super) fn wrapped(text: &str, size: f64, room: f64, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let last = lines.len() == most;
        match lines.last_mut() {
            Some(line) if last || width(&format!("{line} {word}"), size) <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.into_iter().map(|line| fitted(&line, size, room)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_those_of_the_font() {
        // Advance widths of DejaVu Sans in units of 1/2048.
        for (text, units) in [("0", 1303.0), ("A", 1401.0), ("−", 1716.0), ("α", 1350.0), ("00", 2606.0)] {
            assert!((width(text, 2048.0) - units).abs() < 0.5, "{text}: {}", width(text, 2048.0));
        }
    }

    #[test]
    fn long_text_is_wrapped_before_it_is_cut() {
        let text = "AUROC of heads on RSNA by the share of labels";
        assert_eq!(wrapped(text, 7.0, 1000.0, 2), [text]);
        let lines = wrapped(text, 7.0, 110.0, 2);
        assert_eq!(lines.join(" "), text);
        assert!(lines.len() == 2 && lines.iter().all(|line| width(line, 7.0) <= 110.0), "{lines:?}");
        assert!(wrapped(text, 7.0, 60.0, 2)[1].ends_with('…'));
        assert!(wrapped("", 7.0, 60.0, 2).is_empty());
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(fitted("short", 7.0, 100.0), "short");
        let cut = fitted("microsoft/BiomedNLP-BiomedBERT-base-uncased", 7.0, 60.0);
        assert!(cut.ends_with('…') && cut.starts_with("micro") && width(&cut, 7.0) <= 60.0, "{cut}");
    }
}
