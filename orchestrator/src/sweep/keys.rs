//! The keys of a sweep file and the parameters of each kind of stage. The parser and the JSON Schema both read these
//! tables, so they cannot drift apart.

use permafrost_worker::task::{Kind, Target};
use serde_json::{Value, json};

use super::types::{FigureKind, Theme};

/// A key of a mapping.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) doc: &'static str,
    pub(super) required: bool,
}

const fn key(name: &'static str, doc: &'static str) -> Key {
    Key { name, doc, required: false }
}

const fn required(name: &'static str, doc: &'static str) -> Key {
    Key { name, doc, required: true }
}

pub(super) const TOP: &[Key] = &[
    required("name", "name of the sweep; launching the same name again continues it, or makes a new revision"),
    key("description", "a sentence for people"),
    key("tags", "texts to find the sweep by"),
    key("seed", "seed of random search; 0 by default"),
    key("datasets", "collections, by a name of your choice"),
    key("encoders", "frozen encoders, by a name of your choice, under `vision` and `text`"),
    required("stages", "what is trained, by stage; a stage named after its kind needs no `kind`"),
    key("report", "tables to print when the sweep is done"),
    key("figures", "figures to draw when the sweep is done, into figures/SWEEP of the home folder"),
];

pub(super) const ENCODERS: &[Key] = &[key("vision", "image encoders"), key("text", "text encoders")];

pub(super) const STAGE: &[Key] = &[
    key("kind", "embed, pretrain, classify, project or noop; the stage's name by default"),
    key("from", "the stage whose trials this one builds on: every trial here runs for each trial there"),
    key("dataset", "a name under `datasets`; may be left out when there is only one"),
    key("method", "grid (default) or random"),
    key("metric", "what trials are compared by: {name, goal: minimize | maximize}"),
    key("parameters", "the search space: a parameter has a `value`, `values`, or a `distribution`"),
    key("run_cap", "random: how many points are drawn"),
    key("early_terminate", "not in this version"),
    key("program", "not needed: permafrost trains by itself"),
    key("command", "not needed: permafrost trains by itself"),
];

pub(super) const METRIC: &[Key] = &[required("name", "a result of the stage"), key("goal", "minimize or maximize")];

pub(super) const PARAMETER: &[Key] = &[
    key("value", "one value"),
    key("values", "a list of values"),
    key("probabilities", "random: one a value"),
    key("distribution", "random: see DISTRIBUTIONS"),
    key("min", "least value"),
    key("max", "greatest value"),
    key("q", "step of a quantised distribution"),
];

pub(super) const DISTRIBUTIONS: &[&str] =
    &["constant", "categorical", "uniform", "int_uniform", "q_uniform", "log_uniform_values"];

pub(super) const REPORT: &[Key] = &[
    key("title", "heading"),
    required("rows", "parameters whose values make the rows"),
    key("columns", "parameters whose values make the columns"),
    required("value", "what is shown, as `stage.result`, such as `classify.auroc`"),
    key("filter", "only trials whose parameters have these values"),
    key("note", "a sentence to print with the table"),
    key(
        "reference",
        "published values to show beside the measured ones: paper-table-1, paper-table-2 or paper-table-3",
    ),
    key("spread", "what stands beside a mean: sd (default), ci95 or both"),
    key("baseline", "values of row parameters: the row that the others are compared with; by default the best"),
];

pub(super) const REFERENCES: &[&str] = &["paper-table-1", "paper-table-2", "paper-table-3"];

pub(super) const SPREADS: &[&str] = &["sd", "ci95", "both"];

pub(super) const FIGURE: &[Key] = &[
    required("kind", "params, tsne, curves or fractions"),
    key("name", "name of its files; the kind by default"),
    key("stage", "the stage it is about; the last one that fits by default"),
    key("metric", "what is shown: a result of the stage, of curves a metric; the stage's own by default"),
    key("filter", "only trials whose parameters have these values"),
    key("title", "heading"),
    key("width_mm", "width in millimetres; 174 by default, 85 for one column"),
    key("theme", "light (default) or dark"),
];

pub(super) const FIGURE_KINDS: [FigureKind; 4] =
    [FigureKind::Params, FigureKind::Tsne, FigureKind::Curves, FigureKind::Fractions];

pub(super) const THEMES: &[(&str, Theme)] = &[("light", Theme::Light), ("dark", Theme::Dark)];

pub(super) const WHEEL: &[Key] = &[
    required("package", "distribution name"),
    required("version", "exact version"),
    required("file", "file name of the wheel"),
    required("sha256", "SHA-256 of the wheel"),
];

