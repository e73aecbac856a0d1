//! What can be wrong with an image.

/// Why bytes are no image that can be read. Messages read on from "FILE: ".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Neither of the known formats, judged by content.
    #[error("neither PNG, JPEG nor DICOM")]
    UnknownFormat,
    /// Not what its format demands, or cut off.
    #[error("damaged {format}: {what}")]
    Damaged {
        /// `PNG`, `JPEG` or `DICOM`.
        format: &'static str,
        /// What is wrong.
        what: String,
    },
    /// Sound as far as it was read, but of a kind that is not read.
    #[error("{format} that cannot be read: {what}")]
    Unsupported {
        /// `PNG`, `JPEG` or `DICOM`.
        format: &'static str,
        /// What is not supported.
        what: String,
    },
    /// Beyond the [`Limits`](super::Limits).
    #[error("too large: {what}")]
    TooLarge {
        /// What is too large, and the limit.
        what: String,
    },
}

impl Fault {
    /// What to do about it.
    pub const fn cure(&self) -> Option<&'static str> {
        match self {
            Self::UnknownFormat | Self::TooLarge { .. } => None,
            Self::Damaged { .. } => Some("replace the file by an intact copy, or leave it out of the collection"),
            Self::Unsupported { .. } => Some("convert the file to PNG or to uncompressed DICOM"),
        }
    }
}
