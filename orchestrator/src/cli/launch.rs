//! `permafrost launch`.

use std::time::Instant;

use permafrost_worker::{agent::AgentError, device::Device, id::TrialId};
use serde_json::json;

use super::{
    args::{Global, Launch, Machine},
    connect::{self, Coordinator},
    error::CliError,
    failures::Unfinished,
    figure,
    follow::{Followed, follow},
    results::{self, StoredReport},
    ui,
};
use crate::{
    coordinator::api::{Submit, Submitted, SubmittedTrial},
    report::Format,
    store::{DATABASE, Reader, ResultRow, StoreError, SweepProgress, SweepRow},
    sweep::{self, Plan, room::shortage},
};

/// A coordinator that is killed so often is not started again.
const MAX_DEATHS: u32 = 20;
/// Other sweeps that are named.
const MAX_OTHERS: usize = 5;
/// Times a coordinator that is just leaving is asked.
const MAX_TRIES: u32 = 20;

/// Runs a sweep, or goes on with it.
pub(super) async fn run(global: &Global, args: &Launch) -> Result<(), CliError> {
    let began = Instant::now();
    let plan = sweep::load(&args.file)?;
    let mut failed = Vec::new();
    if let Some(reader) = reader(global).await? {
        let trials: Vec<TrialId> = plan.trials.iter().map(|trial| trial.id).collect();
        failed = reader.failed_for_lack(&trials).await?;
        if failed.is_empty()
            && let Some(sweep) = finished(&reader, &plan).await?
        {
            return report(global, &reader, &sweep, began).await;
        }
    }
    if !plan.missing.is_empty() {
        return Err(CliError::Missing(plan.missing));
    }
    check_machine(&args.coordinator.machine)?;
    // Neither a database of an older version, which is brought up to date first, nor a disk that cannot be asked is a reason not to run.
    if !global.json
        && let Ok(done) = super::plan::done(global, &plan).await
        && let Ok(Some(shortage)) = shortage(&global.home, &plan, &done)
    {
        ui::say(format_args!("warning: {shortage}; {}", shortage.cure()));
    }
    let mut deaths = 0;
    loop {
        let retry = std::mem::take(&mut failed);
        if !retry.is_empty() && !global.json {
            ui::say(format_args!("trying again {} that failed before", ui::counted(retry.len(), "trial")));
        }
        let mut coordinator = submit(global, args, &plan, retry).await?;
        if deaths == 0 && !global.json {
            greet(&plan, &coordinator, args);
        }
        let reader = Reader::open(&global.home.join(DATABASE)).await?;
        let sweep = row(&reader, &plan).await?;
        if !global.json {
            beside(&reader, &sweep, "go on beside this one, those launched first come first").await?;
        }
        if args.detach {
            return detached(global, &sweep, !plan.figures.is_empty());
        }
        match follow(&reader, sweep.sweep, &mut coordinator, global.json).await? {
            Followed::Finished => {
                report(global, &reader, &sweep, began).await?;
                if !global.json {
                    beside(&reader, &sweep, "go on without this command; `permafrost drain` stops them").await?;
                }
                return Ok(());
            }
            Followed::Stopped => return Err(interrupted(&reader.progress(sweep.sweep).await?, "stopped")),
            // Somebody else may have started the next one.
            Followed::Left if connect::running(&global.home).await?.is_some() => {}
            Followed::Left => {
                return Err(interrupted(&reader.progress(sweep.sweep).await?, "the coordinator was told to stop"));
            }
            Followed::Abandoned => {
                return Err(interrupted(
                    &reader.progress(sweep.sweep).await?,
                    "left; the coordinator goes on stopping",
                ));
            }
            Followed::Died(how) => {
                deaths += 1;
                if deaths > MAX_DEATHS {
                    let message = "it was killed again and again".to_owned();
                    return Err(CliError::CoordinatorEnded { status: how, code: None, message, cure: None });
                }
                if !global.json {
                    ui::say(format_args!(
                        "the coordinator was killed ({how}): starting another, which goes on from the database"
                    ));
                }
            }
        }
    }
}

/// Checks what workers will be given, before anything is started.
fn check_machine(machine: &Machine) -> Result<(), CliError> {
    for device in &machine.devices {
        Device::open(device, machine.threads.map(usize::from))?;
    }
    machine.wheel_dir.as_deref().map(connect::folder).transpose()?;
    Ok(())
}

