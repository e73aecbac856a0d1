//! A sweep as an experiment: a run a trial, once. A trial's identity is a tag of its run, and finds it again. A run becomes
//! `FINISHED`, `FAILED` or `KILLED` when all of it is there; one that is still `RUNNING` was left by an upload that was stopped, and is
//! made anew.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{MlflowError, Server, encoded};
use crate::report::export::Run;

/// MLflow's limits of one `log-batch`.
const MAX_METRICS: usize = 1000;
const MAX_PARAMETERS: usize = 100;
/// MLflow's limits of texts, in characters.
const MAX_VALUE: usize = 6000;
const MAX_TAG: usize = 5000;
const MAX_NAME: usize = 250;
/// Runs that are listed at once.
const PAGE: usize = 1000;
/// Uploads side by side.
const THREADS: usize = 4;
/// The tag that has a trial's identity.
const IDENTITY: &str = "permafrost.trial";
/// The tag that has the number of its attempt.
const ATTEMPT: &str = "permafrost.attempt";

/// What an upload has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uploaded {
    /// Runs that are new.
    pub created: usize,
    /// Runs that took the place of others, since their trials ran again or an upload was stopped.
    pub replaced: usize,
    /// Runs that were there already.
    pub present: usize,
    /// Values of parameters that were longer than MLflow allows, and were cut.
    pub cut: usize,
}

#[derive(Clone, Deserialize)]
struct RunAnswer {
    run: RunBody,
}

#[derive(Clone, Deserialize)]
struct RunBody {
    info: RunInfo,
    #[serde(default)]
    data: RunData,
}

#[derive(Clone, Deserialize)]
struct RunInfo {
    run_id: String,
    #[serde(default)]
    status: String,
}

#[derive(Clone, Default, Deserialize)]
struct RunData {
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Clone, Deserialize)]
struct Tag {
    key: String,
    value: String,
}

/// Uploads these runs to the experiment of that name, which is made where it is missing. `progress` is told of each run.
///
/// # Errors
/// [`MlflowError`]; what was uploaded before stays, and the next upload goes on.
pub fn upload(
    server: &Server,
    experiment: &str,
    sweep: &str,
    runs: &[(Run, String)],
    progress: &(dyn Fn() + Sync),
) -> Result<Uploaded, MlflowError> {
    let experiment = find_or_create(server, experiment)?;
    let known = existing(server, &experiment)?;
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(None));
    let uploaded = Mutex::new(Uploaded::default());
    std::thread::scope(|scope| {
        for _ in 0..THREADS.min(runs.len()) {
            scope.spawn(|| {
                while let Some((run, name)) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = known.get(&run.trial.id).map_or(&[][..], Vec::as_slice);
                    match one(server, &experiment, sweep, run, name, found) {
                        Ok(one) => {
                            if let Ok(mut all) = uploaded.lock() {
                                all.created += one.created;
                                all.replaced += one.replaced;
                                all.present += one.present;
                                all.cut += one.cut;
                            }
                            progress();
                        }
                        Err(error) => {
                            // The others have nothing more to do.
                            next.store(runs.len(), Ordering::Relaxed);
                            if let Ok(mut failed) = failed.lock() {
                                failed.get_or_insert(error);
                            }
                        }
                    }
                }
            });
        }
    });
    match failed.into_inner() {
        Ok(None) => uploaded.into_inner().map_err(|_| MlflowError::Thread),
        Ok(Some(error)) => Err(error),
        Err(_) => Err(MlflowError::Thread),
    }
}

fn find_or_create(server: &Server, name: &str) -> Result<String, MlflowError> {
    #[derive(Deserialize)]
    struct Found {
        experiment: Experiment,
    }
    #[derive(Deserialize)]
    struct Experiment {
        experiment_id: String,
        #[serde(default)]
        lifecycle_stage: String,
    }
    #[derive(Deserialize)]
    struct Created {
        experiment_id: String,
    }
    match server.get::<Found>(&format!("experiments/get-by-name?experiment_name={}", encoded(name))) {
        Ok(found) if found.experiment.lifecycle_stage == "deleted" => Err(MlflowError::Deleted(name.to_owned())),
        Ok(found) => Ok(found.experiment.experiment_id),
        Err(MlflowError::Refused { code, .. }) if code == "RESOURCE_DOES_NOT_EXIST" => {
            Ok(server.post::<Created>("experiments/create", &json!({"name": name}))?.experiment_id)
        }
        Err(error) => Err(error),
    }
}

/// Runs of the experiment that came from here, by identity.
fn existing(server: &Server, experiment: &str) -> Result<HashMap<String, Vec<RunBody>>, MlflowError> {
    #[derive(Deserialize)]
    struct Page {
        #[serde(default)]
        runs: Vec<RunBody>,
        #[serde(default)]
        next_page_token: Option<String>,
    }
    let mut known: HashMap<String, Vec<RunBody>> = HashMap::new();
    let mut token: Option<String> = None;
    loop {
        let mut body = json!({
            "experiment_ids": [experiment], "filter": format!("tags.`{IDENTITY}` != ''"), "max_results": PAGE, "run_view_type": "ACTIVE_ONLY",
        });
        if let Some(token) = &token {
            body["page_token"] = json!(token);
        }
        let page: Page = server.post("runs/search", &body)?;
        for run in page.runs {
            if let Some(identity) = tag(&run, IDENTITY) {
                known.entry(identity.to_owned()).or_default().push(run.clone());
            }
        }
        token = page.next_page_token.filter(|token| !token.is_empty());
        if token.is_none() {
            return Ok(known);
        }
    }
}

