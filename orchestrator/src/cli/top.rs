//! `permafrost top`.

use std::{io::IsTerminal, sync::Arc};

use permafrost_worker::id::TrialId;

use super::{
    args::{Global, Top},
    control,
    error::CliError,
    status::sweep_named,
    ui,
};
use crate::{
    coordinator::api::Control,
    monitor::top::{self, Command, Source, TopError, Wanted},
    store::{DATABASE, Reader, WITHOUT_RESULT},
};

/// Curves that one snapshot has.
const CURVES: usize = 100;

/// Shows a sweep as it runs.
pub(super) async fn run(global: &Global, args: &Top) -> Result<(), CliError> {
    let sweep = args.sweep.as_deref();
    let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
    if global.json || args.once || dumb || !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return once(global, sweep).await;
    }
    let (for_commands, runtime) = (global.clone(), tokio::runtime::Handle::current());
    let commands: top::Commands = Arc::new(move |command| runtime.block_on(carried_out(&for_commands, command)));
    match top::run(&global.home, sweep, commands).await {
        Ok(false) => Ok(()),
        Ok(true) => Err(CliError::Interrupted("ended by a signal; what runs goes on".to_owned())),
        Err(TopError::Terminal(source)) => Err(CliError::Io { action: "use", path: "the terminal".into(), source }),
        Err(error @ TopError::ReaderEnded) => Err(CliError::NotFound {
            what: error.to_string(),
            cure: "`permafrost status` shows the same without a screen".to_owned(),
        }),
    }
}

/// One snapshot, as text or JSON.
async fn once(global: &Global, sweep: Option<&str>) -> Result<(), CliError> {
    let reader = Reader::open(&global.home.join(DATABASE)).await?;
    sweep_named(&reader, sweep).await?;
    let wanted = Wanted { curves: (0, CURVES), ..Wanted::default() };
    let snapshot = Source::new(&global.home, sweep).snapshot(&wanted).await;
    if global.json {
        return ui::json(&snapshot);
    }
    ui::out(top::text(&snapshot, &global.home.display().to_string(), &jiff::tz::TimeZone::system()))
}

/// Carries out a command, and says what came of it, or why not and what to do about that.
async fn carried_out(global: &super::args::Global, command: Command) -> String {
    match try_command(global, command).await {
        Ok(text) => text,
        Err(error) => match error.cure() {
            Some(cure) => format!("{error}; {cure}"),
            None => error.to_string(),
        },
    }
}

async fn try_command(global: &Global, command: Command) -> Result<String, CliError> {
    let of_sweep = async |sweep, states: &[&str]| -> Result<Vec<TrialId>, CliError> {
        Ok(Reader::open(&global.home.join(DATABASE)).await?.trials_in(sweep, states).await?)
    };
    let (control, retried) = match command {
        Command::Retry(trial) => (Control::Retry(vec![trial]), true),
        Command::RetryAll(sweep) => (Control::Retry(of_sweep(sweep, &WITHOUT_RESULT).await?), true),
        Command::Cancel(trial) => (Control::Cancel(vec![trial]), false),
        Command::CancelAll(sweep) => (Control::Cancel(of_sweep(sweep, &["waiting", "ready", "running"]).await?), false),
        Command::Drain => {
            control::ask_to_drain(global).await?;
            return Ok("running trials write a checkpoint, then everything ends".to_owned());
        }
    };
    let changed = control::send(global, control).await?.changed.len();
    Ok(match (retried, changed) {
        (true, 0) => "nothing to run again: it waits or runs already".to_owned(),
        (true, _) if super::connect::running(&global.home).await?.is_none() => {
            format!("{} will run again when the sweep is launched", ui::counted(changed, "trial"))
        }
        (true, _) => format!("{} will run again", ui::counted(changed, "trial")),
        (false, 0) => "nothing to cancel: it had ended already".to_owned(),
        (false, _) => format!("{} cancelled", ui::counted(changed, "trial")),
    })
}
