//! Collections: the key `datasets`.

use std::path::{Path, PathBuf};

use permafrost_worker::{
    datasets::{
        Counts, OPEN_I_PUBLISHED,
        general::Columns,
        mimic::{HeldOut, ReportText},
        splits::Unit,
    },
    task::{Splitting, Wheel},
};

use super::{
    check::{Check, Map, start_of},
    file::{Dataset, Source},
    keys, registry,
    yaml::Node,
};

/// Reads one collection; `name` is its name in the file.
pub(super) fn read(node: &Node, name: &str, check: &mut Check) -> Option<Dataset> {
    let map = check.map(node, &format!("dataset `{name}`"), keys::DATASET);
    let reader = check.choice(map.get("reader")?, "reader", registry::READERS)?;
    foreign_keys(&map, &reader, check);
    let root = |check: &mut Check| match map.get("root") {
        Some(node) => check.path(node, "`root`"),
        None => Some(PathBuf::from("data").join(&reader)),
    };
    let source = match reader.as_str() {
        "open-i" => open_i(&map, check)?,
        "mimic-cxr" => Source::MimicCxr {
            root: root(check)?,
            held_out: choice(&map, "held_out", HELD_OUT, check)?,
            text: choice(&map, "text", REPORT_TEXT, check)?,
        },
        "rsna" => Source::Rsna { root: root(check)? },
        "covidx" => Source::Covidx { root: root(check)? },
        "siim" => Source::Siim { root: root(check)?, unit: choice(&map, "unit", UNIT, check)? },
        _ => table(node, &map, name, check)?,
    };
    let max_damaged = share(&map, "max_damaged", registry::MAX_DAMAGED, check)?;
    let resize = match map.get("resize") {
        None => None,
        Some(node) => Some(check.side(node, "`resize`")?),
    };
    let split = split(node, &map, &reader, &source, check)?;
    let dataset = Dataset { source, split, resize, max_damaged, span: start_of(node) };
    if !dataset.has_pixels() {
        check.not_for(&map, &["resize", "max_damaged"], "images without pixels", "remove it");
    }
    Some(dataset)
}

/// Names of the values of a key, the default first.
type Names<T> = &'static [(&'static str, T)];

pub(super) const HELD_OUT: Names<HeldOut> = &[("together", HeldOut::Together), ("apart", HeldOut::Apart)];
pub(super) const REPORT_TEXT: Names<ReportText> =
    &[("impression-findings", ReportText::ImpressionFindings), ("conclusion", ReportText::Conclusion)];
pub(super) const UNIT: Names<Unit> = &[("image", Unit::Image), ("row", Unit::Row)];
pub(super) const SPLITS: &[&str] = &["published", "column", "groups"];