pub(super) const DATASET: &[Key] = &[
    required("reader", "how it is read: open-i, mimic-cxr, rsna, covidx, siim or table"),
    key(
        "root",
        "the folder it was downloaded to, or of a table's images; `${NAME}` stands for an environment variable",
    ),
    key("split", "published, column or groups"),
    key("split_seed", "split by groups: which groups; 0 by default"),
    key("train", "split by groups: share that is trained on; 0.7 by default"),
    key("valid", "split by groups: share that models are chosen on; 0.1 by default"),
    key("resize", "longest side of an image before the crop, in pixels"),
    key("max_damaged", "largest share of images that cannot be read; 0.01 by default"),
    key(
        "held_out",
        "mimic-cxr: whether the authors' validation and test splits are both for validation (together) or not (apart)",
    ),
    key("text", "mimic-cxr: what a report's text is: impression-findings or conclusion"),
    key("unit", "siim: what is split, image or row (as published, which leaks)"),
    key("table", "table: the table, CSV or JSON lines, plain or gzip"),
    key("columns", "table: which column holds what"),
    key("clean_texts", "table: whether texts are cleaned as in the paper; true by default"),
    key("max_missing", "table: largest share of images without a file; 0.01 by default"),
    key("wheel", "open-i: another wheel with a collection of the same layout"),
    key("reports", "open-i: reports that the collection must have"),
    key("images", "open-i: images that the collection must have"),
];

/// Keys of [`DATASET`] that are not for every reader.
pub(super) const DATASET_READERS: &[(&str, &[&str])] = &[
    ("root", &["mimic-cxr", "rsna", "covidx", "siim", "table"]),
    ("held_out", &["mimic-cxr"]),
    ("text", &["mimic-cxr"]),
    ("unit", &["siim"]),
    ("table", &["table"]),
    ("columns", &["table"]),
    ("clean_texts", &["table"]),
    ("max_missing", &["table"]),
    ("wheel", &["open-i"]),
    ("reports", &["open-i"]),
    ("images", &["open-i"]),
];

pub(super) const COLUMNS: &[Key] = &[
    key("id", "what a sample is called; the image's file by default"),
    key("image", "the image's file, below `root`"),
    key("text", "the report"),
    key("report", "what a report is called that several images share"),
    key("mask", "the mask's file, below `root`"),
    key("split", "train, valid or test"),
    key("group", "whom the image shows, such as the patient"),
    key("binary", "labels that are 1, 0, true, false, or empty for unknown"),
    key("classes", "labels that are one of several texts, or empty for unknown"),
    key("numbers", "numbers, or empty for unknown"),
];

/// Keys of [`COLUMNS`] that name several columns.
pub(super) const LABEL_COLUMNS: &[&str] = &["binary", "classes", "numbers"];

pub(super) const VISION: &[Key] = &[
    required(
        "model",
        "visual-words, resnet-ae, dinov2-s, dinov2-b, dinov2-l, dinov2-g, dinov2 (of any size), or imported",
    ),
    key("weights", "a folder or file with the encoder's weights, or hub:OWNER/NAME, or hub:OWNER/NAME@REVISION"),
    key("crop", "side of the square that is encoded, in pixels; 224 by default, for DINOv2 a multiple of 14"),
    key("normalise", "DINOv2: by mean and deviation of imagenet (default), or symmetric, (x - 0.5) / 0.5"),
    key("interpolation", "DINOv2: how positions are interpolated, by size (default) or by scale-factor"),
    key("dtype", "how values are kept: f32 (default), f16 or bf16"),
    key("width", "visual-words, dinov2, imported: values of an embedding"),
    key("descriptors", "visual-words: Open-i descriptors"),
    key("seed", "visual-words: seed of the projection; 0 by default"),
    key("file", "imported: embeddings, a safetensors or npy file, [count, width]"),
    key("ids", "imported: a text file with a sample's id in each line"),
];

pub(super) const TEXT: &[Key] = &[
    required(
        "model",
        "minilm-l6, bert, biobert, clinicalbert, pubmedbert, cxr-bert, bert-folder (any BERT), bert-wheel, or imported",
    ),
    key("weights", "a folder with the encoder's files, or hub:OWNER/NAME, or hub:OWNER/NAME@REVISION"),
    key("pooling", "pooler, mean or cls"),
    key("max_tokens", "longer texts are cut to so many tokens"),
    key("dtype", "how values are kept: f32 (default), f16 or bf16"),
    key("width", "bert-folder, bert-wheel, imported: values of an embedding"),
    key("wheel", "bert-wheel: the wheel"),
    key("folder", "bert-wheel: folder in the wheel with config.json, model.safetensors and vocab.txt"),
    key("file", "imported: embeddings, a safetensors or npy file, [count, width]"),
    key("ids", "imported: a text file with a report's id in each line"),
];

