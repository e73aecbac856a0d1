//! AUROC and accuracy against scikit-learn, ties included. The references are made by `tests/fixtures/make_metrics.py`.
#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::path::Path;

use permafrost_worker::metrics::{accuracy, auroc};
use serde::Deserialize;

/// scikit-learn integrates a curve in floating point; ours counts pairs in whole numbers.
const TOLERANCE: f64 = 1e-14;

#[derive(Deserialize)]
struct Cases {
    binary: Vec<Binary>,
    classes: Vec<Classes>,
}

#[derive(Deserialize)]
struct Binary {
    name: String,
    scores: Vec<f32>,
    positive: Vec<bool>,
    auroc: f64,
    accuracy: f64,
}

#[derive(Deserialize)]
struct Classes {
    name: String,
    predicted: Vec<u32>,
    truth: Vec<u32>,
    accuracy: f64,
}

fn cases() -> Cases {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/metrics.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn auroc_is_scikit_learns() {
    let cases = cases().binary;
    assert_eq!(cases.len(), 12);
    for Binary { name, scores, positive, auroc: expected, .. } in cases {
        let found = auroc(&scores, &positive).unwrap();
        assert!((found - expected).abs() <= TOLERANCE, "{name}: {found}, not {expected}");
    }
}

#[test]
fn accuracy_is_scikit_learns() {
    let Cases { binary, classes } = cases();
    assert_eq!(classes.len(), 4);
    for Binary { name, scores, positive, accuracy: expected, .. } in binary {
        let predicted: Vec<bool> = scores.iter().map(|score| *score > 0.5).collect();
        assert_eq!(accuracy(&predicted, &positive), Ok(expected), "{name}");
    }
    for Classes { name, predicted, truth, accuracy: expected } in classes {
        assert_eq!(accuracy(&predicted, &truth), Ok(expected), "{name}");
    }
}
