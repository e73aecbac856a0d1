//! What the tests of images share, and those that need no reference values.

mod damaged;

use std::path::PathBuf;

/// The fixtures.
pub const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/images");

/// The images in a folder of fixtures, in order.
pub fn names(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(PathBuf::from(FOLDER).join(folder)).unwrap();
    let is_image =
        |path: &PathBuf| path.extension().is_some_and(|kind| ["png", "jpg", "dcm"].iter().any(|x| kind == *x));
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().path()).filter(is_image).collect();
    names.sort();
    names
}
