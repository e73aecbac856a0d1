//! What is encoded once: the different files of a collection.

use std::{collections::HashMap, ops::Range, path::Path};

use crate::datasets::Image;

/// A file, and the images that show it.
pub(super) struct Unit<'a> {
    /// Relative to the collection's root; none: the collection names no file for this image.
    pub(super) file: Option<&'a Path>,
    /// Places in [`Units::ids`].
    pub(super) rows: Range<usize>,
}

/// All images, those of one file next to each other.
pub(super) struct Units<'a> {
    /// In the order of the collection, but that images of a file that was there before follow the first one.
    pub(super) ids: Vec<String>,
    pub(super) units: Vec<Unit<'a>>,
}

impl<'a> Units<'a> {
    pub(super) fn of(images: &'a [Image]) -> Self {
        let mut at: HashMap<&Path, usize> = HashMap::with_capacity(images.len());
        let mut files: Vec<(Option<&Path>, Vec<&str>)> = Vec::with_capacity(images.len());
        for image in images {
            let file = image.file.as_deref();
            match file.and_then(|file| at.get(file)) {
                Some(&unit) => files[unit].1.push(&image.id),
                None => {
                    at.extend(file.map(|file| (file, files.len())));
                    files.push((file, vec![&image.id]));
                }
            }
        }
        let mut ids = Vec::with_capacity(images.len());
        let mut units = Vec::with_capacity(files.len());
        for (file, of_file) in files {
            let start = ids.len();
            ids.extend(of_file.into_iter().map(str::to_owned));
            units.push(Unit { file, rows: start..ids.len() });
        }
        Self { ids, units }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_one_file_stand_together() {
        let image = |(id, file): (&str, &str)| Image {
            id: id.to_owned(),
            file: (!file.is_empty()).then(|| file.into()),
            ..Image::default()
        };
        let images = [("a", "1"), ("b", "2"), ("c", ""), ("d", "1"), ("e", ""), ("f", "1"), ("g", "3")].map(image);
        let units = Units::of(&images);
        assert_eq!(units.ids, ["a", "d", "f", "b", "c", "e", "g"]);
        let found: Vec<_> = units.units.iter().map(|unit| (unit.file, unit.rows.clone())).collect();
        let file = |name: &'static str| Some(Path::new(name));
        assert_eq!(found, [(file("1"), 0..3), (file("2"), 3..4), (None, 4..5), (None, 5..6), (file("3"), 6..7)]);
    }
}
