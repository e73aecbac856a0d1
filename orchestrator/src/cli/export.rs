//! `permafrost export`: results for the tools that people have.

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use permafrost_worker::files;
use serde_json::json;

use super::{
    args::{Export, ExportMlflow, ExportParquet, ExportTensorboard, Global},
    error::CliError,
    status::sweep_named,
    ui,
    unwritable::{Unwritable, unwritable, unwritten},
};
use crate::{
    report::export::{
        Run, labels,
        mlflow::{self, Credentials, MlflowError, Server},
        read, tables,
        tensorboard::{Exporter, Pass, TensorboardError},
    },
    store::{DATABASE, ExportTrial, Reader, SweepRow},
};

/// How often a sweep that is followed is looked at.
const FOLLOW: Duration = Duration::from_secs(2);
/// Trials that are read and sent at once.
const CHUNK: usize = 200;

/// Why an export failed.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// To TensorBoard.
    #[error(transparent)]
    Tensorboard(#[from] TensorboardError),
    /// To MLflow.
    #[error(transparent)]
    Mlflow(#[from] MlflowError),
    /// To Parquet.
    #[error(transparent)]
    Tables(#[from] tables::TablesError),
}

impl ExportError {
    /// What to do about it.
    pub fn cure(&self) -> Option<String> {
        match self {
            Self::Mlflow(error) => error.cure(),
            Self::Tensorboard(TensorboardError::Store(error)) | Self::Tables(tables::TablesError::Store(error)) => {
                error.cure()
            }
            Self::Tensorboard(TensorboardError::Io { .. }) => {
                Some("check that folder and the room on its disk, or name another with --output".to_owned())
            }
            Self::Tables(_) => None,
        }
    }
}

/// Exports a sweep.
pub(super) async fn run(global: &Global, export: &Export) -> Result<(), CliError> {
    let reader = Reader::open(&global.home.join(DATABASE)).await?;
    let name = match export {
        Export::Tensorboard(args) => &args.sweep,
        Export::Mlflow(args) => &args.sweep,
        Export::Parquet(args) => &args.sweep,
    };
    let sweep = sweep_named(&reader, name.as_deref()).await?;
    match export {
        Export::Tensorboard(args) => tensorboard(global, args, &reader, &sweep).await,
        Export::Mlflow(args) => mlflow(global, args, &reader, &sweep).await,
        Export::Parquet(args) => parquet(global, args, &reader, &sweep).await,
    }
}

fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// A bar on a terminal, nothing elsewhere.
fn bar(quiet: bool) -> ProgressBar {
    if quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} trials, {eta} left");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─"))
}

async fn tensorboard(
    global: &Global,
    args: &ExportTensorboard,
    reader: &Reader,
    sweep: &SweepRow,
) -> Result<(), CliError> {
    let folder = args.output.clone().unwrap_or_else(|| global.home.join("tensorboard"));
    std::fs::create_dir_all(&folder).map_err(unwritable(&folder, "--output"))?;
    let mut exporter = Exporter::new(&folder.join(file_name(&sweep.name)));
    let bar = bar(global.json || args.follow);
    let mut all = Pass::default();
    loop {
        // The database first: what is reported meanwhile is for the next pass.
        let finished = reader.progress(sweep.sweep).await?.is_finished();
        let progress = |done: usize, total: usize| {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        };
        let pass = exporter.pass(reader, sweep.sweep, now(), progress).await.map_err(tensorboard_failed)?;
        all = Pass { values: all.values + pass.values, changed: all.changed + pass.changed, ..pass };
        if !args.follow || finished {
            break;
        }
        if pass.values > 0 && !global.json {
            ui::say(format_args!("{} of {}", ui::counted(pass.values, "value"), ui::counted(pass.changed, "trial")));
        }
        tokio::time::sleep(FOLLOW).await;
    }
    bar.finish_and_clear();
    if global.json {
        return ui::json(&json!({
            "folder": folder, "runs": all.runs, "changed": all.changed, "values": all.values, "unfinished": all.unfinished,
        }));
    }
    ui::out(format_args!(
        "{} in {}, {} new",
        ui::counted(all.runs, "run"),
        folder.display(),
        ui::counted(all.values, "value")
    ))?;
    if all.runs > 0 {
        ui::say(format_args!("next: tensorboard --logdir {}", ui::quoted(&folder)));
    }
    if all.unfinished > 0 {
        ui::say(format_args!(
            "note: {} not ended; run it again, or with --follow, for what is still to come",
            if all.unfinished == 1 { "1 trial has".to_owned() } else { format!("{} trials have", all.unfinished) }
        ));
    }
    Ok(())
}

