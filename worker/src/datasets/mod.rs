//! Collections of images and reports: where they come from ([`fetch`]), and what is made of them ([`prepare`]).

mod dataset;
pub mod fetch;
mod openi;
mod openi_xml;
mod pip;
pub mod prepare;
mod text;
pub mod wheel;

pub use dataset::{Dataset, Image, Report, Split};
pub use openi::{Counts, PUBLISHED as OPEN_I_PUBLISHED};
