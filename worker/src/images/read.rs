//! From bytes to a grey image, whatever the format.

use std::{
    fs::File,
    io::Read,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use super::{Fault, Grey, Limits, dicom, jpeg, png};
use crate::error::{Error, Result};

/// What is said of a file that makes a decoder panic.
const PANICKED: &str = "the decoder panicked";

/// Reads an image file: PNG, JPEG or DICOM, recognised by content.
///
/// See [`decode`] for what becomes of the pixels.
///
/// # Errors
/// [`Error::Image`] names the file and what is wrong with it; [`Error::Io`] when it cannot be read.
pub fn read(path: &Path, limits: &Limits) -> Result<Grey> {
    let image = |fault| Error::Image { path: path.to_owned(), fault };
    let too_large =
        || image(Fault::TooLarge { what: format!("more than {} bytes, the limit of a file", limits.file_bytes) });
    let file = File::open(path).map_err(Error::io("open", path))?;
    let length = file.metadata().map_err(Error::io("read", path))?.len();
    if length > limits.file_bytes {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).map_err(|_| too_large())? + 1);
    // A file may grow while it is read.
    let read = file.take(limits.file_bytes.saturating_add(1)).read_to_end(&mut bytes);
    if read.map_err(Error::io("read", path))? as u64 > limits.file_bytes {
        return Err(too_large());
    }
    decode(&bytes, limits).map_err(image)
}

/// Decodes a PNG, JPEG or DICOM file's `bytes` to 8 bits of grey, where 255 is white.
///
/// PNG and JPEG become what OpenCV's `imread(path, IMREAD_GRAYSCALE)` gives, as in MGCA's code: alpha is dropped; of 16
/// bits the upper 8 are kept; colours are weighted 0.299, 0.587, 0.114 in the fixed-point arithmetic of libpng and libjpeg;
/// of a JPEG in YCbCr the luma is taken as it is stored. Exact for PNG; for JPEG the inverse DCT may differ by a level.
/// Orientation tags and colour profiles are ignored.
///
/// DICOM becomes what MGCA's `read_from_dicom` makes of pydicom's `pixel_array`: the stored value v is scaled to 255 v / max
/// over the image, rounded half to even, and MONOCHROME1 is then inverted. Where stored values are negative the scale
/// starts at the lowest instead of 0. Rescale slope and intercept, windows, lookup tables, overlays and padding values are
/// ignored. What is read are single frames of 8 or 16 bits a cell, signed or not, uncompressed in little endian, RLE,
/// JPEG of 8 bits, lossless JPEG, and JPEG 2000.
///
/// # Errors
/// What is wrong with the image.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Grey, Fault> {
    let format = recognise(bytes).ok_or(Fault::UnknownFormat)?;
    let decoder = match format {
        "PNG" => png::decode,
        "JPEG" => jpeg::decode,
        _ => dicom::decode,
    };
    // A decoder's own mistake on a damaged file must cost that file, not the worker.
    catch_unwind(AssertUnwindSafe(|| decoder(bytes, limits)))
        .unwrap_or_else(|_| Err(Fault::Damaged { format, what: PANICKED.to_owned() }))
}

/// The format, by signature.
fn recognise(bytes: &[u8]) -> Option<&'static str> {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        Some("PNG")
    } else if bytes.starts_with(&[0xFF, 0xD8, 0xFF]) {
        Some("JPEG")
    } else if bytes.get(dicom::PREAMBLE..)?.starts_with(dicom::SIGNATURE) {
        Some("DICOM")
    } else {
        None
    }
}
