//! Arguments of `export`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

/// Where results go.
#[derive(Debug, Subcommand)]
pub enum Export {
    /// Event files for TensorBoard, with the HPARAMS tab; run again, only what is new is added
    Tensorboard(ExportTensorboard),
    /// Runs for an MLflow tracking server; run again, only what is new is sent
    Mlflow(ExportMlflow),
    /// Parquet files for pandas, pyarrow and DuckDB: results.parquet and curves.parquet
    Parquet(ExportParquet),
}

/// Arguments of `export tensorboard`.
#[derive(Debug, ClapArgs)]
pub struct ExportTensorboard {
    /// Name of a sweep [default: the one launched last]
    pub sweep: Option<String>,
    /// Folder for `tensorboard --logdir` [default: `tensorboard` in the home folder]
    #[arg(long, short, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub output: Option<PathBuf>,
    /// Go on until the sweep has ended
    #[arg(long, short)]
    pub follow: bool,
}

/// Arguments of `export mlflow`.
#[derive(Debug, ClapArgs)]
pub struct ExportMlflow {
    /// Name of a sweep [default: the one launched last]
    pub sweep: Option<String>,
    /// Address of the tracking server, such as http://127.0.0.1:5000
    #[arg(long, value_name = "URL", env = "MLFLOW_TRACKING_URI", value_hint = clap::ValueHint::Url)]
    pub to: String,
    /// Name of the experiment [default: that of the sweep]
    #[arg(long, value_name = "NAME")]
    pub experiment: Option<String>,
}

/// Arguments of `export parquet`.
#[derive(Debug, ClapArgs)]
pub struct ExportParquet {
    /// Name of a sweep [default: the one launched last]
    pub sweep: Option<String>,
    /// Folder for the files [default: `export/SWEEP` in the home folder]
    #[arg(long, short, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub output: Option<PathBuf>,
}
