//! Collections of images and reports, and where they come from.

pub mod fetch;
pub mod prepare;
