//! Why a figure cannot be drawn.

use std::path::PathBuf;

use plotters::drawing::DrawingAreaErrorKind;

use crate::store::StoreError;

/// Why a figure cannot be drawn.
#[derive(Debug, thiserror::Error)]
pub enum FigureError {
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The sweep has no stage that the figure can be about.
    #[error("{what}")]
    NoStage {
        /// What is missing.
        what: String,
        /// What there is.
        cure: String,
    },
    /// There is nothing to draw, or too much.
    #[error("{what}")]
    Data {
        /// What is wrong with the data.
        what: String,
        /// What to do about it.
        cure: String,
    },
    /// A file that a trial left is not what it should be.
    #[error("{}: {what}", path.display())]
    Artifact {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The picture would be too large, or has no size.
    #[error("a picture of {width} x {height} pixels is not drawn")]
    Size {
        /// Its width.
        width: u64,
        /// Its height.
        height: u64,
    },
    /// The chart library refuses.
    #[error("the figure cannot be drawn: {0}")]
    Drawing(#[from] DrawingAreaErrorKind<std::io::Error>),
    /// The drawing is not one that can be turned into pixels.
    #[error("the drawing cannot be turned into pixels: {0}")]
    Pixels(String),
}

impl FigureError {
    /// What to do about it.
    pub fn cure(&self) -> Option<String> {
        match self {
            Self::NoStage { cure, .. } | Self::Data { cure, .. } => Some(cure.clone()),
            Self::Artifact { .. } => Some("`permafrost retry` its trial: the file is made again".to_owned()),
            Self::Size { .. } => Some("lower the resolution or the width".to_owned()),
            Self::Store(_) | Self::Drawing(_) | Self::Pixels(_) => None,
        }
    }
}

/// An error about the data.
pub(super) fn data(what: impl Into<String>, cure: impl Into<String>) -> FigureError {
    FigureError::Data { what: what.into(), cure: cure.into() }
}
