//! From the database to a figure.

use std::collections::BTreeSet;

use permafrost_worker::{files, train::project::COORDINATES};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    data::Data,
    error::{FigureError, data},
    fraction, groups, history,
    paper::Collection,
    params,
    style::Palette,
    svg::Svg,
    tsne::{self, Projection},
};
use crate::{
    store::{Reader, ResultRow, Subject, SweepRow},
    sweep::{FigureKind, FigureSpec, StagePlan, Theme},
};

/// Trials whose curves are read at once, at most.
const CURVES: usize = 5000;
/// Projections of a figure, at most.
const PROJECTIONS: usize = 8;
/// What is reported over time and is no result of training.
const NO_CURVE: &str = "learning_rate";

/// A figure that is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// What it shows.
    pub kind: FigureKind,
    /// The stage; none: the last one that fits.
    pub stage: Option<String>,
    /// What is shown: a result, of curves a metric; none: what is usual.
    pub metric: Option<String>,
    /// Only trials whose parameters have these values; a list of values stands for any of them.
    pub filter: Map<String, Value>,
    /// Heading; none: no heading, as a paper has a caption.
    pub title: Option<String>,
    /// Width in millimetres.
    pub width_mm: f64,
    /// Its colours.
    pub theme: Theme,
    /// Published values beside measured ones.
    pub reference: Reference,
}

/// Published values in a figure of trainable parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Reference {
    /// Where the trials are on the paper's data
    #[default]
    Auto,
    /// The paper's AUROC on RSNA
    Rsna,
    /// The paper's accuracy on COVIDx
    Covidx,
    /// None
    None,
}

impl Request {
    /// A figure of the usual look.
    pub fn new(kind: FigureKind) -> Self {
        Self {
            kind,
            stage: None,
            metric: None,
            filter: Map::new(),
            title: None,
            width_mm: 174.0,
            theme: Theme::Light,
            reference: Reference::Auto,
        }
    }

    /// What a sweep file asks for.
    pub fn of_spec(spec: &FigureSpec) -> Self {
        Self {
            kind: spec.kind,
            stage: Some(spec.stage.clone()),
            metric: spec.metric.clone(),
            filter: spec.filter.clone(),
            title: spec.title.clone(),
            width_mm: spec.width_mm,
            theme: spec.theme,
            reference: Reference::Auto,
        }
    }
}

/// A figure, and the data behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// The drawing.
    pub svg: Svg,
    /// What it shows.
    pub data: Data,
}

/// Draws a figure of a sweep, and gives the data behind it.
///
/// # Errors
/// [`FigureError`].
pub async fn draw(reader: &Reader, sweep: &SweepRow, request: &Request) -> Result<Figure, FigureError> {
    let stage = stage(sweep, request)?;
    let results = reader.results(sweep.sweep).await?;
    let of_stage: Vec<&ResultRow> = results.iter().filter(|row| row.stage == stage.name).collect();
    known_parameters(&of_stage, &request.filter)?;
    let trials: Vec<&ResultRow> = of_stage.into_iter().filter(|row| chosen(row, &request.filter)).collect();
    if trials.is_empty() {
        return Err(data(
            format!("no trial of stage `{}` has these parameters", stage.name),
            "`permafrost results --trials` shows which there are",
        ));
    }
    let on = On { reader, request, sweep, stage: &stage, trials: &trials };
    match request.kind {
        FigureKind::Params => on.params().await,
        FigureKind::Tsne => on.tsne().await,
        FigureKind::Curves => on.curves().await,
        FigureKind::Fractions => on.fractions(),
    }
}

impl Figure {
    /// Published values alone, without a database.
    ///
    /// # Errors
    /// [`FigureError::Data`] when the request names no published values.
    pub fn of_paper(request: &Request) -> Result<Self, FigureError> {
        let collection = published(request.reference);
        let collection =
            collection.ok_or_else(|| data("no published values are asked for", "use `--reference rsna`"))?;
        let none = Default::default();
        let title = request.title.clone();
        let (scatter, data) = params::scatter(&[], collection.metric(), &none, Some(collection), title)?;
        Ok(Self { svg: scatter.draw(request.width_mm, &Palette::of(request.theme))?, data })
    }
}

fn published(reference: Reference) -> Option<Collection> {
    match reference {
        Reference::Rsna => Some(Collection::Rsna),
        Reference::Covidx => Some(Collection::Covidx),
        Reference::Auto | Reference::None => None,
    }
}

