//! RSNA Pneumonia Detection Challenge: `stage_2_train_labels.csv`, one line a box, or one for a patient without.

use std::{collections::BTreeMap, io::BufRead};

use super::{
    mask::{Mask, SIDE},
    table::{empty, filled, lines},
};
use crate::error::Result;

/// The file's header.
const HEADER: [&str; 6] = ["patientId", "x", "y", "width", "height", "Target"];

/// A box around an opacity, in pixels; inside the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoundingBox {
    /// Leftmost column.
    pub x: usize,
    /// Uppermost row.
    pub y: usize,
    /// Columns, at least one.
    pub width: usize,
    /// Rows, at least one.
    pub height: usize,
}

/// A patient, who has one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patient {
    /// `patientId`, which also names the image's file.
    pub id: String,
    /// In the file's order; none for a negative.
    pub boxes: Vec<BoundingBox>,
}

impl Patient {
    /// Whether there is any box.
    pub fn is_positive(&self) -> bool {
        !self.boxes.is_empty()
    }

    /// The boxes, filled.
    pub fn mask(&self) -> Mask {
        let mut mask = Mask::empty();
        for found in &self.boxes {
            mask.fill(found.x, found.y, found.width, found.height);
        }
        mask
    }
}

/// Reads the file, by patient, sorted by id (as pandas' `groupby` does). `name` is the file's in messages.
///
/// # Errors
/// [`crate::error::Error::Input`] that names the line: another header, an unknown target, a target of 1 without a box
/// or of 0 with one, a box that is no whole pixels or leaves the image, a box that is there twice, a negative that is
/// there twice or also positive.
pub fn read(input: impl BufRead, name: &str) -> Result<Vec<Patient>> {
    // Line of the first mention, and the boxes with theirs.
    let mut patients: BTreeMap<String, (usize, Vec<(usize, BoundingBox)>)> = BTreeMap::new();
    lines(input, name, ',', |line| {
        if line.number == 1 {
            return header(line.fields);
        }
        let [id, position @ .., target] = line.fields;
        let found = bounding_box(position, target)?;
        let Some((first, boxes)) = patients.get_mut(filled("patientId", id)?) else {
            let boxes = found.map(|found| (line.number, found)).into_iter().collect();
            patients.insert(id.to_owned(), (line.number, boxes));
            return Ok(());
        };
        let Some(found) = found.filter(|_| !boxes.is_empty()) else {
            return Err(format!("`{id}` is already in line {first}, and a negative has one line"));
        };
        if let Some((other, _)) = boxes.iter().find(|(_, other)| *other == found) {
            return Err(format!("this box of `{id}` is already in line {other}"));
        }
        boxes.push((line.number, found));
        Ok(())
    })?;
    if patients.is_empty() {
        return Err(empty(name));
    }
    let patient = |(id, (_, boxes)): (String, (usize, Vec<(usize, BoundingBox)>))| Patient {
        id,
        boxes: boxes.into_iter().map(|(_, found)| found).collect(),
    };
    Ok(patients.into_iter().map(patient).collect())
}

fn header(fields: [&str; 6]) -> Result<(), String> {
    if fields == HEADER {
        return Ok(());
    }
    Err(format!("the header is `{}`, expected is `{}`", fields.join(","), HEADER.join(",")))
}

/// The box of a line, none for a negative.
fn bounding_box(position: [&str; 4], target: &str) -> Result<Option<BoundingBox>, String> {
    match target {
        "0" if position == [""; 4] => return Ok(None),
        "0" => return Err("target 0 with a box".to_owned()),
        "1" if position.contains(&"") => return Err("target 1 without a whole box".to_owned()),
        "1" => {}
        _ => return Err(format!("target `{target}`, expected is 0 or 1")),
    }
    let mut pixels = [0; 4];
    for (at, text) in position.into_iter().enumerate() {
        pixels[at] =
            whole(text).ok_or_else(|| format!("{} `{text}` is no whole pixel of 0..={SIDE}", HEADER[at + 1]))?;
    }
    let [x, y, width, height] = pixels;
    if width == 0 || height == 0 || x + width > SIDE || y + height > SIDE {
        return Err(format!("a box of {width} x {height} at ({x}, {y}) is not inside {SIDE} x {SIDE}"));
    }
    Ok(Some(BoundingBox { x, y, width, height }))
}

