//! Tables as one Parquet file: a row a cell, or a row a trial.

use serde_json::{Value, json};

use super::{
    grid::Grid,
    json, number,
    parquet::{self, Column, ParquetError, Values},
    table::{Body, Table},
};

/// Keys of a cell's JSON that are columns, in this order.
const NUMBERS: [&str; 14] =
    ["state", "trials", "n", "mean", "sd", "ci95", "low", "high", "min", "max", "best", "reference", "difference", "p"];

/// All tables in one file: what a table does not have is null in its rows. The column `table` holds titles, for files of several.
///
/// # Errors
/// [`ParquetError`] when the library cannot write it.
pub fn parquet(tables: &[Table]) -> Result<Vec<u8>, ParquetError> {
    let mut names: Vec<String> = vec!["table".to_owned()];
    let mut rows: Vec<Vec<(usize, Value)>> = Vec::new();
    for table in tables {
        let place = |name: &str, names: &mut Vec<String>| match names.iter().position(|known| known == name) {
            Some(at) => at,
            None => {
                names.push(name.to_owned());
                names.len() - 1
            }
        };
        for line in lines(table) {
            let title = (0, json!(table.title));
            let values = line.into_iter().map(|(name, value)| (place(&name, &mut names), value));
            rows.push(std::iter::once(title).chain(values).collect());
        }
    }
    let columns = names.into_iter().enumerate().map(|(at, name)| {
        let value = |row: &Vec<(usize, Value)>| {
            row.iter().find(|(place, _)| *place == at).map_or(Value::Null, |(_, value)| value.clone())
        };
        Column { name, values: typed(rows.iter().map(value).collect()) }
    });
    parquet::write(&columns.collect::<Vec<_>>())
}

/// Rows as names and values.
fn lines(table: &Table) -> Vec<Vec<(String, Value)>> {
    match &table.body {
        Body::List(list) => {
            let names = || list.columns.iter().map(|column| column.name.clone());
            list.rows.iter().map(|row| names().zip(row.iter().cloned()).collect()).collect()
        }
        Body::Grid(grid) => cells(grid),
    }
}

fn cells(grid: &Grid) -> Vec<Vec<(String, Value)>> {
    let mut lines = Vec::new();
    for (row, cells) in grid.rows.keys.iter().zip(&grid.cells) {
        for (column, cell) in grid.columns.keys.iter().zip(cells) {
            let Some(cell) = cell else { continue };
            let names = grid.rows.names.iter().chain(&grid.columns.names).cloned();
            let mut line: Vec<(String, Value)> = names.zip(row.iter().chain(column).cloned()).collect();
            line.extend([("stage".to_owned(), json!(grid.stage)), ("metric".to_owned(), json!(grid.metric))]);
            let mut numbers = json::cell(cell);
            numbers["p"] = numbers["compared"]["p_t_holm"].take();
            line.extend(NUMBERS.map(|name| (name.to_owned(), numbers[name].take())));
            lines.push(line);
        }
    }
    lines
}

/// The narrowest type that holds all values of a column.
fn typed(values: Vec<Value>) -> Values {
    let all = |is: fn(&Value) -> bool| values.iter().filter(|value| !value.is_null()).all(is);
    let some = values.iter().any(|value| !value.is_null());
    if some && all(Value::is_boolean) {
        return Values::Boolean(values.iter().map(Value::as_bool).collect());
    }
    if some && all(Value::is_i64) {
        return Values::Integer(values.iter().map(Value::as_i64).collect());
    }
    if some && all(Value::is_number) {
        return Values::Real(values.iter().map(Value::as_f64).collect());
    }
    Values::Text(values.iter().map(|value| (!value.is_null()).then(|| number::plain(value))).collect())
}
