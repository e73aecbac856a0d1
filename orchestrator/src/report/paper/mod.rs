//! The paper's three tables: its numbers as data, what the database has for each of their cells, and the sizes of the models.

mod reference;

pub use reference::{Column, Paper, Printed, Row, paper};
