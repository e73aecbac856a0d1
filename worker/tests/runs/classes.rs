//! Heads of several classes, against values made by hand, and what follows from the labels alone.

use std::{collections::BTreeMap, fs};

use permafrost_worker::{
    datasets::Split,
    model::HeadShape,
    protocol::Outcome,
    task::{Classify, Subset, Target, Task},
};
use safetensors::SafeTensors;

use crate::support::{Home, IMAGE_WIDTH, KINDS, Member, fresh_id, ids, kind};

const SIZES: [usize; 3] = [24, 12, 12];

/// Every image of a home of [`SIZES`] with an embedding that depends on its kind.
fn with_images(home: &mut Home, of_kind: &dyn Fn(u32) -> Vec<f32>) -> Classify {
    let splits = Split::ALL.into_iter().zip(SIZES);
    let rows = splits.flat_map(|(split, count)| ids(split, count).into_iter().enumerate());
    let rows: Vec<(String, Vec<f32>)> = rows.map(|(i, id)| (id, of_kind(kind(i)))).collect();
    let image = fresh_id();
    home.embed(image, IMAGE_WIDTH, &rows);
    Classify { image, label: "kind".to_owned(), target: Target::Classes, ..home.classify() }
}

fn done(member: &Member) -> &BTreeMap<String, f64> {
    let Some(Outcome::Done { summary, .. }) = &member.outcome else { panic!("not done: {:?}", member.outcome) };
    summary
}

fn file(home: &Home, member: &Member, name: &str) -> Vec<u8> {
    let Some(Outcome::Done { artifacts, .. }) = &member.outcome else { panic!("not done: {:?}", member.outcome) };
    let artifact = artifacts.iter().find(|artifact| artifact.name == name).unwrap();
    fs::read(home.path().join(&artifact.path)).unwrap()
}

fn softmax(logits: [f64; 3]) -> [f64; 3] {
    let powers = logits.map(f64::exp);
    powers.map(|power| power / powers.iter().sum::<f64>())
}

/// Where all features are 0, so is all but the output's bias: the head learns how frequent the classes are, and its three
/// numbers can be followed by hand.
#[test]
fn biases_alone_learn_the_frequencies() {
    let mut home = Home::new(SIZES[0], SIZES[1], SIZES[2]);
    let zeros = with_images(&mut home, &|_| vec![0.0; IMAGE_WIDTH]);
    let (epochs, rate) = (30, 0.05);
    let task =
        Classify { learning_rate: rate, weight_decay: 0.0, epochs, patience: None, batch_size: SIZES[0], ..zeros };
    let member = home.run_tasks(&[Task::Classify(task.clone())]).remove(0);
    let summary = done(&member);

    let shape = HeadShape { width: IMAGE_WIDTH, hidden: 512, classes: 3 };
    let initial = shape.init(task.seed);
    let mut bias: [f64; 3] = std::array::from_fn(|class| f64::from(initial[initial.len() - 3 + class]));
    let (mut m, mut v) = ([0.0; 3], [0.0; 3]);
    // A half, a third, a sixth of each split.
    let frequency = [0.5, 1.0 / 3.0, 1.0 / 6.0];
    let best_epoch = summary["best_epoch"] as u32;
    for epoch in 0..epochs {
        let p = softmax(bias);
        let loss: f64 = (0..3).map(|class| -frequency[class] * p[class].ln()).sum();
        let found = f64::from_bits(member.metrics[&("train_loss".to_owned(), u64::from(epoch))]);
        assert!((found - loss).abs() < 1e-5, "epoch {epoch}: {found}, by hand {loss}");
        // AdamW without decay; the rate falls by a cosine whose period is 0.4 of all steps, 12 epochs.
        let cosine = (std::f64::consts::PI * f64::from(epoch % 12) / 12.0).cos();
        let rate = 1e-8 + (rate - 1e-8) * (1.0 + cosine) / 2.0;
        let step = (epoch + 1) as i32;
        for class in 0..3 {
            let gradient = p[class] - frequency[class];
            m[class] = 0.9 * m[class] + 0.1 * gradient;
            v[class] = 0.999 * v[class] + 0.001 * gradient * gradient;
            let (m, v) = (m[class] / (1.0 - 0.9_f64.powi(step)), v[class] / (1.0 - 0.999_f64.powi(step)));
            bias[class] -= rate * m / (v.sqrt() + 1e-8);
        }
        let likeliest = (0..3).max_by(|&a, &b| bias[a].total_cmp(&bias[b])).unwrap();
        let accuracy = f64::from_bits(member.metrics[&("val_accuracy".to_owned(), u64::from(epoch))]);
        assert_eq!(accuracy, [6, 4, 2][likeliest] as f64 / 12.0, "epoch {epoch}");
        if epoch == best_epoch {
            let bytes = file(&home, &member, "head.safetensors");
            let (p, _) = shape.from_safetensors(&bytes).unwrap();
            for (class, bias) in bias.iter().enumerate() {
                assert!((f64::from(p[p.len() - 3 + class]) - bias).abs() < 1e-5, "bias {class}");
            }
        }
    }
    assert_eq!((summary["accuracy"], summary["val_accuracy"]), (0.5, 0.5));
    assert_eq!([summary["recall_a"], summary["recall_b"], summary["recall_c"]], [1.0, 0.0, 0.0]);
    assert!(!summary.contains_key("auroc") && !summary.contains_key("train_positives"));
}

