//! Two small wheels, made from nothing: a collection of reports in the Open-i layout, and a tiny BERT.
//!
//! With them the real program runs the whole job, without a network, in seconds. Labels show in words and in visual words, so
//! that there is something to learn.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

/// A wheel on disk.
pub struct Wheel {
    pub package: &'static str,
    pub version: &'static str,
    pub file: String,
    pub sha256: String,
}

/// Reports of the synthetic collection; each has two images.
pub const REPORTS: usize = 120;

/// Writes both wheels into `folder`.
pub fn wheels(folder: &Path) -> (Wheel, Wheel) {
    let reports = wheel(folder, "torchxrayvision", "1.5.7", &[("torchxrayvision/data/NLMCXR_reports.tgz", reports())]);
    let bert = wheel(folder, "tiny-bert", "0.1.0", &tiny_bert());
    (reports, bert)
}

fn wheel(folder: &Path, package: &'static str, version: &'static str, files: &[(&str, Vec<u8>)]) -> Wheel {
    let file = format!("{}-{version}-py3-none-any.whl", package.replace('-', "_"));
    let path: PathBuf = folder.join(&file);
    let mut zip = zip::ZipWriter::new(File::create(&path).unwrap());
    for (name, content) in files {
        let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
        zip.start_file(*name, options).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap();
    let sha256 = Sha256::digest(std::fs::read(&path).unwrap()).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    });
    Wheel { package, version, file, sha256 }
}

fn reports() -> Vec<u8> {
    let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for number in 1..=REPORTS {
        let text = report(number);
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        archive.append_data(&mut header, format!("ecgen-radiology/{number}.xml"), text.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

/// A report: every second one is normal, every third of the others shows an enlarged heart.
fn report(number: usize) -> String {
    let (mesh, findings, shade) = match number % 6 {
        0 | 2 | 4 => ("normal", "the lungs are clear and the heart is of normal size", 0),
        1 => ("Cardiomegaly/mild", "the heart is enlarged", 7),
        _ => ("Opacity/lung/base", "there is an opacity at the left base", 3),
    };
    let images: String = (0..2)
        .map(|view| {
            let code = |step: usize| (number * step + view * 5) % 4 + shade;
            format!(
                "<parentImage id=\"CXR{number}_{view}\"><panel><region><globalImageFeatures>\
                 <CEDD>f2p0k{}</CEDD><ColorLayout>f1p0k{}</ColorLayout><EdgeHistogram>f0p0k{}</EdgeHistogram>\
                 <FCTH>f4p0k{}</FCTH><SemanticContext60>f3p0k{}</SemanticContext60>\
                 </globalImageFeatures></region></panel></parentImage>",
                code(1),
                code(3),
                code(5),
                code(7),
                code(11)
            )
        })
        .collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><eCitation><uId id=\"CXR{number}\"/><MedlineCitation><Article><Abstract>\
         <AbstractText Label=\"COMPARISON\">None.</AbstractText>\
         <AbstractText Label=\"FINDINGS\">In study number {number} {findings}. No effusion is seen.</AbstractText>\
         <AbstractText Label=\"IMPRESSION\">{}</AbstractText></Abstract></Article></MedlineCitation>\
         <MeSH><major>{mesh}</major></MeSH>{images}</eCitation>",
        if mesh == "normal" { "No acute disease." } else { "Abnormal study." }
    )
}

/// Width of the tiny BERT.
pub const BERT_WIDTH: usize = 16;

fn tiny_bert() -> Vec<(&'static str, Vec<u8>)> {
    let words = "the lungs are clear and heart is of normal size enlarged there an opacity at left base in study number no effusion \
                 seen acute disease abnormal";
    let vocabulary: Vec<&str> =
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].into_iter().chain(words.split_whitespace()).collect();
    let config = serde_json::json!({
        "model_type": "bert", "hidden_size": BERT_WIDTH, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 2 * BERT_WIDTH, "hidden_act": "gelu", "layer_norm_eps": 1e-12, "type_vocab_size": 2,
        "max_position_embeddings": 64, "vocab_size": vocabulary.len(), "pad_token_id": 0,
    });
    vec![
        ("tiny_bert/model/config.json", config.to_string().into_bytes()),
        ("tiny_bert/model/vocab.txt", (vocabulary.join("\n") + "\n").into_bytes()),
        ("tiny_bert/model/model.safetensors", tiny_weights(vocabulary.len())),
    ]
}

fn tiny_weights(vocabulary: usize) -> Vec<u8> {
    let (d, f) = (BERT_WIDTH, 2 * BERT_WIDTH);
    let mut shapes: Vec<(String, Vec<usize>)> = vec![
        ("embeddings.word_embeddings.weight".into(), vec![vocabulary, d]),
        ("embeddings.position_embeddings.weight".into(), vec![64, d]),
        ("embeddings.token_type_embeddings.weight".into(), vec![2, d]),
    ];
    let mut linear = |name: &str, from: usize, to: usize| {
        shapes.push((format!("{name}.weight"), vec![to, from]));
        shapes.push((format!("{name}.bias"), vec![to]));
    };
    for part in ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"] {
        linear(&format!("encoder.layer.0.{part}"), d, d);
    }
    linear("encoder.layer.0.intermediate.dense", d, f);
    linear("encoder.layer.0.output.dense", f, d);
    linear("pooler.dense", d, d);
    for norm in
        ["embeddings.LayerNorm", "encoder.layer.0.attention.output.LayerNorm", "encoder.layer.0.output.LayerNorm"]
    {
        shapes.push((format!("{norm}.weight"), vec![d]));
        shapes.push((format!("{norm}.bias"), vec![d]));
    }
    // A linear congruential sequence: any weights do, as long as they are always the same.
    let mut state = 12_345_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / (1_u64 << 24) as f32 - 0.5) * 0.4
    };
    let tensors: BTreeMap<String, (Vec<usize>, Vec<u8>)> = shapes
        .into_iter()
        .map(|(name, shape)| {
            let offset = if name.contains("LayerNorm.weight") { 1.0 } else { 0.0 };
            let bytes = (0..shape.iter().product()).flat_map(|_| (next() + offset).to_le_bytes()).collect();
            (name, (shape, bytes))
        })
        .collect();
    let views = tensors.iter().map(|(name, (shape, bytes))| {
        (name, safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes).unwrap())
    });
    safetensors::serialize(views, None).unwrap()
}
