//! Features of images through a frozen Adaptor, computed once and shared by the heads that are trained on them.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use safetensors::SafeTensors;

use super::{inputs, pretrain::ADAPTOR};
use crate::{
    cache::Embeddings,
    cuda::{AdaptorArray, Arithmetic, Buffer, CudaError, Kind, Member, State, Stream, Table},
    datasets::Dataset,
    error::{Error, Result},
    execute::Job,
    id::TrialId,
    model::{AdaptorShape, AdaptorStep, WIDTH},
    protocol::Lease,
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

/// What features depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Source {
    /// The collection.
    pub(super) dataset: TrialId,
    /// Embeddings of its images.
    pub(super) image: TrialId,
    /// The Adaptor they go through; none: they are the features themselves.
    pub(super) adaptor: Option<TrialId>,
}

/// Features that were used last, the latest at the end.
static KEPT: Mutex<VecDeque<(Source, Arc<Features>)>> = Mutex::new(VecDeque::new());

/// Features of the images of `dataset`: those of the frozen Adaptor, in evaluation mode, each sample alone; without an
/// Adaptor the embeddings themselves. `card` computes them, if there is one, else the processor.
///
/// # Errors
/// [`Error::Input`] when an image has no embedding, or the Adaptor's file is not what it should be.
pub(super) fn of(
    source: Source,
    dataset: &Dataset,
    embeddings: &Embeddings,
    job: &Job,
    lease: &Lease,
    threads: usize,
    card: Option<&Arc<dyn Stream>>,
) -> Result<Arc<Features>> {
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
        let features = match source.adaptor {
            None => Features { width: embeddings.width(), rows, values },
            Some(adaptor) => {
                let bytes = inputs::read(job, lease, adaptor, ADAPTOR)?;
                let damaged = |what: String| Error::Input {
                    what: format!("{ADAPTOR} of trial {adaptor:?}: {what}"),
                    cure: Some("`permafrost retry` that trial: the file is made again".to_owned()),
                };
                let (shape, p) = parameters(&bytes, embeddings.width()).map_err(damaged)?;
                let values = match card {
                    Some(stream) => on_card(stream, shape, p, &values)?,
                    None => through(shape, &p, &values, threads),
                };
                if values.iter().any(|value| !value.is_finite()) {
                    return Err(damaged("its features are not finite".to_owned()));
                }
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

/// Sizes and parameters of an Adaptor for images of `width`.
fn parameters(adaptor: &[u8], width: usize) -> Result<(AdaptorShape, Vec<f32>), String> {
    // The text side is not used, but its width is part of the file.
    let tensors = SafeTensors::deserialize(adaptor).map_err(|error| error.to_string())?;
    let text = tensors.tensor("text_projection.weight").map_err(|error| error.to_string())?;
    let text_width = text.shape().get(1).copied().unwrap_or(0);
    let shape = AdaptorShape { image_width: width, text_width };
    Ok((shape, shape.from_safetensors(adaptor).map_err(|error| error.to_string())?))
}

/// Sends images through an Adaptor, on the processor.
fn through(shape: AdaptorShape, p: &[f32], images: &[f32], threads: usize) -> Vec<f32> {
    let width = shape.image_width;
    let count = images.len() / width;
    let mut values = vec![0.0; count * WIDTH];
    let mut step = AdaptorStep::new(shape, BATCH);
    for (x, out) in images.chunks(BATCH * width).zip(values.chunks_mut(BATCH * WIDTH)) {
        step.image_features(p, x, x.len() / width, out, threads);
    }
    values
}

/// Sends images through an Adaptor, on a card.
fn on_card(stream: &Arc<dyn Stream>, shape: AdaptorShape, p: Vec<f32>, images: &[f32]) -> Result<Vec<f32>, CudaError> {
    let table = |width, values: &[f32]| Table::from_rows(stream, Kind::F32, width, values).map(Arc::new);
    let images = table(shape.image_width, images)?;
    let member = Member {
        dims: shape.into(),
        images: Arc::clone(&images),
        texts: table(shape.text_width, &vec![0.0; shape.text_width])?,
        // All else is for training.
        seed: 0,
        dropout: 0.0,
        i2t_weight: 0.0,
        weight_decay: 0.0,
    };
    let mut array = AdaptorArray::new(stream, vec![member], BATCH, 1, Arithmetic::F32)?;
    array.set_state(0, &State::new(p))?;
    let features = array.image_features(&[images])?;
    features.first().map_or_else(|| Ok(Vec::new()), Buffer::download)
}
