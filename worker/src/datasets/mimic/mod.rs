//! MIMIC-CXR v2 as downloaded from PhysioNet: frontal views and what their reports say.

mod exceptions;
mod names;
mod reader;
mod reports;
mod sections;
mod tables;

pub use exceptions::{Exception, conclusion};
pub use names::{COMPARISON, FINDINGS, IMPRESSION, LAST_PARAGRAPH, normalise};
pub use reader::{Collection, Counts, Dropped, HeldOut, Options, ReportText, read};
pub use reports::ARCHIVE;
pub use sections::{Section, Sections};
pub use tables::{METADATA, PUBLISHED, Published, SPLITS, TREE};
