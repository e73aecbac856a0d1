//! `permafrost retry`, `cancel` and `drain`: to the coordinator that runs, or to the database when none does.

use std::time::Duration;

use permafrost_worker::{
    agent::{AgentError, Client, Endpoint},
    id::TrialId,
};
use serde_json::json;

use super::{
    args::{Cancel, Global, Retry},
    connect,
    error::CliError,
    status::sweep_named,
    ui, which,
};
use crate::{
    coordinator::{
        CoordinatorError, HomeError,
        api::{Control, Controlled},
        offline,
    },
    store::{DATABASE, Reader, WITHOUT_RESULT},
};

/// How often a command that meets a coordinator in the act of starting or leaving is tried.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// Runs trials again.
pub(super) async fn retry(global: &Global, args: &Retry) -> Result<(), CliError> {
    let reader = Reader::open(&global.home.join(DATABASE)).await?;
    let instead =
        |sweep: &str| format!("`permafrost retry --failed --sweep {sweep}` runs those without a result again");
    let mut trials = named(&reader, &args.trials, instead).await?;
    if args.failed {
        let sweep = sweep_named(&reader, args.sweep.as_deref()).await?;
        trials.extend(reader.trials_in(sweep.sweep, &WITHOUT_RESULT).await?);
    }
    let asked = trials.len();
    let changed = send(global, Control::Retry(trials)).await?.changed.len();
    if global.json {
        return ui::json(&json!({"asked": asked, "changed": changed}));
    }
    ui::out(format_args!("{} will run again", ui::counted(changed, "trial")))?;
    if changed > 0 && connect::running(&global.home).await?.is_none() {
        ui::say("hint: no coordinator runs; launch their sweep to run them now");
    }
    Ok(())
}

/// Stops trials, or does not start them.
pub(super) async fn cancel(global: &Global, args: &Cancel) -> Result<(), CliError> {
    let reader = Reader::open(&global.home.join(DATABASE)).await?;
    let instead = |sweep: &str| format!("`permafrost cancel --sweep {sweep}` cancels all of it");
    let mut trials = named(&reader, &args.trials, instead).await?;
    if let Some(name) = &args.sweep {
        let sweep = sweep_named(&reader, Some(name)).await?;
        trials.extend(reader.trials_in(sweep.sweep, &["waiting", "ready", "running"]).await?);
    }
    let asked = trials.len();
    let changed = send(global, Control::Cancel(trials)).await?.changed.len();
    if global.json {
        return ui::json(&json!({"asked": asked, "changed": changed}));
    }
    ui::out(format_args!("{} cancelled", ui::counted(changed, "trial")))?;
    if asked > changed {
        ui::say(format_args!("note: {} had ended already", ui::counted(asked - changed, "trial")));
    }
    Ok(())
}

/// Ends the coordinator after checkpoints.
pub(super) async fn drain(global: &Global) -> Result<(), CliError> {
    ask_to_drain(global).await?;
    if global.json {
        return ui::json(&json!({"drains": true}));
    }
    ui::out("running trials write a checkpoint, then coordinator and workers leave; launching a sweep again goes on")
}

/// Has the coordinator drain.
///
/// # Errors
/// [`CliError::NotFound`] when none runs.
pub(super) async fn ask_to_drain(global: &Global) -> Result<(), CliError> {
    let nobody = || CliError::NotFound {
        what: format!("no coordinator runs in {}", global.home.display()),
        cure: "nothing has to be drained; name another home folder with --home".to_owned(),
    };
    // Not `connect::running`: another version's coordinator can be drained too, this request has not changed.
    let client = Client::new(Endpoint::read(&global.home).map_err(|_| nobody())?);
    match client.post_once::<_, Controlled>("/v1/control", &Control::Drain).await {
        Ok(_) => Ok(()),
        // It was killed and could not say that it left.
        Err(AgentError::Unreachable { .. }) => Err(nobody()),
        Err(error) => Err(error.into()),
    }
}

async fn named(
    reader: &Reader,
    prefixes: &[String],
    instead: impl Fn(&str) -> String,
) -> Result<Vec<TrialId>, CliError> {
    let mut trials = Vec::with_capacity(prefixes.len());
    for prefix in prefixes {
        trials.push(which::trial(reader, prefix, &instead).await?);
    }
    Ok(trials)
}

/// Gives a command to the coordinator, or carries it out here. A coordinator may start or leave in between.
pub(super) async fn send(global: &Global, command: Control) -> Result<Controlled, CliError> {
    let mut tries = 0;
    loop {
        tries += 1;
        if let Some(client) = connect::running(&global.home).await? {
            match client.post_once("/v1/control", &command).await {
                Err(AgentError::Unreachable { .. } | AgentError::Refused { status: 503, .. }) if tries < TRIES => {}
                answer => return Ok(answer?),
            }
        } else {
            match offline::control(&global.home, command.clone()).await {
                Err(CoordinatorError::Home(HomeError::Busy { .. })) if tries < TRIES => {}
                answer => return Ok(answer?),
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
