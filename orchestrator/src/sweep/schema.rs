//! The JSON Schema of sweep files, for editors; made from the tables that the parser reads.

use permafrost_worker::task::Kind;
use serde_json::{Map, Value, json};

use super::{
    keys::{self, Key, Parameter},
    registry,
};

/// The JSON Schema (draft 2020-12) of sweep files.
pub fn schema() -> Value {
    let texts = json!({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]});
    let wheel = mapping(keys::WHEEL, |_| json!({"type": "string"}));
    let dataset = mapping(keys::DATASET, |name| match name {
        "reader" => json!({"enum": registry::READERS}),
        "root" => json!({"type": "string"}),
        "train" | "valid" => json!({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}),
        "wheel" => wheel.clone(),
        _ => whole(),
    });
    let vision = mapping(keys::VISION, |name| match name {
        "model" => names(&["visual-words"], true),
        "descriptors" => json!({"type": "array", "items": {"enum": registry::DESCRIPTORS}, "minItems": 1}),
        "weights" => json!({"type": "string"}),
        _ => whole(),
    });
    let text = mapping(keys::TEXT, |name| match name {
        "model" => names(&["minilm-l6", "bert-wheel"], false),
        "pooling" => json!({"enum": registry::POOLINGS.iter().map(|(name, _)| name).collect::<Vec<_>>()}),
        "wheel" => wheel.clone(),
        "max_tokens" | "width" => whole(),
        _ => json!({"type": "string"}),
    });
    let encoders = mapping(keys::ENCODERS, |name| free(if name == "vision" { vision.clone() } else { text.clone() }));
    let report = mapping(keys::REPORT, |name| match name {
        "rows" | "columns" => texts.clone(),
        "filter" => json!({"type": "object"}),
        "reference" => json!({"enum": keys::REFERENCES}),
        _ => json!({"type": "string"}),
    });
    let mut root = mapping(keys::TOP, |name| match name {
        "name" => json!({"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"}),
        "seed" => whole(),
        "tags" => texts.clone(),
        "datasets" => free(dataset.clone()),
        "encoders" => encoders.clone(),
        "stages" => free(json!({"anyOf": [stage(Kind::Pretrain), stage(Kind::Classify), stage(Kind::Noop)]})),
        "report" => json!({"anyOf": [{"type": "array", "items": report.clone()}, report.clone()]}),
        _ => json!({"type": "string"}),
    });
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["title"] = json!("A Permafrost sweep");
    root
}

fn whole() -> Value {
    json!({"type": "integer", "minimum": 0})
}

fn names(own: &[&str], vision: bool) -> Value {
    json!({"enum": own.iter().copied().chain(registry::paper_names(vision)).collect::<Vec<_>>()})
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
            _ => json!({"enum": keys::results(kind)}),
        }),
        "parameters" => json!({"type": "object", "properties": parameters, "additionalProperties": false}),
        "run_cap" => json!({"type": "integer", "minimum": 1}),
        "early_terminate" | "program" | "command" => json!({"not": {}}),
        _ => json!({"type": "string"}),
    })
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
