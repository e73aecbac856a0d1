//! Stages: their kinds, what they build on, and what they are compared by.

use std::collections::HashMap;

use permafrost_worker::task::{Kind, Target};

use super::{
    axes::Axes,
    check::{Check, Map, start_of, suggestion},
    file::{Dataset, Goal, Method, Stage, SweepFile},
    keys,
    search::Axis,
    yaml::{Entry, Node, Value},
};

/// Reads all stages, and puts each after the one it builds on.
pub(super) fn read(node: &Node, file: &SweepFile, check: &mut Check) -> Vec<Stage> {
    let entries = check.entries(node, "`stages`");
    if entries.is_empty() && matches!(node.value, Value::Map(_)) {
        check.report("sweep::empty", node.span, "`stages` is empty", "name at least one", None);
    }
    let Some(order) = order(entries, check) else { return Vec::new() };
    let mut stages: Vec<Stage> = Vec::new();
    for at in order {
        // A `from` that names a stage with problems of its own is no second problem.
        let broken = from_name(&entries[at]).is_some_and(|name| {
            !stages.iter().any(|stage| stage.name == name) && entries.iter().any(|entry| entry.key == name)
        });
        if let Some(stage) = stage(&entries[at], &stages, broken, file, check) {
            stages.push(stage);
        }
    }
    stages
}

/// The text under `from`, whatever it names.
fn from_name(entry: &Entry) -> Option<&str> {
    let Value::Map(keys) = &entry.node.value else { return None };
    match &keys.iter().find(|key| key.key == "from")?.node.value {
        Value::Text(name) => Some(name),
        _ => None,
    }
}

/// Places of `entries`, each after the one it names in `from`.
fn order(entries: &[Entry], check: &mut Check) -> Option<Vec<usize>> {
    let place: HashMap<&str, usize> = entries.iter().enumerate().map(|(i, entry)| (entry.key.as_str(), i)).collect();
    let from = |at: usize| match &entries[at].node.value {
        Value::Map(keys) => keys.iter().find(|key| key.key == "from").and_then(|key| match &key.node.value {
            Value::Text(name) => place.get(name.as_str()).copied().map(|at| (at, key.node.span)),
            _ => None,
        }),
        _ => None,
    };
    let mut order = Vec::new();
    for start in 0..entries.len() {
        let mut path = vec![start];
        while let Some((next, span)) = from(path[path.len() - 1]) {
            if let Some(at) = path.iter().position(|&seen| seen == next) {
                let mut names: Vec<&str> = path[at..].iter().map(|&i| entries[i].key.as_str()).collect();
                names.push(names[0]);
                let message = format!("stages build on each other in a circle: {}", names.join(" -> "));
                let help = Some("a stage can only build on one that does not need it".to_owned());
                check.report("sweep::cycle", span, message, "this closes the circle", help);
                return None;
            }
            path.push(next);
        }
        order.extend(path.into_iter().rev().filter(|at| !order.contains(at)).collect::<Vec<_>>());
    }
    Some(order)
}

