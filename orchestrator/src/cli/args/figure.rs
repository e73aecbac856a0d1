//! Arguments of `figure`.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use serde_json::Value;

use crate::{
    figure::{DPI, Reference},
    sweep::{FigureKind, Theme},
};

/// Arguments of `figure`.
#[derive(Debug, ClapArgs)]
pub struct Figure {
    /// What it shows
    #[arg(value_enum, value_name = "KIND")]
    pub kind: FigureChoice,
    /// Name of a sweep [default: the one launched last]
    pub sweep: Option<String>,
    /// Write to this file: .svg, .png, .csv or .json, and - for SVG on standard output; several allowed [default: figures/SWEEP/KIND.svg, .png and .csv in the home folder]
    #[arg(long, short, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub output: Vec<PathBuf>,
    /// The stage it is about [default: the last one that fits]
    #[arg(long, value_name = "STAGE")]
    pub stage: Option<String>,
    /// What is shown: a result, of curves a metric [default: the stage's own; of curves all]
    #[arg(long, value_name = "NAME")]
    pub metric: Option<String>,
    /// Only trials that have one of these values; several allowed
    #[arg(long, value_name = "NAME=VALUE[,VALUE]", value_parser = filter)]
    pub filter: Vec<(String, Value)>,
    /// Heading; a paper has a caption instead
    #[arg(long, value_name = "TEXT")]
    pub title: Option<String>,
    /// Width in millimetres: 85 for one column of a paper, 174 for both
    #[arg(long, value_name = "MM", default_value_t = 174.0, value_parser = width)]
    pub width_mm: f64,
    /// Pixels an inch of a PNG
    #[arg(long, value_name = "N", default_value_t = DPI.2, value_parser = clap::value_parser!(u32).range(i64::from(DPI.0)..=i64::from(DPI.1)))]
    pub dpi: u32,
    /// Colours
    #[arg(long, value_enum, default_value = "light")]
    pub theme: ThemeChoice,
    /// params: published values beside those of SWEEP, which must be on the same data; alone where no sweep is named
    #[arg(long, value_enum, default_value = "auto")]
    pub reference: Reference,
}

/// Kinds of figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum FigureChoice {
    /// Trainable parameters against a score (the paper's Fig. 2)
    #[value(alias = "fig2")]
    Params,
    /// t-SNE of image embeddings before and after the Adaptor (the paper's Fig. 3)
    #[value(alias = "fig3")]
    Tsne,
    /// Metrics by epochs trained, with intervals over seeds
    Curves,
    /// A score against the share of the labels, with intervals over seeds
    Fractions,
}

impl From<FigureChoice> for FigureKind {
    fn from(choice: FigureChoice) -> Self {
        match choice {
            FigureChoice::Params => Self::Params,
            FigureChoice::Tsne => Self::Tsne,
            FigureChoice::Curves => Self::Curves,
            FigureChoice::Fractions => Self::Fractions,
        }
    }
}

/// Themes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ThemeChoice {
    /// Dark on white
    Light,
    /// Light on near-black
    Dark,
}

impl From<ThemeChoice> for Theme {
    fn from(choice: ThemeChoice) -> Self {
        match choice {
            ThemeChoice::Light => Self::Light,
            ThemeChoice::Dark => Self::Dark,
        }
    }
}

fn width(text: &str) -> Result<f64, String> {
    let (least, most) = crate::sweep::FIGURE_WIDTHS_MM;
    match text.parse::<f64>() {
        Ok(width) if (least..=most).contains(&width) => Ok(width),
        _ => Err(format!("must be a number from {least} to {most}")),
    }
}

/// A parameter and the values that are wanted of it.
fn filter(text: &str) -> Result<(String, Value), String> {
    let (name, values) = text.split_once('=').ok_or_else(|| "must be NAME=VALUE".to_owned())?;
    let value = |text: &str| match serde_json::from_str(text) {
        Ok(value @ (Value::Number(_) | Value::Bool(_) | Value::Null)) => value,
        _ => Value::String(text.to_owned()),
    };
    Ok((name.to_owned(), Value::Array(values.split(',').map(value).collect())))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn filters_are_read() {
        assert_eq!(filter("fraction=0.01,0.1").unwrap(), ("fraction".to_owned(), json!([0.01, 0.1])));
        assert_eq!(filter("label=kind=x").unwrap(), ("label".to_owned(), json!(["kind=x"])));
        assert!(filter("label").is_err() && width("59").is_err() && width("x").is_err() && width("85").is_ok());
    }
}
