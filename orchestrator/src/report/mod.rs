//! From results to tables, and from tables to text. Pure: no database, no terminal.

mod axis;
mod cell;
mod delimited;
pub mod export;
mod grid;
mod json;
mod latex;
mod list;
mod markdown;
mod number;
pub mod parquet;
mod reference;
mod render;
mod sheet;
mod student;
mod table;
mod terminal;

pub use render::{Format, Style, render};
pub use table::Table;
