//! The pixel data of one frame, decompressed.

use std::io::Cursor;

use super::{
    elements::Elements,
    fault::{damaged, unsupported},
    header::Layout,
    jpeg2000, rle,
};
use crate::images::{Fault, Limits, jpeg};

/// How elements and pixels are written (PS3.5, chapter 10 and PS3.6, table A-1).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    /// Uncompressed, without value representations.
    Implicit,
    /// Uncompressed.
    Explicit,
    /// Run lengths of bytes.
    Rle,
    /// JPEG baseline, and extended as far as it has 8 bits.
    Jpeg,
    /// Lossless JPEG.
    LosslessJpeg,
    /// JPEG 2000, lossless or not.
    Jpeg2000,
}

impl Syntax {
    /// The syntax with this identifier.
    pub(super) fn of(uid: &str) -> Result<Self, Fault> {
        let other = match uid {
            "1.2.840.10008.1.2" => return Ok(Self::Implicit),
            "1.2.840.10008.1.2.1" => return Ok(Self::Explicit),
            "1.2.840.10008.1.2.5" => return Ok(Self::Rle),
            "1.2.840.10008.1.2.4.50" | "1.2.840.10008.1.2.4.51" => return Ok(Self::Jpeg),
            "1.2.840.10008.1.2.4.57" | "1.2.840.10008.1.2.4.70" => return Ok(Self::LosslessJpeg),
            "1.2.840.10008.1.2.4.90" | "1.2.840.10008.1.2.4.91" => return Ok(Self::Jpeg2000),
            "1.2.840.10008.1.2.2" => "big endian",
            "1.2.840.10008.1.2.1.99" => "deflated",
            "1.2.840.10008.1.2.4.80" | "1.2.840.10008.1.2.4.81" => "JPEG-LS",
            _ => "unknown",
        };
        Err(unsupported(format!("its transfer syntax is {other}: {uid}")))
    }
}

/// The cells of the frame, row by row, as wide as [`Layout::allocated`]; `elements` stands before the pixel data.
///
/// Of JPEGs these are the decoded samples, whose lowest bit is bit 0.
pub(super) fn cells(
    elements: &mut Elements<'_>,
    syntax: Syntax,
    layout: &Layout,
    limits: &Limits,
) -> Result<Vec<u16>, Fault> {
    let header = elements.header()?;
    let encapsulated = !matches!(syntax, Syntax::Implicit | Syntax::Explicit);
    if encapsulated != header.is_undefined() {
        return Err(damaged("its pixel data are not stored as the transfer syntax says"));
    }
    if !encapsulated {
        return native(elements.value(&header)?, layout);
    }
    let data = elements.fragments()?;
    match syntax {
        Syntax::Rle => rle::decode(&data, layout),
        Syntax::Jpeg2000 => jpeg2000::cells(&data, layout),
        Syntax::LosslessJpeg => lossless(&data, layout, limits),
        _ => lossy(&data, layout, limits),
    }
}

/// Uncompressed cells.
fn native(data: &[u8], layout: &Layout) -> Result<Vec<u16>, Fault> {
    let expected = layout.rows * layout.columns * usize::from(layout.allocated / 8);
    // Values are padded to an even length.
    if data.len() != expected && data.len() != expected.next_multiple_of(2) {
        return Err(damaged(format!("{} bytes of pixel data, {expected} expected", data.len())));
    }
    let data = &data[..expected];
    Ok(match layout.allocated {
        8 => data.iter().map(|cell| u16::from(*cell)).collect(),
        _ => data.as_chunks().0.iter().map(|cell| u16::from_le_bytes(*cell)).collect(),
    })
}

/// Samples of a JPEG with 8 bits.
fn lossy(data: &[u8], layout: &Layout, limits: &Limits) -> Result<Vec<u16>, Fault> {
    let image = jpeg::decode(data, limits)?;
    check_size("JPEG", layout, image.width(), image.height())?;
    Ok(image.pixels().iter().map(|sample| u16::from(*sample)).collect())
}

/// Samples of a lossless JPEG.
fn lossless(data: &[u8], layout: &Layout, limits: &Limits) -> Result<Vec<u16>, Fault> {
    use jpeg_decoder::{CodingProcess, Decoder, PixelFormat};
    let fault = |error: jpeg_decoder::Error| damaged(format!("its JPEG: {error}"));
    // A sample takes a bit at the least. The decoder makes up what is missing.
    if data.len() * 8 < layout.rows * layout.columns {
        return Err(damaged(format!("{} bytes of lossless JPEG cannot hold the image", data.len())));
    }
    let mut decoder = Decoder::new(Cursor::new(data));
    decoder.set_max_decoding_buffer_size(limits.pixels.saturating_mul(2));
    decoder.read_info().map_err(fault)?;
    let info = decoder.info().ok_or_else(|| damaged("its JPEG has no frame"))?;
    check_size("JPEG", layout, info.width.into(), info.height.into())?;
    if info.coding_process != CodingProcess::Lossless {
        return Err(damaged("its JPEG is not lossless, as the transfer syntax says"));
    }
    if !matches!(info.pixel_format, PixelFormat::L8 | PixelFormat::L16) {
        return Err(unsupported("a JPEG in colours; grey is read"));
    }
    let samples = decoder.decode().map_err(fault)?;
    Ok(match info.pixel_format {
        PixelFormat::L8 => samples.into_iter().map(u16::from).collect(),
        _ => samples.as_chunks().0.iter().map(|sample| u16::from_ne_bytes(*sample)).collect(),
    })
}

/// Compares the size of a JPEG with the one that the file states, which is within the limits.
pub(super) fn check_size(of: &str, layout: &Layout, width: usize, height: usize) -> Result<(), Fault> {
    if (width, height) == (layout.columns, layout.rows) {
        return Ok(());
    }
    let (columns, rows) = (layout.columns, layout.rows);
    Err(damaged(format!("its {of} has {width} x {height} pixels, the file states {columns} x {rows}")))
}