/// Type and range of a parameter.
#[derive(Clone, Copy)]
pub(super) enum Type {
    /// A name under `encoders.vision`.
    Vision,
    /// A name under `encoders.text`.
    Text,
    /// A name under either.
    Encoder,
    /// A label of the collection.
    Label,
    /// A number in a range; `open` leaves out the lower bound.
    Number { min: f64, max: f64, open: bool },
    /// A whole number.
    Whole { min: u64, max: u64 },
    /// A whole number or null.
    WholeOrNull { min: u64, max: u64 },
    /// One of these.
    Choice(&'static [&'static str]),
    /// One of these, or null.
    ChoiceOrNull(&'static [&'static str]),
}

/// A parameter of a kind of stage.
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) kind: Type,
    /// JSON; empty: it must be given.
    default: &'static str,
    pub(super) doc: &'static str,
}

impl Parameter {
    pub(super) fn default(&self) -> Option<Value> {
        serde_json::from_str(self.default).ok()
    }
}

const fn parameter(name: &'static str, kind: Type, default: &'static str, doc: &'static str) -> Parameter {
    Parameter { name, kind, default, doc }
}

const SHARE: Type = Type::Number { min: 0.0, max: 1.0, open: false };
const DROPOUT: Type = Type::Number { min: 0.0, max: 0.99, open: false };
const RATE: Type = Type::Number { min: 0.0, max: f64::MAX, open: true };
const DECAY: Type = Type::Number { min: 0.0, max: f64::MAX, open: false };
const EPOCHS: Type = Type::Whole { min: 1, max: 100_000 };
const BATCH: Type = Type::Whole { min: 2, max: 65_536 };
const PATIENCE: Type = Type::WholeOrNull { min: 1, max: 100_000 };
/// JSON numbers, and YAML ones, hold so many bits in every reader.
const SEED: Type = Type::Whole { min: 0, max: (1 << 53) - 1 };

const EMBED: &[Parameter] = &[
    parameter("encoder", Type::Encoder, "", "an encoder, of images or of texts"),
    parameter(
        "output",
        Type::Choice(&["pooled", "tokens", "maps"]),
        "\"pooled\"",
        "what is kept: a vector a sample, one a patch, or the maps that a U-Net reads (resnet-ae)",
    ),
    parameter(
        "dtype",
        Type::ChoiceOrNull(&["f32", "f16", "bf16"]),
        "null",
        "how values are kept; null: as the encoder's entry says",
    ),
];

const PRETRAIN: &[Parameter] = &[
    parameter("vision", Type::Vision, "", "image encoder"),
    parameter("text", Type::Text, "", "text encoder"),
    parameter("attention", Type::Choice(&["own-kv"]), "\"own-kv\"", "what a query attends to"),
    parameter("i2t_weight", SHARE, "0.75", "weight of the image-to-text term, alpha in the paper's Eq. 4"),
    parameter("dropout", DROPOUT, "0.1", "dropout probability"),
    parameter(
        "precision",
        Type::Choice(&["f32", "bf16"]),
        "\"f32\"",
        "number format of the matrix products' operands; bf16 is another result, and faster where the hardware has it",
    ),
    parameter("learning_rate", RATE, "2e-5", "peak learning rate of AdamW"),
    parameter("weight_decay", DECAY, "0.01", "weight decay of AdamW"),
    parameter("warmup", SHARE, "0.02", "share of the steps over which the learning rate rises; it then falls to zero"),
    parameter("epochs", EPOCHS, "50", "passes over the training pairs"),
    parameter("batch_size", BATCH, "1024", "pairs a step"),
    parameter("patience", PATIENCE, "10", "stop after so many epochs without a better validation loss; null: never"),
    parameter("min_delta", DECAY, "1e-5", "what counts as better"),
    parameter("seed", SEED, "0", "seed of initial weights, order and dropout"),
];

const CLASSIFY: &[Parameter] = &[
    parameter("vision", Type::Vision, "", "image encoder; with `from` it is that of the Adaptor"),
    parameter("label", Type::Label, "", "what is predicted"),
    parameter(
        "fraction",
        Type::Number { min: 0.0, max: 1.0, open: true },
        "1.0",
        "share of the training split; fractions of one seed are nested",
    ),
    parameter(
        "subset",
        Type::Choice(&["nested", "published"]),
        "\"nested\"",
        "which samples a fraction is: drawn class by class by the seed, or as published, the same for every seed",
    ),
    parameter("dropout", DROPOUT, "0.1", "dropout probability"),
    parameter("learning_rate", RATE, "5e-5", "learning rate of AdamW"),
    parameter("weight_decay", DECAY, "1e-4", "weight decay of AdamW"),
    parameter("epochs", EPOCHS, "100", "passes over the training samples"),
    parameter("batch_size", BATCH, "512", "samples a step"),
    parameter("patience", PATIENCE, "10", "stop after so many epochs without a better validation score; null: never"),
    parameter("min_delta", DECAY, "1e-3", "what counts as better"),
    parameter("seed", SEED, "0", "seed of the sample, initial weights, order and dropout"),
];

