//! A DICOM file's parts, in order.

use super::{
    elements::{Elements, Tag},
    fault::{FORMAT, damaged},
    frame::{Syntax, cells},
    header::{Attributes, PIXELS, text},
    levels::levels,
};
use crate::images::{Fault, Grey, Limits};

/// Bytes before the signature, free for other uses (PS3.10, 7.1).
pub(in crate::images) const PREAMBLE: usize = 128;
/// What follows the preamble.
pub(in crate::images) const SIGNATURE: &[u8] = b"DICM";

/// Group of the file meta information, which is always in explicit representation.
const META: u16 = 0x0002;
const TRANSFER_SYNTAX: Tag = (META, 0x0010);

/// Decodes a DICOM file.
pub(in crate::images) fn decode(bytes: &[u8], limits: &Limits) -> Result<Grey, Fault> {
    let body = bytes.get(PREAMBLE + SIGNATURE.len()..).unwrap_or_default();
    let mut meta = Elements::new(body, true);
    let mut syntax = None;
    while meta.next_tag().is_some_and(|(group, _)| group == META) {
        let header = meta.header()?;
        let value = meta.value(&header)?;
        if header.tag == TRANSFER_SYNTAX {
            syntax = Some(text(value));
        }
    }
    let syntax = Syntax::of(&syntax.ok_or_else(|| damaged("it has no transfer syntax"))?)?;
    let mut elements = Elements::new(meta.rest(), syntax != Syntax::Implicit);
    let layout = Attributes::read(&mut elements)?.layout()?;
    limits.check(FORMAT, layout.columns, layout.rows)?;
    if elements.next_tag() != Some(PIXELS) {
        return Err(damaged("it has no pixel data"));
    }
    let cells = cells(&mut elements, syntax, &layout, limits)?;
    let pixels = levels(&cells, &layout);
    Grey::new(layout.columns, layout.rows, pixels).map_err(|error| damaged(error.to_string()))
}
