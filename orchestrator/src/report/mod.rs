//! From results to tables, and from tables to text. Pure: no database, no terminal.

mod axis;
mod cell;
mod columns;
mod compare;
mod delimited;
pub mod export;
mod grid;
mod json;
mod latex;
pub mod lineage;
mod list;
mod markdown;
mod number;
mod pairing;
pub mod paper;
pub mod parquet;
mod render;
pub(crate) mod repeats;
mod sheet;
pub(crate) mod stats;
mod table;
mod terminal;
mod units;
mod usage;
pub(crate) mod versions;

pub use cell::BLOCKED;
pub(crate) use cell::{Summary, is_share};
pub use columns::parquet as to_parquet;
pub(crate) use number::{labelled, labels};
pub use render::{Format, Style, render};
pub(crate) use stats::Interval;
pub use table::Table;
