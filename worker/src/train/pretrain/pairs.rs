//! Images and reports that belong together, matched by id.

use std::sync::Arc;

use crate::{
    cache::Embeddings,
    datasets::{Dataset, Image, Split},
    error::{Error, Result},
};

/// Images and reports that belong together.
pub(super) struct Pairs {
    pub(super) dataset: Arc<Dataset>,
    pub(super) images: Arc<Embeddings>,
    pub(super) texts: Arc<Embeddings>,
}

/// Rows of an image's embedding and of its report's.
pub(super) type Pair = (usize, usize);

impl Pairs {
    /// Ids of the images with a report, each with that of its report.
    fn ids(&self) -> impl Iterator<Item = (&Image, &str)> {
        let report = |image: &Image| Some(self.dataset.reports[image.report?].id.as_str());
        self.dataset.images.iter().filter_map(move |image| Some((image, report(image)?)))
    }

    /// Whether image or report is known to have no embedding.
    fn is_missing(&self, image: &Image, report: &str) -> bool {
        self.images.missing().contains_key(&image.id) || self.texts.missing().contains_key(report)
    }

    /// Pairs that are left out, in all splits.
    pub(super) fn missing(&self) -> usize {
        self.ids().filter(|(image, report)| self.is_missing(image, report)).count()
    }

    /// The pairs of one split, matched by id. Images without a report are in none, neither is what is known to have no embedding.
    /// Only the test split may have none at all: some collections have nothing left to test on.
    pub(super) fn of(&self, split: Split) -> Result<Vec<Pair>> {
        let ids = self.ids().filter(|(image, report)| image.split == split && !self.is_missing(image, report));
        let pair = |(image, report): (&Image, &str)| {
            Ok((self.images.find("image", &image.id)?, self.texts.find("report", report)?))
        };
        let pairs: Vec<Pair> = ids.map(pair).collect::<Result<_>>()?;
        if pairs.len() < 2 && !(split == Split::Test && pairs.is_empty()) {
            let (name, found) = (split.name(), pairs.len());
            return Err(Error::input(format!("the {name} split has {found} pairs, at least 2 are needed")));
        }
        Ok(pairs)
    }

    /// Copies the rows of a batch together.
    pub(super) fn gather(&self, pairs: impl Iterator<Item = Pair>, images: &mut Vec<f32>, texts: &mut Vec<f32>) {
        images.clear();
        texts.clear();
        for (image, text) in pairs {
            self.images.append(image, images);
            self.texts.append(text, texts);
        }
    }
}
