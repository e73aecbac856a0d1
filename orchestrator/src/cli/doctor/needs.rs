//! What a sweep needs of this machine.

use std::{collections::HashSet, fs, path::Path};

use permafrost_worker::{
    device::Device,
    error::Error,
    hub,
    id::TrialId,
    task::{Fetch, Snapshot, Task, Weights, Wheel},
};

use super::{Check, python, space};
use crate::{
    cli::{
        args::{Doctor, Global},
        error::CliError,
        plan, ui,
    },
    sweep::{Missing, Plan, PlannedTrial, room},
};

/// Checks all that `plan` needs and has not yet.
pub(super) async fn checks(global: &Global, args: &Doctor, plan: &Plan) -> Result<Vec<Check>, CliError> {
    let done = plan::done(global, plan).await?;
    let mut checks: Vec<Check> = args.devices.iter().map(|name| device(name, needed(plan, &done))).collect();
    checks.push(space(&global.home, room::left_bytes(plan, &done)));
    // The hub is asked over the network, which takes its time.
    let weights = tokio::task::block_in_place(|| weights(plan, &done));
    checks.extend(weights);
    checks.extend(data(plan));
    checks.extend(tools(plan, &done, &global.home, args.wheel_dir.as_deref()));
    Ok(checks)
}

/// The trial of those that are left that needs most memory: its stage and bytes.
fn needed<'a>(plan: &'a Plan, done: &HashSet<TrialId>) -> (&'a str, u64) {
    let left = plan.trials.iter().filter(|trial| !done.contains(&trial.id));
    left.map(|trial| (trial.stage.as_str(), trial.memory_bytes)).max_by_key(|(_, bytes)| *bytes).unwrap_or(("", 0))
}

/// Whether a device is there and has the memory for the largest trial.
fn device(name: &str, (stage, needed): (&str, u64)) -> Check {
    let device = match Device::open(name, None) {
        Ok(device) => device,
        Err(error) => {
            let cure = error.cure().unwrap_or_else(|| "use another --device".to_owned());
            return Check::bad("device", error.to_string(), cure);
        }
    };
    let (total, free) = match &device {
        Device::Cpu { .. } => memory(),
        Device::Cuda { .. } => {
            device.card().map_or((None, None), |card| (Some(card.memory_bytes), Some(card.free_bytes)))
        }
    };
    let Some(free) = free else {
        return Check::note("device", format!("{name} is there; its free memory is not known"), "look yourself");
    };
    let free_text = format!("{name} has {} of memory free", ui::bytes(free));
    if needed == 0 {
        return Check::ok("device", free_text);
    }
    let found = format!("{free_text}, the largest trial ({stage}) needs about {}", ui::bytes(needed));
    let cure = "end other programs, use a machine with more memory, or encode with a smaller model";
    match () {
        () if total.is_some_and(|total| total < needed) => Check::bad("device", found, cure),
        () if free < needed => Check::note("device", found, cure),
        () => Check::ok("device", found),
    }
}

/// Memory of this machine, all of it and what is available, in bytes; the limit of this process's control group, where there is one.
fn memory() -> (Option<u64>, Option<u64>) {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
    };
    let (total, available) = (field("MemTotal:"), field("MemAvailable:"));
    let group = |file: &str| -> Option<u64> {
        fs::read_to_string(Path::new("/sys/fs/cgroup").join(file)).ok()?.trim().parse().ok()
    };
    match group("memory.max") {
        Some(limit) => {
            let rest = limit.saturating_sub(group("memory.current").unwrap_or(0));
            (total.map(|total| total.min(limit)), available.map(|available| available.min(rest)))
        }
        None => (total, available),
    }
}