fn stage(entry: &Entry, before: &[Stage], broken_from: bool, file: &SweepFile, check: &mut Check) -> Option<Stage> {
    let what = format!("stage `{}`", entry.key);
    let map = check.map(&entry.node, &what, keys::STAGE);
    not_in_this_version(&map, check);
    let kind = kind(entry, &map, check)?;
    // The embeddings that other stages need are embed trials, too.
    if keys::IMPLIED.iter().any(|&(name, implied)| name == entry.key && implied != kind) {
        let help = Some("give the stage another name".to_owned());
        let message = format!("`{}` is the name of an implied stage", entry.key);
        check.report("sweep::name", entry.key_span, message, "here", help);
    }
    let from = match map.get("from") {
        Some(node) if !broken_from => Some(from(node, kind, before, check)?),
        _ => None,
    };
    let dataset = if kind == Kind::Noop { None } else { Some(dataset(entry, &map, file, check)?) };
    let method = method(&map, &what, check)?;
    if kind == Kind::Project && map.get("from").is_none() {
        let help = Some("add `from:` with a pretrain stage: images are shown before and after its Adaptors".to_owned());
        check.report("sweep::missing_key", entry.key_span, format!("{what} has no `from`"), "in this stage", help);
        return None;
    }
    let inherits = matches!(kind, Kind::Classify | Kind::Project) && map.get("from").is_some();
    let collection = dataset.map(|at| &file.datasets[at].1);
    let reading = Axes { kind, method, inherits, dataset: collection, file, what: &what };
    let axes = reading.read(&map, &entry.node, check);
    let targets = axes.as_ref().map_or_else(Vec::new, |(axes, _)| targets(axes, collection));
    let results = match kind {
        Kind::Pretrain if collection.is_some_and(|dataset| !dataset.has_test()) => keys::PRETRAIN_WITHOUT_TEST,
        _ => keys::results(kind, &targets),
    };
    // Which results there are is known only with the labels.
    let metric = axes.as_ref().and_then(|_| metric(&map, kind, results, check));
    let (axes, given) = axes?;
    texts(entry, kind, dataset, file, check);
    Some(Stage {
        name: entry.key.clone(),
        span: entry.key_span,
        kind,
        from,
        dataset,
        method,
        results,
        metric: metric?,
        axes,
        given,
    })
}

/// What the labels of a stage predict.
fn targets(axes: &[Axis], dataset: Option<&Dataset>) -> Vec<Target> {
    let labels = axes.iter().find(|(name, _)| name == "label").and_then(|(_, space)| space.values());
    let labels = labels.unwrap_or_default().iter().filter_map(|label| label.as_str());
    labels.filter_map(|label| dataset?.target(label)).collect()
}

/// Complains of pre-training without texts.
fn texts(entry: &Entry, kind: Kind, dataset: Option<usize>, file: &SweepFile, check: &mut Check) {
    if let Some((name, dataset)) = dataset.map(|at| &file.datasets[at])
        && kind == Kind::Pretrain
        && !dataset.has_texts()
    {
        let message = format!("dataset `{name}` has no texts to pre-train with");
        let help = "name another `dataset`; a table has texts when its `columns` name a `text`".to_owned();
        check.report("sweep::conflict", entry.key_span, message, "this stage pre-trains", Some(help));
    }
}

fn not_in_this_version(map: &Map<'_>, check: &mut Check) {
    let cures = [
        (
            "early_terminate",
            "is not in this version",
            "use `patience`, which stops a trial by its own validation score",
        ),
        ("program", "is not needed", "remove it: permafrost trains by itself"),
        ("command", "is not needed", "remove it: permafrost trains by itself"),
    ];
    for (key, why, cure) in cures {
        if let Some(node) = map.get(key) {
            check.report("sweep::unsupported", start_of(node), format!("`{key}` {why}"), "here", Some(cure.to_owned()));
        }
    }
}

fn kind(entry: &Entry, map: &Map<'_>, check: &mut Check) -> Option<Kind> {
    let name = match map.get("kind") {
        Some(node) => check.choice(node, "kind of stage", keys::STAGE_KINDS)?,
        None if keys::STAGE_KINDS.contains(&entry.key.as_str()) => entry.key.clone(),
        None => {
            let help = Some(format!("add `kind:` with one of: {}", keys::STAGE_KINDS.join(", ")));
            let message = format!("stage `{}` has no `kind`", entry.key);
            check.report("sweep::missing_key", entry.key_span, message, "its name is no kind either", help);
            return None;
        }
    };
    Kind::ALL.into_iter().find(|kind| kind.name() == name)
}

fn from(node: &Node, kind: Kind, before: &[Stage], check: &mut Check) -> Option<usize> {
    let name = check.text(node, "`from`")?;
    let Some(at) = before.iter().position(|stage| stage.name == name) else {
        let help = suggestion(&name, before.iter().map(|stage| stage.name.as_str()));
        check.report(
            "sweep::unknown_value",
            node.span,
            format!("there is no stage `{name}`"),
            "unknown stage",
            Some(help),
        );
        return None;
    };
    let fits =
        matches!((kind, before[at].kind), (Kind::Classify | Kind::Project, Kind::Pretrain) | (Kind::Noop, Kind::Noop));
    if !fits {
        let message = format!("a stage of kind {} cannot build on one of kind {}", kind.name(), before[at].kind.name());
        check.report("sweep::unsupported", node.span, message, "here", None);
        return None;
    }
    Some(at)
}

