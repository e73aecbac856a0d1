//! What must be there of a collection.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use permafrost_worker::{
    datasets::{
        general::{Columns, MAX_CLASSES},
        prepare, table,
    },
    error::Result,
    task::Reader,
};

use super::super::types::Missing;

/// Gives the reader its fingerprint. What is missing is returned instead, with how to get it.
pub(super) fn seal(reader: &mut Reader) -> Vec<Missing> {
    let what = name(reader);
    let missing: Vec<Missing> = reader
        .missing()
        .into_iter()
        .filter_map(|required| {
            let path = required.any_of.into_iter().next()?;
            Some(Missing { what: what.to_owned(), path, cure: required.cure.to_owned() })
        })
        .collect();
    if !missing.is_empty() {
        return missing;
    }
    let tables = reader.tables();
    match prepare::fingerprint(reader) {
        Ok(found) => {
            match reader {
                Reader::OpenI { .. } => {}
                Reader::MimicCxr { fingerprint, .. }
                | Reader::Rsna { fingerprint, .. }
                | Reader::Covidx { fingerprint, .. }
                | Reader::Siim { fingerprint, .. }
                | Reader::Table { fingerprint, .. } => *fingerprint = found,
            }
            Vec::new()
        }
        Err(error) => {
            let path = tables.into_iter().next().unwrap_or_default();
            vec![Missing { what: what.to_owned(), path, cure: format!("make it readable: {error}") }]
        }
    }
}

/// What a collection is called.
fn name(reader: &Reader) -> &'static str {
    match reader {
        Reader::OpenI { .. } => "the Open-i reports",
        Reader::MimicCxr { .. } => "MIMIC-CXR v2",
        Reader::Rsna { .. } => "the RSNA Pneumonia Detection Challenge",
        Reader::Covidx { .. } => "COVIDx CXR-2",
        Reader::Siim { .. } => "SIIM-ACR Pneumothorax Segmentation",
        Reader::Table { .. } => "a table of samples",
    }
}

/// What planning reads of a table.
#[derive(Default)]
pub(super) struct Contents {
    pub(super) rows: usize,
    /// The classes of each class column.
    pub(super) classes: BTreeMap<String, BTreeSet<String>>,
}

/// Reads the table, which must have `columns`.
///
/// # Errors
/// Of [`table::read`].
pub(super) fn contents(path: &Path, columns: &Columns) -> Result<Contents> {
    let Columns { id, image, text, report, mask, split, group, binary, classes, numbers } = columns;
    let single = [id, image, text, report, mask, split, group].into_iter().flatten();
    let wanted: Vec<&str> =
        single.chain([binary, classes, numbers].into_iter().flatten()).map(String::as_str).collect();
    let first = wanted.len() - numbers.len() - classes.len();
    let mut found: Vec<BTreeSet<String>> = vec![BTreeSet::new(); classes.len()];
    let rows = table::read(path, &wanted, &mut |row| {
        for (values, cell) in found.iter_mut().zip(&row.cells[first..]) {
            // A column with more holds something else, and the reader says so.
            if !cell.is_empty() && values.len() < MAX_CLASSES && !values.contains(&**cell) {
                values.insert(cell.to_string());
            }
        }
        Ok(())
    })?;
    Ok(Contents { rows, classes: classes.iter().cloned().zip(found).collect() })
}
