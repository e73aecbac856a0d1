//! Logs: terse on the terminal, JSON lines in a bounded, rotated file for the processes that run for long.

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    sync::Mutex,
};

use file_rotate::{ContentLimit, FileRotate, compression::Compression, suffix::AppendCount};
use tracing_subscriber::{EnvFilter, Layer, filter::LevelFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// Environment variable with a filter in tracing's syntax; it takes the place of `-v`.
const FILTER: &str = "PERMAFROST_LOG";
/// A log file is rotated at this size; so many old ones are kept.
const MAX_LOG_BYTES: usize = 8 << 20;
const OLD_LOGS: usize = 3;
/// Logs of workers started by hand that are kept.
const MANUAL_LOGS: usize = 8;

/// Where a process that runs for long logs to.
pub(super) enum LogFile<'a> {
    /// The coordinator.
    Coordinator,
    /// A worker on this device; started by the coordinator, or by hand.
    Worker { device: &'a str, by_hand: bool },
}

/// Path of the coordinator's log.
pub(super) fn coordinator_log(home: &Path) -> PathBuf {
    home.join("logs").join("coordinator.jsonl")
}

/// Starts logging. A log file that cannot be written is done without: what is wrong with the folder is told elsewhere.
pub(super) fn start(verbose: u8, home: &Path, file: Option<&LogFile<'_>>) {
    let default = match verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    let filter = |default: LevelFilter| {
        let directive = |level: LevelFilter| format!("warn,permafrost={level},permafrost_worker={level}");
        EnvFilter::try_from_env(FILTER).unwrap_or_else(|_| EnvFilter::new(directive(default)))
    };
    let given = std::env::var(FILTER).unwrap_or_default();
    if let Err(error) = EnvFilter::try_new(&given) {
        super::ui::say(format_args!("note: {FILTER} is not a filter: {error}"));
    }
    let terminal = fmt::layer()
        .without_time()
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .with_writer(std::io::stderr)
        .with_filter(filter(default));
    let lines = file.and_then(|file| open(home, file)).map(|file| {
        fmt::layer()
            .json()
            .flatten_event(true)
            .with_writer(Mutex::new(file))
            .with_filter(filter(LevelFilter::INFO.max(default)))
    });
    tracing_subscriber::registry().with(terminal).with(lines).init();
}

fn open(home: &Path, file: &LogFile<'_>) -> Option<FileRotate<AppendCount>> {
    let folder = home.join("logs");
    std::fs::create_dir_all(&folder).ok()?;
    let path = match file {
        LogFile::Coordinator => coordinator_log(home),
        LogFile::Worker { device, by_hand: false } => folder.join(format!("worker-{}.jsonl", device.replace(':', "-"))),
        LogFile::Worker { device, by_hand: true } => {
            trim(&folder);
            // Two processes must not rotate one file.
            folder.join(format!("worker-{}-by-hand-{}.jsonl", device.replace(':', "-"), std::process::id()))
        }
    };
    // FileRotate panics where it cannot write.
    std::fs::File::options().create(true).append(true).open(&path).ok()?;
    let limit = ContentLimit::BytesSurpassed(MAX_LOG_BYTES);
    Some(FileRotate::new(path, AppendCount::new(OLD_LOGS), limit, Compression::None, None))
}

/// Removes the oldest logs of workers started by hand.
fn trim(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let by_hand = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().contains("-by-hand-"));
    let mut logs: Vec<_> =
        by_hand.filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()))).collect();
    logs.sort();
    for (_, path) in logs.iter().rev().skip(MANUAL_LOGS) {
        std::fs::remove_file(path).ok();
    }
}
