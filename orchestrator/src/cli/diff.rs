//! `permafrost diff`.

mod sweeps;
mod trials;

use permafrost_worker::id::TrialId;
use serde_json::Value;

use super::{
    args::{Diff, Global},
    error::CliError,
    ui, which,
};
use crate::{
    report::{Format, Table, render},
    store::{DATABASE, Reader, StoreError, SweepRow},
};

/// Prints what differs.
pub(super) async fn run(global: &Global, args: &Diff) -> Result<(), CliError> {
    let reader = Reader::open(&global.home.join(DATABASE)).await?;
    let (a, b) = (named(&reader, &args.a).await?, named(&reader, &args.b).await?);
    match (a, b) {
        (Named::Trial(a), Named::Trial(b)) => {
            if args.metric.is_some() {
                let cure = "leave out --metric: all results of two trials are shown".to_owned();
                return Err(CliError::Usage { what: "--metric is for sweeps".to_owned(), cure });
            }
            let diff = trials::compare(&reader, a, b).await?;
            if global.json { ui::json(&diff) } else { diff.print() }
        }
        (Named::Sweep(a), Named::Sweep(b)) => {
            let diff = sweeps::compare(&reader, a, b, args.metric.as_deref()).await?;
            if global.json { ui::json(&diff) } else { diff.print() }
        }
        (a, b) => Err(CliError::Usage {
            what: format!("`{}` is a {} and `{}` a {}", args.a, a.sort(), args.b, b.sort()),
            cure: "name two trials or two sweeps; a sweep whose name looks like a trial's is NAME@REVISION".to_owned(),
        }),
    }
}

/// What a user named.
enum Named {
    Trial(TrialId),
    Sweep(Box<SweepRow>),
}

impl Named {
    fn sort(&self) -> &'static str {
        match self {
            Self::Trial(_) => "trial",
            Self::Sweep(_) => "sweep",
        }
    }
}

/// A sweep of that name, else a trial that begins so.
async fn named(reader: &Reader, text: &str) -> Result<Named, CliError> {
    let (name, revision) = which::split(text)?;
    if revision.is_some() || reader.latest(Some(name)).await?.is_some() {
        return Ok(Named::Sweep(Box::new(which::sweep_at(reader, Some(text), None).await?)));
    }
    match reader.find_trial(text).await {
        Ok(trial) => Ok(Named::Trial(trial)),
        Err(StoreError::NoSuchTrial(_)) => {
            let names: Vec<String> = reader.sweeps().await?.into_iter().map(|sweep| sweep.name).collect();
            let near = names.iter().max_by(|a, b| strsim::jaro(a, name).total_cmp(&strsim::jaro(b, name)));
            let near = near.filter(|near| strsim::jaro(near, name) > 0.7);
            Err(CliError::NotFound {
                what: format!("no sweep is called `{text}`, and no trial begins so"),
                cure: near.map_or_else(
                    || "`permafrost history` lists sweeps, `permafrost results --trials` trials".to_owned(),
                    |near| format!("did you mean `{near}`?"),
                ),
            })
        }
        Err(error) => Err(error.into()),
    }
}

/// Prints a heading and a table, unless that has no rows.
fn section(title: &str, names: &[&str], parameters: usize, rows: Vec<Vec<Value>>) -> Result<(), CliError> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    print(Table::of_rows(title, None, &names, parameters, rows))
}

fn print(table: Table) -> Result<(), CliError> {
    if table.is_empty() {
        return Ok(());
    }
    ui::out(format_args!("\n{}", render(&[table], Format::Table, ui::style()).trim_end()))
}

/// A value for people; nothing where there is none.
fn shown(value: Option<&Value>) -> String {
    match value {
        None => "–".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
