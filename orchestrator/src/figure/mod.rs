//! Figures that can go into a paper as they are: the paper's Fig. 2 and Fig. 3, learning curves, and scores against the share of
//! the labels. From data to SVG by pure functions; PNG from the same SVG.
//!
//! plotters draws, and measures text with the font that is part of the program; resvg turns SVG into pixels. What they have not is here:
//! which data are shown, labels that do not cover each other, rows of panels, and the document's size, title and description.

mod axis;
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
mod scatter;
mod settings;
mod shown;
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
