//! Forward, loss, gradients, running statistics and parameters after several optimiser steps against PyTorch.
//!
//! The references are made by `tests/fixtures/make_training.py`. Errors are relative to a tensor's largest magnitude.
#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::{collections::BTreeMap, path::PathBuf};

use permafrost_worker::{
    model::{AdaptorShape, AdaptorStep, Dims, Dropout, HeadShape, HeadStep, RunningStats, Slot, Targets},
    random::{Key, Purpose},
    train::{
        optimizer::AdamW,
        schedule::{CosineRestarts, LinearWarmup},
    },
};
use rayon::prelude::*;
use safetensors::SafeTensors;
use serde_json::Value;

/// Largest relative error.
const TOLERANCE: f64 = 1e-4;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/training").join(name)
}

fn cases() -> Value {
    serde_json::from_slice(&std::fs::read(fixture("cases.json")).unwrap()).unwrap()
}

fn number(value: &Value, name: &str) -> f64 {
    value[name].as_f64().unwrap_or_else(|| panic!("no {name} in {value}"))
}

fn count(value: &Value, name: &str) -> usize {
    value[name].as_u64().unwrap_or_else(|| panic!("no {name} in {value}")) as usize
}

/// Every tensor of a file.
fn tensors(name: &str) -> BTreeMap<String, Vec<f32>> {
    let bytes = std::fs::read(fixture(name)).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let values = |bytes: &[u8]| bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    file.iter().map(|(name, view)| (name.to_owned(), values(view.data()))).collect()
}

/// The flat buffer of `layout` from the tensors under `prefix`; none may be left over.
fn gather(tensors: &BTreeMap<String, Vec<f32>>, prefix: &str, layout: &[Slot]) -> Vec<f32> {
    let under = tensors.keys().filter(|name| name.starts_with(&format!("{prefix}/"))).count();
    assert_eq!(under, layout.len(), "tensors under {prefix}");
    layout.iter().flat_map(|slot| tensors[&format!("{prefix}/{}", slot.name)].clone()).collect()
}

fn close(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0.0_f64, |largest, x| largest.max(f64::from(x.abs())));
    for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(found) - f64::from(expected)).abs();
        // Also false for NaN. Where all is zero in the reference, all must be zero.
        assert!(error <= TOLERANCE * largest, "{what}[{i}]: {found}, not {expected} (largest {largest})");
    }
}

fn close_slots(found: &[f32], expected: &[f32], layout: &[Slot], what: &str) {
    for slot in layout {
        close(&found[slot.range.clone()], &expected[slot.range.clone()], &format!("{what} {}", slot.name));
    }
}

fn dims(value: &Value) -> Dims {
    Dims {
        image_width: count(value, "image_width"),
        text_width: count(value, "text_width"),
        width: count(value, "width"),
        heads: count(value, "heads"),
        hidden: count(value, "hidden"),
        layers: count(value, "layers"),
    }
}

/// One member of an array, trained as the fixture's case says.
#[derive(Debug, PartialEq)]
struct Trained {
    image_features: Vec<f32>,
    text_features: Vec<f32>,
    eval_loss: f32,
    first_gradient: Vec<f32>,
    losses: Vec<f32>,
    p: Vec<f32>,
}

fn train(case: &Value, tensors: &BTreeMap<String, Vec<f32>>, member: usize, threads: usize) -> Trained {
    let dims = dims(&case["dims"]);
    let (batch, steps) = (count(case, "batch"), count(case, "steps"));
    let i2t_weight = number(case, "i2t_weight");
    let settings = &case["members"][member];
    let seed = settings["seed"].as_u64().unwrap();
    let optimizer = AdamW { weight_decay: number(settings, "weight_decay"), ..AdamW::default() };
    let schedule = LinearWarmup::new(count(case, "total_steps") as u64, number(case, "warmup"));
    let mut p = gather(tensors, &format!("{member}/initial"), &dims.layout());
    let n = p.len();
    let (mut g, mut m, mut v) = (vec![f32::NAN; n], vec![0.0; n], vec![0.0; n]);
    let pair = |step: usize| {
        let images = &tensors["images"][step * batch * dims.image_width..][..batch * dims.image_width];
        let texts = &tensors["texts"][step * batch * dims.text_width..][..batch * dims.text_width];
        (images, texts)
    };
    // Smaller than the features' batch below, which then goes through in parts.
    let mut small = AdaptorStep::new(dims, 17);
    let mut step = AdaptorStep::new(dims, batch + 3);
    let (images, texts) = pair(0);
    let mut features = [vec![0.0; batch * dims.width], vec![0.0; batch * dims.width]];
    small.image_features(&p, images, batch, &mut features[0], threads);
    small.text_features(&p, texts, batch, &mut features[1], threads);
    let eval_loss = step.loss(&p, images, texts, batch, i2t_weight, threads);
    let (mut losses, mut first_gradient) = (vec![], vec![]);
    for number_of_step in 0..steps {
        let (images, texts) = pair(number_of_step);
        let dropout = Some(Dropout { p: number(case, "dropout"), seed, step: number_of_step as u64 });
        losses.push(step.forward_backward(&p, &mut g, images, texts, batch, dropout, i2t_weight, threads));
        if number_of_step == 0 {
            first_gradient = g.clone();
        }
        let rate = number(settings, "learning_rate") * schedule.factor(number_of_step as u64);
        optimizer.step(&mut p, &g, &mut m, &mut v, number_of_step as u64 + 1, rate);
    }
    let [image_features, text_features] = features;
    Trained { image_features, text_features, eval_loss, first_gradient, losses, p }
}

