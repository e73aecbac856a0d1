//! NumPy's .npy format: a magic string, a version, a header as a Python dictionary, the values
//! (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>).

use super::table::{Kind, Place};

/// How every file begins.
pub(super) const MAGIC: &[u8] = b"\x93NUMPY";

/// Where the values lie in `bytes`, a .npy file.
///
/// # Errors
/// What is wrong with it.
pub(super) fn place(bytes: &[u8]) -> Result<Place, String> {
    let cut = || "it is cut short".to_owned();
    let version = *bytes.get(MAGIC.len()).ok_or_else(cut)?;
    let rest = bytes.get(MAGIC.len() + 2..).ok_or_else(cut)?;
    let (length, rest) = match version {
        1 => rest.split_first_chunk().map(|(length, rest)| (u16::from_le_bytes(*length) as usize, rest)),
        2 | 3 => rest.split_first_chunk().map(|(length, rest)| (u32::from_le_bytes(*length) as usize, rest)),
        other => return Err(format!("it is .npy version {other}; 1 to 3 are read")),
    }
    .ok_or_else(cut)?;
    let header = rest.get(..length).ok_or_else(cut)?;
    let header = std::str::from_utf8(header).map_err(|_| "its header is no text".to_owned())?;
    let value = |key: &str| {
        let at = header.find(&format!("'{key}':")).ok_or_else(|| format!("its header has no `{key}`"))?;
        Ok::<_, String>(header[at + key.len() + 3..].trim_start())
    };
    let kind = match value("descr")? {
        text if text.starts_with("'<f2'") => Kind::F16,
        text if text.starts_with("'<f4'") => Kind::F32,
        text if text.starts_with("'<f8'") => Kind::F64,
        text => {
            let found = text.split([',', '}']).next().unwrap_or_default();
            return Err(format!("its values are {found}, not '<f2', '<f4' or '<f8'; save `array.astype(\"<f4\")`"));
        }
    };
    if !value("fortran_order")?.starts_with("False") {
        return Err("it is in Fortran order; save `numpy.ascontiguousarray(array)`".to_owned());
    }
    let shape = value("shape")?;
    let inside = shape.strip_prefix('(').and_then(|text| text.split_once(')')).map(|(inside, _)| inside);
    let inside = inside.ok_or_else(|| "its header has no `shape`".to_owned())?;
    let axes: Result<Vec<usize>, _> =
        inside.split(',').map(str::trim).filter(|axis| !axis.is_empty()).map(str::parse).collect();
    let Ok(&[rows, width]) = axes.as_deref() else {
        return Err(format!("it has the shape ({inside}), not (samples, width)"));
    };
    let held = rest.len() - length;
    if rows.checked_mul(width).and_then(|values| values.checked_mul(kind.bytes())) != Some(held) {
        return Err(format!("{rows} rows of {width} values do not fit its {held} bytes of values"));
    }
    Ok(Place { start: bytes.len() - held, rows, width, kind })
}
