//! Readers of the label files of published collections, each as its publisher hands it out. What is wrong in a file is
//! an error that names the line.

pub mod covidx;
pub mod mask;
pub mod rle;
pub mod rsna;
pub mod siim;
mod table;
