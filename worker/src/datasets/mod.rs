//! Collections of images and reports: where they come from ([`fetch`]), and what is made of them ([`prepare`]); label files of
//! published collections ([`labels`]) and how they were split ([`splits`]); MIMIC-CXR ([`mimic`]) and any other collection
//! ([`general`]), and what is in one ([`check`]).

pub mod check;
mod dataset;
pub mod fetch;
pub mod general;
mod group_split;
pub mod labels;
pub mod listing;
mod lookup;
pub mod mimic;
mod openi;
mod openi_xml;
mod pip;
pub mod prepare;
pub mod splits;
pub mod table;
pub mod text;
pub mod wheel;

pub use dataset::{ClassColumn, Dataset, Image, LabelColumns, Report, Split};
pub use group_split::Shares;
pub use openi::{Counts, PUBLISHED as OPEN_I_PUBLISHED};
