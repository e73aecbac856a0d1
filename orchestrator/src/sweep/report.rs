//! From the tree to tables: the `report:` key.

use miette::SourceSpan;
use permafrost_worker::task::Kind;

use super::{
    check::{Check, suggestion},
    file::{Dataset, Stage},
    keys,
    search::Space,
    types::{ReportSpec, Spread},
    yaml::{Entry, Node, Value},
};

/// Reads all tables; problems are in `check`.
pub(super) fn read(
    node: &Node,
    stages: &[Stage],
    datasets: &[(String, Dataset)],
    check: &mut Check,
) -> Vec<ReportSpec> {
    let list = match &node.value {
        Value::List(items) => items.as_slice(),
        Value::Map(_) => std::slice::from_ref(node),
        _ => {
            check.wrong_type(node, "`report`", "a list of tables");
            &[]
        }
    };
    list.iter().filter_map(|item| report(item, stages, datasets, check)).collect()
}

fn report(node: &Node, stages: &[Stage], datasets: &[(String, Dataset)], check: &mut Check) -> Option<ReportSpec> {
    let map = check.map(node, "a table of `report`", keys::REPORT);
    let value = map.get("value")?;
    let (stage, metric) = shown(value, stages, check)?;
    let own = stages[stage].name.clone();
    let known = lineage(stages, stage);
    let axes = |key: &str, check: &mut Check| -> Option<Vec<String>> {
        let Some(node) = map.get(key) else { return Some(Vec::new()) };
        let names = check.texts(node, &format!("`{key}`"))?;
        names.iter().all(|name| parameter(name, node.span, &known, check)).then_some(names)
    };
    let (rows, columns) = (axes("rows", check), axes("columns", check));
    let mut filter = serde_json::Map::new();
    if let Some(node) = map.get("filter") {
        for entry in check.entries(node, "`filter`") {
            if parameter(&entry.key, entry.key_span, &known, check) {
                match entry.node.json() {
                    Some(value) => {
                        occurs(&value, entry, stages, stage, check);
                        filter.insert(entry.key.clone(), value);
                    }
                    None => check.wrong_type(&entry.node, "a value of `filter`", "a value or a list of them"),
                }
            }
        }
    }
    let optional = |key: &str, check: &mut Check| map.get(key).and_then(|node| check.text(node, &format!("`{key}`")));
    let reference = map.get("reference").and_then(|node| check.choice(node, "reference", keys::REFERENCES));
    let (title, note) = (optional("title", check), optional("note", check));
    let spread = map.get("spread").and_then(|node| check.choice(node, "spread", keys::SPREADS));
    let spread = match spread.as_deref() {
        Some("ci95") => Spread::Ci95,
        Some("both") => Spread::Both,
        _ => Spread::Sd,
    };
    let of = stages[stage].dataset.filter(|_| reference.is_some());
    let reader = of.and_then(|at| datasets.get(at)).map(|(_, dataset)| dataset.source.reader().to_owned());
    let (rows, columns, metric) = (rows?, columns?, metric?);
    let baseline = map.get("baseline").map(|node| baseline(node, &rows, stages, stage, check)).unwrap_or_default();
    let title = title.unwrap_or_else(|| format!("{own}.{metric}"));
    Some(ReportSpec { title, rows, columns, stage: own, metric, filter, note, reference, spread, baseline, reader })
}

/// The row that others are compared with: values of row parameters.
fn baseline(
    node: &Node,
    rows: &[String],
    stages: &[Stage],
    stage: usize,
    check: &mut Check,
) -> serde_json::Map<String, serde_json::Value> {
    let mut baseline = serde_json::Map::new();
    for entry in check.entries(node, "`baseline`") {
        if !rows.contains(&entry.key) {
            let help = suggestion(&entry.key, rows.iter().map(String::as_str));
            let message = format!("`{}` is not a parameter of the rows", entry.key);
            check.report("sweep::unknown_value", entry.key_span, message, "here", Some(help));
            continue;
        }
        match entry.node.json().filter(|value| !value.is_array() && !value.is_object()) {
            Some(value) => {
                occurs(&value, entry, stages, stage, check);
                baseline.insert(entry.key.clone(), value);
            }
            None => check.wrong_type(&entry.node, "a value of `baseline`", "one value"),
        }
    }
    baseline
}

