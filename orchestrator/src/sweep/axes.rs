//! Search spaces: the parameters of a stage.

use permafrost_worker::task::{Kind, Target};
use serde_json::Value as Json;

use super::{
    check::{Check, Map, start_of, suggestion},
    file::{Dataset, Method, SweepFile},
    keys::{self, Parameter, Type},
    registry,
    search::{Axis, Space},
    yaml::{Entry, Node, Value},
};

/// Reads the search space of a stage.
pub(super) struct Axes<'a> {
    pub(super) kind: Kind,
    pub(super) method: Method,
    /// Whether the encoder is that of the stage it builds on.
    pub(super) inherits: bool,
    pub(super) dataset: Option<&'a Dataset>,
    pub(super) file: &'a SweepFile,
    /// The stage, in messages.
    pub(super) what: &'a str,
}

impl Axes<'_> {
    /// The axes of the file in its order, then every other parameter with its default; and how many stand in the file.
    pub(super) fn read(&self, map: &Map<'_>, node: &Node, check: &mut Check) -> Option<(Vec<Axis>, usize)> {
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
            let (name, kind) = (parameter.name, node.kind());
            let message = format!("a value of `{name}` must be a number or a text, not {kind}");
            let help = matches!(node.value, Value::List(_))
                .then(|| format!("several go under `values`: `{name}: {{values: [...]}}`"));
            check.report("sweep::wrong_type", node.span, message, &format!("this is {kind}"), help);
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
            Type::Encoder => one_of(value, &[vision(), text()].concat(), "an encoder"),
            Type::Label => self.label(value),
            Type::Choice(names) => one_of(value, names, "a known value"),
            Type::ChoiceOrNull(names) => {
                let (fits, wanted, help) = one_of(value, names, "a known value, or null");
                (fits || value.is_null(), wanted, help)
            }
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

impl Axes<'_> {
    /// Whether `value` is a label of the collection.
    fn label(&self, value: &Json) -> (bool, String, Option<String>) {
        let Some(dataset) = self.dataset else { return (false, "a label".to_owned(), None) };
        let text = value.as_str().unwrap_or_default();
        let labels = dataset.labels();
        let names: Vec<&str> = labels.iter().map(|(name, _)| *name).collect();
        let (fits, wanted, help) = one_of(value, &names, "a label of the collection");
        let column = text.split_once('=').map(|(column, _)| column);
        let help = match column.filter(|column| labels.contains(&(*column, Target::Classes))) {
            Some(registry::COVIDX_LABEL) => Some(format!("its classes: {}", registry::COVIDX_CLASSES.join(", "))),
            Some(column) => Some(format!("name a class, as `{column}=CLASS`")),
            None => help,
        };
        (fits || dataset.target(text).is_some(), wanted, help)
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
