//! Images and notes.

use std::path::{Path, PathBuf};

use crate::torch::Result;

/// Most images: some seconds a round.
const IMAGES: usize = 64;

pub struct Collection {
    pub root: PathBuf,
    pub images: Vec<PathBuf>,
    pub notes: Vec<String>,
}

impl Collection {
    /// That of a folder; none: fixtures.
    pub fn open(data: Option<&Path>) -> Result<Self> {
        let Some(data) = data else {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/images");
            let images = ["grey8.png", "grey16.png", "rgb8.png"].map(PathBuf::from).to_vec();
            let notes = ["the heart is normal", "no acute disease of the lungs is seen", "normal"].map(str::to_owned);
            return Ok(Self { root, images, notes: notes.to_vec() });
        };
        let root = data.join("images");
        let mut images = Vec::new();
        for entry in std::fs::read_dir(&root)? {
            images.push(PathBuf::from(entry?.file_name()));
        }
        images.sort();
        images.truncate(IMAGES);
        let mut table = csv::Reader::from_path(data.join("pairs.csv"))?;
        let column = table.headers()?.iter().position(|name| name == "text").ok_or("pairs.csv has no column `text`")?;
        let mut notes = Vec::new();
        for row in table.records() {
            notes.extend(row?.get(column).filter(|text| !text.trim().is_empty()).map(str::to_owned));
        }
        // Equal texts go through once, which is no merit of the encoder.
        notes.sort();
        notes.dedup();
        Ok(Self { root, images, notes })
    }
}
