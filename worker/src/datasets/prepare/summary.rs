//! What is said of a prepared collection: counts by name, and sentences.

use std::collections::{BTreeMap, BTreeSet};

use crate::datasets::{Dataset, Split, listing::Listing};

/// Columns of more classes are not counted class by class.
const MAX_CLASSES: usize = 20;

/// The counts that all collections have, and those of the reader.
pub(super) fn counts(dataset: &Dataset, of_reader: Vec<(&'static str, usize)>) -> BTreeMap<String, usize> {
    let images = &dataset.images;
    let mut counts: BTreeMap<String, usize> = of_reader.into_iter().map(|(name, n)| (name.to_owned(), n)).collect();
    counts.insert("reports".to_owned(), dataset.reports.len());
    counts.insert("images".to_owned(), images.len());
    for split in Split::ALL {
        counts.insert(split.name().to_owned(), of_split(dataset, split));
    }
    let groups = images.iter().filter_map(|image| image.group.as_deref()).collect::<BTreeSet<_>>().len();
    if groups > 0 {
        counts.insert("groups".to_owned(), groups);
    }
    for (column, label) in dataset.labels.iter().enumerate() {
        let count = |value| images.iter().filter(|image| image.labels[column] == value).count();
        counts.insert(format!("{label}_positive"), count(Some(true)));
        counts.insert(format!("{label}_unknown"), count(None));
    }
    for (column, label) in dataset.classes.iter().enumerate() {
        let count = |value| images.iter().filter(|image| image.classes[column] == value).count();
        counts.insert(format!("{}_unknown", label.name), count(None));
        if label.values.len() <= MAX_CLASSES {
            for (class, value) in (0..).zip(&label.values) {
                counts.insert(format!("{}={value}", label.name), count(Some(class)));
            }
        }
    }
    counts
}

/// What was read and left out, then what is left.
pub(super) fn describe(dataset: &Dataset, read: &[String]) -> String {
    let [train, valid, test] = Split::ALL.map(|split| of_split(dataset, split));
    let (reports, images) = (dataset.reports.len(), dataset.images.len());
    let read = read.join("; ");
    format!("{read}; left {reports} reports and {images} images: {train} to train, {valid} to validate, {test} to test")
}

/// How many, and some of their names; none when there are none.
pub(super) fn named(what: &str, listing: &Listing) -> Option<String> {
    (!listing.is_empty()).then(|| format!("{what}: {listing}"))
}

fn of_split(dataset: &Dataset, split: Split) -> usize {
    dataset.images.iter().filter(|image| image.split == split).count()
}
