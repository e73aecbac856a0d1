//! RLE lossless (PS3.5, annex G).

use super::{fault::damaged, header::Layout};
use crate::images::Fault;

/// Words of the header: the number of segments, and where each begins.
const WORDS: usize = 16;

/// Cells from one segment for each of their bytes, the most significant first.
pub(super) fn decode(data: &[u8], layout: &Layout) -> Result<Vec<u16>, Fault> {
    let planes = usize::from(layout.allocated / 8);
    let (words, _) = data.as_chunks::<4>();
    let header = words.get(..WORDS).ok_or_else(|| damaged("its RLE header is cut off"))?;
    let word = |at: usize| u32::from_le_bytes(header[at]) as usize;
    if word(0) != planes {
        return Err(damaged(format!("{} RLE segments, {planes} expected", word(0))));
    }
    let mut cells = vec![0_u16; layout.rows * layout.columns];
    for plane in 1..=planes {
        let end = if plane == planes { data.len() } else { word(plane + 1) };
        let segment = data
            .get(word(plane)..end)
            .ok_or_else(|| damaged(format!("RLE segment {plane} lies outside of the pixel data")))?;
        decode_segment(segment, &mut cells).ok_or_else(|| damaged(format!("RLE segment {plane} is cut off")))?;
    }
    Ok(cells)
}

/// Shifts one byte into each cell; none when there are too few. What follows the last is padding.
fn decode_segment(mut segment: &[u8], cells: &mut [u16]) -> Option<()> {
    let mut at = 0;
    while at < cells.len() {
        let (&control, rest) = segment.split_first()?;
        segment = rest;
        let count = match control {
            0..=127 => usize::from(control) + 1,
            // Means nothing.
            128 => continue,
            129..=255 => 257 - usize::from(control),
        };
        let run = control > 128;
        let (bytes, rest) = segment.split_at_checked(if run { 1 } else { count })?;
        segment = rest;
        // A run may go on past the last cell, into padding.
        let target = cells.len().min(at + count);
        for (index, cell) in cells[at..target].iter_mut().enumerate() {
            *cell = *cell << 8 | u16::from(bytes[if run { 0 } else { index }]);
        }
        at = target;
    }
    Some(())
}
