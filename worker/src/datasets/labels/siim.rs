//! SIIM-ACR Pneumothorax Segmentation: `train-rle.csv`, one line an annotation. An image with several pneumothoraces
//! has several lines, one without has one.

use std::{collections::HashMap, io::BufRead};

use super::{
    mask::Mask,
    rle::{self, Run},
    table::{empty, filled, lines},
};
use crate::error::Result;

/// What stands for a mask without pixels.
const NEGATIVE: &str = "-1";

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Index of its image in [`Annotations::images`].
    pub image: usize,
    /// The mask's runs; none for a negative.
    pub runs: Vec<Run>,
}

/// One image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// `ImageId`, which also names the image's file.
    pub id: String,
    /// Indices of its rows in [`Annotations::rows`], ascending; at least one.
    pub rows: Vec<usize>,
    /// Whether there is any pneumothorax.
    pub positive: bool,
}

/// The file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotations {
    rows: Vec<Row>,
    images: Vec<Image>,
}

impl Annotations {
    /// The lines, in the file's order.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The images, in the order in which the file first names them.
    pub fn images(&self) -> &[Image] {
        &self.images
    }

    /// The masks of the rows with these indices, united. For an image's mask, take [`Image::rows`].
    ///
    /// # Panics
    /// When there is no such row.
    pub fn mask(&self, rows: &[usize]) -> Mask {
        let mut mask = Mask::empty();
        for &row in rows {
            rle::fill(&mut mask, &self.rows[row].runs);
        }
        mask
    }
}

/// Reads the file. `name` is the file's in messages.
///
/// The header's `EncodedPixels` and the values have a leading space in some copies of the file and none in others; both
/// are read.
///
/// # Errors
/// [`crate::error::Error::Input`] that names the line: another header, a wrong encoding (see [`rle::decode`]), a
/// negative that is there twice or also has a mask, an image that has the same mask twice.
pub fn read(input: impl BufRead, name: &str) -> Result<Annotations> {
    let mut found = Annotations { rows: Vec::new(), images: Vec::new() };
    let mut by_id: HashMap<String, usize> = HashMap::new();
    lines(input, name, ',', |line| {
        let [id, encoding] = line.fields;
        let encoding = encoding.strip_prefix(' ').unwrap_or(encoding);
        if line.number == 1 {
            let header = [id, encoding] == ["ImageId", "EncodedPixels"];
            return if header { Ok(()) } else { Err("the header is not `ImageId, EncodedPixels`".to_owned()) };
        }
        let runs = if encoding == NEGATIVE { Vec::new() } else { rle::decode(encoding)? };
        let row = found.rows.len();
        match by_id.get(filled("ImageId", id)?) {
            Some(&image) => {
                let image_rows = &mut found.images[image].rows;
                fits(id, &found.rows, image_rows, &runs)?;
                image_rows.push(row);
                found.rows.push(Row { image, runs });
            }
            None => {
                let image = found.images.len();
                by_id.insert(id.to_owned(), image);
                found.images.push(Image { id: id.to_owned(), rows: vec![row], positive: !runs.is_empty() });
                found.rows.push(Row { image, runs });
            }
        }
        Ok(())
    })?;
    if found.rows.is_empty() {
        return Err(empty(name));
    }
    Ok(found)
}

/// Checks that another row with these runs fits the rows of the same image.
fn fits(id: &str, rows: &[Row], of_image: &[usize], runs: &[Run]) -> Result<(), String> {
    // Rows count from 0 after the header, lines from 1.
    let line = |row: usize| row + 2;
    for &row in of_image {
        let other = &rows[row].runs;
        if runs.is_empty() || other.is_empty() {
            return Err(format!("`{id}` is already in line {}, and a negative has one line", line(row)));
        }
        if other == runs {
            return Err(format!("this mask of `{id}` is already in line {}", line(row)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotations(lines: &str) -> Result<Annotations, String> {
        let text = format!("ImageId, EncodedPixels\n{lines}");
        read(text.as_bytes(), "rle.csv").map_err(|error| error.to_string())
    }

    #[test]
    fn rows_of_an_image_are_united() {
        let found = annotations("b, 5 2\na, -1\nb,6 3 1020 1\r\nc,-1").unwrap();
        let images: Vec<_> = found.images().iter().map(|x| (x.id.as_str(), x.rows.clone(), x.positive)).collect();
        assert_eq!(images, [("b", vec![0, 2], true), ("a", vec![1], false), ("c", vec![3], false)]);
        let mask = found.mask(&[0, 2]);
        // Rows 5..9 of column 0, and 1029, which is row 5 of column 1.
        assert_eq!(mask.area(), 5);
        assert!(mask.is_set(0, 5) && mask.is_set(0, 8) && mask.is_set(1, 5) && !mask.is_set(5, 1));
        assert_eq!(found.mask(&[1]), Mask::empty());
        assert_eq!(read("ImageId,EncodedPixels\na,-1\n".as_bytes(), "rle.csv").unwrap().rows().len(), 1);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (lines, expected) in [
            ("", "rle.csv has no labels"),
            ("a", "rle.csv, line 2: 1 fields, expected are 2 between `,`"),
            (" a,-1", "rle.csv, line 2: the ImageId ` a` is empty or has white space around it"),
            ("a,", "rle.csv, line 2: the RLE is empty"),
            ("a,-1 ", "rle.csv, line 2: RLE pair 1: the start has no length"),
            ("a,1048575 2", "rle.csv, line 2: RLE pair 1: the run ends at pixel 1048577 of 1048576"),
            ("a,-1\na,-1", "rle.csv, line 3: `a` is already in line 2, and a negative has one line"),
            ("a,-1\na,5 2", "rle.csv, line 3: `a` is already in line 2, and a negative has one line"),
            ("a,5 2\na,-1", "rle.csv, line 3: `a` is already in line 2, and a negative has one line"),
            ("a,5 2\na,5 3\na, 5 2", "rle.csv, line 4: this mask of `a` is already in line 2"),
        ] {
            assert_eq!(annotations(lines).unwrap_err(), expected, "{lines:?}");
        }
        let error = read("ImageId,Pixels\n".as_bytes(), "rle.csv").unwrap_err().to_string();
        assert_eq!(error, "rle.csv, line 1: the header is not `ImageId, EncodedPixels`");
    }
}
