//! MIMIC-CXR; see [`crate::datasets::mimic`].

use std::path::Path;

use super::{By, Found, MAX_MISSING, Stop, no_split, summary::named};
use crate::{
    datasets::{
        LabelColumns, Split, group_split,
        mimic::{self, Collection, Counts, HeldOut, Options, ReportText},
    },
    error::Result,
};

/// Reads the tables, the reports and where images are. As published it must have the published sizes.
pub(super) fn read(
    location: &Path,
    held_out: HeldOut,
    text: ReportText,
    by: &By,
    stop: Stop<'_>,
) -> Result<Option<Found>> {
    let options = Options {
        root: location.to_owned(),
        reports: None,
        held_out,
        text,
        expected: match by {
            By::Published => Some(mimic::PUBLISHED),
            By::Groups { .. } => None,
            By::Column => {
                return Err(no_split("MIMIC-CXR", "column of the user's", "use its published split, or groups"));
            }
        },
        check_files: true,
        max_missing_share: MAX_MISSING,
    };
    let Some(Collection { dataset, counts, sizes }) = mimic::read(&options, stop)? else { return Ok(None) };
    let mut images = dataset.images;
    if let By::Groups { seed, shares } = by {
        group_split::assign_images(&mut images, *seed, *shares);
    }
    let listed = vec![(Split::Train, sizes.train), (Split::Valid, sizes.validate), (Split::Test, sizes.test)];
    Ok(Some(Found {
        columns: LabelColumns::default(),
        reports: dataset.reports,
        images,
        sentences: describe(&counts),
        counts: numbers(&counts),
        listed,
    }))
}

fn numbers(counts: &Counts) -> Vec<(&'static str, usize)> {
    let dropped = &counts.dropped;
    vec![
        ("images_listed", counts.images_listed),
        ("images_frontal", counts.images_frontal),
        ("images_without_split", dropped.images_without_split.count),
        ("images_without_metadata", dropped.images_without_metadata.count),
        ("images_of_unknown_view", dropped.images_of_unknown_view),
        ("images_of_another_view", dropped.images_of_another_view),
        ("images_missing", dropped.images_without_file.count),
        ("images_dropped", dropped.images_of_dropped_studies),
        ("reports_missing", dropped.studies_without_report.count),
        ("reports_excepted", dropped.studies_excepted),
        ("reports_without_sections", dropped.studies_without_sections.count),
        ("reports_too_short", dropped.studies_too_short),
        ("reports_latin1", counts.reports_latin1),
    ]
}

fn describe(counts: &Counts) -> Vec<String> {
    let dropped = &counts.dropped;
    let mut sentences = vec![
        format!(
            "{} images are listed, {} of them frontal views of {} studies",
            counts.images_listed, counts.images_frontal, counts.studies_frontal
        ),
        format!(
            "left out are {} images of other views, {} of an unknown one, {} studies that no rule can cut, {} with fewer than \
             three words (and {} images of studies that were left out)",
            dropped.images_of_another_view,
            dropped.images_of_unknown_view,
            dropped.studies_excepted,
            dropped.studies_too_short,
            dropped.images_of_dropped_studies
        ),
    ];
    let lists = [
        ("images in the table of views only", &dropped.images_without_split),
        ("images in the table of splits only", &dropped.images_without_metadata),
        ("images without a file", &dropped.images_without_file),
        ("studies without a report", &dropped.studies_without_report),
        ("studies without the wanted sections", &dropped.studies_without_sections),
    ];
    sentences.extend(lists.into_iter().filter_map(|(what, listing)| named(what, listing)));
    if counts.reports_latin1 > 0 {
        sentences.push(format!("{} reports are not UTF-8 and were read as Latin-1", counts.reports_latin1));
    }
    sentences
}
