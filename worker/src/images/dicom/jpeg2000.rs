//! JPEG 2000 in DICOM, lossless or not (ISO/IEC 15444-1; PS3.5, A.4.4).

use hayro_jpeg2000::{DecodeSettings, DecoderContext, Image};

use super::{
    fault::{damaged, unsupported},
    frame::check_size,
    header::Layout,
};
use crate::images::Fault;

/// A codestream begins with SOC and SIZ.
const START: &[u8] = b"\xFF\x4F\xFF\x51";
/// Place of the precision of the first component in its SIZ; the upper bit says whether samples are signed.
const PRECISION: usize = 42;

/// The samples of a codestream, row by row, in two's complement where they are signed.
pub(super) fn cells(data: &[u8], layout: &Layout) -> Result<Vec<u16>, Fault> {
    if !data.starts_with(START) {
        return Err(damaged("its JPEG 2000 does not begin with a codestream"));
    }
    let wrong = |error: hayro_jpeg2000::DecodeError| damaged(format!("its JPEG 2000: {error}"));
    // Strictly: what is missing would be made up otherwise.
    let settings = DecodeSettings { strict: true, ..DecodeSettings::default() };
    let image = Image::new(data, &settings).map_err(wrong)?;
    check_size("JPEG 2000", layout, image.width() as usize, image.height() as usize)?;
    let precision = image.original_bit_depth();
    if image.color_space().num_channels() != 1 || image.has_alpha() {
        return Err(unsupported("a JPEG 2000 in colours; grey is read"));
    }
    if !(1..=16).contains(&precision) {
        return Err(unsupported(format!("a JPEG 2000 of {precision} bits a sample; 1 to 16 are read")));
    }
    let mut context = DecoderContext::default();
    let decoded = image.decode(&mut context).map_err(wrong)?;
    let samples = decoded.components().first().map(|component| component.samples()).unwrap_or_default();
    if samples.len() != layout.rows * layout.columns {
        return Err(damaged(format!("its JPEG 2000 has {} samples", samples.len())));
    }
    // The decoder takes all samples for unsigned, and adds half of their range.
    let half = if data.get(PRECISION).is_some_and(|byte| byte & 0x80 != 0) { 1 << (precision - 1) } else { 0 };
    let most = f32::from(u16::MAX >> (16 - precision));
    // Lossy ones may lie beyond their range.
    let cell = |sample: &f32| (sample.round_ties_even().clamp(0.0, most) as i32 - half) as u16;
    Ok(samples.iter().map(cell).collect())
}
