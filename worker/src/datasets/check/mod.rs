//! What is in a collection and what is wrong with it, as data: for `permafrost data check`.

mod files;
mod published;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
};

use serde::Serialize;

pub use self::published::published;
use super::{Dataset, Image, Split, listing::Listing};

/// How closely the files of images are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Not at all.
    Nothing,
    /// Whether they are there.
    Presence,
    /// Whether they begin as images do, and PNG and JPEG files end as they should.
    Ends,
    /// Also whether two have the same content: all of every file is read.
    Content,
    /// Also whether every image and mask can be decoded.
    Decode,
}

/// What is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Folder that files of images and masks are relative to.
    pub root: &'a Path,
    /// How closely files are looked at.
    pub depth: Depth,
    /// Sizes that were published.
    pub published: &'a [Published],
    /// Images that the publisher's own table lists; see [`super::prepare::Prepared::listed`].
    pub listed: &'a [(Split, usize)],
}

/// Told how many of all files were looked at, from any thread; true ends the check.
pub type Watch<'a> = &'a (dyn Fn(usize, usize) -> bool + Sync);

/// A size that was published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Published {
    /// What is counted.
    pub what: Counted,
    /// Where; none: in all splits.
    pub split: Option<Split>,
    /// How many there should be.
    pub count: usize,
}

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Counted {
    /// Images.
    Images,
    /// Images in the publisher's own table, used or not.
    Listed,
    /// Reports.
    Reports,
    /// Groups, such as patients.
    Groups,
    /// Images of which a binary label is true.
    Positive(String),
    /// Images of a class: the column, then the class.
    Class(String, String),
}

/// What is in a collection and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Findings {
    /// What each split holds.
    pub splits: Vec<SplitFindings>,
    /// What was found of each published size; none: the collection has no such label.
    pub published: Vec<(Published, Option<usize>)>,
    /// Images whose file is not there.
    pub missing: Listing,
    /// Files that are there and are no image, with the reason.
    pub unreadable: Listing,
    /// Masks that are not there, or are no image, with the reason.
    pub masks: Listing,
    /// Files that several images name, or, from [`Depth::Content`] on, files with the content of another.
    pub duplicate_images: Listing,
    /// Those of them that are in another split, too.
    pub images_across_splits: Listing,
    /// Reports with the text of another report.
    pub duplicate_texts: Listing,
    /// Those of them whose text is in another split, too.
    pub texts_across_splits: Listing,
    /// Groups in several splits.
    pub groups_across_splits: Listing,
}

/// What one split holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SplitFindings {
    /// Which one.
    pub split: Split,
    /// Images.
    pub images: usize,
    /// Images with a report.
    pub images_with_report: usize,
    /// Images with a mask.
    pub images_with_mask: usize,
    /// Different reports.
    pub reports: usize,
    /// Different groups.
    pub groups: usize,
    /// Images by label.
    pub labels: Vec<LabelFindings>,
}

/// What is known of one label in one split.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LabelFindings {
    /// The column.
    pub label: String,
    /// Images of which it is unknown.
    pub unknown: usize,
    /// The others.
    pub known: Known,
}

/// Values of one label.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Known {
    /// Of a binary label.
    Binary {
        /// Images that have it.
        positive: usize,
        /// Images that do not.
        negative: usize,
    },
    /// Images of each class, in the order of the column's classes.
    Classes(Vec<(String, usize)>),
    /// Of numbers; none when there is none.
    Numbers(Option<NumberFindings>),
}

/// Numbers of one column in one split, in the column's units.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct NumberFindings {
    /// How many.
    pub count: usize,
    /// The smallest.
    pub min: f64,
    /// Their mean.
    pub mean: f64,
    /// The largest.
    pub max: f64,
}

impl Findings {
    /// Whether nothing is wrong: published sizes are met, all files are good, nothing is doubled or in two splits. (Reports
    /// of the same text within a split are usual.)
    pub fn is_clean(&self) -> bool {
        let lists = [&self.missing, &self.unreadable, &self.masks, &self.duplicate_images, &self.groups_across_splits];
        lists.into_iter().all(Listing::is_empty)
            && self.texts_across_splits.is_empty()
            && self.published.iter().all(|(published, found)| *found == Some(published.count))
    }
}

/// Looks at `dataset`, and at its files as closely as `options` say, on all cores. Files that cannot be read are findings, so
/// this does not fail. What is found does not depend on the number of cores. None when `watch` ended it.
pub fn check(dataset: &Dataset, options: &Options<'_>, watch: Watch<'_>) -> Option<Findings> {
    let splits: Vec<SplitFindings> = Split::ALL.into_iter().map(|split| of_split(dataset, split)).collect();
    let count = |published: &Published| match published.what {
        Counted::Listed => {
            let of = options.listed.iter().filter(|(split, _)| published.split.is_none_or(|wanted| wanted == *split));
            (!options.listed.is_empty()).then(|| of.map(|(_, count)| count).sum())
        }
        _ => count(&splits, dataset, published),
    };
    let published = options.published.iter().map(|published| (published.clone(), count(published))).collect();
    let mut findings = Findings {
        splits,
        published,
        missing: Listing::default(),
        unreadable: Listing::default(),
        masks: Listing::default(),
        duplicate_images: Listing::default(),
        images_across_splits: Listing::default(),
        duplicate_texts: Listing::default(),
        texts_across_splits: Listing::default(),
        groups_across_splits: groups_across_splits(dataset),
    };
    same_texts(dataset, &mut findings);
    files::look(dataset, options, watch, &mut findings)?;
    Some(findings)
}