fn dataset(entry: &Entry, map: &Map<'_>, file: &SweepFile, check: &mut Check) -> Option<usize> {
    let names = || file.datasets.iter().map(|(name, _)| name.as_str());
    match map.get("dataset") {
        Some(node) => {
            let name = check.text(node, "`dataset`")?;
            let found = names().position(|known| known == name);
            if found.is_none() {
                let help = suggestion(&name, names());
                check.report(
                    "sweep::unknown_value",
                    node.span,
                    format!("there is no dataset `{name}`"),
                    "unknown dataset",
                    Some(help),
                );
            }
            found
        }
        None if file.datasets.len() == 1 => Some(0),
        // A dataset, or the key for it, that is wrong was told already.
        None if file.datasets.is_empty()
            && (file.has_datasets || check.problems.iter().any(|other| other.code != "sweep::missing_key")) =>
        {
            None
        }
        None => {
            let all: Vec<&str> = names().collect();
            let help = if all.is_empty() {
                "add `datasets:` with an entry, such as `open-i: {reader: open-i}`".to_owned()
            } else {
                format!("add `dataset:` with one of: {}", all.join(", "))
            };
            let message = format!("stage `{}` has no `dataset`", entry.key);
            check.report("sweep::missing_key", entry.key_span, message, "in this stage", Some(help));
            None
        }
    }
}

fn method(map: &Map<'_>, what: &str, check: &mut Check) -> Option<Method> {
    let name = match map.get("method") {
        None => "grid".to_owned(),
        Some(node) => {
            if matches!(&node.value, Value::Text(text) if text == "bayes") {
                let help = Some("use `random` or `grid`".to_owned());
                check.report("sweep::unsupported", node.span, "`bayes` is not in this version", "here", help);
                return None;
            }
            check.choice(node, "method", &["grid", "random"])?
        }
    };
    let run_cap = map.get("run_cap");
    match (name.as_str(), run_cap) {
        ("grid", None) => Some(Method::Grid),
        ("grid", Some(node)) => {
            let help = Some("remove it, or use `method: random`".to_owned());
            check.report("sweep::unsupported", node.span, "`run_cap` is for random search", "here", help);
            None
        }
        (_, Some(node)) => Some(Method::Random { run_cap: check.count(node, "`run_cap`", 1)? as usize }),
        (_, None) => {
            let span = map.get("method").map(|node| node.span)?;
            let help = Some("add `run_cap: 20`".to_owned());
            check.report(
                "sweep::missing_key",
                span,
                format!("{what} has no `run_cap`"),
                "random search needs an end",
                help,
            );
            None
        }
    }
}

/// Whether more of a result is better where nothing says so: of losses and divergences less is.
pub(crate) fn usually_maximized(result: &str) -> bool {
    !(result.ends_with("loss") || result.starts_with("kl_"))
}

/// What the trials of a stage are compared by; the outer option is whether the file is right.
fn metric(map: &Map<'_>, kind: Kind, results: &[&'static str], check: &mut Check) -> Option<Option<(String, Goal)>> {
    let usual = |name: &str| if usually_maximized(name) { Goal::Maximize } else { Goal::Minimize };
    let Some(node) = map.get("metric") else {
        let main = results.first().filter(|_| kind != Kind::Embed);
        return Some(main.map(|name| ((*name).to_owned(), usual(name))));
    };
    let metric = check.map(node, "`metric`", keys::METRIC);
    // Both are looked at before either ends it, so that both are told.
    let name = metric.get("name").and_then(|node| check.choice(node, "result", results));
    let goal = metric.get("goal").map(|node| check.choice(node, "goal", &["minimize", "maximize"]));
    let name = name?;
    let goal = match goal {
        None => usual(&name),
        Some(goal) => match goal?.as_str() {
            "maximize" => Goal::Maximize,
            _ => Goal::Minimize,
        },
    };
    Some(Some((name, goal)))
}