/// The stage that a figure is about.
fn stage(sweep: &SweepRow, request: &Request) -> Result<StagePlan, FigureError> {
    /// What the sweep's row says of stages.
    #[derive(Deserialize)]
    struct Stored {
        stages: Vec<StagePlan>,
    }
    let stored: Stored = serde_json::from_str(&sweep.report).map_err(|error| FigureError::NoStage {
        what: format!("sweep `{}` was launched by another version: {error}", sweep.name),
        cure: "launch its file again with this version".to_owned(),
    })?;
    let fits = request.kind.stages();
    let kinds = || fits.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(" or ");
    let names = || stored.stages.iter().map(|stage| stage.name.as_str()).collect::<Vec<_>>().join(", ");
    let found = match &request.stage {
        None => stored.stages.iter().rev().find(|stage| fits.contains(&stage.kind)),
        Some(name) => stored.stages.iter().find(|stage| stage.name == *name),
    };
    match (found, &request.stage) {
        (Some(stage), _) if fits.contains(&stage.kind) => Ok(stage.clone()),
        (Some(stage), _) => Err(FigureError::NoStage {
            what: format!(
                "a figure of kind `{}` is about stages of kind {}, and `{}` is of kind {}",
                request.kind.name(),
                kinds(),
                stage.name,
                stage.kind.name()
            ),
            cure: match stored.stages.iter().filter(|stage| fits.contains(&stage.kind)).collect::<Vec<_>>() {
                fitting if fitting.is_empty() => "name another sweep: no stage of this one fits".to_owned(),
                fitting => {
                    let names: Vec<&str> = fitting.iter().map(|stage| stage.name.as_str()).collect();
                    format!("name another `--stage`: {}", names.join(", "))
                }
            },
        }),
        (None, Some(name)) => Err(FigureError::NoStage {
            what: format!("sweep `{}` has no stage `{name}`", sweep.name),
            cure: format!("there are {}", names()),
        }),
        (None, None) => Err(FigureError::NoStage {
            what: format!(
                "sweep `{}` has no {} stage, which a figure of kind `{}` is about",
                sweep.name,
                kinds(),
                request.kind.name()
            ),
            cure: match request.kind {
                FigureKind::Tsne => "add a `project` stage to the sweep file, as sweeps/figures.yaml has it".to_owned(),
                _ => format!("name another sweep; this one has the stages {}", names()),
            },
        }),
    }
}

fn known_parameters(trials: &[&ResultRow], filter: &Map<String, Value>) -> Result<(), FigureError> {
    for name in filter.keys() {
        if !trials.is_empty() && !trials.iter().any(|trial| trial.parameters.contains_key(name)) {
            let known: Vec<&str> = trials[0].parameters.keys().map(String::as_str).collect();
            return Err(data(
                format!("trials of the stage have no parameter `{name}`"),
                format!("there are {}", known.join(", ")),
            ));
        }
    }
    Ok(())
}

fn chosen(trial: &ResultRow, filter: &Map<String, Value>) -> bool {
    let equal = |a: &Value, b: &Value| match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        // On a command line a text may look like a number.
        _ if a.is_string() && !b.is_string() => a.as_str() == Some(b.to_string().as_str()),
        _ => a == b,
    };
    filter.iter().all(|(name, wanted)| {
        let wanted = wanted.as_array().map_or(std::slice::from_ref(wanted), Vec::as_slice);
        trial.parameters.get(name).is_some_and(|value| wanted.iter().any(|wanted| equal(value, wanted)))
    })
}

/// A figure on its way.
struct On<'a> {
    reader: &'a Reader,
    request: &'a Request,
    sweep: &'a SweepRow,
    stage: &'a StagePlan,
    trials: &'a [&'a ResultRow],
}

