//! Inputs that are wrong are named, with a cure; what concerns one member leaves the others as they are.

use std::collections::BTreeMap;

use permafrost_worker::{
    cache::Embeddings,
    protocol::{FailureClass, Outcome},
    task::{Encoder, Pooling},
};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::Value;

use super::bench::{Bench, FOLDER, Files, POOLINGS, bert, done, rows, tiny};

const WEIGHTS: &str = "tiny/model/model.safetensors";
const CONFIG: &str = "tiny/model/config.json";
const VOCABULARY: &str = "tiny/model/vocab.txt";
const QUERY: &str = "encoder.layer.1.attention.self.query.weight";

/// Tensors by name: shape and bytes.
type Tensors = BTreeMap<String, (Vec<usize>, Vec<u8>)>;

fn change_weights(files: &mut Files, change: impl FnOnce(Tensors) -> Tensors) {
    let file = SafeTensors::deserialize(&files[WEIGHTS]).unwrap();
    let tensors = file.iter().map(|(name, view)| (name.to_owned(), (view.shape().to_vec(), view.data().to_vec())));
    let tensors = change(tensors.collect());
    let views =
        tensors.iter().map(|(name, (shape, bytes))| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    let bytes = safetensors::serialize(views, None).unwrap();
    files.insert(WEIGHTS.to_owned(), bytes);
}

fn change_config(files: &mut Files, key: &str, value: impl Into<Value>) {
    let mut config: Value = serde_json::from_slice(&files[CONFIG]).unwrap();
    config[key] = value.into();
    files.insert(CONFIG.to_owned(), config.to_string().into_bytes());
}

/// Runs the tiny encoder after `change`; it must fail for its input, with all of `expected` in the message and a cure.
fn refused(change: impl FnOnce(&mut Files), expected: &[&str]) {
    let mut files = tiny();
    change(&mut files);
    let failure = Bench::new(&["the heart"]).wheel(&files).failure(bert(FOLDER, Pooling::Mean, 24));
    assert_eq!(failure.class, FailureClass::Input, "{failure:?}");
    assert!(failure.cure.is_some_and(|cure| !cure.is_empty()), "{}", failure.message);
    for part in expected {
        assert!(failure.message.contains(part), "`{part}` is not in: {}", failure.message);
    }
}

#[test]
fn files_that_are_missing_are_named() {
    let vocabulary = "test-1.0-py3-none-any.whl!tiny/model: tokenizer.json or vocab.txt is missing";
    refused(|files| _ = files.remove(VOCABULARY), &[vocabulary]);
    let both = |files: &mut Files| {
        files.remove(CONFIG);
        files.remove(WEIGHTS);
    };
    let names = "config.json or bert_config.json, model.safetensors or pytorch_model.bin are missing";
    refused(both, &["whl!tiny/model: ", names]);
    let mut bench = Bench::new(&["the heart"]).wheel(&tiny());
    let failure = bench.failure(bert("other", Pooling::Mean, 24));
    assert!(failure.message.contains("whl!other: config.json or"), "{}", failure.message);
    assert!(failure.cure.unwrap().contains("`folder`"));
}

#[test]
fn damaged_weights_are_named() {
    let cut = |files: &mut Files| files.get_mut(WEIGHTS).unwrap().truncate(20_000);
    refused(cut, &[WEIGHTS, "not whole as safetensors"]);
    refused(|files| files.get_mut(WEIGHTS).unwrap().clear(), &[WEIGHTS, "not whole as safetensors"]);
    let poison = |files: &mut Files| {
        change_weights(files, |mut tensors| {
            tensors.get_mut(QUERY).unwrap().1[4..8].copy_from_slice(&f32::NAN.to_le_bytes());
            tensors
        });
    };
    refused(poison, &[WEIGHTS, QUERY, "1 values that are not finite"]);
}

#[test]
fn all_tensors_that_are_missing_or_misshapen_are_listed() {
    let change = |files: &mut Files| {
        change_weights(files, |mut tensors| {
            tensors.remove(QUERY);
            tensors.remove("embeddings.LayerNorm.bias");
            tensors.get_mut("encoder.layer.0.intermediate.dense.weight").unwrap().0 = vec![32, 64];
            tensors
        });
    };
    refused(
        change,
        &[
            WEIGHTS,
            "`encoder.layer.1.attention.self.query.weight` is missing",
            "`embeddings.LayerNorm.bias` or `embeddings.LayerNorm.beta` is missing",
            "`encoder.layer.0.intermediate.dense.weight` is [32, 64], not [64, 32]",
        ],
    );
    // A list that would not end is cut.
    refused(|files| change_config(files, "num_hidden_layers", 6), &["encoder.layer.2", "more"]);
}

#[test]
fn other_architectures_and_bad_vocabularies_are_refused() {
    refused(|files| change_config(files, "model_type", "roberta"), &[CONFIG, "`roberta`, not `bert`"]);
    refused(|files| change_config(files, "hidden_act", "relu"), &[CONFIG, "`relu`, not `gelu`"]);
    refused(|files| change_config(files, "num_attention_heads", 5), &[CONFIG, "not a multiple"]);
    refused(|files| change_config(files, "vocab_size", 0), &[CONFIG, "`vocab_size` is 0"]);
    refused(|files| _ = files.insert(CONFIG.to_owned(), b"{".to_vec()), &[CONFIG]);
    refused(|files| files.get_mut(VOCABULARY).unwrap().extend(b"a\nb\nc\nd\n"), &[VOCABULARY, "embeddings for 69"]);
    refused(|files| _ = files.insert(VOCABULARY.to_owned(), b"[UNK]\n".to_vec()), &[VOCABULARY, "no `[CLS]`"]);
    for tokens in [2, 41] {
        let mut bench = Bench::new(&["the heart"]).wheel(&tiny());
        let failure = bench.failure(bert(FOLDER, Pooling::Mean, tokens));
        assert_eq!(failure.cure.unwrap(), "set the encoder's `max_tokens` to 3 to 40", "{}", failure.message);
    }
}

/// Weights that are finite and outputs that are not: the report is named.
#[test]
fn outputs_that_are_not_finite_name_the_report() {
    let mut files = tiny();
    change_weights(&mut files, |mut tensors| {
        let huge: Vec<u8> = (0..32 * 32).flat_map(|_| 3e38_f32.to_le_bytes()).collect();
        tensors.get_mut("pooler.dense.weight").unwrap().1 = huge;
        let bias: Vec<u8> = (0..32).flat_map(|_| f32::MIN.to_le_bytes()).collect();
        tensors.get_mut("pooler.dense.bias").unwrap().1 = bias;
        let norm = (0..32).flat_map(|_| 3e38_f32.to_le_bytes()).collect();
        tensors.get_mut("encoder.layer.1.output.LayerNorm.weight").unwrap().1 = norm;
        tensors
    });
    let failure = Bench::new(&["the heart"]).wheel(&files).failure(bert(FOLDER, Pooling::Pooler, 24));
    assert_eq!(failure.class, FailureClass::Input);
    assert!(failure.message.contains("`r0`"), "{}", failure.message);
}

#[test]
fn names_of_older_files_are_read() {
    let encoders = || POOLINGS.map(|pooling| bert(FOLDER, pooling, 24)).to_vec();
    let texts = ["the heart is normal", "no effusion"];
    let reference = Bench::new(&texts).wheel(&tiny()).embeddings(encoders(), 1);
    let mut files = tiny();
    change_weights(&mut files, |tensors| {
        let rename = |name: String| {
            let name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta");
            format!("bert.{name}")
        };
        let other = ("cls.predictions.bias".to_owned(), (vec![1], vec![0; 4]));
        tensors.into_iter().map(|(name, tensor)| (rename(name), tensor)).chain([other]).collect()
    });
    let found = Bench::new(&texts).wheel(&files).embeddings(encoders(), 1);
    for (found, reference) in found.iter().zip(&reference) {
        assert_eq!(rows(found), rows(reference));
    }
}

#[test]
fn only_who_wants_a_pooler_needs_one() {
    let mut files = tiny();
    change_weights(&mut files, |mut tensors| {
        tensors.retain(|name, _| !name.starts_with("pooler"));
        tensors
    });
    let mut bench = Bench::new(&["the heart"]).wheel(&files);
    let recorder = bench.run(POOLINGS.map(|pooling| bert(FOLDER, pooling, 24)).to_vec(), 2, None);
    let outcomes = recorder.outcomes.into_inner().unwrap();
    let Outcome::Failed(failure) = &outcomes[&0] else { panic!("{:?}", outcomes[&0]) };
    assert!(failure.message.contains("has no pooler") && failure.message.contains("model.safetensors"));
    assert_eq!(failure.cure.as_deref(), Some("use `pooling: mean` or `pooling: cls`"));
    for member in 1..3 {
        assert!(matches!(outcomes[&member], Outcome::Done { .. }), "{:?}", outcomes[&member]);
    }
}

#[test]
fn visual_words_of_all_images() {
    let words =
        |width, descriptor: &str| Encoder::VisualWords { descriptors: vec![descriptor.to_owned()], width, seed: 5 };
    let mut bench = Bench::new(&["a b c"; 7]);
    let recorder = bench.run(vec![words(64, "CEDD"), words(64, "SIFT"), words(32, "CEDD")], 2, None);
    let mut outcomes = recorder.outcomes.into_inner().unwrap();
    let Some(Outcome::Failed(failure)) = outcomes.remove(&1) else { panic!("SIFT was found") };
    assert_eq!(failure.cure.as_deref(), Some("there are: CEDD"));
    for (member, width) in [(0, 64), (2, 32)] {
        let (summary, artifacts) = done(outcomes.remove(&member).unwrap());
        let expected = [
            ("samples", 7.0),
            ("width", f64::from(width)),
            ("descriptors", 1.0),
            ("words", 3.0),
            ("words_missing", 0.0),
            ("images_without_words", 0.0),
        ];
        assert_eq!(summary, expected.map(|(name, value)| (name.to_owned(), value)).into());
        let embeddings = Embeddings::open(bench.home.path(), &artifacts).unwrap();
        assert_eq!((embeddings.len(), embeddings.width()), (7, width as usize));
        assert_eq!(embeddings.get("i0"), embeddings.get("i3"));
        assert_ne!(embeddings.get("i0"), embeddings.get("i1"));
    }
}
