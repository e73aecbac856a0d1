//! The JSON Schema of sweep files, for editors; made from the tables that the parser reads.

use permafrost_worker::task::{Kind, Target};
use serde_json::{Map, Value, json};

use super::{
    datasets, encoders, figures,
    keys::{self, Key, Parameter},
    registry,
};

/// Kinds of stages that a file may have.
const STAGES: [Kind; 5] = [Kind::Embed, Kind::Pretrain, Kind::Classify, Kind::Project, Kind::Noop];

/// The JSON Schema (draft 2020-12) of sweep files.
pub fn schema() -> Value {
    let texts = json!({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]});
    let wheel = mapping(keys::WHEEL, |_| json!({"type": "string"}));
    let columns = mapping(keys::COLUMNS, |name| match keys::LABEL_COLUMNS.contains(&name) {
        true => texts.clone(),
        false => json!({"type": "string"}),
    });
    let dataset = mapping(keys::DATASET, |name| match name {
        "reader" => json!({"enum": registry::READERS}),
        "root" | "table" => json!({"type": "string"}),
        "train" | "valid" => json!({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}),
        "max_damaged" | "max_missing" => json!({"type": "number", "minimum": 0, "maximum": 1}),
        "split" => json!({"enum": datasets::SPLITS}),
        "held_out" => one_of(datasets::HELD_OUT),
        "text" => one_of(datasets::REPORT_TEXT),
        "unit" => one_of(datasets::UNIT),
        "clean_texts" => json!({"type": "boolean"}),
        "columns" => columns.clone(),
        "wheel" => wheel.clone(),
        "resize" => side(),
        _ => whole(),
    });
    let vision = mapping(keys::VISION, |name| match name {
        "model" => json!({"enum": registry::models(true)}),
        "descriptors" => json!({"type": "array", "items": {"enum": registry::DESCRIPTORS}, "minItems": 1}),
        "normalise" => one_of(encoders::NORMALISE),
        "interpolation" => one_of(encoders::INTERPOLATION),
        "dtype" => one_of(registry::DTYPES),
        "crop" => side(),
        "width" | "seed" => whole(),
        _ => json!({"type": "string"}),
    });
    let text = mapping(keys::TEXT, |name| match name {
        "model" => json!({"enum": registry::models(false)}),
        "pooling" => one_of(registry::POOLINGS),
        "dtype" => one_of(registry::DTYPES),
        "wheel" => wheel.clone(),
        "max_tokens" | "width" => whole(),
        _ => json!({"type": "string"}),
    });
    let encoders = mapping(keys::ENCODERS, |name| free(if name == "vision" { vision.clone() } else { text.clone() }));
    let report = mapping(keys::REPORT, |name| match name {
        "rows" | "columns" => texts.clone(),
        "filter" | "baseline" => json!({"type": "object"}),
        "spread" => json!({"enum": keys::SPREADS}),
        "reference" => json!({"enum": keys::REFERENCES}),
        _ => json!({"type": "string"}),
    });
    let figure = mapping(keys::FIGURE, |name| match name {
        "kind" => json!({"enum": keys::FIGURE_KINDS.map(|kind| kind.name())}),
        "name" => json!({"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"}),
        "filter" => json!({"type": "object"}),
        "theme" => one_of(keys::THEMES),
        "width_mm" => json!({"type": "number", "minimum": figures::WIDTHS_MM.0, "maximum": figures::WIDTHS_MM.1}),
        _ => json!({"type": "string"}),
    });
    let mut root = mapping(keys::TOP, |name| match name {
        "name" => json!({"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"}),
        "seed" => whole(),
        "tags" => texts.clone(),
        "datasets" => free(dataset.clone()),
        "encoders" => encoders.clone(),
        "stages" => free(json!({"anyOf": STAGES.map(stage)})),
        "report" => json!({"anyOf": [{"type": "array", "items": report.clone()}, report.clone()]}),
        "figures" => json!({"anyOf": [{"type": "array", "items": figure.clone()}, figure.clone()]}),
        _ => json!({"type": "string"}),
    });
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["title"] = json!("A Permafrost sweep");
    root
}

fn whole() -> Value {
    json!({"type": "integer", "minimum": 0})
}

/// Length of a side of an image.
fn side() -> Value {
    json!({"type": "integer", "minimum": 1, "maximum": registry::MAX_SIDE})
}

/// One of several names.
fn one_of<T>(names: &[(&str, T)]) -> Value {
    json!({"enum": names.iter().map(|(name, _)| name).collect::<Vec<_>>()})
}

/// A mapping with free keys.
fn free(items: Value) -> Value {
    json!({"type": "object", "additionalProperties": items})
}

fn mapping(keys: &[Key], of: impl Fn(&str) -> Value) -> Value {
    let properties: Map<String, Value> = keys
        .iter()
        .map(|key| {
            let mut schema = of(key.name);
            schema["description"] = json!(key.doc);
            (key.name.to_owned(), schema)
        })
        .collect();
    let required: Vec<&str> = keys.iter().filter(|key| key.required).map(|key| key.name).collect();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

fn stage(kind: Kind) -> Value {
    let parameters: Map<String, Value> =
        keys::parameters(kind).iter().map(|known| (known.name.to_owned(), parameter(known))).collect();
    mapping(keys::STAGE, |name| match name {
        "kind" => json!({"const": kind.name()}),
        "method" => json!({"enum": ["grid", "random"]}),
        "metric" => mapping(keys::METRIC, |name| match name {
            "goal" => json!({"enum": ["minimize", "maximize"]}),
            _ => json!({"enum": results(kind)}),
        }),
        "parameters" => json!({"type": "object", "properties": parameters, "additionalProperties": false}),
        "run_cap" => json!({"type": "integer", "minimum": 1}),
        "early_terminate" | "program" | "command" => json!({"not": {}}),
        _ => json!({"type": "string"}),
    })
}

/// Results that trials of a kind can have.
fn results(kind: Kind) -> Vec<&'static str> {
    let mut names = keys::results(kind, &[Target::Binary]).to_vec();
    let others = keys::results(kind, &[Target::Classes]);
    names.extend(others.iter().copied().filter(|name| !keys::results(kind, &[Target::Binary]).contains(name)));
    names
}

fn parameter(known: &Parameter) -> Value {
    let one = known.kind.schema();
    let mut schema = mapping(keys::PARAMETER, |name| match name {
        "value" => one.clone(),
        "values" => json!({"type": "array", "items": one.clone(), "minItems": 1, "uniqueItems": true}),
        "probabilities" => json!({"type": "array", "items": {"type": "number", "minimum": 0}}),
        "distribution" => json!({"enum": keys::DISTRIBUTIONS}),
        _ => json!({"type": "number"}),
    });
    schema["description"] = json!(known.doc);
    if let Some(default) = known.default() {
        schema["default"] = default;
    }
    schema
}