#[test]
fn kinds_that_look_different_are_told_apart() {
    let mut home = Home::new(SIZES[0], SIZES[1], SIZES[2]);
    let task = with_images(&mut home, &|kind| (0..IMAGE_WIDTH).map(|i| f32::from(i == kind as usize)).collect());
    let task = Classify { epochs: 20, patience: None, ..task };
    let member = home.run_tasks(&[Task::Classify(task.clone())]).remove(0);
    let summary = done(&member);
    for name in ["accuracy", "val_accuracy", "recall_a", "recall_b", "recall_c"] {
        assert_eq!(summary[name], 1.0, "{name}");
    }
    let head = file(&home, &member, "head.safetensors");
    assert_eq!(SafeTensors::deserialize(&head).unwrap().tensor("output.weight").unwrap().shape(), [3, 512]);
    let predictions = String::from_utf8(file(&home, &member, "predictions.csv")).unwrap();
    let mut lines = predictions.lines();
    assert_eq!(lines.next(), Some("image,label,score_a,score_b,score_c"));
    for (i, line) in lines.by_ref().enumerate() {
        let cells: Vec<&str> = line.split(',').collect();
        let label = KINDS[kind(i) as usize];
        assert_eq!(cells[..2], [format!("test-{i}").as_str(), label]);
        let scores: Vec<f32> = cells[2..].iter().map(|cell| cell.parse().unwrap()).collect();
        assert!((scores.iter().sum::<f32>() - 1.0).abs() < 1e-5 && scores[kind(i) as usize] > 0.5, "{line}");
    }
    assert_eq!(predictions.lines().count(), 13);

    // One kind against the rest is a binary label.
    let rest = Classify { label: "kind=b".to_owned(), target: Target::Binary, ..task.clone() };
    let member = home.run_tasks(&[Task::Classify(rest)]).remove(0);
    let summary = done(&member);
    assert_eq!((summary["auroc"], summary["test_positives"], summary["train_positives"]), (1.0, 4.0, 8.0));
    let none = Classify { label: "kind=d".to_owned(), target: Target::Binary, ..task };
    let failed = home.run_tasks(&[Task::Classify(none)]).remove(0);
    assert!(failed.failure().cure.as_deref().unwrap().contains("kind=a, kind=b, kind=c"), "{:?}", failed.failure());
}

#[test]
fn a_published_fraction_is_one_whatever_the_seed() {
    let mut home = Home::new(SIZES[0], SIZES[1], SIZES[2]);
    let task = with_images(&mut home, &|kind| vec![kind as f32; IMAGE_WIDTH]);
    let run = |subset, seed, fraction| {
        let task = Classify { subset, seed, fraction, ..task.clone() };
        let member = home.run_tasks(&[Task::Classify(task)]).remove(0);
        done(&member)["train_samples"]
    };
    // pandas rounds 24 * 0.3 once, a nested fraction rounds each class: 3.6, 2.4, 1.2.
    assert_eq!([run(Subset::Published, 1, 0.3), run(Subset::Published, 2, 0.3)], [7.0, 7.0]);
    assert_eq!(run(Subset::Nested, 1, 0.3), 7.0);
    assert_eq!(run(Subset::Published, 1, 1.0), 24.0);
}

#[test]
fn pre_training_without_a_test_split_has_no_test_loss() {
    let home = Home::new(9, 3, 0);
    let member = home.run_tasks(&[Task::Pretrain(home.pretrain())]).remove(0);
    let without = done(&member).clone();
    assert!(!without.contains_key("test_loss"));
    // Nothing else depends on it.
    let home = Home::new(9, 3, 3);
    let member = home.run_tasks(&[Task::Pretrain(home.pretrain())]).remove(0);
    let mut with = done(&member).clone();
    assert!(with.remove("test_loss").unwrap().is_finite());
    assert_eq!(with, without);
}