/// Checks that a value to filter by, or each of a list, is one that trials of the stage can have.
pub(super) fn occurs(value: &serde_json::Value, entry: &Entry, stages: &[Stage], stage: usize, check: &mut Check) {
    let Some(Space::Values { values, .. }) = space(&stages[stage], &entry.key, stages) else { return };
    let equal = |a: &serde_json::Value, b: &serde_json::Value| match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    };
    let wanted = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    if let Some(other) = wanted.iter().find(|wanted| !values.iter().any(|value| equal(value, wanted))) {
        let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let message = format!("no trial of stage `{}` has {} {}", stages[stage].name, entry.key, text(other));
        let help = suggestion(&text(other), values.iter().map(text).collect::<Vec<_>>().iter().map(String::as_str));
        check.report("sweep::unknown_value", entry.node.span, message, "here", Some(help));
    }
}

/// The search space of a parameter that trials of `stage` carry, of its own or from the stage it builds on.
fn space<'a>(stage: &'a Stage, name: &str, stages: &'a [Stage]) -> Option<&'a Space> {
    let find = |stage: &'a Stage, name: &str| stage.axes.iter().find(|(axis, _)| axis == name).map(|(_, space)| space);
    find(stage, name).or_else(|| {
        let parent = &stages[stage.from?];
        let prefix = format!("{}.", parent.name);
        find(parent, name.strip_prefix(&prefix).unwrap_or(name))
    })
}

/// Splits `stage.result`. The result is missing when the stage has none of that name.
fn shown(node: &Node, stages: &[Stage], check: &mut Check) -> Option<(usize, Option<String>)> {
    let text = check.text(node, "`value`")?;
    let (stage, metric) = text.split_once('.').unwrap_or((text.as_str(), ""));
    let Some(at) = stages.iter().position(|known| known.name == stage) else {
        let help = suggestion(stage, stages.iter().map(|stage| stage.name.as_str()));
        check.report(
            "sweep::unknown_value",
            node.span,
            format!("there is no stage `{stage}`"),
            "stage.result",
            Some(help),
        );
        return None;
    };
    let results = stages[at].results;
    if !results.contains(&metric) {
        let help = suggestion(metric, results.iter().copied());
        let message = format!("stage `{stage}` has no result `{metric}`");
        check.report("sweep::unknown_value", node.span, message, "stage.result", Some(help));
        return Some((at, None));
    }
    Some((at, Some(metric.to_owned())))
}

pub(super) fn parameter(name: &str, span: SourceSpan, known: &[String], check: &mut Check) -> bool {
    if known.iter().any(|known| known == name) {
        return true;
    }
    let help = suggestion(name, known.iter().map(String::as_str));
    check.report(
        "sweep::unknown_value",
        span,
        format!("trials of that stage have no parameter `{name}`"),
        "here",
        Some(help),
    );
    false
}

/// Names of the parameters that a trial of a stage carries; see `plan::Lineage`.
pub(super) fn lineage(stages: &[Stage], stage: usize) -> Vec<String> {
    let own = &stages[stage];
    let mut names: Vec<String> = own.axes.iter().map(|(name, _)| name.clone()).collect();
    if matches!(own.kind, Kind::Classify | Kind::Project)
        && let Some(from) = own.from
    {
        let parent = &stages[from];
        names.extend(["vision".to_owned(), "text".to_owned()]);
        names.extend(parent.axes.iter().map(|(name, _)| format!("{}.{name}", parent.name)));
    }
    names
}
