//! What tells the files of a collection from other files of the same names.

use std::{collections::BTreeSet, fs, path::Path};

use rayon::prelude::*;

use crate::{datasets::table, error::Result, files, task::Reader};

/// Images and masks of a table are read as a whole up to so many bytes in all; of more, the sizes must do.
const CONTENT_BYTES: u64 = 4 << 30;

/// One BLAKE3 of all that the collection is read from, in hexadecimal: its tables, and, for a [`Reader::Table`], the images and masks
/// that it names, by content up to 4 GiB in all and by size beyond. Files of a published collection are known by their names.
///
/// # Errors
/// When a table cannot be read. An image that cannot be read is part of the fingerprint as such.
pub fn fingerprint(reader: &Reader) -> Result<String> {
    let tables = files::fingerprint(&reader.tables())?;
    let Reader::Table { location, root, columns, .. } = reader else { return Ok(tables) };
    let wanted: Vec<&str> = [&columns.image, &columns.mask].into_iter().flatten().map(String::as_str).collect();
    if wanted.is_empty() {
        return Ok(tables);
    }
    let mut names = BTreeSet::new();
    table::read(location, &wanted, &mut |row| {
        names.extend(row.cells.iter().filter(|cell| !cell.is_empty()).map(|cell| cell.to_string()));
        Ok(())
    })?;
    let names: Vec<String> = names.into_iter().collect();
    let sizes: Vec<Option<u64>> = names.iter().map(|name| size(&root.location.join(name))).collect();
    let whole = sizes.iter().flatten().sum::<u64>() <= CONTENT_BYTES;
    let contents: Vec<Option<blake3::Hash>> =
        names.par_iter().map(|name| if whole { content(&root.location.join(name)) } else { None }).collect();
    let mut hasher = blake3::Hasher::new_derive_key("permafrost 2026 fingerprint of a table and its images");
    hasher.update(tables.as_bytes());
    for ((name, size), content) in names.iter().zip(sizes).zip(contents) {
        // Each part has a length of its own, so that no two lists of files are the same bytes.
        hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
        hasher.update(&size.map_or([0xff; 8], u64::to_le_bytes));
        hasher.update(content.map_or([0; 32], |hash| *hash.as_bytes()).as_slice());
    }
    Ok(hasher.finalize().to_hex().to_string())
}

fn size(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|found| found.len())
}

fn content(path: &Path) -> Option<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_mmap(path).ok()?;
    Some(hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{datasets::general::Columns, task::Location};

    #[test]
    fn images_are_known_by_content_and_not_by_place() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("t.csv", "file,ill\na.png,1\nb.png,0\n");
        for (name, text) in [("a/a.png", "one"), ("a/b.png", "two"), ("b/a.png", "one"), ("b/b.png", "two")] {
            put(name, text);
        }
        let of = |root: &str| {
            let columns = Columns { image: Some("file".to_owned()), ..Columns::default() };
            let reader = Reader::Table {
                location: folder.path().join("t.csv"),
                root: Location { location: folder.path().join(root) },
                fingerprint: String::new(),
                columns: Box::new(columns),
                clean_texts: false,
                max_missing: 0.0,
            };
            fingerprint(&reader).unwrap()
        };
        let first = of("a");
        assert_eq!(of("b"), first);
        // Of the same size, and then with nothing there.
        put("b/b.png", "TWO");
        let changed = of("b");
        assert_ne!(changed, first);
        fs::remove_file(folder.path().join("b/b.png")).unwrap();
        assert!(![first.clone(), changed].contains(&of("b")));
        put("b/b.png", "two");
        assert_eq!(of("b"), first);
    }
}
