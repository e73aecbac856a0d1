//! From results to tables, and from tables to text. Pure: no database, no terminal.

mod axis;
mod cell;
mod delimited;
mod estimate;
mod grid;
mod json;
mod latex;
mod list;
mod markdown;
mod number;
mod reference;
mod render;
mod sheet;
mod student;
mod table;
mod terminal;

pub(crate) use estimate::estimate;
pub use render::{Format, Style, render};
pub use table::Table;
