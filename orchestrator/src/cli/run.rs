//! From arguments to an exit code.

use std::process::ExitCode;

use clap::Parser;

use super::{
    args::{Args, Data, Global, Verb},
    bench, completions, control, coordinator, data, diff, doctor,
    error::{CliError, exit},
    explain, export, figure, history, launch,
    logging::{self, LogFile},
    logs, mistyped, plan, results, schema, serve, sql, status, top, ui, when, worker,
};

/// The program.
pub fn main() -> ExitCode {
    let Args { global, verb } = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return usage(&error),
    };
    let json = global.json;
    match checked(&global, &verb).and_then(|()| run(global, verb)) {
        Ok(()) => ExitCode::from(exit::OK),
        Err(error) => {
            ui::error(&error, json);
            ExitCode::from(error.code())
        }
    }
}

/// Help, version, or what is wrong with the arguments; in JSON where that was asked for.
fn usage(error: &clap::Error) -> ExitCode {
    if error.use_stderr() && std::env::args().any(|argument| argument == "--json") {
        ui::say(mistyped::as_json(error));
    } else {
        // Nobody is left to tell when this fails.
        error.print().ok();
    }
    ExitCode::from(if error.use_stderr() { exit::USAGE } else { exit::OK })
}

/// Before anything is written, a log included.
fn checked(global: &Global, verb: &Verb) -> Result<(), CliError> {
    match verb {
        Verb::History(args) => when::in_order(args.since.as_deref(), args.until.as_deref())?,
        // The coordinator starts its own before others can find it.
        Verb::Worker(args) if !args.exit_with_parent => worker::checked(&global.home)?,
        _ => {}
    }
    start_logging(global, verb);
    Ok(())
}

fn start_logging(global: &Global, verb: &Verb) {
    let file = match verb {
        Verb::Coordinator(_) => Some(LogFile::Coordinator),
        Verb::Worker(args) => Some(LogFile::Worker { device: &args.device, by_hand: !args.exit_with_parent }),
        _ => None,
    };
    // A worker that somebody started by hand says what it does.
    let verbose = match &file {
        Some(LogFile::Worker { by_hand: true, .. }) => global.verbose.max(1),
        _ => global.verbose,
    };
    logging::start(verbose, &global.home, file.as_ref());
}

fn run(global: Global, verb: Verb) -> Result<(), CliError> {
    let verb = match verb {
        Verb::Schema => return schema::run(),
        // It computes, and waits for nobody.
        Verb::Data(Data::Check(args)) => return data::check(&global, &args),
        Verb::Bench(args) => return bench::run(&global, &args),
        Verb::Completions(args) => {
            completions::run(&args);
            return Ok(());
        }
        verb => verb,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|source| CliError::Io { action: "start", path: "threads".into(), source })?;
    let result = runtime.block_on(async {
        match verb {
            Verb::Plan(args) => plan::run(&global, &args).await,
            Verb::Launch(args) => launch::run(&global, &args).await,
            Verb::Status(args) => status::run(&global, &args).await,
            Verb::Top(args) => top::run(&global, &args).await,
            Verb::Explain(args) => explain::run(&global, &args).await,
            Verb::Results(args) => results::run(&global, &args).await,
            Verb::History(args) => history::run(&global, &args).await,
            Verb::Diff(args) => diff::run(&global, &args).await,
            Verb::Export(export) => export::run(&global, &export).await,
            Verb::Figure(args) => figure::run(&global, &args).await,
            Verb::Sql(args) => sql::run(&global, &args).await,
            Verb::Logs(args) => logs::run(&global, &args).await,
            Verb::Serve(args) => serve::run(&global, &args).await,
            Verb::Retry(args) => control::retry(&global, &args).await,
            Verb::Cancel(args) => control::cancel(&global, &args).await,
            Verb::Drain => control::drain(&global).await,
            Verb::Worker(args) => worker::run(&global, args).await,
            Verb::Doctor(args) => doctor::run(&global, &args).await,
            Verb::Coordinator(args) => coordinator::run(&global, args).await,
            Verb::Schema | Verb::Completions(_) | Verb::Data(_) | Verb::Bench(_) => Ok(()),
        }
    });
    // A thread that computes must not hold up the exit.
    runtime.shutdown_background();
    result
}
