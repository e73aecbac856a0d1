//! Laying out embeddings in the plane.

use serde::{Deserialize, Serialize};

use super::Target;
use crate::{datasets::Split, id::TrialId};

/// Lays out the image embeddings of a split in the plane by t-SNE, before and after an Adaptor (paper, Fig. 3).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Project {
    /// The [`super::Prepare`] trial: labels and splits.
    pub dataset: TrialId,
    /// The [`super::Embed`] trial of the images.
    pub image: TrialId,
    /// The [`super::Pretrain`] trial whose Adaptor makes the features.
    pub adaptor: TrialId,
    /// Width of an image embedding.
    pub image_width: usize,
    /// Label column whose classes are told apart.
    pub label: String,
    /// What kind of column it is.
    pub target: Target,
    /// Which images.
    pub split: Split,
    /// At most so many of them, drawn by the seed.
    pub samples: usize,
    /// How many neighbours count, roughly.
    pub perplexity: f64,
    /// Steps of gradient descent.
    pub iterations: u32,
    /// Seed of the choice of images, and of where the search for the principal components begins.
    pub seed: u64,
}