/// Whether the weights of encoders are here, or can be had.
fn weights(plan: &Plan, done: &HashSet<TrialId>) -> Vec<Check> {
    let mut checks: Vec<Check> = missing(plan, "weights", |missing| !is_data(missing));
    let folders: HashSet<&Path> = plan.trials.iter().filter_map(folder).collect();
    if !folders.is_empty() {
        let found = format!("files of {} are there", ui::counted(folders.len(), "encoder"));
        checks.push(Check::ok("weights", found));
    }
    let snapshots = plan.trials.iter().filter_map(|trial| match &trial.task {
        Task::Fetch(Fetch::Hub(snapshot)) if !done.contains(&trial.id) => Some((snapshot, trial.disk_bytes)),
        _ => None,
    });
    let mut unreachable = false;
    for (snapshot, bytes) in snapshots {
        let check = if hub::cached(snapshot).is_some() {
            Check::ok("weights", format!("{} is in the cache", snapshot.repository))
        } else if unreachable || is_offline(plan, snapshot) {
            // One line says it for all.
            continue;
        } else {
            // A commit is known without asking; whether it can be had, only the hub knows.
            match hub::resolve(&snapshot.repository, "main") {
                Ok(_) => {
                    let found = format!("{} will be downloaded, about {}", snapshot.repository, ui::bytes(bytes));
                    Check::ok("weights", found)
                }
                Err(error) => {
                    unreachable = matches!(error, Error::Transient { .. });
                    // The hub was asked about its branch, and it is the commit that is needed.
                    let by_hand = || {
                        let Snapshot { repository, revision, .. } = snapshot;
                        format!(
                            "check network and proxy (HTTPS_PROXY); or `hf download {repository} --revision {revision}` where \
                             there is a network, and copy its cache here; or name a folder: `weights: DIR`"
                        )
                    };
                    let cure = error.cure().filter(|_| !unreachable).unwrap_or_else(by_hand);
                    Check::bad("weights", error.to_string(), cure)
                }
            }
        };
        checks.push(check);
    }
    checks
}

/// The folder of an encoder's weights, where they are there.
fn folder(trial: &PlannedTrial) -> Option<&Path> {
    match &trial.task {
        Task::Embed(task) => match task.encoder.weights()? {
            Weights::Folder { location, fingerprint } if !fingerprint.is_empty() => Some(location),
            _ => None,
        },
        _ => None,
    }
}

/// Whether the plan says already that a snapshot cannot be had.
fn is_offline(plan: &Plan, snapshot: &Snapshot) -> bool {
    let place = format!("hub:{}@", snapshot.repository);
    plan.missing.iter().any(|missing| missing.path.to_string_lossy().starts_with(&place))
}

/// Whether the data are there.
fn data(plan: &Plan) -> Vec<Check> {
    let mut checks = missing(plan, "data", is_data);
    if checks.is_empty() {
        let sets = plan.trials.iter().filter(|trial| matches!(trial.task, Task::Prepare(_))).count();
        if sets > 0 {
            let sets = ui::counted(sets, "data set");
            let found = format!("the tables of {sets} are there; `permafrost data check FILE` looks closer");
            checks.push(Check::ok("data", found));
        }
    }
    checks
}

/// Whether something that is missing is a data set, or else files of an encoder.
fn is_data(missing: &Missing) -> bool {
    !missing.what.starts_with("weights of ") && !missing.what.starts_with("embeddings of ")
}

fn missing(plan: &Plan, check: &'static str, of: impl Fn(&Missing) -> bool) -> Vec<Check> {
    let line = |missing: &Missing| {
        let found = format!("{} is missing ({})", missing.path.display(), missing.what);
        Check::bad(check, found, missing.cure.clone())
    };
    plan.missing.iter().filter(|missing| of(missing)).map(line).collect()
}

/// Python with pip, where a wheel must be fetched.
fn tools(plan: &Plan, done: &HashSet<TrialId>, home: &Path, by_hand: Option<&Path>) -> Vec<Check> {
    let downloads = home.join("downloads");
    let here = |wheel: &Wheel| {
        [Some(downloads.as_path()), by_hand].into_iter().flatten().any(|folder| folder.join(&wheel.file).is_file())
    };
    let wheels = plan.trials.iter().filter_map(|trial| match &trial.task {
        Task::Fetch(Fetch::Wheel(wheel)) if !done.contains(&trial.id) && !here(wheel) => Some(wheel.file.as_str()),
        _ => None,
    });
    let wheels: Vec<&str> = wheels.collect();
    if wheels.is_empty() {
        return Vec::new();
    }
    let mut check = python();
    check.check = "tools";
    check.found = format!("{}, which must fetch {}", check.found, wheels.join(", "));
    vec![if check.cure.is_some() { Check { state: super::State::Bad, ..check } } else { check }]
}
