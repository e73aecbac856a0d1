//! What a DICOM file says about its pixels.

use super::{
    elements::{Elements, Tag},
    fault::{damaged, unsupported},
};
use crate::images::Fault;

const SAMPLES: Tag = (0x0028, 0x0002);
const PHOTOMETRIC: Tag = (0x0028, 0x0004);
const FRAMES: Tag = (0x0028, 0x0008);
const ROWS: Tag = (0x0028, 0x0010);
const COLUMNS: Tag = (0x0028, 0x0011);
const ALLOCATED: Tag = (0x0028, 0x0100);
const STORED: Tag = (0x0028, 0x0101);
const HIGH: Tag = (0x0028, 0x0102);
const SIGNED: Tag = (0x0028, 0x0103);
pub(super) const PIXELS: Tag = (0x7FE0, 0x0010);

/// How the pixels are stored (PS3.3, C.7.6.3).
pub(super) struct Layout {
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Bits of a cell: 8 or 16.
    pub(super) allocated: u16,
    /// Bits of a value: 1 to `allocated`.
    pub(super) stored: u16,
    /// Index of a value's highest bit in its cell.
    pub(super) high: u16,
    /// Whether values are in two's complement.
    pub(super) signed: bool,
    /// Whether the lowest value is white: MONOCHROME1.
    pub(super) inverted: bool,
}

/// The attributes as they are written.
#[derive(Default)]
pub(super) struct Attributes {
    numbers: [Option<u16>; 7],
    photometric: Option<String>,
    frames: Option<String>,
}

/// Places in [`Attributes::numbers`].
const NUMBERS: [Tag; 7] = [SAMPLES, ROWS, COLUMNS, ALLOCATED, STORED, HIGH, SIGNED];

impl Attributes {
    /// Reads elements up to the pixel data, whose header is still to come; none when there are no pixel data.
    pub(super) fn read(elements: &mut Elements<'_>) -> Result<Self, Fault> {
        let mut attributes = Self::default();
        while !elements.rest().is_empty() && elements.next_tag() != Some(PIXELS) {
            let header = elements.header()?;
            if let Some(place) = NUMBERS.iter().position(|tag| *tag == header.tag) {
                let value = elements.value(&header)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes));
                attributes.numbers[place] = value;
            } else if header.tag == PHOTOMETRIC {
                attributes.photometric = Some(text(elements.value(&header)?));
            } else if header.tag == FRAMES {
                attributes.frames = Some(text(elements.value(&header)?));
            } else {
                elements.skip(&header)?;
            }
        }
        Ok(attributes)
    }

    /// The layout, if these are pixels that are read.
    pub(super) fn layout(&self) -> Result<Layout, Fault> {
        let [samples, rows, columns, allocated, stored, high, signed] = self.numbers;
        let required = |value: Option<u16>, name: &str| value.ok_or_else(|| damaged(format!("it has no {name}")));
        let photometric = self.photometric.as_deref().unwrap_or_default();
        let inverted = match (photometric, samples.unwrap_or(1)) {
            ("MONOCHROME1", 1) => true,
            ("MONOCHROME2", 1) => false,
            (_, samples) => {
                return Err(unsupported(format!("`{photometric}` with {samples} samples a pixel; grey is read")));
            }
        };
        if let Some(frames) = self.frames.as_deref().filter(|frames| !matches!(*frames, "" | "1")) {
            return Err(unsupported(format!("{frames} frames; single ones are read")));
        }
        let allocated = required(allocated, "BitsAllocated")?;
        if ![8, 16].contains(&allocated) {
            return Err(unsupported(format!("{allocated} bits a pixel; 8 and 16 are read")));
        }
        let stored = required(stored, "BitsStored")?;
        // As some old files lack it, its only value of use is the default.
        let high = high.unwrap_or(stored.wrapping_sub(1));
        if stored == 0 || stored > allocated || high >= allocated || high + 1 < stored {
            return Err(damaged(format!("{stored} bits up to bit {high} in cells of {allocated}")));
        }
        Ok(Layout {
            rows: required(rows, "Rows")?.into(),
            columns: required(columns, "Columns")?.into(),
            allocated,
            stored,
            high,
            signed: required(signed, "PixelRepresentation")? == 1,
            inverted,
        })
    }
}

/// A text value without its padding.
pub(super) fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).trim_matches(['\0', ' ']).to_owned()
}
