//! Sizes: what trials leave on disk, and what they need of memory.

use permafrost_worker::{
    datasets::OPEN_I_PUBLISHED,
    model::WIDTH,
    task::{Dtype, Output},
};

use super::super::{
    file::{Source, Vision},
    registry,
};

/// A head with its predictions.
pub(super) const HEAD_BYTES: u64 = 1_700_000;
/// A line of the places of a projection.
pub(super) const BYTES_PER_PLACE: u64 = 100;
/// What `dataset.json` says of an image and its report.
const BYTES_PER_IMAGE: u64 = 1_100;
/// Weights, gradients and the two moments of AdamW.
const OPTIMISER_COPIES: u64 = 4;
/// Pixels and activations of the batches that an encoder works on.
const PASS_BYTES: u64 = 1 << 30;

/// How many samples a collection has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) images: usize,
    pub(super) reports: usize,
}

impl Size {
    /// The published size; of a table `rows`.
    pub(super) fn of(source: &Source, rows: usize) -> Self {
        match source {
            Source::OpenI { .. } => Self { images: OPEN_I_PUBLISHED.images, reports: OPEN_I_PUBLISHED.reports },
            Source::MimicCxr { .. } => Self { images: registry::MIMIC_IMAGES, reports: registry::MIMIC_REPORTS },
            Source::Rsna { .. } => Self { images: 26_684, reports: 0 },
            Source::Covidx { .. } => Self { images: 30_530, reports: 0 },
            Source::Siim { .. } => Self { images: 12_047, reports: 0 },
            Source::Table { .. } => Self { images: rows, reports: rows },
        }
    }

    /// Bytes of a prepared collection.
    pub(super) fn prepared(self) -> u64 {
        BYTES_PER_IMAGE * self.images as u64
    }
}

/// Values that are kept of a sample.
pub(super) fn values(vision: &Vision, width: usize, output: Output) -> usize {
    match (vision, output) {
        (Vision::Dinov2 { crop, .. }, Output::Tokens) => (crop / registry::PATCH).pow(2) * width,
        // Halved four times, then by steps of six.
        (Vision::ResNetAe { crop, .. }, Output::Tokens) => ((crop / 16).saturating_sub(1) / 6 + 1).pow(2) * width,
        (Vision::ResNetAe { crop, .. }, Output::Maps) => [(64, 2), (256, 4), (512, 8), (1024, 16)]
            .iter()
            .map(|(channels, step)| channels * (crop / step).pow(2))
            .sum(),
        _ => width,
    }
}

/// Bytes of so many embeddings.
pub(super) fn embeddings(samples: usize, values: usize, dtype: Dtype) -> u64 {
    (samples * values * dtype.bytes()) as u64
}

/// What a pass through an encoder needs. Its weights are held twice while they are loaded.
pub(super) fn embed_memory(weights: u64) -> u64 {
    if weights == 0 { 0 } else { 2 * weights + PASS_BYTES }
}

/// Pre-training: both embeddings, and the Adaptor with its optimiser.
pub(super) fn pretrain_memory(size: Size, image_width: usize, text_width: usize, adaptor: u64) -> u64 {
    let f32s = |samples: usize, values: usize| embeddings(samples, values, Dtype::F32);
    f32s(size.images, image_width) + f32s(size.reports, text_width) + OPTIMISER_COPIES * adaptor
}

/// A head: the embeddings, and with an Adaptor its features.
pub(super) fn classify_memory(size: Size, image_width: usize, adaptor: bool) -> u64 {
    let features = if adaptor { WIDTH } else { 0 };
    embeddings(size.images, image_width + features, Dtype::F32) + OPTIMISER_COPIES * HEAD_BYTES
}