impl On<'_> {
    fn palette(&self) -> Palette {
        Palette::of(self.request.theme)
    }

    /// The result that is shown.
    fn metric(&self) -> Result<&str, FigureError> {
        let own = self.stage.metric.as_deref();
        let name = self.request.metric.as_deref().or(own).unwrap_or("auroc");
        let done: Vec<_> = self.trials.iter().filter(|trial| !trial.values.is_empty()).collect();
        if !done.is_empty() && !done.iter().any(|trial| trial.values.contains_key(name)) {
            let known: Vec<&str> = done[0].values.keys().map(String::as_str).collect();
            let what = format!("stage `{}` has no result `{name}`", self.stage.name);
            return Err(data(what, format!("there are {}", known.join(", "))));
        }
        Ok(name)
    }

    async fn params(&self) -> Result<Figure, FigureError> {
        let metric = self.metric()?;
        let trainable = self.reader.adaptor_parameters(self.sweep.sweep, &self.stage.name).await?;
        let known = self.reader.subjects(self.sweep.sweep, &self.stage.name).await?;
        let subjects: BTreeSet<&Subject> = self.trials.iter().filter_map(|trial| known.get(&trial.id)).collect();
        let subjects: Vec<&Subject> = subjects.into_iter().collect();
        let reference = match self.request.reference {
            Reference::Auto => Collection::comparable(&subjects, metric),
            other => published(other),
        };
        if let Some(collection) = reference {
            collection.fits(&subjects, metric)?;
        }
        let title = self.request.title.clone();
        let (scatter, data) = params::scatter(self.trials, metric, &trainable, reference, title)?;
        Ok(Figure { svg: scatter.draw(self.request.width_mm, &self.palette())?, data })
    }

    fn fractions(&self) -> Result<Figure, FigureError> {
        let (chart, data) = fraction::chart(self.trials, self.metric()?, self.request.title.clone())?;
        Ok(Figure { svg: chart.draw(self.request.width_mm, &self.palette())?, data })
    }

    async fn curves(&self) -> Result<Figure, FigureError> {
        if self.trials.len() > CURVES {
            let what = format!("the curves of {} trials are too many, at most {CURVES} are read", self.trials.len());
            return Err(data(what, "choose some: `--filter NAME=VALUE`"));
        }
        let ids: Vec<_> = self.trials.iter().filter_map(|trial| trial.id.parse().ok()).collect();
        let wanted = self.request.metric.as_deref();
        let curves = self.reader.curves(&ids, wanted).await?;
        let mut metrics: Vec<String> = Vec::new();
        for point in &curves {
            if (wanted.is_some() || point.metric != NO_CURVE) && !metrics.contains(&point.metric) {
                metrics.push(point.metric.clone());
            }
        }
        // Training before validation, losses before scores.
        metrics.sort_by_key(|name| (!name.ends_with("loss"), !name.starts_with("train"), name.clone()));
        if let Some(name) = wanted.filter(|_| metrics.is_empty()) {
            let what = format!("no trial of stage `{}` has reported `{name}`", self.stage.name);
            let all = self.reader.curves(&ids, None).await?;
            let known: BTreeSet<&str> = all.iter().map(|point| point.metric.as_str()).collect();
            let cure = match known.is_empty() {
                true => "wait for the first values: nothing is reported yet".to_owned(),
                false => format!("there are {}", known.into_iter().collect::<Vec<_>>().join(", ")),
            };
            return Err(data(what, cure));
        }
        let ranking = self.stage.metric.clone().map(|metric| (metric, self.stage.maximize));
        let title = self.request.title.clone();
        let (chart, data) = history::chart(self.trials, &curves, &metrics, &ranking, title)?;
        Ok(Figure { svg: chart.draw(self.request.width_mm, &self.palette())?, data })
    }

    async fn tsne(&self) -> Result<Figure, FigureError> {
        let done: Vec<&ResultRow> = self.trials.iter().copied().filter(|trial| trial.state == "done").collect();
        if done.is_empty() {
            let what = format!("no trial of stage `{}` is done yet", self.stage.name);
            return Err(data(what, "`permafrost status` says how far the sweep is"));
        }
        if done.len() > PROJECTIONS {
            let what = format!("{} projections are too many, at most {PROJECTIONS} are drawn", done.len());
            return Err(data(what, "choose some: `--filter vision=NAME`"));
        }
        let varying = groups::varying(&done);
        if varying.iter().any(|name| name == "label") {
            let cure = "choose one: `--filter label=NAME`, or `filter: {label: NAME}` in a sweep file";
            return Err(data("the projections are coloured by different labels", cure));
        }
        let label = done[0].parameters.get("label").and_then(Value::as_str).unwrap_or("class");
        let mut projections = Vec::new();
        for (trial, name) in done.iter().zip(groups::names_apart(&done, &varying)) {
            let images = self.images(trial).await?;
            projections.push(Projection { name, values: trial.values.clone(), images });
        }
        let title = self.request.title.as_deref();
        let (svg, data) = tsne::draw(&projections, label, title, self.request.width_mm, &self.palette())?;
        Ok(Figure { svg, data })
    }

    async fn images(&self, trial: &ResultRow) -> Result<Vec<tsne::PlacedImage>, FigureError> {
        let home = self.reader.folder();
        let wrong = |path: std::path::PathBuf, what: String| FigureError::Artifact { path, what };
        let id = trial.id.parse().map_err(|_| data("a trial has no identity", "the database is damaged"))?;
        let artifact = self.reader.artifact(id, COORDINATES).await?;
        let artifact =
            artifact.ok_or_else(|| wrong(COORDINATES.into(), format!("trial {} has left none", &trial.id[..10])))?;
        let path =
            files::verified(&home, &artifact).map_err(|error| wrong(home.join(&artifact.path), error.to_string()))?;
        let bytes = std::fs::read(&path).map_err(|error| wrong(path.clone(), error.to_string()))?;
        tsne::read(&bytes).map_err(|what| wrong(path, what))
    }
}
