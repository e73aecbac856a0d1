//! From results to tables, and from tables to text. Pure: no database, no terminal.

mod axis;
mod cell;
mod delimited;
mod grid;
mod json;
mod latex;
mod list;
mod markdown;
mod number;
mod pairing;
pub mod paper;
pub mod parquet;
mod render;
mod sheet;
mod stats;
mod table;
mod terminal;

pub use render::{Format, Style, render};
pub use table::Table;
