//! Stages: their kinds, what they build on, and their search spaces.

use std::collections::HashMap;

use permafrost_worker::task::Kind;
use serde_json::Value as Json;

use super::{
    check::{Check, Map, start_of, suggestion},
    file::{Dataset, Method, Stage, SweepFile},
    keys::{self, Parameter, Type},
    registry,
    search::{Axis, Space},
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
    if keys::IMPLIED.contains(&entry.key.as_str()) {
        let help = Some("give the stage another name".to_owned());
        let message = format!("`{}` is the name of an implied stage", entry.key);
        check.report("sweep::name", entry.key_span, message, "here", help);
    }
    let map = check.map(&entry.node, &what, keys::STAGE);
    not_in_this_version(&map, check);
    let kind = kind(entry, &map, check)?;
    let from = match map.get("from") {
        Some(node) if !broken_from => Some(from(node, kind, before, check)?),
        _ => None,
    };
    let dataset = if kind == Kind::Noop { None } else { Some(dataset(entry, &map, file, check)?) };
    let method = method(&map, &what, check)?;
    let (metric, maximize) = metric(&map, kind, check)?;
    let inherits = kind == Kind::Classify && map.get("from").is_some();
    let labels = dataset.map_or(&[][..], |at| match &file.datasets[at].1 {
        Dataset::OpenI { .. } => registry::OPEN_I_LABELS,
        Dataset::Folder { reader, .. } if reader == "rsna" => registry::RSNA_LABELS,
        Dataset::Folder { .. } => &[],
    });
    let (axes, given) = Axes { kind, method, inherits, labels, file, what: &what }.read(&map, &entry.node, check)?;
    Some(Stage {
        name: entry.key.clone(),
        span: entry.key_span,
        kind,
        from,
        dataset,
        method,
        metric,
        maximize,
        axes,
        given,
    })
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
    let fits = matches!((kind, before[at].kind), (Kind::Classify, Kind::Pretrain) | (Kind::Noop, Kind::Noop));
    if !fits {
        let message = format!("a {} stage cannot build on a {} stage", kind.name(), before[at].kind.name());
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
        None if file.datasets.is_empty() && check.problems.iter().any(|other| other.code != "sweep::missing_key") => {
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

fn metric(map: &Map<'_>, kind: Kind, check: &mut Check) -> Option<(String, bool)> {
    let results = keys::results(kind);
    let usual = |name: &str| !name.ends_with("loss");
    let Some(node) = map.get("metric") else { return Some((results[0].to_owned(), usual(results[0]))) };
    let metric = check.map(node, "`metric`", keys::METRIC);
    let name = check.choice(metric.get("name")?, "result", results)?;
    let maximize = match metric.get("goal") {
        None => usual(&name),
        Some(node) => check.choice(node, "goal", &["minimize", "maximize"])? == "maximize",
    };
    Some((name, maximize))
}

/// Reads the search space of a stage.
struct Axes<'a> {
    kind: Kind,
    method: Method,
    inherits: bool,
    labels: &'a [&'a str],
    file: &'a SweepFile,
    what: &'a str,
}

impl Axes<'_> {
    /// The axes of the file in its order, then every other parameter with its default; and how many stand in the file.
    fn read(&self, map: &Map<'_>, node: &Node, check: &mut Check) -> Option<(Vec<Axis>, usize)> {
        let known: Vec<&Parameter> =
            keys::parameters(self.kind).iter().filter(|p| !(self.inherits && p.name == "vision")).collect();
        let before = check.problems.len();
        let mut axes = Vec::new();
        if let Some(node) = map.get("parameters") {
            for entry in check.entries(node, "`parameters`") {
                let Some(parameter) = known.iter().find(|parameter| parameter.name == entry.key) else {
                    let what = format!("{} ({})", self.what, self.kind.name());
                    check.unknown_key(entry, &format!("`parameters` of {what}"), known.iter().map(|p| p.name));
                    continue;
                };
                if let Some(space) = self.space(entry, parameter, check) {
                    axes.push((entry.key.clone(), space));
                }
            }
        }
        let given = axes.len();
        for parameter in known {
            if axes.iter().any(|(name, _)| name == parameter.name) {
                continue;
            }
            match parameter.default() {
                Some(value) => axes.push((parameter.name.to_owned(), Space::constant(value))),
                // A key that is misspelt was told already.
                None if check.problems.len() > before => {}
                None if map.get("parameters").is_none() && before > 0 => {}
                None => {
                    let help = Some(format!("add `{}` under `parameters`: {}", parameter.name, parameter.doc));
                    let message = format!("{} has no parameter `{}`", self.what, parameter.name);
                    check.report("sweep::missing_key", start_of(node), message, "in this stage", help);
                }
            }
        }
        (check.problems.len() == before).then_some((axes, given))
    }

    fn space(&self, entry: &Entry, parameter: &Parameter, check: &mut Check) -> Option<Space> {
        let what = format!("parameter `{}`", entry.key);
        if !matches!(entry.node.value, Value::Map(_)) {
            let shown = entry.node.json().map_or_else(|| "...".to_owned(), |value| value.to_string());
            let key = if matches!(entry.node.value, Value::List(_)) { "values" } else { "value" };
            let help = Some(format!("write `{}: {{{key}: {shown}}}`", entry.key));
            let message = format!("{what} must be a mapping, not {}", entry.node.kind());
            check.report("sweep::wrong_type", entry.node.span, message, "here", help);
            return None;
        }
        let map = check.map(&entry.node, &what, keys::PARAMETER);
        match (map.get("value"), map.get("values")) {
            (Some(node), None) => Some(Space::constant(self.value(node, parameter, check)?)),
            (None, Some(node)) => self.values(node, &map, parameter, check),
            (Some(_), Some(node)) => {
                check.report(
                    "sweep::conflict",
                    node.span,
                    format!("{what} has both `value` and `values`"),
                    "remove one",
                    None,
                );
                None
            }
            (None, None) => self.distribution(&entry.node, &map, parameter, check),
        }
    }

    fn values(&self, node: &Node, map: &Map<'_>, parameter: &Parameter, check: &mut Check) -> Option<Space> {
        let Value::List(items) = &node.value else {
            check.wrong_type(node, "`values`", "a list");
            return None;
        };
        if items.is_empty() {
            let message = format!("`{}` has no values: the grid is empty", parameter.name);
            check.report("sweep::empty", node.span, message, "name at least one", None);
            return None;
        }
        let values: Vec<Json> = items.iter().map(|item| self.value(item, parameter, check)).collect::<Option<_>>()?;
        for (i, value) in values.iter().enumerate() {
            if values[..i].contains(value) {
                check.report(
                    "sweep::duplicate_value",
                    items[i].span,
                    format!("{value} is there twice"),
                    "again here",
                    None,
                );
                return None;
            }
        }
        let probabilities = match map.get("probabilities") {
            None => None,
            Some(node) => Some(probabilities(node, values.len(), check)?),
        };
        Some(Space::Values { values, probabilities })
    }

    fn distribution(&self, node: &Node, map: &Map<'_>, parameter: &Parameter, check: &mut Check) -> Option<Space> {
        let whole = matches!(parameter.kind, Type::Whole { .. } | Type::WholeOrNull { .. });
        let name = match map.get("distribution") {
            Some(node) => check.choice(node, "distribution", keys::DISTRIBUTIONS)?,
            None if map.get("min").is_some() && map.get("max").is_some() => {
                (if whole { "int_uniform" } else { "uniform" }).to_owned()
            }
            None => {
                let help = Some("give it a `value`, `values`, or `min` and `max`".to_owned());
                let message = format!("parameter `{}` has no values", parameter.name);
                check.report("sweep::missing_key", start_of(node), message, "here", help);
                return None;
            }
        };
        if self.method == Method::Grid {
            let help = Some("list its `values`, or use `method: random` with a `run_cap`".to_owned());
            let message = format!("a grid cannot go over the range of `{}`", parameter.name);
            check.report("sweep::unsupported", start_of(node), message, "here", help);
            return None;
        }
        let mut bound = |key: &str| match map.get(key) {
            Some(node) => check.number(node, &format!("`{key}`")),
            None => {
                let message = format!("distribution {name} of `{}` needs `{key}`", parameter.name);
                check.report("sweep::missing_key", start_of(node), message, "here", None);
                None
            }
        };
        let space = match name.as_str() {
            "uniform" => Space::Uniform { min: bound("min")?, max: bound("max")? },
            "int_uniform" => Space::IntUniform { min: bound("min")? as i64, max: bound("max")? as i64 },
            "q_uniform" => Space::QUniform { min: bound("min")?, max: bound("max")?, q: bound("q")? },
            "log_uniform_values" => Space::LogUniform { min: bound("min")?, max: bound("max")? },
            _ => {
                let help = Some("give it `value` or `values`".to_owned());
                check.report(
                    "sweep::missing_key",
                    start_of(node),
                    format!("distribution {name} needs values"),
                    "here",
                    help,
                );
                return None;
            }
        };
        self.in_range(&space, node, parameter, whole, check).then_some(space)
    }

    /// Whether all that a distribution can give is allowed.
    fn in_range(&self, space: &Space, node: &Node, parameter: &Parameter, whole: bool, check: &mut Check) -> bool {
        let (low, high) = match *space {
            Space::Uniform { min, max } | Space::QUniform { min, max, .. } | Space::LogUniform { min, max } => {
                (min, max)
            }
            Space::IntUniform { min, max } => (min as f64, max as f64),
            // Values are checked one by one.
            Space::Values { .. } => return true,
        };
        let positive = matches!(space, Space::LogUniform { .. }) && low <= 0.0;
        let quantised = matches!(*space, Space::QUniform { q, .. } if q <= 0.0);
        if low >= high || positive || quantised {
            check.report(
                "sweep::out_of_range",
                start_of(node),
                format!("nothing lies between {low} and {high}"),
                "here",
                None,
            );
            return false;
        }
        if whole != matches!(space, Space::IntUniform { .. }) {
            let right = if whole { "int_uniform" } else { "uniform, q_uniform or log_uniform_values" };
            let message = format!("this distribution does not give what `{}` needs", parameter.name);
            check.report("sweep::wrong_type", start_of(node), message, "here", Some(format!("use {right}")));
            return false;
        }
        [low, high].into_iter().all(|value| {
            let value = if whole { Json::from(value as i64) } else { Json::from(value) };
            self.allowed(&value, node, parameter, check)
        })
    }

    fn value(&self, node: &Node, parameter: &Parameter, check: &mut Check) -> Option<Json> {
        let Some(value) = node.json().filter(|value| !value.is_array()) else {
            check.wrong_type(node, &format!("a value of `{}`", parameter.name), "a number or a text");
            return None;
        };
        // 1 is as good as 1.0 where a number is wanted, and must have the same identity.
        let value = match (parameter.kind, &node.value) {
            (Type::Number { .. }, Value::Int(number)) => Json::from(*number as f64),
            _ => value,
        };
        self.allowed(&value, node, parameter, check).then_some(value)
    }

    fn allowed(&self, value: &Json, node: &Node, parameter: &Parameter, check: &mut Check) -> bool {
        let vision = || self.file.vision.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>();
        let text = || self.file.text.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>();
        let name = parameter.name;
        let (fits, wanted, help) = match parameter.kind {
            Type::Vision => one_of(value, &vision(), "a vision encoder"),
            Type::Text => one_of(value, &text(), "a text encoder"),
            Type::Label => one_of(value, self.labels, "a label of the collection"),
            Type::Choice(names) => one_of(value, names, "a known value"),
            Type::Number { min, max, open } => {
                let fits = value.as_f64().is_some_and(|v| v >= min && v <= max && !(open && v == min));
                let lower = if open { format!("more than {min}") } else { format!("at least {min}") };
                let upper = if max < f64::MAX { format!(" and at most {max}") } else { String::new() };
                (fits, format!("a number, {lower}{upper}"), None)
            }
            Type::Whole { min, max } | Type::WholeOrNull { min, max } => {
                let null = matches!(parameter.kind, Type::WholeOrNull { .. });
                let fits = value.as_u64().is_some_and(|v| v >= min && v <= max) || (null && value.is_null());
                let or = if null { ", or null" } else { "" };
                (fits, format!("a whole number from {min} to {max}{or}"), None)
            }
        };
        if !fits {
            let message = format!("`{name}` cannot be {value}");
            check.report("sweep::out_of_range", node.span, message, &format!("must be {wanted}"), help);
        }
        fits
    }
}

fn one_of(value: &Json, names: &[&str], wanted: &str) -> (bool, String, Option<String>) {
    let text = value.as_str().unwrap_or_default();
    let fits = value.is_string() && names.contains(&text);
    (fits, wanted.to_owned(), (!fits).then(|| suggestion(text, names.iter().copied())))
}

fn probabilities(node: &Node, count: usize, check: &mut Check) -> Option<Vec<f64>> {
    let Value::List(items) = &node.value else {
        check.wrong_type(node, "`probabilities`", "a list of numbers");
        return None;
    };
    let shares: Vec<f64> = items.iter().map(|item| check.number(item, "a probability")).collect::<Option<_>>()?;
    let sum: f64 = shares.iter().sum();
    if shares.len() != count || shares.iter().any(|&share| share < 0.0) || (sum - 1.0).abs() > 1e-6 {
        let message = format!("{} probabilities for {count} values, their sum is {sum}", shares.len());
        check.report("sweep::out_of_range", node.span, message, "one a value, none negative, sum 1", None);
        return None;
    }
    Some(shares)
}
