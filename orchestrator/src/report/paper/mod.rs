//! The paper's three tables: its numbers as data, what the database has for each of their cells, and the sizes of the models.

mod layout;
mod members;
mod reference;
mod sizes;

pub use layout::table;
pub use reference::{Column, Paper, Printed, Row, paper};