fn choice<T: Copy>(map: &Map<'_>, key: &str, names: Names<T>, check: &mut Check) -> Option<T> {
    let Some(node) = map.get(key) else { return names.first().map(|(_, value)| *value) };
    let known: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
    let name = check.choice(node, &format!("value of `{key}`"), &known)?;
    names.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

fn share(map: &Map<'_>, key: &str, default: f64, check: &mut Check) -> Option<f64> {
    map.get(key).map_or(Some(default), |node| check.share(node, &format!("`{key}`"), false))
}

/// Complains of keys that are for other readers.
fn foreign_keys(map: &Map<'_>, reader: &str, check: &mut Check) {
    for (key, readers) in keys::DATASET_READERS {
        if !readers.contains(&reader) {
            let cure = format!("remove it: it is for {}", readers.join(", "));
            check.not_for(map, &[key], &format!("reader {reader}"), &cure);
        }
    }
}

fn open_i(map: &Map<'_>, check: &mut Check) -> Option<Source> {
    let count = |key: &str, default: usize, check: &mut Check| {
        map.get(key).and_then(|node| check.count(node, &format!("`{key}`"), 1)).map_or(default, |n| n as usize)
    };
    let Counts { reports, images } = OPEN_I_PUBLISHED;
    Some(Source::OpenI {
        reports: count("reports", reports, check),
        images: count("images", images, check),
        wheel: map.get("wheel").map_or_else(|| Some(registry::open_i_wheel()), |node| wheel(node, check))?,
    })
}

/// Reads a pinned wheel.
pub(super) fn wheel(node: &Node, check: &mut Check) -> Option<Wheel> {
    let map = check.map(node, "`wheel`", keys::WHEEL);
    let mut field = |key: &str| check.text(map.get(key)?, &format!("`{key}`"));
    let (package, version, file, sha256) = (field("package"), field("version"), field("file"), field("sha256"));
    let fetch = Wheel { package: package?, version: version?, file: file?, sha256: sha256? };
    if fetch.sha256.len() != 64
        || !fetch.sha256.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    {
        let help = Some("`sha256sum FILE` prints it".to_owned());
        let span = map.get("sha256").map_or(node.span, |node| node.span);
        check.report("sweep::wrong_type", span, "not a SHA-256", "must be 64 lowercase hexadecimal digits", help);
        return None;
    }
    Some(fetch)
}

fn table(node: &Node, map: &Map<'_>, name: &str, check: &mut Check) -> Option<Source> {
    for (key, doc) in [("table", "the table, CSV or JSON lines"), ("columns", "which column holds what")] {
        if map.get(key).is_none() {
            let message = format!("dataset `{name}` has no `{key}`");
            let help = Some(format!("`{key}`: {doc}"));
            check.report("sweep::missing_key", start_of(node), message, "reader table needs it", help);
        }
    }
    let (path, columns) = (map.get("table")?, map.get("columns")?);
    let path = check.path(path, "`table`")?;
    let columns = read_columns(columns, check)?;
    let root = match map.get("root") {
        Some(node) => check.path(node, "`root`")?,
        None => path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned(),
    };
    let clean_texts = map.get("clean_texts").map_or(Some(true), |node| check.boolean(node, "`clean_texts`"))?;
    let max_missing = share(map, "max_missing", registry::MAX_MISSING, check)?;
    if columns.image.is_none() {
        check.not_for(map, &["max_missing"], "a table without a column `image`", "remove it, or name that column");
    }
    if columns.text.is_none() {
        check.not_for(map, &["clean_texts"], "a table without a column `text`", "remove it, or name that column");
    }
    Some(Source::Table { path, root, columns: Box::new(columns), clean_texts, max_missing })
}

fn read_columns(node: &Node, check: &mut Check) -> Option<Columns> {
    let map = check.map(node, "`columns`", keys::COLUMNS);
    let before = check.problems.len();
    let mut one = |key: &str| map.get(key).and_then(|node| check.text(node, &format!("`{key}`")));
    let (id, image, text, report) = (one("id"), one("image"), one("text"), one("report"));
    let (mask, split, group) = (one("mask"), one("split"), one("group"));
    let mut labels: Vec<String> = Vec::new();
    let mut several = |key: &str| {
        let Some(node) = map.get(key) else { return Vec::new() };
        let names = check.texts(node, &format!("`{key}`")).unwrap_or_default();
        for name in &names {
            if labels.contains(name) {
                let message = format!("the label `{name}` is there twice");
                let help = Some("a column is a label of one kind".to_owned());
                check.report("sweep::duplicate_value", node.span, message, "again here", help);
            }
            labels.push(name.clone());
        }
        names
    };
    let (binary, classes, numbers) = (several("binary"), several("classes"), several("numbers"));
    let columns = Columns { id, image, text, report, mask, split, group, binary, classes, numbers };
    if columns.id.is_none() && columns.image.is_none() && check.problems.len() == before {
        let help =
            Some("name the column of the image's file as `image`, or that of the sample's name as `id`".to_owned());
        let message = "nothing says what a sample is called";
        check.report("sweep::missing_key", start_of(node), message, "neither `id` nor `image`", help);
    }
    (check.problems.len() == before).then_some(columns)
}

fn split(node: &Node, map: &Map<'_>, reader: &str, source: &Source, check: &mut Check) -> Option<Splitting> {
    let column = matches!(source, Source::Table { columns, .. } if columns.split.is_some());
    let fitting: &[&str] = match source {
        Source::OpenI { .. } => &["groups"],
        Source::Table { .. } if column => &["column", "groups"],
        Source::Table { .. } => &["groups"],
        _ => &["published", "groups"],
    };
    let how = match map.get("split") {
        None => fitting[0].to_owned(),
        Some(node) => {
            let how = check.choice(node, "way to split", SPLITS)?;
            if !fitting.contains(&how.as_str()) {
                let message = format!("reader {reader} has no split `{how}` here");
                let help = match (how.as_str(), source) {
                    ("column", Source::Table { .. }) => "name the column: `columns: {split: ...}`".to_owned(),
                    _ => format!("use {}", fitting.join(" or ")),
                };
                check.report("sweep::conflict", node.span, message, "here", Some(help));
                return None;
            }
            how
        }
    };
    match how.as_str() {
        "groups" => groups(node, map, check),
        other => {
            let cure = "remove it, or use `split: groups`";
            check.not_for(map, &["split_seed", "train", "valid"], &format!("the split `{other}`"), cure);
            Some(if other == "column" { Splitting::Column } else { Splitting::Published })
        }
    }
}

fn groups(node: &Node, map: &Map<'_>, check: &mut Check) -> Option<Splitting> {
    let share = |key: &str, default: f64, check: &mut Check| {
        map.get(key).map_or(Some(default), |node| check.share(node, &format!("`{key}`"), true))
    };
    let (train, valid) = registry::SHARES;
    let (train, valid) = (share("train", train, check), share("valid", valid, check));
    let (train, valid) = (train?, valid?);
    if train + valid >= 1.0 {
        let help = Some("the rest is the test split".to_owned());
        let message = format!("`train` and `valid` together are {}", train + valid);
        check.report("sweep::out_of_range", start_of(node), message, "nothing is left to test on", help);
        return None;
    }
    let seed = map.get("split_seed").map_or(Some(0), |node| check.count(node, "`split_seed`", 0))?;
    Some(Splitting::Groups { seed, train, valid })
}