fn check(case: &Value, tensors: &BTreeMap<String, Vec<f32>>, member: usize, trained: &Trained) {
    let layout = dims(&case["dims"]).layout();
    close(&trained.image_features, &tensors[&format!("{member}/features/image")], "image features");
    close(&trained.text_features, &tensors[&format!("{member}/features/text")], "text features");
    close(&[trained.eval_loss], &tensors[&format!("{member}/eval_loss")], "loss in evaluation");
    close(&trained.losses, &tensors[&format!("{member}/losses")], "losses");
    let gradient = gather(tensors, &format!("{member}/gradient"), &layout);
    close_slots(&trained.first_gradient, &gradient, &layout, "gradient of");
    let last = gather(tensors, &format!("{member}/final"), &layout);
    close_slots(&trained.p, &last, &layout, "after training,");
}

#[test]
fn one_adaptor_trains_as_in_pytorch() {
    let (cases, tensors) = (cases(), tensors("adaptor.safetensors"));
    let case = &cases["adaptor"];
    check(case, &tensors, 0, &train(case, &tensors, 0, 1));
}

/// Members have their own learning rate, weight decay and seed, and do not disturb each other, side by side or in turn.
#[test]
fn an_array_of_adaptors_trains_as_in_pytorch() {
    let (cases, tensors) = (cases(), tensors("adaptor.safetensors"));
    let case = &cases["adaptor"];
    let members = case["members"].as_array().unwrap().len();
    assert_eq!(members, 3);
    let side_by_side: Vec<Trained> =
        (0..members).into_par_iter().map(|member| train(case, &tensors, member, 1)).collect();
    for (member, trained) in side_by_side.iter().enumerate() {
        check(case, &tensors, member, trained);
        assert_eq!(*trained, train(case, &tensors, member, 2), "member {member}");
    }
    assert_ne!(side_by_side[0].p, side_by_side[1].p);
}

/// One training step with the paper's sizes, from the generator's own initial weights.
#[test]
fn the_papers_sizes_match_pytorch() {
    let cases = cases();
    let case = &cases["paper_size"];
    let dims = dims(&case["dims"]);
    let shape = AdaptorShape { image_width: dims.image_width, text_width: dims.text_width };
    assert_eq!(Dims::from(shape), dims);
    let (batch, seed) = (count(case, "batch"), case["seed"].as_u64().unwrap());
    let p = shape.init(seed);
    let mut g = vec![f32::NAN; p.len()];
    let input = |stream: u32, width: usize| {
        let mut x = vec![0.0; batch * width];
        Key::new(seed, Purpose::Init, 1).stream(stream).fill_uniform(&mut x, -1.0, 1.0);
        x
    };
    let (images, texts) = (input(0, dims.image_width), input(1, dims.text_width));
    let dropout = Some(Dropout { p: number(case, "dropout"), seed, step: 3 });
    let loss = AdaptorStep::new(shape, batch).forward_backward(
        &p,
        &mut g,
        &images,
        &texts,
        batch,
        dropout,
        number(case, "i2t_weight"),
        1,
    );
    close(&[loss], &[number(case, "loss") as f32], "loss");
    for slot in shape.layout() {
        let reference = &case["gradients"][&slot.name];
        let gradient = &g[slot.range.clone()];
        let norm = gradient.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
        let expected = number(reference, "norm");
        assert!((norm - expected).abs() <= TOLERANCE * expected, "{}: {norm}, not {expected}", slot.name);
        let entries = reference["entries"].as_array().unwrap();
        for (i, entry) in entries.iter().enumerate() {
            let (found, expected) = (gradient[i * gradient.len() / entries.len()], entry.as_f64().unwrap());
            let error = (f64::from(found) - expected).abs();
            assert!(error <= TOLERANCE * number(reference, "max"), "{} {i}: {found}, not {expected}", slot.name);
        }
    }
}

