//! From the tree to the typed file: name, collections, encoders, report.

use std::path::PathBuf;

use permafrost_worker::{
    datasets::{Counts, OPEN_I_PUBLISHED},
    task::{Pooling, Wheel},
};

use super::{
    check::{Check, Map},
    file::{Dataset, SweepFile, Text, Vision},
    keys, registry, report, stages,
    yaml::{Node, Value},
};

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
        datasets: named(map.get("datasets"), "`datasets`", check, dataset),
        vision: Vec::new(),
        text: Vec::new(),
        stages: Vec::new(),
        report: Vec::new(),
    };
    if let Some(node) = map.get("encoders") {
        let encoders = check.map(node, "`encoders`", keys::ENCODERS);
        file.vision = named(encoders.get("vision"), "`encoders.vision`", check, vision);
        file.text = named(encoders.get("text"), "`encoders.text`", check, text);
    }
    known_encoders(&mut file);
    if let Some(node) = map.get("stages") {
        file.stages = stages::read(node, &file, check);
    }
    // A table of a stage that is wrong would only repeat the complaint.
    if let Some(node) = map.get("report").filter(|_| check.problems.is_empty()) {
        file.report = report::read(node, &file.stages, check);
    }
    file
}

/// The paper's encoders may be used without an entry.
fn known_encoders(file: &mut SweepFile) {
    for encoder in registry::PAPER_ENCODERS {
        let (model, width) = (encoder.name.to_owned(), encoder.width);
        let weights = PathBuf::from("weights").join(encoder.name);
        if encoder.vision && file.vision(encoder.name).is_none() {
            file.vision.push((model.clone(), Vision::Folder { model, weights, width }));
        } else if !encoder.vision && file.text(encoder.name).is_none() {
            file.text.push((model.clone(), Text::Folder { model, weights, width }));
        }
    }
}

