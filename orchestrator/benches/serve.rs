//! How fast the page answers: every route, over HTTP, on a database of a large sweep.
//!
//! ```text
//! cargo bench --workspace --bench serve -- [--trials N] [--epochs N] [--rounds N] [--home DIR] [--only TEXT]
//! ```
//! Each route is asked so many times in turn with the others, first while nothing writes, then while the sweep goes on: a writer commits
//! metrics and progress twice a second. A time is that until the last byte is there. The first answer, which reads the plan of the sweep,
//! is told apart. With `--home` the database is made there and stays; `--only` asks routes with this in their name.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

#[path = "serve/database.rs"]
mod database;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use database::{Made, Size};
use permafrost::{
    monitor::serve::{Server, Settings},
    store::{Change, DATABASE, Progress, Store},
};
use permafrost_worker::protocol::Point;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

struct Options {
    size: Size,
    rounds: usize,
    home: Option<PathBuf>,
    only: String,
}

impl Options {
    fn parse() -> Result<Self> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        // `cargo test --benches` runs this without `--bench`: then only show that it works.
        let full = arguments.iter().any(|argument| argument == "--bench");
        let pick = |full_size, small_size| if full { full_size } else { small_size };
        let mut trials = pick(10_000, 200);
        let (mut epochs, mut rounds, mut home, mut only) = (pick(50, 4) as u64, pick(60, 2), None, String::new());
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--bench" => {}
                "--trials" => trials = value()?.parse()?,
                "--epochs" => epochs = value()?.parse()?,
                "--rounds" => rounds = value()?.parse()?,
                "--home" => home = Some(value()?.into()),
                "--only" => only = value()?,
                _ => return Err(format!("unknown argument {argument}").into()),
            }
        }
        let size = Size { trials, epochs, running: 8, failed: 40, device_hours: 24 * 7 };
        Ok(Self { size, rounds, home, only })
    }
}

/// What is asked, with a name.
fn routes(made: &[Made]) -> Vec<(&'static str, String)> {
    let trial = made[made.len() / 2].id.short();
    let adaptor = made[3].id.short();
    let chosen: Vec<String> = (0..8).map(|at| made[15 + at * (made.len() - 60) / 8].id.short()).collect();
    let chosen = chosen.join(",");
    let sql = "SELECT+trial,value+FROM+leaderboard+WHERE+metric='auroc'+ORDER+BY+value+DESC+LIMIT+100";
    [
        ("page", "/".to_owned()),
        ("script", "/assets/chart.js".to_owned()),
        ("sweeps", "/api/sweeps".to_owned()),
        ("overview", "/api/overview".to_owned()),
        ("fields", "/api/fields?stage=classify".to_owned()),
        ("trials, in order", "/api/trials?stage=classify".to_owned()),
        ("trials, sorted by result", "/api/trials?stage=classify&sort=r.auroc&dir=desc".to_owned()),
        ("trials, filtered, page 5", "/api/trials?stage=classify&f.vision=dinov2-s&q=bert&offset=400".to_owned()),
        ("curves, 30", "/api/curves?stage=classify".to_owned()),
        ("curves, 200", "/api/curves?stage=classify&n=200&which=best".to_owned()),
        ("grid", "/api/grid?stage=classify&f.learning_rate=*&f.weight_decay=*".to_owned()),
        ("parallel, all", "/api/parallel?stage=classify".to_owned()),
        ("trial", format!("/api/trial/{trial}")),
        ("trial read by many", format!("/api/trial/{adaptor}")),
        ("trial's curves", format!("/api/trial/{trial}/curves")),
        ("trial's log", format!("/api/trial/{trial}/log")),
        ("compare, 8", format!("/api/compare?trials={chosen}")),
        ("devices, an hour", "/api/devices?range=3600000".to_owned()),
        ("devices, a week", "/api/devices?range=604800000".to_owned()),
        ("figures, list", "/api/figures".to_owned()),
        ("figure, fractions", "/api/figures/fractions.json".to_owned()),
        ("figure, curves", "/api/figures/curves.json".to_owned()),
        ("figure, parameters", "/api/figures/params.json".to_owned()),
        ("schema", "/api/schema".to_owned()),
        ("sql, best 100", format!("/api/sql?q={sql}")),
    ]
    .into()
}

struct Line {
    name: &'static str,
    first_ms: f64,
    times_ms: Vec<f64>,
    bytes: usize,
}