/// The database, if there is one.
async fn reader(global: &Global) -> Result<Option<Reader>, CliError> {
    match Reader::open(&global.home.join(DATABASE)).await {
        Ok(reader) => Ok(Some(reader)),
        // Whoever coordinates next makes it, or brings it up to date.
        Err(StoreError::Missing(_) | StoreError::Older { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The sweep, if it was launched before just so and nothing of it is left to run.
async fn finished(reader: &Reader, plan: &Plan) -> Result<Option<SweepRow>, CliError> {
    let Some(sweep) = reader.latest(Some(&plan.name)).await?.filter(|sweep| sweep.digest == plan.digest) else {
        return Ok(None);
    };
    let progress = reader.progress(sweep.sweep).await?;
    // Launching again takes a cancellation back.
    let over = progress.is_finished() && progress.count(&["cancelled"]) == 0;
    Ok(over.then_some(sweep))
}

/// Submits the plan to the coordinator of the home folder, with trials that failed before and are tried again.
async fn submit(global: &Global, args: &Launch, plan: &Plan, retry: Vec<TrialId>) -> Result<Coordinator, CliError> {
    let trials = plan.trials.iter().map(|trial| SubmittedTrial {
        stage: trial.stage.clone(),
        parameters: trial.parameters.clone(),
        task: trial.task.clone(),
    });
    let body = Submit {
        name: plan.name.clone(),
        source: plan.source.clone(),
        digest: plan.digest.clone(),
        report: json!(StoredReport::of(plan)),
        tags: plan.tags.clone(),
        trials: trials.collect(),
        retry,
    };
    let mut tries = 0;
    loop {
        let mut coordinator = connect::join_or_start(&global.home, &args.coordinator).await?;
        tries += 1;
        match coordinator.client.post_once::<_, Submitted>("/v1/submit", &body).await {
            Ok(_) => return Ok(coordinator),
            // It is just leaving, or was killed: another one is started.
            Err(AgentError::Unreachable { .. } | AgentError::Refused { status: 503, .. }) if tries < MAX_TRIES => {
                coordinator.life()?;
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            Err(error) => {
                // What the coordinator itself says about its end is more to the point.
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                coordinator.life()?;
                return Err(error.into());
            }
        }
    }
}

/// The row of the plan; another content may have been launched under its name meanwhile.
async fn row(reader: &Reader, plan: &Plan) -> Result<SweepRow, CliError> {
    let found = reader.sweeps().await?.into_iter().find(|row| row.name == plan.name && row.digest == plan.digest);
    found.ok_or_else(|| StoreError::Content(format!("sweep `{}` was submitted and is not there", plan.name)).into())
}

/// Says what is about to happen.
fn greet(plan: &Plan, coordinator: &Coordinator, args: &Launch) {
    ui::say(format_args!("{}: {}", plan.name, ui::counted(plan.trials.len(), "trial")));
    for notice in permafrost_worker::datasets::fetch::notices(plan.trials.iter().map(|trial| &trial.task)) {
        ui::say(format_args!("note: {notice}"));
    }
    let Machine { devices, threads, wheel_dir } = &args.coordinator.machine;
    let default = |name: &str| devices == &[name] && threads.is_none() && wheel_dir.is_none();
    if coordinator.joined() && !default("cpu") {
        ui::say("note: a coordinator runs already; --device, --threads and --wheel-dir are for one that is started");
    }
}

/// Says which other sweeps the coordinator has at work.
async fn beside(reader: &Reader, sweep: &SweepRow, what: &str) -> Result<(), StoreError> {
    let others = reader.at_work_beside(sweep.sweep).await?;
    if !others.is_empty() {
        let named = others
            .iter()
            .take(MAX_OTHERS)
            .map(|(name, trials)| format!("{name} ({})", ui::counted(*trials as usize, "trial")));
        let more = others.len().saturating_sub(MAX_OTHERS);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        ui::say(format_args!("note: other sweeps {what}: {}{more}", named.collect::<Vec<_>>().join(", ")));
    }
    Ok(())
}

fn detached(global: &Global, sweep: &SweepRow, with_figures: bool) -> Result<(), CliError> {
    if global.json {
        return ui::json(&json!({"sweep": sweep.name, "revision": sweep.revision}));
    }
    let program = ui::program(&global.home);
    ui::out(format_args!("{} runs; `{program} status` shows how far it is, `{program} drain` stops it", sweep.name))?;
    if with_figures {
        ui::say("note: its figures are drawn when it is launched again after its end, or by `permafrost figure`");
    }
    Ok(())
}

fn interrupted(progress: &SweepProgress, how: &str) -> CliError {
    let (done, total) = (progress.count(&["done"]), progress.total());
    CliError::Interrupted(format!("{how}; {done} of {total} trials are done, the same command goes on"))
}

/// Prints the tables, and what to do next; an error when trials have no result.
async fn report(global: &Global, reader: &Reader, sweep: &SweepRow, began: Instant) -> Result<(), CliError> {
    let progress = reader.progress(sweep.sweep).await?;
    let results = reader.results(sweep.sweep).await?;
    let report = StoredReport::of_row(sweep)?;
    let tables = report.tables(&results::told(reader, sweep.sweep, results.clone()).await?);
    if global.json {
        ui::out(results::document(sweep, &tables, Format::Json)?)?;
    } else {
        ui::out(results::document(sweep, &tables, Format::Table)?.trim_end())?;
    }
    figure::of_sweep(&global.home, reader, sweep, global.json).await?;
    let done = progress.count(&["done"]);
    if !progress.is_done() {
        let failures = reader.failures(sweep.sweep).await?;
        return Err(Unfinished::new(progress.total() - done, progress.total(), &failures).into());
    }
    if !global.json {
        let reused: i64 = progress.work.iter().map(|row| row.reused).sum();
        let took = ui::duration(began.elapsed().as_millis() as i64);
        ui::say(format_args!(
            "\n{done} trials are done, {reused} of them before this sweep was launched; this took {took}"
        ));
        next(global, sweep, &report, results.last())?;
    }
    Ok(())
}

/// Three commands to try.
fn next(global: &Global, sweep: &SweepRow, report: &StoredReport, last: Option<&ResultRow>) -> Result<(), CliError> {
    let program = ui::program(&global.home);
    ui::out("\nnext:")?;
    ui::out(format_args!("  {program} results {} --format markdown", sweep.name))?;
    if let Some(last) = last {
        ui::out(format_args!("  {program} explain {}", &last.id[..10]))?;
    }
    let Some((stage, metric, maximize)) = report.subject() else { return Ok(()) };
    let order = if maximize { "DESC" } else { "ASC" };
    let wanted = format!(
        "sweep = '{}' AND revision = {} AND stage = '{stage}' AND metric = '{metric}'",
        sweep.name, sweep.revision
    );
    ui::out(format_args!(
        "  {program} sql \"SELECT parameters, n, mean, ci95 FROM cells WHERE {wanted} ORDER BY mean {order} LIMIT 5\""
    ))
}
