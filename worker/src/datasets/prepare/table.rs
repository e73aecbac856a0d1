//! Any table of samples; see [`crate::datasets::general`].

use std::path::Path;

use super::{By, Found, no_split, summary::named};
use crate::{
    datasets::{
        LabelColumns,
        general::{self, Collection, Columns, Options, Splitting},
    },
    error::Result,
};

/// Reads the table, and looks for the files that it names.
pub(super) fn read(
    table: &Path,
    root: &Path,
    columns: &Columns,
    clean_texts: bool,
    max_missing: f64,
    by: &By,
) -> Result<Option<Found>> {
    let splitting = match by {
        By::Column => Splitting::Column,
        By::Groups { seed, shares } => Splitting::Groups { shares: *shares, seed: *seed },
        By::Published => {
            return Err(no_split("a table of samples", "published split", "split it by a `column`, or by `groups`"));
        }
    };
    let options = Options {
        columns: columns.clone(),
        root: Some(root.to_owned()),
        splitting,
        groups_may_cross: false,
        check_files: true,
        max_missing_share: max_missing,
        clean_texts,
    };
    let Collection { dataset, counts } = general::read(table, &options)?;
    let mut sentences = vec![format!("{} rows", counts.rows)];
    sentences.extend(named("images without a file", &counts.images_missing));
    sentences.extend(named("masks without a file", &counts.masks_missing));
    if counts.texts_too_short > 0 {
        sentences.push(format!("{} texts have fewer than three words and are left out", counts.texts_too_short));
    }
    Ok(Some(Found {
        columns: LabelColumns { binary: dataset.labels, classes: dataset.classes, numbers: dataset.numbers },
        reports: dataset.reports,
        images: dataset.images,
        counts: vec![
            ("rows", counts.rows),
            ("images_with_report", counts.images_with_report),
            ("images_missing", counts.images_missing.count),
            ("masks_missing", counts.masks_missing.count),
            ("texts_too_short", counts.texts_too_short),
        ],
        sentences,
        ..Found::default()
    }))
}
