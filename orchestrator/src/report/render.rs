//! Tables as text.

use serde_json::Value;

use super::{delimited, latex, markdown, table::Table, terminal};

/// How tables are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For the terminal
    Table,
    /// A line a cell, for other programs
    Csv,
    /// An array of tables, for other programs
    Json,
    /// For a web page
    Markdown,
    /// For a paper; needs the package booktabs
    Latex,
}

/// What the terminal can show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Columns of the terminal; wider tables are shown in parts. `None`: as wide as they are.
    pub width: Option<u16>,
    /// Whether to use bold type and colours.
    pub color: bool,
}

/// All tables as one document. `style` matters to [`Format::Table`] only.
pub fn render(tables: &[Table], format: Format, style: Style) -> String {
    let each: Vec<String> = match format {
        Format::Json => return format!("{:#}\n", Value::Array(tables.iter().map(Table::to_json).collect())),
        Format::Table => tables.iter().map(|table| terminal::table(table, style)).collect(),
        Format::Csv => tables.iter().map(delimited::table).collect(),
        Format::Markdown => tables.iter().map(markdown::table).collect(),
        Format::Latex => return latex::document(tables),
    };
    each.join("\n")
}
