//! What the orchestration costs: the real coordinator, its HTTP API, its database, and the real worker.
//!
//! ```text
//! cargo bench --workspace --bench orchestration -- [--only trials,points,restart] [--rounds N] [--trials N]
//!     [--rows N] [--restart-trials N] [--optuna PYTHON tests/bench/optuna_trials.py] [--optuna-trials N]
//! ```
//! Everything that is asked for is measured once a round, one after another, so that all see the same machine; the table has
//! the medians over the rounds. Every round checks in the database that the work was done. Files are below cargo's target
//! folder: that disk is what is measured. The database is as always: write-ahead log, `synchronous=FULL`.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

#[path = "orchestration/graph.rs"]
mod graph;
#[path = "orchestration/optuna.rs"]
mod optuna;
#[path = "orchestration/points.rs"]
mod points;
#[path = "orchestration/restart.rs"]
mod restart;
#[path = "orchestration/session.rs"]
mod session;
#[path = "orchestration/table.rs"]
mod table;
#[path = "orchestration/trials.rs"]
mod trials;

use std::path::PathBuf;

use optuna::Optuna;
use restart::Snapshot;
use table::{Table, Unit};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// First argument of the process that this one starts as its worker.
const WORKER: &str = "worker";

struct Options {
    only: Vec<String>,
    rounds: usize,
    trials: usize,
    rows: usize,
    restart_trials: usize,
    optuna: Option<(String, PathBuf)>,
    optuna_trials: usize,
}

impl Options {
    fn parse() -> Result<Self> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        // `cargo test --benches` runs this without `--bench`: then only show that it works.
        let full = arguments.iter().any(|argument| argument == "--bench");
        let pick = |full_size, small_size| if full { full_size } else { small_size };
        let mut options = Self {
            only: vec![],
            rounds: pick(5, 1),
            trials: pick(10_000, 100),
            rows: pick(1_000_000, 2_000),
            restart_trials: pick(100_000, 500),
            optuna: None,
            optuna_trials: pick(500, 10),
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--bench" => {}
                "--only" => options.only = value()?.split(',').map(str::to_owned).collect(),
                "--rounds" => options.rounds = value()?.parse()?,
                "--trials" => options.trials = value()?.parse()?,
                "--rows" => options.rows = value()?.parse()?,
                "--restart-trials" => options.restart_trials = value()?.parse()?,
                // Benches start in the package's folder, scripts are named from the repository's.
                "--optuna" => options.optuna = Some((value()?, PathBuf::from("..").join(value()?))),
                "--optuna-trials" => options.optuna_trials = value()?.parse()?,
                _ => return Err(format!("unknown argument {argument}").into()),
            }
        }
        Ok(options)
    }

    fn wants(&self, what: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == what)
    }
}

async fn measure(options: &Options) -> Result<Table> {
    let mut table = Table::default();
    let snapshot = match options.wants("restart") {
        true => Some(Snapshot::build(options.restart_trials).await?),
        false => None,
    };
    for round in 1..=options.rounds {
        if options.wants("trials") {
            trial_rates(options, &mut table).await?;
        }
        if options.wants("points") {
            point_rates(options, &mut table).await?;
        }
        if let Some(snapshot) = &snapshot {
            let name =
                |cache: &str| format!("restart, {} trials, {} inputs, {cache}", snapshot.trials, snapshot.inputs);
            table.add(&name("file in page cache"), Unit::Milliseconds, snapshot.restart(false).await? * 1e3);
            table.add(&name("file not in page cache"), Unit::Milliseconds, snapshot.restart(true).await? * 1e3);
        }
        println!("round {round} of {}", options.rounds);
    }
    Ok(table)
}

async fn trial_rates(options: &Options, table: &mut Table) -> Result<()> {
    for steps in [0, 1] {
        let name = format!("trials, {} of {steps} steps, submit to last commit", options.trials);
        let seconds = trials::run(options.trials, steps).await?;
        table.add(&name, Unit::PerSecond, options.trials as f64 / seconds);
    }
    if let Some((python, script)) = &options.optuna {
        for sampler in ["random", "grid"] {
            let theirs = Optuna::run(python, script, sampler, options.optuna_trials)?;
            let name = format!("{}, {sampler} sampler, {} trials", theirs.name, options.optuna_trials);
            table.add(&name, Unit::PerSecond, options.optuna_trials as f64 / theirs.seconds);
        }
    }
    Ok(())
}

async fn point_rates(options: &Options, table: &mut Table) -> Result<()> {
    let rows = options.rows;
    for shape in [points::Shape { members: 1, metrics: 1 }, points::Shape { members: 64, metrics: 4 }] {
        let (stored, store) = points::store(shape, rows).await?;
        let name = format!("rows, Store, {} trials x {} metrics", shape.members, shape.metrics);
        table.add(&name, Unit::PerSecond, stored as f64 / store);
        let (stored, http) = points::http(shape, rows).await?;
        let name = format!("rows, HTTP reports, {} trials x {} metrics", shape.members, shape.metrics);
        table.add(&name, Unit::PerSecond, stored as f64 / http);
    }
    let (trials, steps) = (8, rows / 8);
    let seconds = trials::run(trials, steps as u64).await?;
    table.add("rows, real worker, 8 trials x 1 metric", Unit::PerSecond, (trials * steps) as f64 / seconds);
    Ok(())
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(WORKER) {
        let home = arguments.next().ok_or("the worker needs a home")?;
        return session::work(home.into());
    }
    let options = Options::parse()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let table = runtime.block_on(measure(&options))?;
    println!("{table}");
    Ok(())
}