fn tag<'a>(run: &'a RunBody, key: &str) -> Option<&'a str> {
    run.data.tags.iter().find(|tag| tag.key == key).map(|tag| tag.value.as_str())
}

/// Uploads one run, unless it is there whole.
fn one(
    server: &Server,
    experiment: &str,
    sweep: &str,
    run: &Run,
    name: &str,
    known: &[RunBody],
) -> Result<Uploaded, MlflowError> {
    let attempt = run.trial.attempts.to_string();
    let whole = |known: &RunBody| {
        // It may have been cancelled, or failed, without another attempt.
        tag(known, ATTEMPT) == Some(&attempt) && known.info.status == status(&run.trial.state)
    };
    let mut kept = false;
    for other in known {
        if !kept && whole(other) {
            kept = true;
        } else {
            server.post::<Value>("runs/delete", &json!({"run_id": other.info.run_id}))?;
        }
    }
    if kept {
        return Ok(Uploaded { present: 1, ..Uploaded::default() });
    }
    let ended = run.trial.ended.or(run.trial.started).unwrap_or_default();
    let started = run.attempts.first().map_or(ended, |first| first.started);
    let tags: Vec<Value> =
        tags(sweep, run).into_iter().map(|(key, value)| json!({"key": key, "value": cut(&value, MAX_TAG).0})).collect();
    let body = json!({"experiment_id": experiment, "start_time": started, "run_name": name, "tags": tags});
    let id = server.post::<RunAnswer>("runs/create", &body)?.run.info.run_id;
    let mut uploaded = Uploaded::default();
    let mut parameters = vec![json!({"key": "stage", "value": run.trial.stage})];
    for (name, value) in run.parameters.iter().filter(|(name, _)| *name != "stage") {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let (text, was_cut) = cut(&text, MAX_VALUE);
        uploaded.cut += usize::from(was_cut);
        parameters.push(json!({"key": named(name), "value": text}));
    }
    let mut metrics: Vec<Value> = run
        .curves()
        .into_iter()
        .map(|point| json!({"key": named(&point.metric), "value": point.value, "timestamp": point.at, "step": point.step}))
        .collect();
    let last = run.points.iter().map(|point| point.step).max().unwrap_or(0);
    metrics.extend(run.results.iter().map(|(name, value)| {
        json!({"key": named(&format!("result/{name}")), "value": value, "timestamp": ended, "step": last})
    }));
    for part in parameters.chunks(MAX_PARAMETERS) {
        server.post::<Value>("runs/log-batch", &json!({"run_id": id, "params": part}))?;
    }
    for part in metrics.chunks(MAX_METRICS) {
        server.post::<Value>("runs/log-batch", &json!({"run_id": id, "metrics": part}))?;
    }
    let end = json!({"run_id": id, "status": status(&run.trial.state), "end_time": ended});
    server.post::<Value>("runs/update", &end)?;
    *(if known.is_empty() { &mut uploaded.created } else { &mut uploaded.replaced }) = 1;
    Ok(uploaded)
}

fn status(state: &str) -> &'static str {
    match state {
        "done" => "FINISHED",
        "failed" | "diverged" => "FAILED",
        _ => "KILLED",
    }
}

fn tags(sweep: &str, run: &Run) -> Vec<(&'static str, String)> {
    let trial = &run.trial;
    let mut tags = vec![
        (IDENTITY, trial.id.clone()),
        (ATTEMPT, trial.attempts.to_string()),
        ("permafrost.sweep", sweep.to_owned()),
        ("permafrost.stage", trial.stage.clone()),
        ("permafrost.kind", trial.kind.clone()),
        ("permafrost.state", trial.state.clone()),
        ("mlflow.source.name", "permafrost".to_owned()),
        ("mlflow.source.type", "JOB".to_owned()),
    ];
    let known = [
        ("permafrost.device", &trial.device),
        ("permafrost.model", &trial.model),
        ("permafrost.host", &trial.host),
        ("permafrost.program", &trial.program),
    ];
    tags.extend(known.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
    if trial.state != "done"
        && let Some(message) = &trial.message
    {
        let cure = trial.cure.as_ref().map(|cure| format!("\n\n{cure}")).unwrap_or_default();
        // What the page shows as the run's description.
        tags.push(("mlflow.note.content", format!("{message}{cure}")));
    }
    tags
}

/// A text of so many characters at most, and whether it was longer.
fn cut(text: &str, most: usize) -> (String, bool) {
    if text.chars().count() <= most {
        return (text.to_owned(), false);
    }
    (text.chars().take(most - 1).chain(['…']).collect(), true)
}

/// A name with the characters that MLflow allows.
fn named(name: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "_-. :/".contains(c) { c } else { '_' };
    name.chars().map(allowed).take(MAX_NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_where_mlflow_would_refuse_them() {
        assert_eq!(cut("abc", 3), ("abc".to_owned(), false));
        assert_eq!(cut("äbcd", 3), ("äb…".to_owned(), true));
        assert_eq!(named("a+b/c.d é"), "a_b/c.d _");
        assert_eq!(
            ["done", "failed", "diverged", "cancelled", "pruned"].map(status),
            ["FINISHED", "FAILED", "FAILED", "KILLED", "KILLED"]
        );
    }
}