fn of_split(dataset: &Dataset, split: Split) -> SplitFindings {
    let images: Vec<&Image> = dataset.images.iter().filter(|image| image.split == split).collect();
    SplitFindings {
        split,
        images: images.len(),
        images_with_report: images.iter().filter(|image| image.report.is_some()).count(),
        images_with_mask: images.iter().filter(|image| image.mask.is_some()).count(),
        reports: images.iter().filter_map(|image| image.report).collect::<BTreeSet<_>>().len(),
        groups: images.iter().filter_map(|image| image.group.as_deref()).collect::<BTreeSet<_>>().len(),
        labels: labels(dataset, &images),
    }
}

fn labels(dataset: &Dataset, images: &[&Image]) -> Vec<LabelFindings> {
    let mut labels = Vec::new();
    for (column, label) in dataset.labels.iter().enumerate() {
        let count = |value| images.iter().filter(|image| image.labels[column] == value).count();
        let known = Known::Binary { positive: count(Some(true)), negative: count(Some(false)) };
        labels.push(LabelFindings { label: label.clone(), unknown: count(None), known });
    }
    for (column, of) in dataset.classes.iter().enumerate() {
        let count = |value| images.iter().filter(|image| image.classes[column] == value).count();
        let classes = of.values.iter().enumerate().map(|(at, value)| (value.clone(), count(Some(at as u32)))).collect();
        labels.push(LabelFindings { label: of.name.clone(), unknown: count(None), known: Known::Classes(classes) });
    }
    for (column, label) in dataset.numbers.iter().enumerate() {
        let values: Vec<f64> = images.iter().filter_map(|image| image.numbers[column]).collect();
        let unknown = images.len() - values.len();
        labels.push(LabelFindings { label: label.clone(), unknown, known: Known::Numbers(numbers(&values)) });
    }
    labels
}

fn numbers(values: &[f64]) -> Option<NumberFindings> {
    (!values.is_empty()).then(|| NumberFindings {
        count: values.len(),
        min: values.iter().copied().fold(f64::INFINITY, f64::min),
        mean: values.iter().sum::<f64>() / values.len() as f64,
        max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    })
}

/// What was found of a published size; none: the collection has no such label.
fn count(splits: &[SplitFindings], dataset: &Dataset, published: &Published) -> Option<usize> {
    // Groups may be in several splits, so those of all splits are no sum.
    if let (Counted::Groups, None) = (&published.what, published.split) {
        return Some(dataset.images.iter().filter_map(|image| image.group.as_deref()).collect::<BTreeSet<_>>().len());
    }
    let of = |found: &SplitFindings| {
        let known = |name: &String| found.labels.iter().find(|label| label.label == *name).map(|label| &label.known);
        match &published.what {
            Counted::Images => Some(found.images),
            // Not in the collection: counted by the caller.
            Counted::Listed => None,
            Counted::Reports => Some(found.reports),
            Counted::Groups => Some(found.groups),
            Counted::Positive(label) => match known(label)? {
                Known::Binary { positive, .. } => Some(*positive),
                _ => None,
            },
            Counted::Class(label, class) => match known(label)? {
                Known::Classes(classes) => classes.iter().find(|(value, _)| value == class).map(|(_, count)| *count),
                _ => None,
            },
        }
    };
    splits.iter().filter(|found| published.split.is_none_or(|split| split == found.split)).map(of).sum()
}

fn groups_across_splits(dataset: &Dataset) -> Listing {
    let mut splits: BTreeMap<&str, BTreeSet<Split>> = BTreeMap::new();
    for image in &dataset.images {
        if let Some(group) = &image.group {
            splits.entry(group).or_default().insert(image.split);
        }
    }
    let mut crossing = Listing::default();
    for (group, splits) in splits.iter().filter(|(_, splits)| splits.len() > 1) {
        let names: Vec<&str> = splits.iter().map(|split| split.name()).collect();
        crossing.add(format!("{group} ({})", names.join(", ")));
    }
    crossing
}

fn same_texts(dataset: &Dataset, findings: &mut Findings) {
    let mut split_of = vec![None; dataset.reports.len()];
    for image in &dataset.images {
        if let Some(report) = image.report {
            split_of[report] = Some(image.split);
        }
    }
    let mut first: HashMap<&str, usize> = HashMap::new();
    let mut seen: HashMap<&str, BTreeSet<Option<Split>>> = HashMap::new();
    for (at, report) in dataset.reports.iter().enumerate() {
        let splits = seen.entry(&report.text).or_default();
        let other = *first.entry(&report.text).or_insert(at);
        if other != at {
            let name = format!("{} as {}", report.id, dataset.reports[other].id);
            findings.duplicate_texts.add(name.as_str());
            if splits.iter().any(|split| *split != split_of[at]) {
                findings.texts_across_splits.add(name);
            }
        }
        splits.insert(split_of[at]);
    }
}