const PROJECT: &[Parameter] = &[
    parameter("label", Type::Label, "", "whose classes are told apart"),
    parameter("split", Type::Choice(&["train", "valid", "test"]), "\"test\"", "which images are laid out"),
    parameter("samples", Type::Whole { min: 10, max: 20_000 }, "2000", "at most so many of them, drawn by the seed"),
    parameter(
        "perplexity",
        Type::Number { min: 2.0, max: 1000.0, open: false },
        "30.0",
        "how many neighbours count, roughly; a third of the images at most",
    ),
    parameter("iterations", Type::Whole { min: 50, max: 100_000 }, "1000", "steps of gradient descent"),
    parameter("seed", SEED, "0", "seed of the choice of images and of the beginning"),
];

const NOOP: &[Parameter] = &[
    parameter("index", Type::Whole { min: 0, max: u32::MAX as u64 }, "0", "tells trials apart"),
    parameter("steps", Type::Whole { min: 0, max: 1_000_000 }, "1", "steps; each reports a metric"),
    parameter("step_ms", Type::Whole { min: 0, max: 3_600_000 }, "0", "milliseconds a step"),
    parameter("end", Type::Choice(&["done", "transient", "input", "panic", "diverged"]), "\"done\"", "how it ends"),
];

/// Kinds a stage may have; the others are implied by what these need.
pub(super) const STAGE_KINDS: &[&str] = &["embed", "pretrain", "classify", "project", "noop"];

/// The stages that are implied by what others need.
pub(super) const IMPLIED: &[(&str, Kind)] =
    &[("fetch", Kind::Fetch), ("prepare", Kind::Prepare), ("embed", Kind::Embed)];

/// Parameters of a kind of stage.
pub(super) const fn parameters(kind: Kind) -> &'static [Parameter] {
    match kind {
        Kind::Embed => EMBED,
        Kind::Pretrain => PRETRAIN,
        Kind::Classify => CLASSIFY,
        Kind::Project => PROJECT,
        Kind::Noop => NOOP,
        Kind::Fetch | Kind::Prepare => &[],
    }
}

/// Results of pre-training where nothing is left to test on.
pub(super) const PRETRAIN_WITHOUT_TEST: &[&str] = &["val_loss", "best_epoch", "epochs", "train_pairs"];

/// Results of a kind of stage, the main one first. `targets` are what its labels predict; a stage of several has what all have.
pub(super) fn results(kind: Kind, targets: &[Target]) -> &'static [&'static str] {
    match kind {
        Kind::Pretrain => &["val_loss", "test_loss", "best_epoch", "epochs", "train_pairs"],
        Kind::Classify => match (targets.contains(&Target::Binary), targets.contains(&Target::Classes)) {
            (_, false) => &[
                "auroc",
                "val_auroc",
                "accuracy",
                "best_epoch",
                "epochs",
                "train_samples",
                "train_positives",
                "test_samples",
                "test_positives",
            ],
            (false, true) => &["accuracy", "val_accuracy", "best_epoch", "epochs", "train_samples", "test_samples"],
            (true, true) => &["accuracy", "best_epoch", "epochs", "train_samples", "test_samples"],
        },
        Kind::Project => &[
            "silhouette_after",
            "silhouette_before",
            "knn_accuracy_after",
            "knn_accuracy_before",
            "kl_after",
            "kl_before",
            "samples",
        ],
        Kind::Noop => &["value"],
        Kind::Embed => &["samples", "width"],
        Kind::Fetch | Kind::Prepare => &[],
    }
}

impl Type {
    /// JSON Schema of one value.
    pub(super) fn schema(self) -> Value {
        match self {
            Self::Vision | Self::Text | Self::Encoder | Self::Label => json!({"type": "string"}),
            Self::Number { min, max, open } => {
                let mut schema = json!({"type": "number"});
                schema[if open { "exclusiveMinimum" } else { "minimum" }] = min.into();
                if max < f64::MAX {
                    schema["maximum"] = max.into();
                }
                schema
            }
            Self::Whole { min, max } => json!({"type": "integer", "minimum": min, "maximum": max}),
            Self::WholeOrNull { min, max } => json!({"type": ["integer", "null"], "minimum": min, "maximum": max}),
            Self::Choice(names) => json!({"enum": names}),
            Self::ChoiceOrNull(names) => {
                json!({"enum": names.iter().map(|name| json!(name)).chain([Value::Null]).collect::<Vec<_>>()})
            }
        }
    }
}
