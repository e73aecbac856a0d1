//! Reading typed values out of the tree, and collecting all that is wrong with it.

use std::path::PathBuf;

use miette::SourceSpan;

use super::{
    error::Problem,
    keys::Key,
    registry,
    yaml::{Entry, Node, Value},
};

/// Collects problems, so that a user sees them all at once.
#[derive(Default)]
pub(super) struct Check {
    pub(super) problems: Vec<Problem>,
}

impl Check {
    pub(super) fn report(
        &mut self,
        code: &'static str,
        span: SourceSpan,
        message: impl Into<String>,
        label: &str,
        help: Option<String>,
    ) {
        let labels = vec![(span, label.to_owned())];
        self.problems.push(Problem { message: message.into(), code, labels, help });
    }

    /// The entries of a mapping, after unknown and missing keys were reported. `what` names the mapping.
    pub(super) fn map<'a>(&mut self, node: &'a Node, what: &str, keys: &[Key]) -> Map<'a> {
        let entries = self.entries(node, what);
        for entry in entries {
            if !keys.iter().any(|key| key.name == entry.key) {
                self.unknown_key(entry, what, keys.iter().map(|key| key.name));
            }
        }
        for key in keys.iter().filter(|key| key.required) {
            if !entries.iter().any(|entry| entry.key == key.name) {
                let help = Some(format!("`{}`: {}", key.name, key.doc));
                let message = format!("{what} has no `{}`", key.name);
                self.report("sweep::missing_key", start_of(node), message, "in this mapping", help);
            }
        }
        Map { entries }
    }

    /// The entries of a mapping with free keys.
    pub(super) fn entries<'a>(&mut self, node: &'a Node, what: &str) -> &'a [Entry] {
        match &node.value {
            Value::Map(entries) => entries,
            _ => {
                self.wrong_type(node, what, "a mapping");
                &[]
            }
        }
    }

    pub(super) fn unknown_key<'k>(&mut self, entry: &Entry, what: &str, known: impl Iterator<Item = &'k str> + Clone) {
        let help = suggestion(&entry.key, known);
        let message = format!("{what} has no key `{}`", entry.key);
        self.report("sweep::unknown_key", entry.key_span, message, "unknown key", Some(help));
    }

    pub(super) fn wrong_type(&mut self, node: &Node, what: &str, wanted: &str) {
        let message = format!("{what} must be {wanted}, not {}", node.kind());
        self.report("sweep::wrong_type", node.span, message, &format!("this is {}", node.kind()), None);
    }

    pub(super) fn text(&mut self, node: &Node, what: &str) -> Option<String> {
        match &node.value {
            Value::Text(text) => Some(text.clone()),
            _ => {
                let quoted = node.json().filter(|_| !matches!(node.value, Value::List(_) | Value::Null));
                let message = format!("{what} must be a text, not {}", node.kind());
                let help = quoted.map(|value| format!("put it in quotes: \"{value}\""));
                self.report("sweep::wrong_type", node.span, message, &format!("this is {}", node.kind()), help);
                None
            }
        }
    }

    pub(super) fn texts(&mut self, node: &Node, what: &str) -> Option<Vec<String>> {
        match &node.value {
            Value::List(items) => items.iter().map(|item| self.text(item, &format!("an entry of {what}"))).collect(),
            // One value stands for a list of one.
            Value::Text(text) => Some(vec![text.clone()]),
            _ => {
                self.wrong_type(node, what, "a list of texts");
                None
            }
        }
    }

    pub(super) fn count(&mut self, node: &Node, what: &str, least: u64) -> Option<u64> {
        match node.value {
            Value::Int(value) if value >= 0 && value as u64 >= least => Some(value as u64),
            Value::Int(value) => {
                self.report(
                    "sweep::out_of_range",
                    node.span,
                    format!("{what} is {value}"),
                    &format!("must be at least {least}"),
                    None,
                );
                None
            }
            _ => {
                self.wrong_type(node, what, "a whole number");
                None
            }
        }
    }

    pub(super) fn number(&mut self, node: &Node, what: &str) -> Option<f64> {
        match node.value {
            Value::Int(value) => Some(value as f64),
            Value::Float(value) if value.is_finite() => Some(value),
            _ => {
                self.wrong_type(node, what, "a number");
                None
            }
        }
    }

    pub(super) fn boolean(&mut self, node: &Node, what: &str) -> Option<bool> {
        match node.value {
            Value::Bool(value) => Some(value),
            _ => {
                self.wrong_type(node, what, "true or false");
                None
            }
        }
    }

    /// A number in [0, 1]; `open`: in (0, 1).
    pub(super) fn share(&mut self, node: &Node, what: &str, open: bool) -> Option<f64> {
        let share = self.number(node, what)?;
        let (fits, wanted) = match open {
            true => (share > 0.0 && share < 1.0, "must lie between 0 and 1"),
            false => ((0.0..=1.0).contains(&share), "must be at least 0 and at most 1"),
        };
        if !fits {
            self.report("sweep::out_of_range", node.span, format!("{what} is {share}"), wanted, None);
        }
        fits.then_some(share)
    }

    /// Length of a side of an image, in pixels.
    pub(super) fn side(&mut self, node: &Node, what: &str) -> Option<usize> {
        let side = self.count(node, what, 1)?;
        if side > registry::MAX_SIDE as u64 {
            let label = format!("must be at most {}", registry::MAX_SIDE);
            self.report("sweep::out_of_range", node.span, format!("{what} is {side}"), &label, None);
            return None;
        }
        Some(side as usize)
    }

    /// A path; `${NAME}` stands for an environment variable, and `~` at its start for the user's home folder.
    pub(super) fn path(&mut self, node: &Node, what: &str) -> Option<PathBuf> {
        let text = self.text(node, what)?;
        let text = if text == "~" || text.starts_with("~/") { format!("${{HOME}}{}", &text[1..]) } else { text };
        let mut path = String::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once("${") {
            let (name, tail) = after.split_once('}').unwrap_or((after, ""));
            let Ok(value) = std::env::var(name) else {
                let help = Some(format!("set it: `export {name}=...`, or write the path out"));
                let message = format!("the environment has no variable `{name}`");
                self.report("sweep::variable", node.span, message, "needed here", help);
                return None;
            };
            path.push_str(before);
            path.push_str(&value);
            rest = tail;
        }
        path.push_str(rest);
        Some(path.into())
    }

    /// Complains of `keys` that are in `map` and have no meaning for `what`.
    pub(super) fn not_for(&mut self, map: &Map<'_>, keys: &[&str], what: &str, cure: &str) {
        for key in keys {
            if let Some(entry) = map.entries.iter().find(|entry| entry.key == *key) {
                let message = format!("`{key}` has no meaning for {what}");
                self.report("sweep::unknown_key", entry.key_span, message, "here", Some(cure.to_owned()));
            }
        }
    }

    /// One of `known`.
    pub(super) fn choice(&mut self, node: &Node, what: &str, known: &[&str]) -> Option<String> {
        let text = self.text(node, what)?;
        if known.contains(&text.as_str()) {
            return Some(text);
        }
        let help = suggestion(&text, known.iter().copied());
        self.report("sweep::unknown_value", node.span, format!("there is no {what} `{text}`"), "unknown", Some(help));
        None
    }
}

/// The entries of a checked mapping.
#[derive(Clone, Copy)]
pub(super) struct Map<'a> {
    entries: &'a [Entry],
}

impl<'a> Map<'a> {
    pub(super) fn get(&self, key: &str) -> Option<&'a Node> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }
}

/// The first character of a mapping: a whole one would underline half the file.
pub(super) fn start_of(node: &Node) -> SourceSpan {
    let end = node.span.offset() + node.span.len().min(1);
    SourceSpan::from(node.span.offset()..end)
}

/// The nearest known name, or all of them.
pub(super) fn suggestion<'k>(name: &str, known: impl Iterator<Item = &'k str> + Clone) -> String {
    let near = known
        .clone()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .min()
        .filter(|&(distance, candidate)| distance <= 1 + candidate.len().max(name.len()) / 4);
    match near {
        Some((_, candidate)) => format!("did you mean `{candidate}`?"),
        None => {
            let names: Vec<&str> = known.collect();
            if names.is_empty() {
                "there is none to choose from".to_owned()
            } else {
                format!("use one of: {}", names.join(", "))
            }
        }
    }
}
