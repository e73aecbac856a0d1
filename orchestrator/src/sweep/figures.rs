//! From the tree to figures: the `figures:` key.

use permafrost_worker::task::Kind;
use serde_json::Map;

use super::{
    check::{Check, Map as Keys, suggestion},
    file::Stage,
    keys, read,
    report::{lineage, occurs, parameter},
    types::FigureSpec,
    yaml::{Node, Value},
};

/// Least and greatest width of a figure in millimetres.
pub const WIDTHS_MM: (f64, f64) = (60.0, 400.0);
/// The usual width: both columns of a page.
const WIDTH_MM: f64 = 174.0;

/// Reads all figures; problems are in `check`.
pub(super) fn read(node: &Node, stages: &[Stage], check: &mut Check) -> Vec<FigureSpec> {
    let list = match &node.value {
        Value::List(items) => items.as_slice(),
        Value::Map(_) => std::slice::from_ref(node),
        _ => {
            check.wrong_type(node, "`figures`", "a list of figures");
            &[]
        }
    };
    let mut figures: Vec<FigureSpec> = Vec::new();
    for item in list {
        let Some(figure) = figure(item, stages, check) else { continue };
        if figures.iter().any(|other| other.name == figure.name) {
            let help = Some("give one of them another `name`".to_owned());
            let message = format!("two figures are called `{}`", figure.name);
            check.report("sweep::name", item.span, message, "the second one", help);
        }
        figures.push(figure);
    }
    figures
}

fn figure(node: &Node, stages: &[Stage], check: &mut Check) -> Option<FigureSpec> {
    let map = check.map(node, "a figure", keys::FIGURE);
    let usual = check.choice(map.get("kind")?, "kind of figure", &keys::FIGURE_KINDS.map(|kind| kind.name()))?;
    let kind = keys::FIGURE_KINDS.into_iter().find(|kind| kind.name() == usual)?;
    let at = stage(&map, node, &usual, kind.stages(), stages, check)?;
    let stage = &stages[at];
    let metric = match map.get("metric") {
        None => None,
        // What is reported over time is known to the program that trains.
        Some(node) if usual == "curves" => Some(check.text(node, "`metric`")?),
        Some(node) => Some(check.choice(node, "result", stage.results)?),
    };
    let name = match map.get("name") {
        None => usual.clone(),
        Some(node) => read::name(node, check)?,
    };
    let title = map.get("title").and_then(|node| check.text(node, "`title`"));
    let width_mm = match map.get("width_mm") {
        None => WIDTH_MM,
        Some(node) => {
            let (least, greatest) = WIDTHS_MM;
            let width = check.number(node, "`width_mm`")?;
            if !(least..=greatest).contains(&width) {
                let label = format!("must be at least {least} and at most {greatest}");
                check.report("sweep::out_of_range", node.span, format!("`width_mm` is {width}"), &label, None);
                return None;
            }
            width
        }
    };
    let theme = match map.get("theme") {
        None => keys::THEMES[0].1,
        Some(node) => {
            let names: Vec<&str> = keys::THEMES.iter().map(|(name, _)| *name).collect();
            let name = check.choice(node, "theme", &names)?;
            keys::THEMES.iter().find(|(known, _)| *known == name)?.1
        }
    };
    let filter = filter(&map, stages, at, check);
    Some(FigureSpec { kind, name, stage: stage.name.clone(), metric, filter, title, width_mm, theme })
}

/// The stage that a figure is about.
fn stage(
    map: &Keys<'_>,
    node: &Node,
    figure: &str,
    fits: &[Kind],
    stages: &[Stage],
    check: &mut Check,
) -> Option<usize> {
    let kinds = || fits.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(" or ");
    let Some(node) = map.get("stage") else {
        let found = stages.iter().rposition(|stage| fits.contains(&stage.kind));
        if found.is_none() {
            let help = Some(format!("add a {} stage, or remove the figure", kinds()));
            let message = format!("no stage fits a figure of kind `{figure}`");
            check.report("sweep::conflict", super::check::start_of(node), message, "here", help);
        }
        return found;
    };
    let name = check.text(node, "`stage`")?;
    let Some(at) = stages.iter().position(|stage| stage.name == name) else {
        let help = suggestion(&name, stages.iter().map(|stage| stage.name.as_str()));
        let message = format!("there is no stage `{name}`");
        check.report("sweep::unknown_value", node.span, message, "unknown stage", Some(help));
        return None;
    };
    if !fits.contains(&stages[at].kind) {
        let message =
            format!("a figure of kind `{figure}` is about stages of kind {}, not {}", kinds(), stages[at].kind.name());
        check.report("sweep::conflict", node.span, message, "here", None);
        return None;
    }
    Some(at)
}

fn filter(map: &Keys<'_>, stages: &[Stage], stage: usize, check: &mut Check) -> Map<String, serde_json::Value> {
    let mut filter = Map::new();
    let Some(node) = map.get("filter") else { return filter };
    let known = lineage(stages, stage);
    for entry in check.entries(node, "`filter`") {
        if !parameter(&entry.key, entry.key_span, &known, check) {
            continue;
        }
        match entry.node.json() {
            Some(value) => {
                occurs(&value, entry, stages, stage, check);
                filter.insert(entry.key.clone(), value);
            }
            None => check.wrong_type(&entry.node, "a value of `filter`", "a value or a list of them"),
        }
    }
    filter
}
