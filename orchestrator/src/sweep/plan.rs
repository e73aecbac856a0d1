//! From the checked file to trials.

mod data;
mod estimate;
mod needs;
mod trials;
mod weights;

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use self::trials::Planner;
use super::{
    check::Check,
    file::{Goal, Method, Stage, SweepFile},
    keys,
    search::{self, Axis},
    types::{MAX_TRIALS, Plan, PlannedTrial, StagePlan},
};

/// The implied stage that a sweep may have one of its own of.
const EMBED: &str = "embed";

/// Expands `file`; nothing when there are problems, which are in `check`.
pub(super) fn plan(file: &SweepFile, source: &str, check: &mut Check) -> Option<Plan> {
    let sizes = sizes(file, check)?;
    let mut planner = Planner::new(file);
    let mut stages: Vec<Vec<usize>> = Vec::new();
    for stage in &file.stages {
        let points = points(stage, file.seed, check)?;
        let made = planner.stage(stage, &points, &stages);
        match made {
            Ok(made) => stages.push(made),
            Err(wrong) => {
                let (span, label) = wrong.span.map_or((stage.span, "in this stage"), |span| (span, "here"));
                check.report(wrong.code, span, wrong.what, label, wrong.help);
                return None;
            }
        }
    }
    let Planner { mut trials, missing, .. } = planner;
    united(&mut trials, &file.stages, &stages);
    let stages = stage_plans(file, &trials, &sizes);
    // Implied stages stand first, so that every input comes before its readers.
    let place: HashMap<&str, usize> = stages.iter().enumerate().map(|(i, stage)| (stage.name.as_str(), i)).collect();
    trials.sort_by_key(|trial| place.get(trial.stage.as_str()).copied());
    let digest = digest(&trials, file);
    Some(Plan {
        name: file.name.clone(),
        source: source.to_owned(),
        digest,
        tags: file.tags.clone(),
        stages,
        trials,
        report: file.report.clone(),
        figures: file.figures.clone(),
        missing,
    })
}

/// Number of trials of each stage, before anything is expanded.
fn sizes(file: &SweepFile, check: &mut Check) -> Option<Vec<(u128, u128)>> {
    let mut sizes: Vec<(u128, u128)> = Vec::new();
    let mut total = 0_u128;
    for stage in &file.stages {
        let own = match stage.method {
            Method::Grid => search::grid_size(&stage.axes).unwrap_or(u128::MAX),
            Method::Random { run_cap } => run_cap as u128,
        };
        let all = own.saturating_mul(stage.from.map_or(1, |from| sizes[from].1));
        total = total.saturating_add(all);
        if total > u128::from(MAX_TRIALS) {
            let message = format!("the sweep has {total} trials or more, at most {MAX_TRIALS} are allowed");
            let help = Some("list fewer values, or use `method: random` with a `run_cap`".to_owned());
            let label = format!("{all} trials here");
            check.report("sweep::too_many_trials", stage.span, message, &label, help);
            return None;
        }
        sizes.push((own, all));
    }
    Some(sizes)
}

fn points(stage: &Stage, seed: u64, check: &mut Check) -> Option<Vec<Map<String, Value>>> {
    match stage.method {
        Method::Grid => Some(search::grid(&stage.axes)),
        Method::Random { run_cap } => {
            let points = search::random(&stage.axes, seed, &stage.name, run_cap);
            if points.len() < run_cap {
                let message = format!("stage `{}` has only {} different points", stage.name, points.len());
                let help = Some(format!("use `run_cap: {}` or `method: grid`", points.len()));
                check.report("sweep::too_few_points", stage.span, message, &format!("{run_cap} are asked for"), help);
                return None;
            }
            Some(points)
        }
    }
}

/// The embeddings that others need are in the sweep's own stage `embed`, where there is one; those that it asks for itself are there
/// once.
fn united(trials: &mut Vec<PlannedTrial>, stages: &[Stage], places: &[Vec<usize>]) {
    let Some(at) = stages.iter().position(|stage| stage.name == EMBED) else { return };
    let own: HashSet<usize> = places[at].iter().copied().collect();
    let ids: HashSet<_> = own.iter().map(|&place| trials[place].id).collect();
    let mut place = 0;
    trials.retain(|trial| {
        let kept = trial.stage != EMBED || own.contains(&place) || !ids.contains(&trial.id);
        place += 1;
        kept
    });
}

fn stage_plans(file: &SweepFile, trials: &[PlannedTrial], sizes: &[(u128, u128)]) -> Vec<StagePlan> {
    let count = |name: &str| trials.iter().filter(|trial| trial.stage == name).count();
    let own = |(stage, &(own, all)): (&Stage, &(u128, u128))| {
        let trials = count(&stage.name);
        let mut note = note(stage, own, &file.stages, sizes);
        if trials as u128 > all {
            note.push_str(&format!(", and {} implied", trials as u128 - all));
        }
        StagePlan {
            name: stage.name.clone(),
            kind: stage.kind,
            trials,
            note,
            metric: stage.metric.as_ref().map(|(name, _)| name.clone()),
            maximize: stage.metric.as_ref().is_some_and(|(_, goal)| *goal == Goal::Maximize),
        }
    };
    let named = || file.stages.iter().zip(sizes);
    let implied = keys::IMPLIED.iter().map(|&(name, kind)| {
        named().find(|(stage, _)| stage.name == name).map(own).unwrap_or_else(|| StagePlan {
            name: name.to_owned(),
            kind,
            trials: count(name),
            note: "implied".to_owned(),
            metric: None,
            maximize: false,
        })
    });
    let others = named().filter(|(stage, _)| stage.name != EMBED).map(own);
    implied.filter(|stage| stage.trials > 0).chain(others).collect()
}

fn note(stage: &Stage, own: u128, stages: &[Stage], sizes: &[(u128, u128)]) -> String {
    let factors: Vec<String> = stage.axes[..stage.given].iter().filter_map(factor).collect();
    let search = match stage.method {
        Method::Grid if factors.is_empty() => "one point".to_owned(),
        Method::Grid => format!("grid {}", factors.join(" x ")),
        Method::Random { .. } => format!("{own} random points"),
    };
    match stage.from {
        None => search,
        Some(from) => format!("{search}, for each of {} of {}", sizes[from].1, stages[from].name),
    }
}

fn factor((name, space): &Axis) -> Option<String> {
    let count = space.values()?.len();
    (count > 1).then(|| format!("{count} {name}"))
}

fn digest(trials: &[PlannedTrial], file: &SweepFile) -> String {
    let mut hasher = blake3::Hasher::new();
    for trial in trials {
        hasher.update(trial.id.as_bytes());
        hasher.update(json!([trial.stage, trial.parameters]).to_string().as_bytes());
    }
    hasher.update(json!(file.report).to_string().as_bytes());
    // Sweeps without figures keep the digest that they had before there were any.
    if !file.figures.is_empty() {
        hasher.update(json!(file.figures).to_string().as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}
