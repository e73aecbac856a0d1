//! Encoders of full size against `transformers`.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};

use super::*;
use crate::{
    files,
    task::{Pooling, Weights},
};

/// Largest error, relative to a tensor's largest magnitude.
const TOLERANCE: f64 = 1e-4;

#[derive(serde::Deserialize)]
struct Case {
    max_tokens: usize,
    texts: Vec<String>,
    ids: Vec<Vec<u32>>,
}

fn error(found: &[Tensor], expected: &Tensor) -> f64 {
    let found = Tensor::cat(found, 0).unwrap();
    assert_eq!(found.dims(), expected.dims());
    let largest = |tensor: &Tensor| tensor.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    f64::from(largest(&(&found - expected).unwrap())) / f64::from(largest(expected))
}

/// Ids, hidden states of every token, and poolings: the errors by name.
fn check(folder: &Path) -> Vec<(&'static str, f64)> {
    let case: Case = serde_json::from_slice(&std::fs::read(folder.join("reference.json")).unwrap()).unwrap();
    let reference = candle_core::safetensors::load(folder.join("reference.safetensors"), &Device::Cpu).unwrap();
    let fingerprint = files::fingerprint(&Family::Bert.find(folder).unwrap()).unwrap();
    let weights = Weights::Folder { location: folder.to_owned(), fingerprint };
    let mut source = Source::open(Family::Bert, &weights, folder, &BTreeMap::new()).unwrap();
    let (bert, word_piece) = open(&mut source, case.max_tokens, &Device::Cpu).unwrap();
    for (text, expected) in case.texts.iter().zip(&case.ids) {
        assert_eq!(&word_piece.tokens(text).unwrap().ids, expected, "{}: {text:?}", word_piece.case());
    }
    let poolings = [("pooler", Pooling::Pooler), ("mean", Pooling::Mean), ("cls", Pooling::Cls)];
    let mut pooled = poolings.map(|_| Vec::new());
    let mut tokens = Vec::new();
    for texts in case.ids.chunks(4) {
        let ids: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
        let padded = Padded::new(&ids, &Device::Cpu).unwrap();
        let hidden = bert.forward(&padded).unwrap();
        for (i, text) in texts.iter().enumerate() {
            tokens.push(hidden.get(i).unwrap().narrow(0, 0, text.len()).unwrap());
        }
        for (rows, (_, pooling)) in pooled.iter_mut().zip(poolings) {
            rows.push(pooling::pool(&bert, &padded, &hidden, pooling).unwrap().unwrap());
        }
    }
    let mut errors = vec![("tokens", error(&tokens, &reference["tokens"]))];
    errors.extend(pooled.iter().zip(poolings).map(|(rows, (name, _))| (name, error(rows, &reference[name]))));
    errors
}

/// The folder `PERMAFROST_TEXT` has a folder for each encoder. Run it with `--ignored --nocapture`.
#[test]
#[ignore = "takes the folder that tests/parity/text.py makes"]
fn encoders_of_full_size_are_those_of_transformers() {
    let folder = PathBuf::from(std::env::var_os("PERMAFROST_TEXT").expect("PERMAFROST_TEXT names a folder"));
    let mut folders: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders.retain(|folder| folder.join("reference.json").exists());
    assert!(!folders.is_empty(), "no encoder in {}", folder.display());
    for folder in folders {
        for (name, error) in check(&folder) {
            eprintln!("{} {name}: error {error:.1e}", folder.display());
            // Also false for NaN.
            assert!(error <= TOLERANCE, "{} {name}: {error}", folder.display());
        }
    }
}
