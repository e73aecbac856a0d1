//! DICOM files with one grey frame (DICOM PS3.5 and PS3.10).
//!
//! Elements are parsed here, in place: the general readers allocate what an element claims to hold before they have seen
//! it, so that a damaged length costs up to 4 GiB.

mod decode;
mod elements;
mod fault;
mod frame;
mod header;
mod jpeg2000;
mod levels;
mod rle;

pub(super) use decode::{PREAMBLE, SIGNATURE, decode};
