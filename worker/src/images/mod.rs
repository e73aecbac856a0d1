//! From a file to a grey image of the size that an encoder takes.
//!
//! [`read`] decodes PNG, JPEG and DICOM to 8 bits, on the calling thread and within [`Limits`]; [`Grey`] resizes, pads
//! and crops. Both follow what the paper's code does with OpenCV and pydicom.

mod dicom;
mod fault;
mod grey;
mod jpeg;
mod limits;
mod luma;
mod png;
mod read;
mod resize;

pub use fault::Fault;
pub use grey::{Grey, MAX_SIDE};
pub use limits::Limits;
pub use read::{decode, read};
