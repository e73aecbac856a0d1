//! JPEG: baseline, extended and progressive, of 8 bits.

use zune_jpeg::{
    JpegDecoder,
    errors::DecodeErrors,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

use super::{Fault, Grey, Limits, luma};

const FORMAT: &str = "JPEG";

/// Decodes a JPEG to its luma. A file that is cut off is an error.
///
/// Grey and YCbCr give the first component as it is stored, as libjpeg's grey output does; RGB is weighted.
pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Grey, Fault> {
    // Strict: by default what is missing from a cut file is filled with grey.
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(limits.side)
        .set_max_height(limits.side)
        .jpeg_set_out_colorspace(ColorSpace::Luma);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(fault)?;
    let (width, height) = decoder.dimensions().ok_or_else(|| damaged("it has no frame"))?;
    limits.check(FORMAT, width, height)?;
    let stored = decoder.input_colorspace();
    match stored {
        Some(ColorSpace::Luma | ColorSpace::YCbCr) => {}
        Some(ColorSpace::RGB) => decoder.set_options(options.jpeg_set_out_colorspace(ColorSpace::RGB)),
        other => {
            let what = format!("colours in {other:?}");
            return Err(Fault::Unsupported { format: FORMAT, what });
        }
    }
    let mut pixels = decoder.decode().map_err(fault)?;
    if stored == Some(ColorSpace::RGB) {
        pixels = pixels.chunks_exact(3).map(|rgb| luma::of_8_bits([rgb[0], rgb[1], rgb[2]])).collect();
    }
    Grey::new(width, height, pixels).map_err(|error| damaged(&error.to_string()))
}

fn damaged(what: &str) -> Fault {
    Fault::Damaged { format: FORMAT, what: what.to_owned() }
}

fn fault(error: DecodeErrors) -> Fault {
    match error {
        DecodeErrors::Unsupported(scheme) => Fault::Unsupported { format: FORMAT, what: format!("{scheme:?}") },
        DecodeErrors::LargeDimensions(side) => Fault::TooLarge { what: format!("a side of {side} pixels") },
        error => damaged(&format!("{error:?}")),
    }
}
