//! Tables as comma-separated values, numbers in full.

use csv::{Writer, WriterBuilder};
use serde_json::Value;

use super::{
    cell::Cell,
    grid::Grid,
    list::List,
    number,
    table::{Body, Table},
};

pub(super) fn table(table: &Table) -> String {
    let mut writer = WriterBuilder::new().from_writer(Vec::new());
    let written = match &table.body {
        Body::Grid(grid) => cells(grid, &mut writer),
        Body::List(list) => rows(list, &mut writer),
    };
    // Writing to memory does not fail, and all rows have as many fields as there are columns.
    let bytes = written.ok().and_then(|()| writer.into_inner().ok()).unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}

/// A line a cell.
fn cells(grid: &Grid, writer: &mut Writer<Vec<u8>>) -> csv::Result<()> {
    let names = grid.rows.names.iter().chain(&grid.columns.names).map(String::as_str);
    writer.write_record(names.chain(NUMBERS))?;
    for (row, cells) in grid.rows.keys.iter().zip(&grid.cells) {
        for (column, cell) in grid.columns.keys.iter().zip(cells) {
            let Some(cell) = cell else { continue };
            writer.write_record(row.iter().chain(column).map(number::plain).chain(fields(cell)))?;
        }
    }
    Ok(())
}

/// Names of the numbers of a cell; what is new stands at the end.
const NUMBERS: [&str; 13] =
    ["n", "mean", "sd", "ci95", "min", "max", "state", "reference", "difference", "low", "high", "best", "p"];

fn fields(cell: &Cell) -> [String; 13] {
    let text = |number: Option<f64>| number.map(|number| number.to_string()).unwrap_or_default();
    let summary = cell.summary.as_ref();
    [
        summary.map_or(0, |summary| summary.n).to_string(),
        text(cell.mean()),
        text(summary.and_then(|summary| summary.sd)),
        text(summary.and_then(|summary| summary.ci95)),
        text(summary.map(|summary| summary.min)),
        text(summary.map(|summary| summary.max)),
        cell.state().to_owned(),
        text(cell.reference),
        text(cell.difference()),
        text(summary.and_then(|summary| summary.interval).map(|interval| interval.low)),
        text(summary.and_then(|summary| summary.interval).map(|interval| interval.high)),
        cell.best.to_string(),
        text(cell.compared.as_ref().and_then(|compared| compared.p_t)),
    ]
}

fn rows(list: &List, writer: &mut Writer<Vec<u8>>) -> csv::Result<()> {
    if list.columns.is_empty() {
        return Ok(());
    }
    writer.write_record(list.columns.iter().map(|column| &column.name))?;
    for row in &list.rows {
        writer.write_record(row.iter().map(|value: &Value| number::plain(value)))?;
    }
    Ok(())
}
