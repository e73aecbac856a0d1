//! The data behind a figure, for programs.

use serde_json::{Map, Value, json};

/// A table: what a figure shows, a row a mark.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Data {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Rows, a value a column.
    pub rows: Vec<Vec<Value>>,
}

impl Data {
    pub(super) fn new(columns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { columns: columns.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// A list of objects.
    pub fn to_json(&self) -> Value {
        let row = |row: &Vec<Value>| {
            Value::Object(self.columns.iter().cloned().zip(row.iter().cloned()).collect::<Map<_, _>>())
        };
        json!(self.rows.iter().map(row).collect::<Vec<_>>())
    }

    /// Comma-separated values with a heading; what is missing is empty.
    pub fn to_csv(&self) -> String {
        let mut out = csv::Writer::from_writer(Vec::new());
        let text = |value: &Value| match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let rows = self.rows.iter().map(|row| row.iter().map(text).collect::<Vec<_>>());
        for row in std::iter::once(self.columns.clone()).chain(rows) {
            // Writing to memory does not fail, and all rows are of one length.
            out.write_record(row).ok();
        }
        out.into_inner().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }
}
