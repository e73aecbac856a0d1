//! MIMIC-CXR to a [`Dataset`]: one image a row, its study's report beside it, and all that was left out counted.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    exceptions::{Exception, conclusion},
    names::{FINDINGS, IMPRESSION},
    reports::Source,
    sections::Sections,
    tables::{self, Frontal, Published, StudyId, study_path},
};
use crate::{
    datasets::{Dataset, Image, Report, Split, listing::Listing, text},
    error::{Error, Result},
};

/// Images between two questions whether to stop.
const STOP_EVERY: usize = 256;

/// How MIMIC-CXR is read.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Folder of the two tables, and of the images' tree `files/`: MIMIC-CXR-JPG.
    pub root: PathBuf,
    /// The reports: the zip archive, a folder that holds it, or the root of their tree. None: `root`.
    pub reports: Option<PathBuf>,
    /// What becomes of the authors' validation and test splits.
    pub held_out: HeldOut,
    /// What a report's text is.
    pub text: ReportText,
    /// Sizes that the table of splits must have; none: any.
    pub expected: Option<Published>,
    /// Leave out images whose file is not there, at the price of one look-up in the file system each.
    pub check_files: bool,
    /// Largest share of frontal images without a file, in [0, 1]; more of them are an error.
    pub max_missing_share: f64,
}

/// What becomes of the authors' validation and test splits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeldOut {
    /// Both are for validation, as in the paper; nothing is left to test on.
    Together,
    /// Each stays what it is.
    Apart,
}

/// What a report's text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReportText {
    /// Impression, a space, findings, as in the paper. Either may be missing. Studies with an [`Exception`] have none, as
    /// in MIT-LCP's `mimic_cxr_sectioned.csv`.
    ImpressionFindings,
    /// What MIT-LCP takes for the conclusion; see [`conclusion`].
    Conclusion,
}

/// A collection, and what was left out.
#[derive(Debug)]
pub struct Collection {
    /// What is left. Images are called as in the collection, reports `s50414267`, groups `p10000032`; ordered by patient,
    /// study and image. Files are relative to [`Options::root`].
    pub dataset: Dataset,
    /// How much there was and is.
    pub counts: Counts,
    /// Images in the table of splits.
    pub sizes: Published,
}

/// How much there was, what was left out, what is left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Images in the table of splits.
    pub images_listed: usize,
    /// Frontal ones in both tables.
    pub images_frontal: usize,
    /// Their studies.
    pub studies_frontal: usize,
    /// Images that are left.
    pub images: usize,
    /// Studies that are left.
    pub studies: usize,
    /// Patients that are left.
    pub patients: usize,
    /// Reports of those studies that are not UTF-8, read as Latin-1.
    pub reports_latin1: usize,
    /// Reports in the archive of studies without a frontal image; 0 for a tree.
    pub reports_not_needed: usize,
    /// What was left out, by the first reason that applies.
    pub dropped: Dropped,
}

/// What was left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// Images in the table of views only.
    pub images_without_split: Listing,
    /// Images in the table of splits only.
    pub images_without_metadata: Listing,
    /// Images whose view is not given.
    pub images_of_unknown_view: usize,
    /// Images of another view than PA and AP.
    pub images_of_another_view: usize,
    /// Frontal images whose file is not there.
    pub images_without_file: Listing,
    /// Studies whose report is not there.
    pub studies_without_report: Listing,
    /// Studies whose report no rule can cut; see [`Exception`].
    pub studies_excepted: usize,
    /// Studies whose report has none of the wanted sections.
    pub studies_without_sections: Listing,
    /// Studies whose text is shorter than three tokens.
    pub studies_too_short: usize,
    /// Frontal images of those four.
    pub images_of_dropped_studies: usize,
}

/// Reads the collection. `stop` is asked while files are looked for, and before each report, with the number of reports read;
/// none when it said so.
///
/// Memory is bounded by the rows of the tables, the cleaned texts, and one report; an archive is not unpacked.
///
/// # Errors
/// [`Error::Input`] with file and line for malformed tables, for sizes that are not
/// [`Options::expected`], for missing tables or reports, for too many missing images, and for a damaged archive; [`Error::Io`].
pub fn read(options: &Options, stop: &dyn Fn(usize) -> bool) -> Result<Option<Collection>> {
    let mut counts = Counts::default();
    let tables = tables::read(&options.root, &mut counts.dropped)?;
    if let Some(expected) = options.expected {
        expected.check(tables.sizes)?;
    }
    counts.images_listed = tables.sizes.train + tables.sizes.validate + tables.sizes.test;
    counts.images_frontal = tables.frontal.len();
    counts.studies_frontal = studies(&tables.frontal).len();
    let mut frontal = tables.frontal;
    if options.check_files {
        let mut there = Vec::with_capacity(frontal.len());
        for (at, image) in frontal.into_iter().enumerate() {
            if at % STOP_EVERY == 0 && stop(0) {
                return Ok(None);
            }
            if options.root.join(file_of(&image)).is_file() {
                there.push(image);
            } else {
                counts.dropped.images_without_file.add(image.dicom);
            }
        }
        frontal = there;
        enough(options, &counts)?;
    }
    let source = Source::find(options.reports.as_deref().unwrap_or(&options.root))?;
    let Some(texts) = read_texts(&source, &studies(&frontal), options.text, stop, &mut counts)? else {
        return Ok(None);
    };
    let dataset = join(&frontal, texts, options.held_out, &mut counts)?;
    Ok(Some(Collection { dataset, counts, sizes: tables.sizes }))
}

