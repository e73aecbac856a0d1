//! Faults of DICOM files.

use crate::images::Fault;

pub(super) const FORMAT: &str = "DICOM";

pub(super) fn damaged(what: impl Into<String>) -> Fault {
    Fault::Damaged { format: FORMAT, what: what.into() }
}

pub(super) fn unsupported(what: impl Into<String>) -> Fault {
    Fault::Unsupported { format: FORMAT, what: what.into() }
}
