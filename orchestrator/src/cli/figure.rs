//! `permafrost figure`, and the figures of a sweep that has ended.

use std::path::{Path, PathBuf};

use permafrost_worker::files::write_atomic;
use serde_json::json;

use super::{args, error::CliError, results::StoredReport, ui, unwritable::unwritten, which::sweep_at};
use crate::{
    figure::{self, DPI, Figure, FigureError, Reference, Request},
    store::{DATABASE, Reader, SweepRow},
    sweep::FigureKind,
};

/// Draws a figure.
pub(super) async fn run(global: &args::Global, args: &args::Figure) -> Result<(), CliError> {
    for path in &args.output {
        Form::of(path)?;
    }
    let (figure, sweep) = drawn(global, args).await?;
    let mut paths = args.output.clone();
    if paths.is_empty() && !global.json {
        let name = FigureKind::from(args.kind).name();
        paths.extend(usual_paths(&folder(&global.home, sweep.as_deref().unwrap_or("paper")), name));
    }
    for path in &paths {
        write(&figure, path, args.dpi, "--output")?;
        if !global.json && path.as_os_str() != "-" {
            ui::out(path.display())?;
        }
    }
    if global.json {
        let kind = FigureKind::from(args.kind).name();
        ui::json(&json!({"figure": kind, "sweep": sweep, "files": args.output, "data": figure.data.to_json()}))?;
    }
    Ok(())
}

/// The figure, and the name of its sweep.
async fn drawn(global: &args::Global, args: &args::Figure) -> Result<(Figure, Option<String>), CliError> {
    let request = Request {
        stage: args.stage.clone(),
        metric: args.metric.clone(),
        filter: args.filter.iter().cloned().collect(),
        title: args.title.clone(),
        width_mm: args.width_mm,
        theme: args.theme.into(),
        reference: args.reference,
        ..Request::new(args.kind.into())
    };
    refuse_idle(&request)?;
    // Whether there is a database or not: which sweep was launched last has nothing to do with the paper's values.
    if args.sweep.is_none() && matches!(args.reference, Reference::Rsna | Reference::Covidx) {
        if args.stage.is_some() || args.metric.is_some() || !args.filter.is_empty() {
            return Err(CliError::Usage {
                what: "the paper's values alone have no --stage, --metric or --filter".to_owned(),
                cure: "name the sweep whose trials are to stand beside them".to_owned(),
            });
        }
        return Ok((Figure::of_paper(&request)?, None));
    }
    let reader = Reader::open(&global.home.join(DATABASE)).await?;
    let sweep = sweep_at(&reader, args.sweep.as_deref(), None).await?;
    let plan = reader.plan_columns(sweep.sweep).await?;
    Ok((figure::draw(&reader, &sweep, &plan, &request).await?, Some(sweep.name)))
}

/// Refuses options that this kind of figure would not look at.
fn refuse_idle(request: &Request) -> Result<(), CliError> {
    let (option, cure) = match request.kind {
        FigureKind::Tsne if request.metric.is_some() => {
            ("--metric", "leave it out: silhouette and k-NN accuracy stand below each panel")
        }
        FigureKind::Tsne | FigureKind::Curves | FigureKind::Fractions if request.reference != Reference::Auto => {
            ("--reference", "leave it out, or draw `permafrost figure params`")
        }
        _ => return Ok(()),
    };
    let what = format!("a figure of kind `{}` has no use for {option}", request.kind.name());
    Err(CliError::Usage { what, cure: cure.to_owned() })
}

/// Draws what the sweep file asks for, as SVG, PNG and CSV. A figure that cannot be drawn is told, and is no error.
pub(super) async fn of_sweep(home: &Path, reader: &Reader, sweep: &SweepRow, quiet: bool) -> Result<(), CliError> {
    let specs = StoredReport::of_row(sweep)?.figures;
    let plan = reader.plan_columns(sweep.sweep).await?;
    let folder = folder(home, &sweep.name);
    let mut names = Vec::new();
    for spec in &specs {
        match figure::draw(reader, sweep, &plan, &Request::of_spec(spec)).await {
            Ok(figure) => {
                for path in usual_paths(&folder, &spec.name) {
                    match write(&figure, &path, DPI.2, "--home") {
                        Err(CliError::Figure(error)) if !quiet => {
                            ui::say(format_args!("figure {} is not written as {}: {error}", spec.name, path.display()));
                        }
                        Err(CliError::Figure(_)) => {}
                        written => written?,
                    }
                }
                names.push(spec.name.as_str());
            }
            Err(FigureError::Store(error)) => return Err(error.into()),
            Err(error) if !quiet => {
                let cure = error.cure().map_or_else(String::new, |cure| format!("; {cure}"));
                ui::say(format_args!("figure {} is not drawn: {error}{cure}", spec.name));
            }
            Err(_) => {}
        }
    }
    if !names.is_empty() && !quiet {
        ui::say(format_args!(
            "\nfigures in {}: {} (svg, png, and csv of the data)",
            folder.display(),
            names.join(", ")
        ));
    }
    Ok(())
}

fn folder(home: &Path, sweep: &str) -> PathBuf {
    home.join("figures").join(sweep)
}

fn usual_paths(folder: &Path, name: &str) -> [PathBuf; 3] {
    ["svg", "png", "csv"].map(|form| folder.join(format!("{name}.{form}")))
}

/// Forms of a file.
#[derive(Clone, Copy)]
enum Form {
    Svg,
    Png,
    Csv,
    Json,
}

impl Form {
    fn of(path: &Path) -> Result<Self, CliError> {
        if path.as_os_str() == "-" {
            return Ok(Self::Svg);
        }
        match path.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase).as_deref() {
            Some("svg") => Ok(Self::Svg),
            Some("png") => Ok(Self::Png),
            Some("csv") => Ok(Self::Csv),
            Some("json") => Ok(Self::Json),
            _ => Err(CliError::NotFound {
                what: format!("{} has no form of a figure", path.display()),
                cure: "name a file that ends in .svg, .png, .csv or .json; LaTeX takes a PDF, which `rsvg-convert -f pdf` or Inkscape \
                       makes of the SVG"
                    .to_owned(),
            }),
        }
    }
}

/// `option` names another path.
fn write(figure: &Figure, path: &Path, dpi: u32, option: &'static str) -> Result<(), CliError> {
    let bytes = match Form::of(path)? {
        Form::Svg => figure.svg.as_str().as_bytes().to_vec(),
        Form::Png => figure.svg.to_png(dpi)?,
        Form::Csv => figure.data.to_csv().into_bytes(),
        Form::Json => format!("{:#}\n", figure.data.to_json()).into_bytes(),
    };
    if path.as_os_str() == "-" {
        return ui::out(String::from_utf8_lossy(&bytes).trim_end());
    }
    // A name alone has no folder to make.
    let path =
        std::path::absolute(path).map_err(|source| CliError::Io { action: "find", path: path.to_owned(), source })?;
    write_atomic(&path, |out| out.write_all(&bytes)).map_err(unwritten(&path, option))
}