/// Checks that not too many images are missing.
fn enough(options: &Options, counts: &Counts) -> Result<()> {
    let missing = &counts.dropped.images_without_file;
    if missing.count as f64 <= options.max_missing_share * counts.images_frontal as f64 {
        return Ok(());
    }
    Err(Error::Input {
        what: format!(
            "{}: {} of {} frontal images are not there: {}",
            options.root.display(),
            missing.count,
            counts.images_frontal,
            missing.first.join(", ")
        ),
        cure: Some("complete the download, or read what is there as a table of samples".to_owned()),
    })
}

/// The studies of `frontal`, which is sorted, each once.
fn studies(frontal: &[Frontal]) -> Vec<StudyId> {
    let mut studies: Vec<StudyId> = frontal.iter().map(|image| image.study).collect();
    studies.dedup();
    studies
}

fn file_of(image: &Frontal) -> PathBuf {
    study_path(image.study).join(format!("{}.jpg", image.dicom))
}

/// Cleaned texts by study.
type Texts = BTreeMap<StudyId, String>;

/// Cleans the reports of `studies`; those without text are counted.
fn read_texts(
    source: &Source,
    studies: &[StudyId],
    wanted: ReportText,
    stop: &dyn Fn(usize) -> bool,
    counts: &mut Counts,
) -> Result<Option<Texts>> {
    let mut seen = vec![false; studies.len()];
    let mut texts = Texts::new();
    let mut read = 0;
    let Counts { dropped, reports_latin1, reports_not_needed, .. } = counts;
    // Named in the end and in order, whatever the order of the archive.
    let mut without_sections = Vec::new();
    let whole = source.read(studies, reports_not_needed, &mut |study, report, latin1| {
        if stop(read) {
            return false;
        }
        read += 1;
        if let Ok(position) = studies.binary_search(&study) {
            seen[position] = true;
        }
        *reports_latin1 += usize::from(latin1);
        match raw_text(study, report, wanted) {
            Raw::Text(raw) => match text::clean_words(&raw) {
                Some(text) => drop(texts.insert(study, text)),
                None => dropped.studies_too_short += 1,
            },
            Raw::Excepted => dropped.studies_excepted += 1,
            Raw::NoSections => without_sections.push(study),
        }
        true
    })?;
    without_sections.sort_unstable();
    without_sections.iter().for_each(|(_, study)| dropped.studies_without_sections.add(format!("s{study}")));
    let missing = studies.iter().zip(&seen).filter(|(_, seen)| !**seen);
    missing.for_each(|((_, study), _)| dropped.studies_without_report.add(format!("s{study}")));
    Ok(whole.then_some(texts))
}

/// What is wanted of a report, before cleaning.
enum Raw {
    Text(String),
    Excepted,
    NoSections,
}

fn raw_text((_, study): StudyId, report: &str, wanted: ReportText) -> Raw {
    let exception = Exception::of(study);
    match (wanted, exception) {
        (ReportText::ImpressionFindings, Some(_)) => Raw::Excepted,
        (ReportText::ImpressionFindings, None) => {
            let sections = Sections::parse(report);
            match (sections.last(IMPRESSION), sections.last(FINDINGS)) {
                (None, None) => Raw::NoSections,
                (impression, findings) => {
                    Raw::Text(format!("{} {}", impression.unwrap_or_default(), findings.unwrap_or_default()))
                }
            }
        }
        (ReportText::Conclusion, exception) => conclusion(report, exception).map_or(Raw::NoSections, Raw::Text),
    }
}

/// Puts images and texts together.
fn join(frontal: &[Frontal], mut texts: Texts, held_out: HeldOut, counts: &mut Counts) -> Result<Dataset> {
    let mut reports: Vec<Report> = Vec::with_capacity(texts.len());
    let mut images: Vec<Image> = Vec::with_capacity(frontal.len());
    for of_study in frontal.chunk_by(|a, b| a.study == b.study) {
        let (subject, study) = of_study[0].study;
        let Some(text) = texts.remove(&(subject, study)) else {
            counts.dropped.images_of_dropped_studies += of_study.len();
            continue;
        };
        images.extend(of_study.iter().map(|image| Image {
            id: image.dicom.clone(),
            report: Some(reports.len()),
            split: match (image.split, held_out) {
                (Split::Test, HeldOut::Together) => Split::Valid,
                (split, _) => split,
            },
            file: Some(file_of(image)),
            group: Some(format!("p{subject}")),
            ..Image::default()
        }));
        reports.push(Report { id: format!("s{study}"), text });
    }
    counts.images = images.len();
    counts.studies = reports.len();
    let mut patients: Vec<&str> = images.iter().filter_map(|image| image.group.as_deref()).collect();
    patients.dedup();
    counts.patients = patients.len();
    Dataset::new(vec![], reports, images)
}

impl Options {
    /// Reads `root` as the paper does, and wants the published sizes.
    pub fn paper(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            reports: None,
            held_out: HeldOut::Together,
            text: ReportText::ImpressionFindings,
            expected: Some(tables::PUBLISHED),
            check_files: true,
            max_missing_share: 0.01,
        }
    }
}
