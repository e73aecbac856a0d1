//! COVIDx: `train_COVIDx9A.txt` and `test_COVIDx9A.txt` of COVID-Net, one line an image: patient, file, class and
//! source.

use std::{collections::HashMap, io::BufRead};

use super::table::{empty, filled, lines};
use crate::error::Result;

/// What an image shows. The numbers are the class labels of training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Class {
    /// `normal`.
    Normal = 0,
    /// `pneumonia`, of another cause than COVID-19.
    Pneumonia = 1,
    /// `COVID-19`.
    Covid19 = 2,
}

/// One image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Its file's name, unique in the list: the sample's id.
    pub file: String,
    /// The patient. Patients have several images, and ids such as `3` are those of a source.
    pub patient: String,
    /// What it shows.
    pub class: Class,
    /// The collection it comes from, as the list writes it (`rsna`, and also `rnsa`).
    pub source: String,
}

/// Reads a list, in its order. `name` is the file's in messages.
///
/// # Errors
/// [`crate::error::Error::Input`] that names the line: not four fields, an empty one, an unknown class, a file that is
/// there twice.
pub fn read(input: impl BufRead, name: &str) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    let mut seen: HashMap<String, usize> = HashMap::new();
    lines(input, name, ' ', |line| {
        let [patient, file, class, source] = line.fields;
        let class = match class {
            "normal" => Class::Normal,
            "pneumonia" => Class::Pneumonia,
            "COVID-19" => Class::Covid19,
            _ => return Err(format!("class `{class}`, expected is normal, pneumonia or COVID-19")),
        };
        let sample = Sample {
            file: filled("file", file)?.to_owned(),
            patient: filled("patient", patient)?.to_owned(),
            class,
            source: filled("source", source)?.to_owned(),
        };
        if let Some(first) = seen.insert(sample.file.clone(), line.number) {
            return Err(format!("`{file}` is already in line {first}"));
        }
        samples.push(sample);
        Ok(())
    })?;
    if samples.is_empty() {
        return Err(empty(name));
    }
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_keeps_its_order() {
        let text = "3 b.png pneumonia cohen\n3 a.png COVID-19 cohen\r\nx y.jpg normal rnsa";
        let found = read(text.as_bytes(), "list.txt").unwrap();
        let found: Vec<_> = found.iter().map(|x| (x.patient.as_str(), x.file.as_str(), x.class as u8)).collect();
        assert_eq!(found, [("3", "b.png", 1), ("3", "a.png", 2), ("x", "y.jpg", 0)]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, expected) in [
            ("", "list.txt has no labels"),
            ("1 a.png normal", "list.txt, line 1: 3 fields, expected are 4 between ` `"),
            ("1 a.png normal x\n1 b.png normal x ", "list.txt, line 2: 5 fields, expected are 4 between ` `"),
            ("1  normal x", "list.txt, line 1: the file `` is empty or has white space around it"),
            (" a.png normal x", "list.txt, line 1: the patient `` is empty or has white space around it"),
            ("1 a.png positive x", "list.txt, line 1: class `positive`, expected is normal, pneumonia or COVID-19"),
            ("1 a.png normal x\n2 b.png normal x\n3 a.png normal x", "list.txt, line 3: `a.png` is already in line 1"),
        ] {
            assert_eq!(read(text.as_bytes(), "list.txt").unwrap_err().to_string(), expected, "{text:?}");
        }
        let long = format!("1 a.png normal x\n{}", "x".repeat(3 << 20));
        let error = read(long.as_bytes(), "list.txt").unwrap_err().to_string();
        assert_eq!(error, "list.txt, line 2: longer than 1048576 bytes");
    }
}
