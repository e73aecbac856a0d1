//! `permafrost logs`.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    time::Duration,
};

use permafrost_worker::files;
use serde_json::Value;

use super::{
    args::{Global, Logs},
    error::CliError,
    logging, ui, which,
};
use crate::store::{DATABASE, Reader};

/// How often a followed file is looked at.
const POLL: Duration = Duration::from_millis(200);

/// Prints a log.
pub(super) async fn run(global: &Global, args: &Logs) -> Result<(), CliError> {
    let path = match &args.trial {
        None => logging::coordinator_log(&global.home),
        Some(prefix) => attempt_log(global, prefix, args.attempt).await?,
    };
    let file = File::open(&path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => CliError::NotFound {
            what: format!("there is no log at {}", path.display()),
            cure:
                "it was logged on another machine, or removed; `permafrost explain TRIAL` shows what the database knows"
                    .to_owned(),
        },
        _ => CliError::Io { action: "open", path: path.clone(), source },
    })?;
    print(file, &path, args.follow, global.json).await
}

async fn attempt_log(global: &Global, prefix: &str, attempt: Option<u32>) -> Result<PathBuf, CliError> {
    let reader = Reader::open(&global.home.join(DATABASE)).await?;
    let instead = |sweep: &str| {
        format!(
            "name one of its trials, which `permafrost results {sweep} --trials` lists; without a name the coordinator's log is printed"
        )
    };
    let trial = reader.trial(which::trial(&reader, prefix, instead).await?).await?;
    let attempts: Vec<u32> = trial.attempts.iter().map(|attempt| attempt.attempt).collect();
    let Some(&last) = attempts.last() else {
        let why = trial.why_waiting.unwrap_or(trial.state);
        return Err(CliError::NotFound {
            what: format!("trial {} has not run yet", trial.id.short()),
            cure: format!("it {why}"),
        });
    };
    let attempt = attempt.unwrap_or(last);
    if !attempts.contains(&attempt) {
        let what = format!("trial {} has no attempt {attempt}", trial.id.short());
        return Err(CliError::NotFound { what, cure: format!("it has {last}, numbered from 1") });
    }
    Ok(files::attempt_log(&global.home, trial.id, attempt))
}

async fn print(file: File, path: &Path, follow: bool, raw: bool) -> Result<(), CliError> {
    let mut lines = BufReader::new(file);
    let mut line = String::new();
    loop {
        let failed = |source| CliError::Io { action: "read", path: path.to_owned(), source };
        match lines.read_line(&mut line).map_err(failed)? {
            0 if follow => tokio::time::sleep(POLL).await,
            0 => return Ok(()),
            // Half a line: the rest is still being written.
            _ if follow && !line.ends_with('\n') => {}
            _ => {
                let text = line.trim_end();
                ui::out(if raw { text.to_owned() } else { readable(text) })?;
                line.clear();
            }
        }
    }
}

/// A JSON line for people: time, level where it is not plain information, message, and what else there is.
fn readable(line: &str) -> String {
    let Ok(Value::Object(mut entry)) = serde_json::from_str(line) else { return line.to_owned() };
    let mut text = |name: &str| entry.remove(name).and_then(|value| value.as_str().map(str::to_owned));
    let at = text("at").or_else(|| text("timestamp")).unwrap_or_default();
    let at = at.parse::<jiff::Timestamp>().map_or(at, |at| ui::time(at.as_millisecond()));
    let level = text("level").filter(|level| level != "INFO").map(|level| format!(" {level}")).unwrap_or_default();
    let message = text("message").unwrap_or_default();
    entry.remove("target");
    let rest = ui::parameters(&Value::Object(entry));
    format!("{at}{level} {message} {rest}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::readable;

    #[test]
    fn lines_are_made_readable() {
        let line = r#"{"timestamp":"2026-01-02T03:04:05Z","level":"WARN","target":"x","message":"hot","card":1}"#;
        assert!(readable(line).ends_with(" WARN hot card=1"), "{}", readable(line));
        assert_eq!(readable("no json"), "no json");
    }
}