/// Pixels written as `264.0` or `264`.
fn whole(text: &str) -> Option<usize> {
    let value: f64 = text.parse().ok()?;
    (value.fract() == 0.0 && (0.0..=SIDE as f64).contains(&value)).then_some(value as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(lines: &str) -> Result<Vec<Patient>, String> {
        let text = format!("patientId,x,y,width,height,Target\n{lines}");
        read(text.as_bytes(), "labels.csv").map_err(|error| error.to_string())
    }

    #[test]
    fn boxes_are_grouped_by_patient_and_filled() {
        let found = labels("b,10.0,20.0,2.0,3.0,1\na,,,,,0\nb,11,21,2,3,1\r\nc,1023,1023,1,1,1").unwrap();
        let ids: Vec<_> = found.iter().map(|patient| (patient.id.as_str(), patient.boxes.len())).collect();
        assert_eq!(ids, [("a", 0), ("b", 2), ("c", 1)]);
        assert!(!found[0].is_positive() && found[1].is_positive());
        let mask = found[1].mask();
        // Two boxes of 6 pixels that share 2.
        assert_eq!(mask.area(), 10);
        assert!(mask.is_set(10, 20) && mask.is_set(12, 23) && !mask.is_set(12, 20) && !mask.is_set(20, 10));
        assert_eq!(found[0].mask(), Mask::empty());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (lines, expected) in [
            ("", "labels.csv has no labels"),
            ("a,,,,,0\n\n", "labels.csv, line 3: 1 fields, expected are 6 between `,`"),
            ("a,,,,,2", "labels.csv, line 2: target `2`, expected is 0 or 1"),
            (",,,,,0", "labels.csv, line 2: the patientId `` is empty or has white space around it"),
            ("a,1,1,1,1,0", "labels.csv, line 2: target 0 with a box"),
            ("a,1,1,,1,1", "labels.csv, line 2: target 1 without a whole box"),
            ("a,1,1,x,1,1", "labels.csv, line 2: width `x` is no whole pixel of 0..=1024"),
            ("a,1,1,NaN,1,1", "labels.csv, line 2: width `NaN` is no whole pixel of 0..=1024"),
            ("a,1,-1,1,1,1", "labels.csv, line 2: y `-1` is no whole pixel of 0..=1024"),
            ("a,1.5,1,1,1,1", "labels.csv, line 2: x `1.5` is no whole pixel of 0..=1024"),
            ("a,1,1,0,1,1", "labels.csv, line 2: a box of 0 x 1 at (1, 1) is not inside 1024 x 1024"),
            ("a,1,1000,1,25,1", "labels.csv, line 2: a box of 1 x 25 at (1, 1000) is not inside 1024 x 1024"),
            ("a,,,,,0\na,,,,,0", "labels.csv, line 3: `a` is already in line 2, and a negative has one line"),
            ("a,,,,,0\na,1,1,1,1,1", "labels.csv, line 3: `a` is already in line 2, and a negative has one line"),
            ("a,1,1,1,1,1\na,,,,,0", "labels.csv, line 3: `a` is already in line 2, and a negative has one line"),
            ("a,1,1,1,1,1\nb,,,,,0\na,1.0,1,1,1,1", "labels.csv, line 4: this box of `a` is already in line 2"),
        ] {
            assert_eq!(labels(lines).unwrap_err(), expected, "{lines:?}");
        }
        let error = read("patientId,x,y,w,h,Target\n".as_bytes(), "labels.csv").unwrap_err().to_string();
        assert!(error.starts_with("labels.csv, line 1: the header is `patientId,x,y,w,h,Target`"), "{error}");
        let error = read(&b"patientId,x,y,width,height,Target\n\xff,,,,,0"[..], "labels.csv").unwrap_err().to_string();
        assert!(error.starts_with("labels.csv, line 2: "), "{error}");
    }
}
