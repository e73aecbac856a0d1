//! From the database to a figure.

use permafrost_worker::{files, task::Kind, train::project::COORDINATES};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    data::Data,
    error::{FigureError, data},
    fraction, groups,
    history::{self, Axis},
    paper::Collection,
    params,
    settings::Trials,
    shown::{FRACTION, Room, Scores, Shown, shown},
    style::Palette,
    svg::Svg,
    tsne::{self, Projection},
};
use crate::{
    store::{PlanColumns, Reader, ResultRow, StageColumns, SweepRow},
    sweep::{FigureKind, FigureSpec, StagePlan, Theme, usually_maximized},
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

/// Draws a figure of a sweep, and gives the data behind it. `plan` is the sweep's.
///
/// # Errors
/// [`FigureError`].
pub async fn draw(
    reader: &Reader,
    sweep: &SweepRow,
    plan: &PlanColumns,
    request: &Request,
) -> Result<Figure, FigureError> {
    let stage = stage(sweep, request)?;
    let columns = plan.stage(&stage.name).ok_or_else(|| {
        let cure = "change the sweep file so that the stage has some, and launch it again";
        data(format!("stage `{}` has no trials", stage.name), cure)
    })?;
    let trials = Trials::of(columns, &request.filter)?;
    let on = On { reader, request, sweep: sweep.sweep, stage: &stage, columns, trials };
    match request.kind {
        FigureKind::Params => on.params().await,
        FigureKind::Tsne => on.tsne().await,
        FigureKind::Curves => on.curves().await,
        FigureKind::Fractions => on.fractions().await,
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
        let (scatter, data) = params::scatter(&[], collection.metric(), &none, Some(collection), true, title)?;
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

/// A figure on its way.
struct On<'a> {
    reader: &'a Reader,
    request: &'a Request,
    sweep: i64,
    stage: &'a StagePlan,
    columns: &'a StageColumns,
    /// Those that the filter means.
    trials: Trials<'a>,
}

impl<'a> On<'a> {
    fn palette(&self) -> Palette {
        Palette::of(self.request.theme)
    }

    /// The result that is shown, and its values for all trials of the stage.
    async fn metric(&self) -> Result<(&str, Vec<Option<f64>>), FigureError> {
        let own = self.stage.metric.as_deref();
        let name = self.request.metric.as_deref().or(own).unwrap_or("auroc");
        let values = self.reader.stage_values(self.sweep, self.columns, name).await?;
        if self.trials.values(&values).next().is_none() {
            let known = self.reader.stage_names(self.sweep, &self.stage.name).await?.results;
            if !known.is_empty() && !known.iter().any(|known| known == name) {
                let what = format!("stage `{}` has no result `{name}`", self.stage.name);
                return Err(data(what, format!("there are {}", known.join(", "))));
            }
        }
        Ok((name, values))
    }

    fn more_is_better(&self, metric: &str) -> bool {
        match self.stage.metric.as_deref() == Some(metric) {
            true => self.stage.maximize,
            false => usually_maximized(metric),
        }
    }

    /// These trials with their results; with a name, that result alone.
    async fn rows(&self, trials: &Trials<'_>, only: Option<&str>) -> Result<Vec<ResultRow>, FigureError> {
        Ok(self.reader.results_of(self.sweep, &self.stage.name, &trials.rows(), only).await?)
    }

    /// Of the settings into which these trials fall that agree in all but seeds and `apart_from`, those that are shown.
    fn shown(&self, apart_from: &[&str], metric: &str, values: &[Option<f64>], room: Room) -> Shown<'a> {
        let more_is_better = self.more_is_better(metric);
        let scores = Scores { metric, values, more_is_better };
        shown(&self.trials, self.trials.settings(apart_from), &scores, room)
    }

    async fn params(&self) -> Result<Figure, FigureError> {
        let (metric, values) = self.metric().await?;
        let shares = self.trials.by(FRACTION).len();
        if shares > params::PANELS {
            let what = format!("{shares} panels are too many, at most {} are drawn", params::PANELS);
            return Err(data(what, "choose some: `--filter fraction=SHARE,SHARE`"));
        }
        let Shown { settings, note } = self.shown(&[FRACTION], metric, &values, params::ROOM);
        // Trials of one setting and share are on Adaptors of equal size, and about the same.
        let parts = settings.iter().flat_map(|setting| setting.by(FRACTION));
        let some: Vec<i64> = parts.filter_map(|(_, trials)| trials.first()).collect();
        let trainable = self.reader.adaptor_parameters(&some).await?;
        let subjects = self.reader.subjects(&some).await?;
        let reference = match self.request.reference {
            Reference::Auto => Collection::comparable(&subjects, metric),
            other => published(other),
        };
        if let Some(collection) = reference {
            collection.fits(&subjects, metric)?;
        }
        let rows = self.rows(&self.trials.among(&settings), Some(metric)).await?;
        let title = self.request.title.clone();
        let trials: Vec<&ResultRow> = rows.iter().collect();
        let (mut scatter, data) =
            params::scatter(&trials, metric, &trainable, reference, self.more_is_better(metric), title)?;
        scatter.notes.extend(note);
        Ok(Figure { svg: scatter.draw(self.request.width_mm, &self.palette())?, data })
    }

    async fn fractions(&self) -> Result<Figure, FigureError> {
        let (metric, values) = self.metric().await?;
        let Shown { settings, note } = self.shown(&[FRACTION, "label"], metric, &values, fraction::ROOM);
        let rows = self.rows(&self.trials.among(&settings), Some(metric)).await?;
        let title = self.request.title.clone();
        let (mut chart, data) = fraction::chart(&rows.iter().collect::<Vec<_>>(), metric, title)?;
        chart.notes.extend(note);
        Ok(Figure { svg: chart.draw(self.request.width_mm, &self.palette())?, data })
    }

    async fn curves(&self) -> Result<Figure, FigureError> {
        let ranking = self.stage.metric.clone().map(|metric| (metric, self.stage.maximize));
        let by = ranking.as_ref().map_or("", |(metric, _)| metric);
        let values = self.reader.stage_values(self.sweep, self.columns, by).await?;
        let Shown { settings, note } = self.shown(&["label"], by, &values, history::ROOM);
        let shown = self.trials.among(&settings);
        let trials = shown.rows();
        if trials.len() > CURVES {
            let what = format!("the curves of {} trials are too many, at most {CURVES} are read", trials.len());
            return Err(data(what, "choose some: `--filter NAME=VALUE`"));
        }
        let rows = self.rows(&shown, Some(by)).await?;
        let wanted = self.request.metric.as_deref();
        let mut metrics = self.reader.metrics_of(&trials).await?;
        metrics.retain(|name| wanted.map_or(name != NO_CURVE, |wanted| name == wanted));
        // Training before validation, losses before scores.
        metrics.sort_by_key(|name| (!name.ends_with("loss"), !name.starts_with("train"), name.clone()));
        if let Some(name) = wanted.filter(|_| metrics.is_empty()) {
            let what = format!("no trial of stage `{}` has reported `{name}`", self.stage.name);
            let known = self.reader.stage_names(self.sweep, &self.stage.name).await?.metrics;
            let cure = match known.is_empty() {
                true => "wait for the first values: nothing is reported yet".to_owned(),
                false => format!("there are {}", known.join(", ")),
            };
            return Err(data(what, cure));
        }
        let title = self.request.title.clone();
        let axis = if self.stage.kind == Kind::Noop { Axis::Steps } else { Axis::Epochs };
        let mut curves = Vec::new();
        for metric in metrics {
            let found = self.reader.thinned_curves(&trials, &metric, 1).await?.into_iter();
            let by_identity = |(trial, curve)| Some((self.columns.ids[self.columns.place(trial)?].clone(), curve));
            curves.push((metric, found.filter_map(by_identity).collect()));
        }
        let (mut chart, data) = history::chart(&rows.iter().collect::<Vec<_>>(), &curves, &ranking, axis, title)?;
        chart.notes.extend(note);
        Ok(Figure { svg: chart.draw(self.request.width_mm, &self.palette())?, data })
    }

    async fn tsne(&self) -> Result<Figure, FigureError> {
        let rows = self.rows(&self.trials, None).await?;
        let done: Vec<&ResultRow> = rows.iter().filter(|trial| trial.state == "done").collect();
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
