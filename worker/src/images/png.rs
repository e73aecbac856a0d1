//! PNG.

use std::io::Cursor;

use super::{Fault, Grey, Limits, luma};

const FORMAT: &str = "PNG";

/// What the decoder may allocate for other things than pixels, in bytes.
const CHUNKS: usize = 4 << 20;

/// Decodes a PNG of any depth and colour type. Takes 9 bytes a pixel at most.
pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Grey, Fault> {
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), png::Limits { bytes: CHUNKS });
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_transformations(png::Transformations::EXPAND);
    let header = decoder.read_header_info().map_err(fault)?;
    limits.check(FORMAT, header.width as usize, header.height as usize)?;
    let mut reader = decoder.read_info().map_err(fault)?;
    let size = reader.output_buffer_size().ok_or_else(|| damaged("its size overflows"))?;
    let mut data = vec![0; size];
    let info = reader.next_frame(&mut data).map_err(fault)?;
    let pixels = grey(&data, info.color_type.samples(), info.bit_depth)?;
    Grey::new(info.width as usize, info.height as usize, pixels).map_err(|error| damaged(&error.to_string()))
}

/// Grey of interleaved samples: grey, grey and alpha, RGB or RGBA, by their number; 16 bits are big endian.
fn grey(data: &[u8], samples: usize, depth: png::BitDepth) -> Result<Vec<u8>, Fault> {
    let pixels = match (depth, samples) {
        (png::BitDepth::Eight, 1) => data.to_vec(),
        (png::BitDepth::Eight, 2) => data.chunks_exact(2).map(|pixel| pixel[0]).collect(),
        (png::BitDepth::Eight, 3 | 4) => {
            data.chunks_exact(samples).map(|pixel| luma::of_png_8([pixel[0], pixel[1], pixel[2]])).collect()
        }
        // Big endian: the upper byte is first.
        (png::BitDepth::Sixteen, 1 | 2) => data.chunks_exact(2 * samples).map(|pixel| pixel[0]).collect(),
        (png::BitDepth::Sixteen, 3 | 4) => data
            .chunks_exact(2 * samples)
            .map(|pixel| luma::of_png_16([0, 2, 4].map(|at| u16::from_be_bytes([pixel[at], pixel[at + 1]]))))
            .collect(),
        _ => return Err(damaged("its samples have an unknown depth")),
    };
    Ok(pixels)
}

fn damaged(what: &str) -> Fault {
    Fault::Damaged { format: FORMAT, what: what.to_owned() }
}

fn fault(error: png::DecodingError) -> Fault {
    match error {
        png::DecodingError::LimitsExceeded => {
            Fault::TooLarge { what: format!("parts other than pixels take more than {CHUNKS} bytes") }
        }
        error => damaged(&error.to_string()),
    }
}
