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
/// An end marker too early is not noticed, as in OpenCV, unless the file cannot possibly hold the image.
/// Grey and YCbCr give the first component as it is stored, as libjpeg's grey output does; RGB is weighted.
pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Grey, Fault> {
    let frame = Frame::find(bytes).ok_or_else(|| damaged("it has no frame"))?;
    limits.check(FORMAT, frame.width, frame.height)?;
    frame.check_process()?;
    // A block of 8 x 8 pixels takes a bit at the least.
    if bytes.len() * 8 < frame.width.div_ceil(8) * frame.height.div_ceil(8) {
        let (length, Frame { width, height, .. }) = (bytes.len(), frame);
        return Err(damaged(&format!("{length} bytes cannot hold {width} x {height} pixels")));
    }
    // Strict: by default what is missing from a cut file is filled with grey.
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(frame.width)
        .set_max_height(frame.height)
        .jpeg_set_out_colorspace(ColorSpace::Luma);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(fault)?;
    if decoder.dimensions() != Some((frame.width, frame.height)) {
        return Err(damaged("it has several frames"));
    }
    let stored = decoder.input_colorspace();
    match stored {
        Some(ColorSpace::Luma | ColorSpace::YCbCr) => {}
        Some(ColorSpace::RGB) => decoder.set_options(options.jpeg_set_out_colorspace(ColorSpace::RGB)),
        Some(other) => return Err(unsupported(format!("colours in {other:?}"))),
        None => return Err(damaged("it has no colours")),
    }
    let mut pixels = decoder.decode().map_err(fault)?;
    if stored == Some(ColorSpace::RGB) {
        pixels = pixels.chunks_exact(3).map(|rgb| luma::of_jpeg([rgb[0], rgb[1], rgb[2]])).collect();
    }
    Grey::new(frame.width, frame.height, pixels).map_err(|error| damaged(&error.to_string()))
}

/// What the first start-of-frame segment says (ITU-T T.81, B.2.2).
struct Frame {
    /// Second byte of the marker: which coding process.
    marker: u8,
    /// Bits of a sample.
    precision: u8,
    width: usize,
    height: usize,
}

impl Frame {
    /// Walks over the segments before it; none when there is none, or the file is cut off before.
    fn find(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.get(2..)?;
        loop {
            let marker;
            (marker, rest) = rest.strip_prefix(&[0xFF])?.split_first().map(|(marker, rest)| (*marker, rest))?;
            match marker {
                // A fill byte, which begins the marker again.
                0xFF => rest = bytes.get(bytes.len() - rest.len() - 1..)?,
                // Markers without a segment.
                0x01 | 0xD0..=0xD7 => {}
                // The image begins or ends.
                0xD9 | 0xDA => return None,
                // All frames, without the tables that share their numbers.
                0xC0..=0xCF if ![0xC4, 0xC8, 0xCC].contains(&marker) => {
                    let [_, _, precision, high, low, wide, narrow] = *rest.first_chunk()?;
                    let side = |bytes| usize::from(u16::from_be_bytes(bytes));
                    return Some(Self { marker, precision, width: side([wide, narrow]), height: side([high, low]) });
                }
                _ => rest = rest.get(usize::from(u16::from_be_bytes(*rest.first_chunk()?))..)?,
            }
        }
    }

    /// Refuses what the decoder cannot read.
    fn check_process(&self) -> Result<(), Fault> {
        match self.marker {
            // Baseline, extended and progressive.
            0xC0..=0xC2 if self.precision == 8 => Ok(()),
            0xC0..=0xC2 => Err(unsupported(format!("{} bits a sample; 8 are read", self.precision))),
            0xC3 => Err(unsupported("it is lossless; that is read inside DICOM".to_owned())),
            marker => Err(unsupported(format!("coding process {}", marker - 0xC0))),
        }
    }
}

fn unsupported(what: String) -> Fault {
    Fault::Unsupported { format: FORMAT, what }
}

fn damaged(what: &str) -> Fault {
    Fault::Damaged { format: FORMAT, what: what.to_owned() }
}

fn fault(error: DecodeErrors) -> Fault {
    match error {
        DecodeErrors::Unsupported(scheme) => unsupported(format!("{scheme:?}")),
        DecodeErrors::Format(what) => damaged(&what),
        DecodeErrors::FormatStatic(what) => damaged(what),
        error => damaged(&error.to_string()),
    }
}
