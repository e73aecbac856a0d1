//! Embeddings that were made elsewhere, such as in Python: a table of values, and a list of the ids of its rows.

mod npy;
mod table;

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
};

use self::table::Table;
use crate::{
    cache::{Layout, Row, Writer, only_pooled},
    datasets::Dataset,
    error::{Error, Result},
    execute::{Job, Reporter, stopped},
    files,
    protocol::Outcome,
    task::{Embed, Encoder},
};

/// Lacking samples that are named.
const NAMED: usize = 5;

/// Runs the members one after another: they copy.
///
/// Leaves a summary: `samples`, `samples_missing` (always 0), `width`, `rows_unused` (of no sample of the collection).
///
/// # Errors
/// When the collection cannot be read; each member has its own outcome otherwise.
pub(super) fn run(job: &Job, reporter: &dyn Reporter) -> Result<()> {
    super::in_turn(job, reporter, |member, task, dataset| import(job, member, task, dataset, reporter))
}

fn import(job: &Job, member: usize, task: &Embed, dataset: &Dataset, reporter: &dyn Reporter) -> Result<Outcome> {
    let Encoder::Imported { location, ids: list, fingerprint } = &task.encoder else {
        return Err(Error::input("another encoder among imported embeddings"));
    };
    only_pooled(task.output)?;
    check_fingerprint(location, &list.location, fingerprint)?;
    let table = Table::open(location).map_err(|what| wrong(location, what))?;
    let text = fs::read_to_string(&list.location).map_err(Error::io("read", &list.location))?;
    let rows = rows_by_id(&text, table.rows()).map_err(|what| wrong(&list.location, what))?;
    let ids = samples(dataset, &rows, &list.location)?;
    let unused = rows.len() - ids.len();
    let layout = Layout::pooled(table.width(), task.dtype);
    let writer = Writer::open(job, member, reporter, layout, ids.iter().map(|id| (*id).to_owned()).collect())?;
    let total = ids.len() as u64;
    for shard in 0..writer.shards() {
        if let Some(why) = reporter.stop(member) {
            return Ok(stopped(why));
        }
        let range = writer.rows(shard);
        if !writer.is_done(shard) {
            let row = |id: &&str| Row::Values(vec![table.row(rows[*id])]);
            writer.put(shard, ids[range.clone()].iter().map(row).collect())?;
        }
        reporter.progress(member, range.end as u64, total);
    }
    let (artifacts, mut summary): (_, BTreeMap<String, f64>) = writer.finish()?;
    summary.insert("width".to_owned(), table.width() as f64);
    summary.insert("rows_unused".to_owned(), unused as f64);
    Ok(Outcome::Done { summary, artifacts })
}

/// Checks that the files are those that the sweep was planned with.
fn check_fingerprint(values: &Path, ids: &Path, planned: &str) -> Result<()> {
    if files::fingerprint(&[values.to_owned(), ids.to_owned()])? == planned {
        return Ok(());
    }
    Err(Error::Input {
        what: format!("{} or {} has changed since the sweep was launched", values.display(), ids.display()),
        cure: Some("launch the sweep again: other files are another encoder".to_owned()),
    })
}

fn wrong(path: &Path, what: String) -> Error {
    let cure =
        "save a [samples, width] array as .npy or safetensors, and the id of each row as a line of the list of ids";
    Error::Input { what: format!("{}: {what}", path.display()), cure: Some(cure.to_owned()) }
}

/// The row of each id.
fn rows_by_id(text: &str, rows: usize) -> Result<HashMap<&str, usize>, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut found = HashMap::with_capacity(rows);
    for (row, line) in text.trim_end().lines().enumerate() {
        let id = line.trim();
        if id.is_empty() {
            return Err(format!("line {} is empty", row + 1));
        }
        if let Some(before) = found.insert(id, row) {
            return Err(format!("id `{id}` is in line {} and in line {}", before + 1, row + 1));
        }
    }
    if found.len() != rows {
        return Err(format!("{} ids for {rows} rows of values", found.len()));
    }
    Ok(found)
}

/// The samples that the rows are of: the images of the collection, or its reports.
fn samples<'a>(dataset: &'a Dataset, rows: &HashMap<&str, usize>, list: &Path) -> Result<Vec<&'a str>> {
    let images: Vec<&str> = dataset.images.iter().map(|image| image.id.as_str()).collect();
    let reports: Vec<&str> = dataset.reports.iter().map(|report| report.id.as_str()).collect();
    let lacking =
        |ids: &[&'a str]| -> Vec<&'a str> { ids.iter().copied().filter(|id| !rows.contains_key(id)).collect() };
    let (no_image, no_report) = (lacking(&images), lacking(&reports));
    if no_image.is_empty() && !images.is_empty() {
        return Ok(images);
    }
    if no_report.is_empty() && !reports.is_empty() {
        return Ok(reports);
    }
    let (what, lacking, of) = match images.len() - no_image.len() >= reports.len() - no_report.len() {
        true => ("images", no_image, images.len()),
        false => ("reports", no_report, reports.len()),
    };
    let mut named = lacking.iter().take(NAMED).map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ");
    if lacking.len() > NAMED {
        named += ", ...";
    }
    Err(Error::Input {
        what: format!(
            "{}: {} of the {of} {what} of the collection have no row: {named}",
            list.display(),
            lacking.len()
        ),
        cure: Some("give a row to every image, or to every report, with the ids that the collection has".to_owned()),
    })
}