async fn ask(client: &reqwest::Client, url: &str) -> Result<(f64, usize)> {
    let start = Instant::now();
    let response = client.get(url).header("accept-encoding", "gzip").send().await?.error_for_status()?;
    let bytes = response.bytes().await?.len();
    Ok((start.elapsed().as_secs_f64() * 1e3, bytes))
}

async fn measure(base: &str, routes: &[(&'static str, String)], rounds: usize) -> Result<Vec<Line>> {
    let client = reqwest::Client::new();
    let mut lines = Vec::new();
    for (name, path) in routes {
        let (first_ms, bytes) = ask(&client, &format!("{base}{path}")).await?;
        lines.push(Line { name, first_ms, times_ms: vec![], bytes });
    }
    for _ in 0..rounds {
        for (line, (_, path)) in lines.iter_mut().zip(routes) {
            line.times_ms.push(ask(&client, &format!("{base}{path}")).await?.0);
        }
    }
    Ok(lines)
}

fn print(title: &str, lines: &mut [Line]) {
    println!("\n{title}\n\n| route | p50 ms | p95 ms | longest ms | first ms | kB sent |\n|---|---|---|---|---|---|");
    for line in lines {
        line.times_ms.sort_by(f64::total_cmp);
        let quantile = |share: f64| line.times_ms[((line.times_ms.len() - 1) as f64 * share).round() as usize];
        let Line { name, first_ms, bytes, .. } = line;
        let kilobytes = *bytes as f64 / 1e3;
        println!(
            "| {name} | {:.1} | {:.1} | {:.1} | {first_ms:.1} | {kilobytes:.1} |",
            quantile(0.5),
            quantile(0.95),
            quantile(1.0)
        );
    }
}

/// What a running sweep writes: each half second a point of each of two metrics, and progress, of all that run.
async fn write(home: PathBuf, running: Vec<permafrost_worker::id::TrialId>, stop: Arc<AtomicBool>) -> Result<()> {
    let store = Store::open(&home.join(DATABASE)).await?;
    let mut step = 25;
    while !stop.load(Ordering::Relaxed) {
        let mut changes = Vec::new();
        for &trial in &running {
            let point = |name: &str| Point { name: name.to_owned(), step, value: 0.3 };
            changes.push(Change::Points { trial, attempt: 1, points: vec![point("train_loss"), point("val_auroc")] });
            changes.push(Change::Progress(vec![Progress {
                trial,
                attempt: 1,
                done: step,
                total: 1_000,
                resumed_step: None,
            }]));
        }
        store.apply(changes).await?;
        step += 1;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    store.close().await?;
    Ok(())
}

async fn run(options: Options) -> Result<()> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let home: &Path = options.home.as_deref().unwrap_or(folder.path());
    std::fs::create_dir_all(home)?;
    let start = Instant::now();
    let made = database::make(home, options.size, "benchmark").await?;
    let size = std::fs::metadata(home.join(DATABASE))?.len() >> 20;
    let best = made.iter().filter_map(|trial| trial.auroc).fold(0.0, f64::max);
    println!(
        "{} trials (best AUROC {best:.4}), database of {size} MiB, made in {:.0} s",
        made.len(),
        start.elapsed().as_secs_f64()
    );
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let settings = Settings { home: home.to_owned(), address, require_token: false };
    let server = Server::bind(settings).await?;
    let base = format!("http://{}", server.address());
    let serving = tokio::spawn(server.run());
    let mut routes = routes(&made);
    routes.retain(|(name, _)| name.contains(&options.only));
    let mut lines = measure(&base, &routes, options.rounds).await?;
    print("nothing writes", &mut lines);
    let stop = Arc::new(AtomicBool::new(false));
    let running = made[made.len() - options.size.running..].iter().map(|trial| trial.id).collect();
    // On a thread of its own, as the coordinator is a process of its own.
    let (folder, stopped) = (home.to_owned(), Arc::clone(&stop));
    let writer = std::thread::spawn(move || -> Result<()> {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(write(folder, running, stopped))
    });
    let mut lines = measure(&base, &routes, options.rounds).await?;
    print("a writer commits twice a second", &mut lines);
    stop.store(true, Ordering::Relaxed);
    writer.join().map_err(|_| "the writer panicked")??;
    serving.abort();
    Ok(())
}

fn main() -> Result<()> {
    let options = Options::parse()?;
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(run(options))
}
