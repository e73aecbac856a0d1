//! The font of figures, which is part of the program, so that they look the same everywhere.

use std::{collections::HashMap, sync::OnceLock};

use skrifa::{
    FontRef, MetadataProvider,
    instance::{LocationRef, Size},
};

/// DejaVu Sans, the characters that figures need; see `font/LICENSE`.
pub(super) const FONT: &[u8] = include_bytes!("font/DejaVuSans-subset.ttf");
/// Families by which a reader of an SVG looks for it; Verdana has the same widths.
pub(super) const FAMILY: &str = "DejaVu Sans, Verdana, sans-serif";
/// Height of capital letters, as a share of the size.
pub(super) const CAPITALS: f64 = 0.729;
/// Width of a character that the font lacks.
const UNKNOWN: f64 = 0.6;

/// Width of a line of text.
pub(super) fn width(text: &str, size: f64) -> f64 {
    let known = advances();
    size * text.chars().map(|c| known.get(&c).copied().unwrap_or(UNKNOWN)).sum::<f64>()
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

/// Widths of characters, of size 1.
fn advances() -> &'static HashMap<char, f64> {
    static ADVANCES: OnceLock<HashMap<char, f64>> = OnceLock::new();
    ADVANCES.get_or_init(|| {
        let Ok(font) = FontRef::new(FONT) else { return HashMap::new() };
        let metrics = font.glyph_metrics(Size::new(1.0), LocationRef::default());
        let known = font
            .charmap()
            .mappings()
            .filter_map(|(code, glyph)| Some((char::from_u32(code)?, f64::from(metrics.advance_width(glyph)?))));
        known.collect()
    })
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
    fn long_text_is_cut() {
        assert_eq!(fitted("short", 7.0, 100.0), "short");
        let cut = fitted("microsoft/BiomedNLP-BiomedBERT-base-uncased", 7.0, 60.0);
        assert!(cut.ends_with('…') && cut.starts_with("micro") && width(&cut, 7.0) <= 60.0, "{cut}");
    }
}