fn tensorboard_failed(error: TensorboardError) -> CliError {
    match error {
        TensorboardError::Io { action: "create" | "write", path, source } => {
            Unwritable::new(&path, &source, "--output").into()
        }
        other => ExportError::from(other).into(),
    }
}

/// The user's name of a sweep as a name of a folder.
fn file_name(name: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let name: String = name.chars().map(plain).collect();
    if name.trim_matches('.').is_empty() { "sweep".to_owned() } else { name }
}

fn credentials() -> Credentials {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    match (set("MLFLOW_TRACKING_TOKEN"), set("MLFLOW_TRACKING_USERNAME")) {
        (Some(token), _) => Credentials::Token(token),
        (None, Some(user)) => Credentials::Basic(user, set("MLFLOW_TRACKING_PASSWORD").unwrap_or_default()),
        (None, None) => Credentials::None,
    }
}

async fn mlflow(global: &Global, args: &ExportMlflow, reader: &Reader, sweep: &SweepRow) -> Result<(), CliError> {
    let failed = |error| CliError::from(ExportError::from(error));
    let server = std::sync::Arc::new(Server::new(&args.to, &credentials()).map_err(failed)?);
    let experiment = args.experiment.clone().unwrap_or_else(|| sweep.name.clone());
    let mut trials = reader.export_trials(sweep.sweep).await?;
    trials.retain(|trial| !Run::is_preparation(trial));
    let unfinished = trials.iter().filter(|trial| !Run::has_ended(trial)).count();
    let names = labels(&trials);
    let ended: Vec<(ExportTrial, String)> =
        trials.into_iter().zip(names).filter(|(trial, _)| Run::has_ended(trial) && trial.attempts > 0).collect();
    let bar = bar(global.json);
    bar.set_length(ended.len() as u64);
    let mut all = mlflow::Uploaded::default();
    for chunk in ended.chunks(CHUNK) {
        let rows: Vec<ExportTrial> = chunk.iter().map(|(trial, _)| trial.clone()).collect();
        let runs = read(reader, &rows, now()).await?;
        let runs: Vec<(Run, String)> = runs.into_iter().zip(chunk.iter().map(|(_, name)| name.clone())).collect();
        let (server, experiment, name, shown) = (server.clone(), experiment.clone(), sweep.name.clone(), bar.clone());
        let upload = move || mlflow::upload(&server, &experiment, &name, &runs, &|| shown.inc(1));
        let one =
            tokio::task::spawn_blocking(upload).await.map_err(|_| failed(MlflowError::Thread))?.map_err(failed)?;
        all.created += one.created;
        all.replaced += one.replaced;
        all.present += one.present;
        all.cut += one.cut;
    }
    bar.finish_and_clear();
    if global.json {
        return ui::json(&json!({
            "server": server.address(), "experiment": experiment, "created": all.created, "replaced": all.replaced,
            "present": all.present, "cut": all.cut, "unfinished": unfinished,
        }));
    }
    ui::out(format_args!(
        "experiment {experiment} at {}: {} new, {} replaced, {} there already",
        server.address(),
        ui::counted(all.created, "run"),
        all.replaced,
        all.present
    ))?;
    if all.cut > 0 {
        ui::say(format_args!("note: {} longer than MLflow's 6000 characters: cut", ui::counted(all.cut, "parameter")));
    }
    if unfinished > 0 {
        ui::say(format_args!(
            "note: {} not ended and not sent; the same command sends what is missing later",
            if unfinished == 1 { "1 trial has".to_owned() } else { format!("{unfinished} trials have") }
        ));
    }
    Ok(())
}

async fn parquet(global: &Global, args: &ExportParquet, reader: &Reader, sweep: &SweepRow) -> Result<(), CliError> {
    let default = || global.home.join("export").join(file_name(&sweep.name));
    let folder = args.output.clone().unwrap_or_else(default);
    let failed = |error| CliError::from(ExportError::from(error));
    let tables = [
        ("results.parquet", tables::results(reader, sweep).await.map_err(failed)?),
        ("curves.parquet", tables::curves(reader, sweep, now()).await.map_err(failed)?),
    ];
    std::fs::create_dir_all(&folder).map_err(unwritable(&folder, "--output"))?;
    let mut written: Vec<(PathBuf, usize)> = Vec::new();
    for (name, table) in tables {
        let path = folder.join(name);
        write(&path, &table.bytes)?;
        written.push((path, table.rows));
    }
    if global.json {
        let file = |(path, rows): &(PathBuf, usize)| json!({"path": path, "rows": rows});
        return ui::json(&json!({"files": written.iter().map(file).collect::<Vec<_>>()}));
    }
    for (path, rows) in written {
        ui::out(format_args!("{}: {}", path.display(), ui::counted(rows, "row")))?;
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    files::write_atomic(path, |out| out.write_all(bytes)).map_err(unwritten(path, "--output"))
}
