//! Features of images through a frozen Adaptor, computed once and shared by the heads that are trained on them.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use safetensors::SafeTensors;

use super::{inputs, pretrain::ADAPTOR};
use crate::{
    cache::Embeddings,
    datasets::Dataset,
    error::{Error, Result},
    execute::Job,
    id::TrialId,
    model::{AdaptorShape, AdaptorStep, WIDTH},
    protocol::Lease,
    task::Classify,
};

/// Images that go through the Adaptor at once.
const BATCH: usize = 256;
/// Features that are kept for later arrays, in bytes.
const KEPT_BYTES: usize = 512 << 20;

/// Features of the images of a collection that have an embedding.
#[derive(Debug)]
pub(super) struct Features {
    pub(super) width: usize,
    /// Of each image of the collection; none: it is known to have no embedding.
    rows: Vec<Option<usize>>,
    /// [rows, width].
    values: Vec<f32>,
}

impl Features {
    /// Whether an image has features.
    pub(super) fn has(&self, image: usize) -> bool {
        self.rows[image].is_some()
    }

    /// Images without features.
    pub(super) fn missing(&self) -> usize {
        self.rows.iter().filter(|row| row.is_none()).count()
    }

    /// The row of an image in [`Self::values`].
    pub(super) fn place(&self, image: usize) -> Option<usize> {
        self.rows[image]
    }

    /// All rows, [rows, width].
    pub(super) fn values(&self) -> &[f32] {
        &self.values
    }

    /// The features of an image; empty where it has none.
    pub(super) fn row(&self, image: usize) -> &[f32] {
        match self.rows[image] {
            Some(row) => &self.values[row * self.width..(row + 1) * self.width],
            None => &[],
        }
    }
}

/// What features depend on: collection, embeddings, Adaptor.
type Source = (TrialId, TrialId, Option<TrialId>);

/// Features that were used last, the latest at the end.
static KEPT: Mutex<VecDeque<(Source, Arc<Features>)>> = Mutex::new(VecDeque::new());

/// The features a head is trained on: those of the frozen Adaptor, in evaluation mode, each sample alone; without an
/// Adaptor the embeddings themselves.
///
/// # Errors
/// [`Error::Input`] when an image has no embedding, or the Adaptor's file is not what it should be.
pub(super) fn of(
    task: &Classify,
    dataset: &Dataset,
    embeddings: &Embeddings,
    job: &Job,
    lease: &Lease,
    threads: usize,
) -> Result<Arc<Features>> {
    let source = (task.dataset, task.image, task.adaptor);
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(at) = kept.iter().position(|(other, _)| *other == source) {
        if let Some(found) = kept.remove(at) {
            kept.push_back(found);
        }
    } else {
        // Others wait meanwhile: they most likely want the same.
        let mut values = Vec::with_capacity(dataset.images.len() * embeddings.width());
        let mut rows = Vec::with_capacity(dataset.images.len());
        for image in &dataset.images {
            if embeddings.missing().contains_key(&image.id) {
                rows.push(None);
                continue;
            }
            rows.push(Some(values.len() / embeddings.width()));
            embeddings.append(embeddings.find("image", &image.id)?, &mut values);
        }
        let features = match task.adaptor {
            None => Features { width: embeddings.width(), rows, values },
            Some(adaptor) => {
                let bytes = inputs::read(job, lease, adaptor, ADAPTOR)?;
                let values = through(&bytes, task.image_width, &values, threads).map_err(|what| Error::Input {
                    what: format!("{ADAPTOR} of trial {adaptor:?}: {what}"),
                    cure: Some("`permafrost retry` that trial: the file is made again".to_owned()),
                })?;
                Features { width: WIDTH, rows, values }
            }
        };
        kept.push_back((source, Arc::new(features)));
    }
    let size = |features: &Features| size_of_val(features.values.as_slice());
    while kept.len() > 1 && kept.iter().map(|(_, features)| size(features)).sum::<usize>() > KEPT_BYTES {
        kept.pop_front();
    }
    kept.back().map(|(_, features)| Arc::clone(features)).ok_or_else(|| Error::input("no features"))
}

/// Sends images of `width` through an Adaptor.
fn through(adaptor: &[u8], width: usize, images: &[f32], threads: usize) -> Result<Vec<f32>, String> {
    // The text side is not used, but its width is part of the file.
    let tensors = SafeTensors::deserialize(adaptor).map_err(|error| error.to_string())?;
    let text = tensors.tensor("text_projection.weight").map_err(|error| error.to_string())?;
    let text_width = text.shape().get(1).copied().unwrap_or(0);
    let shape = AdaptorShape { image_width: width, text_width };
    let p = shape.from_safetensors(adaptor).map_err(|error| error.to_string())?;
    let count = images.len() / width;
    let mut values = vec![0.0; count * WIDTH];
    let mut step = AdaptorStep::new(shape, BATCH);
    for (x, out) in images.chunks(BATCH * width).zip(values.chunks_mut(BATCH * WIDTH)) {
        step.image_features(&p, x, x.len() / width, out, threads);
    }
    if values.iter().any(|value| !value.is_finite()) {
        return Err("its features are not finite".to_owned());
    }
    Ok(values)
}
