//! Sizes that were published, by collection.

use super::{Counted, Published};
use crate::{
    datasets::{Split, mimic, splits},
    task::{Reader, Splitting},
};

/// The published sizes of the collection of `reader`: those of its splits where it is split as published. None where nothing was
/// published. (Open-i's are checked while it is read: [`crate::datasets::OPEN_I_PUBLISHED`].)
pub fn published(reader: &Reader, split: &Splitting) -> Vec<Published> {
    let as_published = *split == Splitting::Published;
    let size = |what: Counted, split: Option<Split>, count: usize| Published { what, split, count };
    match reader {
        Reader::OpenI { .. } | Reader::Table { .. } => vec![],
        Reader::MimicCxr { .. } => {
            let mimic::Published { train, validate, test } = mimic::PUBLISHED;
            Split::ALL
                .into_iter()
                .zip([train, validate, test])
                .map(|(split, n)| size(Counted::Listed, Some(split), n))
                .collect()
        }
        Reader::Rsna { .. } => {
            let splits::ThreeWay { train, valid, test } = splits::RSNA_CLASSIFICATION;
            let positive = || Counted::Positive("pneumonia".to_owned());
            let samples: usize = [train, valid, test].iter().map(|counts| counts.samples).sum();
            let positives: usize = [train, valid, test].iter().map(|counts| counts.positive).sum();
            let mut sizes = vec![size(Counted::Images, None, samples), size(positive(), None, positives)];
            if as_published {
                for (split, counts) in Split::ALL.into_iter().zip([train, valid, test]) {
                    sizes.push(size(Counted::Images, Some(split), counts.samples));
                    sizes.push(size(positive(), Some(split), counts.positive));
                }
            }
            sizes
        }
        Reader::Covidx { .. } => {
            let splits::ThreeWay { train, valid, test } = splits::COVIDX;
            let mut sizes = vec![size(Counted::Images, None, train + valid + test)];
            if as_published {
                let parts = Split::ALL.into_iter().zip([train, valid, test]);
                sizes.extend(parts.map(|(split, count)| size(Counted::Images, Some(split), count)));
                let classes = splits::COVIDX_TEST;
                let counts = [classes.normal, classes.pneumonia, classes.covid19];
                sizes.extend(crate::datasets::prepare::DIAGNOSES.into_iter().zip(counts).map(|(class, count)| {
                    size(Counted::Class("diagnosis".to_owned(), class.to_owned()), Some(Split::Test), count)
                }));
            }
            sizes
        }
        Reader::Siim { unit, .. } => match unit {
            // By rows, images are several samples.
            splits::Unit::Row => vec![size(Counted::Groups, None, splits::SIIM.images)],
            splits::Unit::Image => vec![
                size(Counted::Images, None, splits::SIIM.images),
                size(Counted::Positive("pneumothorax".to_owned()), None, splits::SIIM.positive),
            ],
        },
    }
}
