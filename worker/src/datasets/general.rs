//! Any collection: a table of samples, of which the user says which column holds what.
//!
//! A row becomes an [`super::Image`]. [`Dataset`] was made for images that all have a report and binary labels; for this reader it
//! also holds images without a report, files, masks and groups, and labels that are classes or numbers. Pre-training leaves images
//! without a report out; classification reads binary and class columns.

mod row;
mod samples;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use self::{row::Layout, samples::Samples};
use super::{Dataset, Shares, Split, group_split, listing::Listing, table};
use crate::error::{Error, Result};

/// Most classes of one column. A column with more holds something else.
pub const MAX_CLASSES: usize = 4096;

/// Which column holds what; empty or none: there is no such column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Columns {
    /// What a sample is called, unique. Without it, samples are called by their image.
    pub id: Option<String>,
    /// The image's file, relative to [`Options::root`].
    pub image: Option<String>,
    /// The report or note. Empty cells are samples without one.
    pub text: Option<String>,
    /// What a report is called that several images share. Without it, each row has a report of its own.
    pub report: Option<String>,
    /// The mask's file, relative to [`Options::root`]. Empty cells are samples without one.
    pub mask: Option<String>,
    /// The split: `train`, `valid` or `test`, or another usual spelling of them.
    pub split: Option<String>,
    /// Whom the image shows, such as the patient.
    pub group: Option<String>,
    /// Labels that are 1, 0, `true`, `false`, or empty for unknown.
    pub binary: Vec<String>,
    /// Labels that are one of several texts, or empty for unknown.
    pub classes: Vec<String>,
    /// Numbers, or empty for unknown.
    pub numbers: Vec<String>,
}

/// How samples come into their splits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Splitting {
    /// By [`Columns::split`].
    Column,
    /// By shares of the groups, or of the samples where there is no [`Columns::group`]; reports that several groups share
    /// keep these together.
    Groups {
        /// How many of them.
        shares: Shares,
        /// Which ones.
        seed: u64,
    },
}

/// How a table of samples is read.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Which column holds what.
    pub columns: Columns,
    /// Folder of images and masks; none: the table's.
    pub root: Option<PathBuf>,
    /// How samples come into their splits.
    pub splitting: Splitting,
    /// Whether one group may be in several splits, as the column says.
    pub groups_may_cross: bool,
    /// Whether files of images and masks are looked for. Images without a file are then left out, masks forgotten.
    pub check_files: bool,
    /// Largest share of images without a file, in [0, 1]; more of them are an error.
    pub max_missing_share: f64,
    /// Clean texts as the paper does (see [`super::text::clean_words`]); texts shorter than three tokens are then none.
    pub clean_texts: bool,
}

/// A collection, and what was left out.
#[derive(Debug)]
pub struct Collection {
    /// What is left, in the order of the table.
    pub dataset: Dataset,
    /// How much there was and is.
    pub counts: Counts,
}

/// How much there was, what was left out, what is left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Rows of the table.
    pub rows: usize,
    /// Images that are left.
    pub images: usize,
    /// Different reports that are left.
    pub reports: usize,
    /// Images that have one of them.
    pub images_with_report: usize,
    /// Groups that are left; 0 where there is no such column.
    pub groups: usize,
    /// Images whose file is not there: left out.
    pub images_missing: Listing,
    /// Masks whose file is not there: their images have none.
    pub masks_missing: Listing,
    /// Samples whose text was too short: they have none.
    pub texts_too_short: usize,
    /// Groups in several splits, where that is allowed.
    pub groups_across_splits: Listing,
}

/// Reads the table at `path`: CSV or JSON lines, plain or gzip; see [`table::read`].
///
/// # Errors
/// [`Error::Input`] with file and line for a column that is missing, a sample that is there twice, a bad label, a report of
/// two texts, a report or group in two splits; when too many images are missing, with some of their names; when
/// `options` contradict themselves. [`Error::Io`].
pub fn read(path: &Path, options: &Options) -> Result<Collection> {
    let layout = Layout::new(&options.columns)?;
    check(path, options)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let root = options.root.as_deref().unwrap_or(folder);
    let mut samples = Samples::new(options, root);
    samples.counts.rows = table::read(path, &layout.wanted(), &mut |row| samples.add(layout.parse(row)?, row.line))?;
    let missing = samples.counts.images_missing.count;
    if missing as f64 > options.max_missing_share * samples.counts.rows as f64 {
        return Err(Error::Input {
            what: format!(
                "{}: {missing} of {} images are not below {}: {}",
                path.display(),
                samples.counts.rows,
                root.display(),
                samples.counts.images_missing.first.join(", ")
            ),
            cure: Some(
                "name the folder of the images as `root` of the data set, or raise its `max_missing`".to_owned(),
            ),
        });
    }
    if let Splitting::Groups { shares, seed } = options.splitting {
        let parts = samples.parts();
        let splits = group_split::assign(parts.names.iter().map(String::as_str), seed, shares);
        samples.images.iter_mut().zip(&parts.of_image).for_each(|(image, &part)| image.split = splits[part]);
    }
    samples.finish().map_err(|error| match error {
        Error::Input { what, cure } => Error::Input { what: format!("{}: {what}", path.display()), cure },
        other => other,
    })
}

/// Checks that the options make sense together.
fn check(path: &Path, options: &Options) -> Result<()> {
    let wrong = |what: &str, cure: &str| {
        Err(Error::Input { what: format!("{}: {what}", path.display()), cure: Some(cure.to_owned()) })
    };
    let share = |share: f64| (0.0..=1.0).contains(&share);
    match options.splitting {
        Splitting::Column if options.columns.split.is_none() => {
            return wrong("nothing says which split a sample is in", "name the column of the split, or give shares");
        }
        Splitting::Groups { shares: Shares { train, valid }, .. }
            if !share(train) || !share(valid) || !share(train + valid) =>
        {
            return wrong(
                &format!("shares of {train} for training and {valid} for validation"),
                "give two shares that add up to at most 1",
            );
        }
        _ => {}
    }
    if !share(options.max_missing_share) {
        return wrong("the share of missing images must be between 0 and 1", "0 allows none, 1 all");
    }
    Ok(())
}

/// The split that a cell names.
fn split_named(cell: &str) -> Result<Split, String> {
    match cell.to_lowercase().as_str() {
        "train" | "training" => Ok(Split::Train),
        "valid" | "val" | "validate" | "validation" | "dev" => Ok(Split::Valid),
        "test" | "testing" => Ok(Split::Test),
        _ => Err(format!("`{cell}` is no split: it must be train, valid or test")),
    }
}
