//! Collections of images and reports: where they come from ([`fetch`]), and what is made of them ([`prepare`]); label files of
//! published collections ([`labels`]) and how they were split ([`splits`]).

mod dataset;
pub mod fetch;
pub mod labels;
mod openi;
mod openi_xml;
mod pip;
pub mod prepare;
pub mod splits;
mod text;
pub mod wheel;

pub use dataset::{Dataset, Image, Report, Split};
pub use openi::{Counts, PUBLISHED as OPEN_I_PUBLISHED};
