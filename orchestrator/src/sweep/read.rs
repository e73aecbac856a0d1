//! From the tree to the typed file.

use super::{check::Check, datasets, encoders, figures, file::SweepFile, keys, report, stages, yaml::Node};

/// Reads all of it; problems are in `check`.
pub(super) fn file(root: &Node, check: &mut Check) -> SweepFile {
    let map = check.map(root, "the file", keys::TOP);
    if let Some(node) = map.get("description") {
        check.text(node, "`description`");
    }
    let mut file = SweepFile {
        name: map.get("name").and_then(|node| name(node, check)).unwrap_or_default(),
        tags: map.get("tags").and_then(|node| check.texts(node, "`tags`")).unwrap_or_default(),
        seed: map.get("seed").and_then(|node| check.count(node, "`seed`", 0)).unwrap_or(0),
        datasets: named(map.get("datasets"), "`datasets`", check, datasets::read),
        has_datasets: map.get("datasets").is_some(),
        vision: Vec::new(),
        text: Vec::new(),
        stages: Vec::new(),
        report: Vec::new(),
        figures: Vec::new(),
    };
    if let Some(node) = map.get("encoders") {
        let encoders = check.map(node, "`encoders`", keys::ENCODERS);
        file.vision = named(encoders.get("vision"), "`encoders.vision`", check, encoders::vision);
        file.text = named(encoders.get("text"), "`encoders.text`", check, encoders::text);
    }
    encoders::known(&mut file);
    if let Some(node) = map.get("stages") {
        file.stages = stages::read(node, &file, check);
    }
    // A table of a stage that is wrong would only repeat the complaint.
    if let Some(node) = map.get("report").filter(|_| check.problems.is_empty()) {
        file.report = report::read(node, &file.stages, &file.datasets, check);
    }
    if let Some(node) = map.get("figures").filter(|_| check.problems.is_empty()) {
        file.figures = figures::read(node, &file.stages, check);
    }
    file
}

pub(super) fn name(node: &Node, check: &mut Check) -> Option<String> {
    let name = check.text(node, "`name`")?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
        let help = Some("use 1 to 64 letters, digits, `-`, `_` and `.`".to_owned());
        check.report("sweep::name", node.span, format!("`{name}` is no name"), "here", help);
        return None;
    }
    Some(name)
}

/// Reads a mapping from names to things.
fn named<T>(
    node: Option<&Node>,
    what: &str,
    check: &mut Check,
    read: impl Fn(&Node, &str, &mut Check) -> Option<T>,
) -> Vec<(String, T)> {
    let Some(node) = node else { return Vec::new() };
    let entries = check.entries(node, what);
    entries.iter().filter_map(|entry| Some((entry.key.clone(), read(&entry.node, &entry.key, check)?))).collect()
}
