//! What a head makes of samples: scores, how good they are, and the table of predictions.

use std::{collections::BTreeMap, path::Path};

use super::samples::{Labels, Samples};
use crate::{
    datasets::Dataset,
    error::{Error, Result},
    files,
    metrics::{accuracy, argmax, auroc, recalls, sigmoid, softmax},
    task::Target,
};

/// Recalls of more classes are not reported one by one.
const MAX_RECALLS: usize = 20;

/// Probabilities of samples.
pub(super) struct Scores {
    target: Target,
    /// Columns: 1 for a binary label, else the number of classes.
    outputs: usize,
    /// [samples, outputs].
    values: Vec<f32>,
}

impl Scores {
    /// From `logits`, [samples, outputs].
    pub(super) fn of(mut logits: Vec<f32>, target: Target, outputs: usize) -> Self {
        match target {
            Target::Binary => logits.iter_mut().for_each(|value| *value = sigmoid(*value)),
            Target::Classes => logits.chunks_exact_mut(outputs).for_each(softmax),
        }
        Self { target, outputs, values: logits }
    }

    /// What models are chosen by: AUROC, or accuracy. None when a score is not a number.
    pub(super) fn quality(&self, samples: &Samples) -> Option<f64> {
        match self.target {
            Target::Binary => auroc(&self.values, &samples.positive()).ok(),
            Target::Classes if self.values.iter().any(|value| value.is_nan()) => None,
            Target::Classes => accuracy(&self.predicted(), &samples.classes).ok(),
        }
    }

    /// The likeliest class of each sample; the first of equal ones.
    fn predicted(&self) -> Vec<u32> {
        match self.target {
            Target::Binary => self.values.iter().map(|&score| u32::from(score > 0.5)).collect(),
            Target::Classes => self.values.chunks_exact(self.outputs).map(argmax).collect(),
        }
    }

    /// How good they are, beside [`Self::quality`].
    ///
    /// # Errors
    /// [`Error::Input`] when there are no samples.
    pub(super) fn summary(&self, samples: &Samples, labels: &Labels) -> Result<BTreeMap<String, f64>> {
        let predicted = self.predicted();
        let right = accuracy(&predicted, &samples.classes).map_err(|error| Error::input(error.to_string()))?;
        let mut summary = BTreeMap::from([("accuracy".to_owned(), right)]);
        match self.target {
            Target::Binary => drop(summary.insert("test_positives".to_owned(), samples.count(1) as f64)),
            Target::Classes if labels.classes.len() <= MAX_RECALLS => {
                let recalls = recalls(&predicted, &samples.classes, labels.classes.len());
                let named = labels.classes.iter().zip(recalls);
                summary.extend(named.filter_map(|(name, recall)| Some((format!("recall_{name}"), recall?))));
            }
            Target::Classes => {}
        }
        Ok(summary)
    }

    /// Writes every sample with its label and score; of several classes with a score a class, `score_CLASS`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn write(&self, path: &Path, samples: &Samples, labels: &Labels, dataset: &Dataset) -> Result<()> {
        let label = |class: u32| match self.target {
            Target::Binary => class.to_string(),
            Target::Classes => labels.classes[class as usize].clone(),
        };
        let scores: Vec<String> = match self.target {
            Target::Binary => vec!["score".to_owned()],
            Target::Classes => labels.classes.iter().map(|class| format!("score_{class}")).collect(),
        };
        files::write_atomic(path, |out| {
            let mut table = csv::Writer::from_writer(out);
            table.write_record(["image", "label"].into_iter().chain(scores.iter().map(String::as_str)))?;
            let rows = samples.images.iter().zip(&samples.classes).zip(self.values.chunks_exact(self.outputs));
            for ((&image, &class), scores) in rows {
                let cells = [dataset.images[image].id.clone(), label(class)];
                table.write_record(cells.into_iter().chain(scores.iter().map(ToString::to_string)))?;
            }
            table.flush()
        })
    }
}
