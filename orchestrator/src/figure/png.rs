//! SVG to pixels.

use std::sync::{Arc, OnceLock};

use png::{BitDepth, ColorType, Encoder, PixelDimensions, Unit};
use resvg::{
    tiny_skia::{Pixmap, Transform},
    usvg::{Options, Tree, fontdb::Database},
};

use super::{error::FigureError, text::FONT};

/// Pixels an inch: least, greatest, and usual ones, which print well.
pub const DPI: (u32, u32, u32) = (36, 2400, 300);
/// Pixels of a picture, at most.
const MOST: u64 = 100_000_000;

/// The picture as a PNG without transparency, which says its resolution.
pub(super) fn render(svg: &str, dpi: u32) -> Result<Vec<u8>, FigureError> {
    // Lengths in millimetres become pixels by this.
    let options = Options { dpi: dpi as f32, fontdb: fonts(), ..Options::default() };
    let tree = Tree::from_str(svg, &options).map_err(|error| FigureError::Pixels(error.to_string()))?;
    let size = tree.size();
    let [width, height] = [size.width(), size.height()].map(|length| f64::from(length).round() as u64);
    let too_large = || FigureError::Size { width, height };
    if width == 0 || height == 0 || width * height > MOST {
        return Err(too_large());
    }
    let mut pixmap = Pixmap::new(width as u32, height as u32).ok_or_else(too_large)?;
    let scale = Transform::from_scale(width as f32 / size.width(), height as f32 / size.height());
    resvg::render(&tree, scale, &mut pixmap.as_mut());
    // The background covers all of it.
    let rgb: Vec<u8> = pixmap.data().chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&mut out, width as u32, height as u32);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    let a_metre = (f64::from(dpi) / 0.0254).round() as u32;
    encoder.set_pixel_dims(Some(PixelDimensions { xppu: a_metre, yppu: a_metre, unit: Unit::Meter }));
    let failed = |error: png::EncodingError| FigureError::Pixels(error.to_string());
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(&rgb).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(out)
}

/// The fonts that text is drawn with: ours alone, whatever the machine has.
fn fonts() -> Arc<Database> {
    static FONTS: OnceLock<Arc<Database>> = OnceLock::new();
    Arc::clone(FONTS.get_or_init(|| {
        let mut fonts = Database::new();
        fonts.load_font_data(FONT.to_vec());
        fonts.set_sans_serif_family("DejaVu Sans");
        Arc::new(fonts)
    }))
}