fn name(node: &Node, check: &mut Check) -> Option<String> {
    let name = check.text(node, "`name`")?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
        let help = Some("use 1 to 64 letters, digits, `-`, `_` and `.`".to_owned());
        check.report("sweep::name", node.span, format!("`{name}` is no name for a sweep"), "here", help);
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

fn dataset(node: &Node, name: &str, check: &mut Check) -> Option<Dataset> {
    let map = check.map(node, &format!("dataset `{name}`"), keys::DATASET);
    let reader = check.choice(map.get("reader")?, "reader", registry::READERS)?;
    let for_open_i = ["split_seed", "train", "valid", "wheel", "reports", "images"];
    if reader != "open-i" {
        not_for(&map, &for_open_i, &format!("reader {reader}"), check);
        let root = match map.get("root") {
            Some(node) => folder(node, "`root`", check)?,
            None => PathBuf::from("data").join(&reader),
        };
        return Some(Dataset::Folder { reader, root });
    }
    not_for(&map, &["root"], "reader open-i", check);
    let share = |key: &str, default: f64, check: &mut Check| {
        map.get(key).and_then(|node| Some((node.span, check.number(node, &format!("`{key}`"))?))).map_or(
            default,
            |(span, share)| {
                if share <= 0.0 || share >= 1.0 {
                    check.report(
                        "sweep::out_of_range",
                        span,
                        format!("`{key}` is {share}"),
                        "must lie between 0 and 1",
                        None,
                    );
                }
                share
            },
        )
    };
    let (train, valid) = registry::SHARES;
    let (train, valid) = (share("train", train, check), share("valid", valid, check));
    if train + valid >= 1.0 {
        let help = Some("the rest is the test split".to_owned());
        let message = format!("`train` and `valid` together are {}", train + valid);
        check.report("sweep::out_of_range", super::check::start_of(node), message, "nothing is left to test on", help);
    }
    let count = |key: &str, default: usize, check: &mut Check| {
        map.get(key).and_then(|node| check.count(node, &format!("`{key}`"), 1)).map_or(default, |n| n as usize)
    };
    let Counts { reports, images } = OPEN_I_PUBLISHED;
    Some(Dataset::OpenI {
        reports: count("reports", reports, check),
        images: count("images", images, check),
        wheel: map.get("wheel").map_or_else(|| Some(registry::open_i_wheel()), |node| wheel(node, check))?,
        split_seed: map.get("split_seed").and_then(|node| check.count(node, "`split_seed`", 0)).unwrap_or(0),
        train,
        valid,
    })
}

fn wheel(node: &Node, check: &mut Check) -> Option<Wheel> {
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

fn not_for(map: &Map<'_>, keys: &[&str], what: &str, check: &mut Check) {
    for key in keys {
        if let Some(node) = map.get(key) {
            let help = Some("remove it".to_owned());
            check.report("sweep::unknown_key", node.span, format!("`{key}` has no meaning for {what}"), "here", help);
        }
    }
}

/// A path; `${NAME}` stands for an environment variable.
fn folder(node: &Node, what: &str, check: &mut Check) -> Option<PathBuf> {
    let text = check.text(node, what)?;
    let mut path = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("${") {
        let (name, tail) = after.split_once('}').unwrap_or((after, ""));
        let Ok(value) = std::env::var(name) else {
            let help = Some(format!("set it: `export {name}=...`, or write the path out"));
            check.report(
                "sweep::variable",
                node.span,
                format!("the environment has no variable `{name}`"),
                "needed here",
                help,
            );
            return None;
        };
        path.push_str(before);
        path.push_str(&value);
        rest = tail;
    }
    path.push_str(rest);
    Some(path.into())
}

fn vision(node: &Node, name: &str, check: &mut Check) -> Option<Vision> {
    let what = format!("vision encoder `{name}`");
    let map = check.map(node, &what, keys::VISION);
    let known: Vec<&str> = std::iter::once("visual-words").chain(registry::paper_names(true)).collect();
    let model = check.choice(map.get("model")?, "vision model", &known)?;
    if model != "visual-words" {
        not_for(&map, &["descriptors", "width", "seed"], &what, check);
        let (weights, width) = paper_encoder(&map, &model, check)?;
        return Some(Vision::Folder { model, weights, width });
    }
    not_for(&map, &["weights"], &what, check);
    let descriptors = match map.get("descriptors") {
        None => registry::DESCRIPTORS.iter().map(ToString::to_string).collect(),
        Some(node) => descriptors(node, check)?,
    };
    Some(Vision::VisualWords {
        descriptors,
        width: width(&map, 256, check)?,
        seed: map.get("seed").and_then(|node| check.count(node, "`seed`", 0)).unwrap_or(0),
    })
}

fn descriptors(node: &Node, check: &mut Check) -> Option<Vec<String>> {
    let list = match &node.value {
        Value::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    let mut names: Vec<String> =
        list.iter().map(|item| check.choice(item, "descriptor", registry::DESCRIPTORS)).collect::<Option<_>>()?;
    if names.is_empty() {
        check.report("sweep::empty", node.span, "`descriptors` is empty", "name at least one", None);
        return None;
    }
    // Their order has no meaning, so it must not make another identity.
    names.sort();
    names.dedup();
    Some(names)
}

fn width(map: &Map<'_>, default: usize, check: &mut Check) -> Option<usize> {
    let Some(node) = map.get("width") else { return Some(default) };
    let width = check.count(node, "`width`", 1)? as usize;
    if width > 65_536 {
        check.report("sweep::out_of_range", node.span, format!("`width` is {width}"), "must be at most 65536", None);
        return None;
    }
    Some(width)
}

fn paper_encoder(map: &Map<'_>, model: &str, check: &mut Check) -> Option<(PathBuf, usize)> {
    let encoder = registry::PAPER_ENCODERS.iter().find(|encoder| encoder.name == model)?;
    let weights = match map.get("weights") {
        Some(node) => folder(node, "`weights`", check)?,
        None => PathBuf::from("weights").join(model),
    };
    Some((weights, encoder.width))
}

fn text(node: &Node, name: &str, check: &mut Check) -> Option<Text> {
    let what = format!("text encoder `{name}`");
    let map = check.map(node, &what, keys::TEXT);
    let known: Vec<&str> = ["minilm-l6", "bert-wheel"].into_iter().chain(registry::paper_names(false)).collect();
    let model = check.choice(map.get("model")?, "text model", &known)?;
    let bert = match model.as_str() {
        "minilm-l6" => {
            not_for(&map, &["wheel", "folder", "width", "weights"], &what, check);
            registry::minilm()
        }
        "bert-wheel" => {
            not_for(&map, &["weights"], &what, check);
            let needed = ["wheel", "folder", "width"].map(|key| (key, map.get(key)));
            if let Some((key, _)) = needed.iter().find(|(_, node)| node.is_none()) {
                let help = Some("a BERT in a wheel has `wheel`, `folder` and `width`".to_owned());
                let message = format!("{what} has no `{key}`");
                check.report("sweep::missing_key", super::check::start_of(node), message, "in this mapping", help);
                return None;
            }
            registry::BertWheel {
                wheel: wheel(map.get("wheel")?, check)?,
                folder: check.text(map.get("folder")?, "`folder`")?,
                width: width(&map, 768, check)?,
            }
        }
        _ => {
            not_for(&map, &["wheel", "folder", "width", "pooling", "max_tokens"], &what, check);
            let (weights, width) = paper_encoder(&map, &model, check)?;
            return Some(Text::Folder { model, weights, width });
        }
    };
    let names: Vec<&str> = registry::POOLINGS.iter().map(|(name, _)| *name).collect();
    let pooling = match map.get("pooling") {
        None => "mean".to_owned(),
        Some(node) => check.choice(node, "pooling", &names)?,
    };
    let pooling = registry::POOLINGS.iter().find(|(name, _)| *name == pooling).map_or(Pooling::Mean, |(_, p)| *p);
    let max_tokens =
        map.get("max_tokens").map_or(Some(registry::MAX_TOKENS as u64), |node| check.count(node, "`max_tokens`", 3))?;
    Some(Text::Bert {
        wheel: bert.wheel,
        folder: bert.folder,
        width: bert.width,
        pooling,
        max_tokens: max_tokens as usize,
    })
}
