//! SIIM-ACR's run-length encoding: pairs of numbers, how many pixels lie between the end of the last run and the start
//! of this one, and how many pixels this one has. Pixels are counted down the columns, from left to right.

use super::mask::{Mask, SIDE};

/// Pixels of an image.
const PIXELS: u32 = (SIDE * SIDE) as u32;

/// Pixels that follow each other down the columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// First pixel: row + 1024 x column.
    pub start: u32,
    /// Number of pixels, at least one; the last is inside the image.
    pub length: u32,
}

/// The runs that `text` encodes; at least one.
///
/// # Errors
/// What is wrong, and at which pair: no natural number, a start without a length, a run of no pixel, or one that leaves
/// the image.
pub fn decode(text: &str) -> Result<Vec<Run>, String> {
    let number = |text: &str| text.parse::<u32>().map_err(|_| format!("`{text}` is not a natural number"));
    let mut words = text.split_ascii_whitespace();
    let mut runs = Vec::new();
    let mut end = 0_u32;
    while let Some(start) = words.next() {
        let pair = runs.len() + 1;
        let wrong = |what: String| format!("RLE pair {pair}: {what}");
        let Some(length) = words.next() else { return Err(wrong("the start has no length".to_owned())) };
        let (gap, length) = (number(start).map_err(wrong)?, number(length).map_err(wrong)?);
        if length == 0 {
            return Err(wrong("the run has no pixel".to_owned()));
        }
        let start = end.saturating_add(gap);
        end = start.saturating_add(length);
        if end > PIXELS {
            return Err(wrong(format!("the run ends at pixel {end} of {PIXELS}")));
        }
        runs.push(Run { start, length });
    }
    if runs.is_empty() {
        return Err("the RLE is empty".to_owned());
    }
    Ok(runs)
}

/// Sets the pixels of `runs`.
///
/// # Panics
/// When a run leaves the image; those of [`decode`] do not.
pub fn fill(mask: &mut Mask, runs: &[Run]) {
    for run in runs {
        for pixel in run.start as usize..(run.start + run.length) as usize {
            mask.fill(pixel / SIDE, pixel % SIDE, 1, 1);
        }
    }
}

/// The encoding of `mask` with the fewest runs; empty where no pixel is set.
pub fn encode(mask: &Mask) -> String {
    let is_set = |pixel: usize| mask.is_set(pixel / SIDE, pixel % SIDE);
    let mut words = Vec::new();
    let (mut pixel, mut end) = (0, 0);
    while pixel < SIDE * SIDE {
        let start = pixel;
        while pixel < SIDE * SIDE && is_set(pixel) {
            pixel += 1;
        }
        if pixel == start {
            pixel += 1;
            continue;
        }
        words.push(format!("{} {}", start - end, pixel - start));
        end = pixel;
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mask(text: &str) -> Mask {
        let mut mask = Mask::empty();
        fill(&mut mask, &decode(text).unwrap());
        mask
    }

    #[test]
    fn runs_are_relative_and_go_down_the_columns() {
        let found = mask("1023 2 1022 1");
        assert_eq!(found.area(), 3);
        // The end of column 0, and the start and the end of column 1.
        assert!(found.is_set(0, 1023) && found.is_set(1, 0) && found.is_set(1, 1023));
        assert_eq!(mask("0 1048576").area(), SIDE * SIDE);
        assert!(mask("1048575 1").is_set(1023, 1023));
    }

    #[test]
    fn what_is_no_encoding_is_said() {
        for (text, expected) in [
            ("", "the RLE is empty"),
            ("  ", "the RLE is empty"),
            ("5", "RLE pair 1: the start has no length"),
            ("5 2 7", "RLE pair 2: the start has no length"),
            ("5 0", "RLE pair 1: the run has no pixel"),
            ("5 -2", "RLE pair 1: `-2` is not a natural number"),
            ("5 2 1.5 3", "RLE pair 2: `1.5` is not a natural number"),
            ("1048575 2", "RLE pair 1: the run ends at pixel 1048577 of 1048576"),
            ("0 1048576 0 1", "RLE pair 2: the run ends at pixel 1048577 of 1048576"),
            ("4294967295 4294967295", "RLE pair 1: the run ends at pixel 4294967295 of 1048576"),
        ] {
            assert_eq!(decode(text).unwrap_err(), expected, "{text:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn encoding_a_mask_and_decoding_it_gives_it_back(
            boxes in prop::collection::vec((0_usize..1024, 0_usize..1024, 1_usize..200, 1_usize..1024), 1..6),
        ) {
            let mut before = Mask::empty();
            for (x, y, width, height) in boxes {
                before.fill(x, y, width.min(SIDE - x), height.min(SIDE - y));
            }
            prop_assert!(mask(&encode(&before)) == before);
        }
    }

    #[test]
    fn nothing_set_encodes_to_nothing() {
        assert_eq!(encode(&Mask::empty()), "");
    }
}
