//! `permafrost sql`.

use std::io::Read;

use serde_json::{Map, Value, json};

use super::{
    args::{Global, Output, Sql},
    error::CliError,
    output,
};
use crate::{
    report::Table,
    store::{DATABASE, QueryResult, Reader, SqlValue},
};

/// Asks the database.
pub(super) async fn run(global: &Global, args: &Sql) -> Result<(), CliError> {
    let mut query = args.query.clone();
    if query == "-" {
        query.clear();
        let failed = |source| CliError::Io { action: "read", path: "standard input".into(), source };
        std::io::stdin().read_to_string(&mut query).map_err(failed)?;
    }
    let reader = Reader::open(&global.home.join(DATABASE)).await?;
    let result = reader.query(&query).await?;
    let format = if global.json { Output::Json } else { args.format };
    output::write(&[Table::of_query(&result)], format, None, || json!(objects(&result)))
}

/// Names of columns; one that comes again is numbered, so that no value is lost.
fn names(columns: &[String]) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(columns.len());
    for column in columns {
        let mut name = column.clone();
        for number in 2.. {
            if !names.contains(&name) {
                break;
            }
            name = format!("{column}_{number}");
        }
        names.push(name);
    }
    names
}

/// An object a row.
fn objects(result: &QueryResult) -> Vec<Map<String, Value>> {
    let value = |value: &SqlValue| serde_json::to_value(value).unwrap_or(Value::Null);
    let names = names(&result.columns);
    result.rows.iter().map(|row| names.iter().cloned().zip(row.iter().map(value)).collect()).collect()
}
