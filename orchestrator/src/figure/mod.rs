//! Figures that can go into a paper as they are: the paper's Fig. 2 and Fig. 3, learning curves, and scores against the share of
//! the labels. From data to SVG by pure functions; PNG from the same SVG.
//!
//! The drawing is our own. Of the chart libraries of Rust, plotters places everything at whole pixels and leaves out titles,
//! descriptions and groups in SVG, and the others need JavaScript. What is hard is a library's: resvg turns SVG into pixels, skrifa
//! measures text.

mod data;
mod error;
mod fraction;
mod groups;
mod history;
mod labels;
mod lines;
mod panel;
mod paper;
mod params;
mod png;
mod render;
mod scale;
mod scatter;
mod style;
mod svg;
#[cfg(test)]
mod tests;
mod text;
mod tsne;

pub use data::Data;
pub use error::FigureError;
pub use png::DPI;
pub use render::{Figure, Reference, Request, draw};
pub use svg::Svg;
