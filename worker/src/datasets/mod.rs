//! Collections of images and reports: where they come from ([`fetch`]), and what is made of them ([`prepare`]).

mod dataset;
pub mod fetch;
pub mod prepare;

pub use dataset::{Dataset, Image, Report, Split};