fn train_head(case: &Value, tensors: &BTreeMap<String, Vec<f32>>, member: usize) {
    let shape =
        HeadShape { width: count(case, "width"), hidden: count(case, "hidden"), classes: count(case, "classes") };
    let (batch, steps, layout) = (count(case, "batch"), count(case, "steps"), shape.layout());
    let settings = &case["members"][member];
    let seed = settings["seed"].as_u64().unwrap();
    let optimizer = AdamW { weight_decay: number(settings, "weight_decay"), ..AdamW::default() };
    let base = number(settings, "learning_rate");
    let schedule = CosineRestarts::new(count(case, "t0") as u64, number(case, "eta_min"), base);
    let mut p = gather(tensors, &format!("{member}/initial"), &layout);
    let (mut g, mut m, mut v) = (vec![f32::NAN; p.len()], vec![0.0; p.len()], vec![0.0; p.len()]);
    let mut stats = RunningStats::new(shape.hidden);
    let mut head = HeadStep::new(shape, batch);
    let mut losses = vec![];
    for step in 0..steps {
        let x = &tensors["x"][step * batch * shape.width..][..batch * shape.width];
        let labels = &tensors["labels"][step * batch..][..batch];
        let classes: Vec<u32> = labels.iter().map(|&label| label as u32).collect();
        let targets = if shape.classes == 1 { Targets::Binary(labels) } else { Targets::Classes(&classes) };
        let dropout = Some(Dropout { p: number(case, "dropout"), seed, step: step as u64 });
        losses.push(head.forward_backward(&p, &mut g, &mut stats, x, targets, batch, dropout));
        if step == 0 {
            let expected = gather(tensors, &format!("{member}/gradient"), &layout);
            close_slots(&g, &expected, &layout, "gradient of");
        }
        optimizer.step(&mut p, &g, &mut m, &mut v, step as u64 + 1, schedule.rate(step as u64));
    }
    close(&losses, &tensors[&format!("{member}/losses")], "losses");
    close_slots(&p, &gather(tensors, &format!("{member}/final"), &layout), &layout, "after training,");
    close(&stats.mean, &tensors[&format!("{member}/running/mean")], "running mean");
    close(&stats.variance, &tensors[&format!("{member}/running/variance")], "running variance");
    assert_eq!(stats.batches, steps as u64);
    let test = &tensors["test"];
    let rows = test.len() / shape.width;
    let mut logits = vec![f32::NAN; rows * shape.classes];
    // In parts of four rows.
    HeadStep::new(shape, 4).logits(&p, &stats, test, rows, &mut logits);
    close(&logits, &tensors[&format!("{member}/logits")], "logits in evaluation");
}

#[test]
fn heads_train_as_in_pytorch() {
    for case in cases()["heads"].as_array().unwrap() {
        let tensors = tensors(&format!("head{}.safetensors", count(case, "classes")));
        for member in 0..case["members"].as_array().unwrap().len() {
            train_head(case, &tensors, member);
        }
    }
}

/// `state_dict()` saved by PyTorch is read, and what is written back holds the same tensors.
#[test]
fn weights_saved_by_pytorch_are_read() {
    let same = |ours: &[u8], theirs: &[u8]| {
        let (ours, theirs) = (SafeTensors::deserialize(ours).unwrap(), SafeTensors::deserialize(theirs).unwrap());
        assert_eq!(ours.len(), theirs.len());
        for (name, view) in theirs.iter() {
            assert_eq!(ours.tensor(name).unwrap(), view, "{name}");
        }
    };
    let cases = cases();
    let dims = dims(&cases["adaptor"]["dims"]);
    let bytes = std::fs::read(fixture("adaptor_state.safetensors")).unwrap();
    let p = dims.from_safetensors(&bytes).unwrap();
    same(&dims.to_safetensors(&p), &bytes);
    let last = gather(&tensors("adaptor.safetensors"), "2/final", &dims.layout());
    close_slots(&p, &last, &dims.layout(), "saved by PyTorch,");
    for case in cases["heads"].as_array().unwrap() {
        let (width, hidden, classes) = (count(case, "width"), count(case, "hidden"), count(case, "classes"));
        let shape = HeadShape { width, hidden, classes };
        let bytes = std::fs::read(fixture(&format!("head{classes}_state.safetensors"))).unwrap();
        let (p, stats) = shape.from_safetensors(&bytes).unwrap();
        same(&shape.to_safetensors(&p, &stats), &bytes);
        assert_eq!(stats.batches, count(case, "steps") as u64);
        let last = gather(&tensors(&format!("head{classes}.safetensors")), "2/final", &shape.layout());
        close_slots(&p, &last, &shape.layout(), "saved by PyTorch,");
    }
}

#[test]
fn schedules_are_pytorchs() {
    let cases = cases();
    let equal = |found: f64, expected: &Value, what: &str| {
        let expected = expected.as_f64().unwrap();
        assert!((found - expected).abs() <= 1e-12 * expected.abs().max(1e-6), "{what}: {found}, not {expected}");
    };
    for case in cases["schedules"]["linear"].as_array().unwrap() {
        let schedule = LinearWarmup::new(count(case, "total") as u64, number(case, "share"));
        for (step, factor) in case["factors"].as_array().unwrap().iter().enumerate() {
            equal(schedule.factor(step as u64), factor, &format!("{case} step {step}"));
        }
    }
    for case in cases["schedules"]["cosine"].as_array().unwrap() {
        let schedule = CosineRestarts::new(count(case, "t0") as u64, number(case, "eta_min"), number(case, "base"));
        for (step, rate) in case["rates"].as_array().unwrap().iter().enumerate() {
            equal(schedule.rate(step as u64), rate, &format!("{case} step {step}"));
        }
    }
}
