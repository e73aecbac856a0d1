//! Whole runs through `execute` on an emulated card, against the same runs on the processor.

#[path = "../../tests/runs/support.rs"]
mod support;

mod arrays;
mod memory;
mod resume;

use std::{collections::BTreeMap, fs, sync::Arc};

use safetensors::SafeTensors;

use self::support::{Home, Member};
use crate::{
    cuda::{Stream, emulation::Emulation},
    device::{Device, emulated},
    protocol::{Lease, Outcome, Stop},
    task::Task,
};

/// A card; in truth [`emulated::with`] says what it is.
fn card() -> Device {
    Device::Cuda { ordinal: 0, candle: candle_core::Device::Cpu }
}

/// Runs leases as one array on the card.
fn run_on_card(
    stream: &Arc<dyn Stream>,
    home: &Home,
    leases: Vec<Lease>,
    checkpoint_ms: u64,
    stop: &support::Stopper,
) -> Vec<Member> {
    emulated::with(stream, || home.run_on(&card(), leases, checkpoint_ms, stop))
}

/// Runs tasks as one array on the card, undisturbed.
fn tasks_on_card(stream: &Arc<dyn Stream>, home: &Home, tasks: &[Task]) -> Vec<Member> {
    let leases = tasks.iter().map(|task| home.lease(task, 1, vec![])).collect();
    run_on_card(stream, home, leases, u64::MAX, &|_| None)
}

/// Whether two numbers are the same but for rounding.
fn near(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 1e-4 * expected.abs().max(1.0)
}

/// Metrics, summary and files of `found` are those of `expected`, to 1e-4.
fn assert_near(home: &Home, found: &Member, expected: &Member) {
    assert_eq!(found.metrics.keys().collect::<Vec<_>>(), expected.metrics.keys().collect::<Vec<_>>());
    for (key, bits) in &expected.metrics {
        let (found, expected) = (f64::from_bits(found.metrics[key]), f64::from_bits(*bits));
        assert!(near(found, expected), "{key:?} is {found}, not {expected}");
    }
    assert_eq!(found.steps, expected.steps);
    let (Some(Outcome::Done { summary, artifacts }), Some(Outcome::Done { summary: wanted, artifacts: files })) =
        (&found.outcome, &expected.outcome)
    else {
        panic!("{:?}, not {:?}", found.outcome, expected.outcome)
    };
    assert_eq!(summary.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
    for (name, wanted) in wanted {
        assert!(near(summary[name], *wanted), "{name} is {}, not {wanted}", summary[name]);
    }
    assert_eq!(artifacts.len(), files.len());
    for (found, expected) in artifacts.iter().zip(files) {
        assert_eq!(found.name, expected.name);
        let read = |path: &std::path::Path| fs::read(home.path().join(path)).unwrap();
        let (found, expected) = (read(&found.path), read(&expected.path));
        let (found, expected) = (numbers(&found), numbers(&expected));
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        for (name, expected) in &expected {
            let found = &found[name];
            assert_eq!(found.len(), expected.len(), "{name}");
            // AdamW moves a weight whose gradient is but rounding as far as any other, so that single ones may differ.
            let length = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
            let difference = length(&mut found.iter().zip(expected).map(|(a, b)| a - b));
            let whole = length(&mut expected.iter().copied());
            assert!(difference <= 1e-4 * whole, "`{name}` is off by {difference}, its length is {whole}");
        }
    }
}

/// All that a file of weights, or a table, holds.
fn numbers(file: &[u8]) -> BTreeMap<String, Vec<f64>> {
    if let Ok(tensors) = SafeTensors::deserialize(file) {
        let values = |bytes: &[u8]| -> Vec<f64> {
            bytes.as_chunks::<4>().0.iter().map(|word| f64::from(f32::from_le_bytes(*word))).collect()
        };
        return tensors.tensors().into_iter().map(|(name, tensor)| (name, values(tensor.data()))).collect();
    }
    let text = String::from_utf8(file.to_vec()).unwrap();
    let row = |line: &str| {
        let (id, cells) = line.split_once(',').unwrap();
        (id.to_owned(), cells.split(',').map(|cell| cell.parse().unwrap_or(0.0)).collect())
    };
    text.lines().map(row).collect()
}

/// Heads that differ in all that members of an array may differ in.
fn heads(home: &Home, count: u64) -> Vec<Task> {
    let head = |i: u64| {
        let mut task = home.classify();
        (task.seed, task.learning_rate) = (5 + i, 1e-3 * (1 + i) as f64);
        (task.weight_decay, task.patience) = (0.01 * i as f64, [None, Some(1), Some(3)][i as usize % 3]);
        Task::Classify(task)
    };
    (0..count).map(head).collect()
}
