//! A graph as large sweeps make it: one pre-trained Adaptor for every 49 classification heads, in all states.

use permafrost::core::TrialState;
use permafrost_worker::{
    id::TrialId,
    task::{
        Attention, Classify, Embed, Encoder, Fetch, Precision, Prepare, Pretrain, Reader, Splitting, Subset, Target,
        Task, Wheel,
    },
};

use super::Result;

/// Heads of one Adaptor.
const HEADS: usize = 49;
/// Image encoders, and as many text encoders.
const ENCODERS: usize = 4;

/// What the Adaptors share: collections and their embeddings.
struct Shared {
    datasets: Vec<TrialId>,
    /// By collection: images, then texts.
    embeddings: Vec<Vec<TrialId>>,
}

/// About `trials` trials, inputs first, each with the state it is to have.
///
/// # Errors
/// Never, in practice: identities can be computed.
pub fn plan(trials: usize) -> Result<Vec<(Task, TrialState)>> {
    let mut plan = Vec::with_capacity(trials);
    let shared = shared(&mut plan)?;
    let mut number = 0;
    while plan.len() + 1 + HEADS <= trials {
        let adaptor = Task::Pretrain(adaptor(&shared, number));
        let id = adaptor.id()?;
        let state = match number % 20 {
            0 => TrialState::Failed,
            1 => TrialState::Diverged,
            2 => TrialState::Running,
            3 => TrialState::Ready,
            _ => TrialState::Done,
        };
        plan.push((adaptor, state));
        for head_number in 0..HEADS {
            let head_state =
                if state == TrialState::Done { head_state(number, head_number) } else { TrialState::Waiting };
            plan.push((Task::Classify(head(&shared, id, number, head_number)), head_state));
        }
        number += 1;
    }
    Ok(plan)
}

/// Of the heads whose Adaptor is done, three quarters are done as well.
const fn head_state(adaptor: usize, head: usize) -> TrialState {
    match head % 20 {
        0 => TrialState::Failed,
        1 => TrialState::Diverged,
        2 => TrialState::Cancelled,
        3 if adaptor % 40 == 7 => TrialState::Running,
        3..=4 => TrialState::Ready,
        _ => TrialState::Done,
    }
}

fn shared(plan: &mut Vec<(Task, TrialState)>) -> Result<Shared> {
    let wheel = Task::Fetch(Fetch::Wheel(Wheel {
        package: "torchxrayvision".to_owned(),
        version: "1.0".to_owned(),
        file: "torchxrayvision.whl".to_owned(),
        sha256: "0".repeat(64),
    }));
    let wheel_id = wheel.id()?;
    plan.push((wheel, TrialState::Done));
    let mut shared = Shared { datasets: vec![], embeddings: vec![] };
    for seed in 0..3 {
        let reader = Reader::OpenI { wheel: wheel_id, reports: 3_000, images: 7_000 };
        let dataset = Task::Prepare(Prepare { reader, split: Splitting::Groups { seed, train: 0.8, valid: 0.1 } });
        let id = dataset.id()?;
        shared.datasets.push(id);
        plan.push((dataset, TrialState::Done));
        let mut embeddings = Vec::new();
        for number in 0..2 * ENCODERS {
            let encoder =
                Encoder::VisualWords { descriptors: vec!["CEDD".to_owned()], width: 768, seed: number as u64 };
            let embed = Task::Embed(Embed::pooled(id, encoder));
            embeddings.push(embed.id()?);
            plan.push((embed, TrialState::Done));
        }
        shared.embeddings.push(embeddings);
    }
    Ok(shared)
}

fn adaptor(shared: &Shared, number: usize) -> Pretrain {
    Pretrain {
        dataset: shared.datasets[0],
        image: shared.embeddings[0][number % ENCODERS],
        text: shared.embeddings[0][ENCODERS + number / ENCODERS % ENCODERS],
        image_width: 768,
        text_width: 768,
        attention: Attention::OwnKv,
        i2t_weight: 0.75,
        precision: Precision::F32,
        dropout: 0.1,
        learning_rate: 2e-5,
        weight_decay: 0.01,
        warmup: 0.1,
        epochs: 50,
        batch_size: 1024,
        patience: Some(5),
        min_delta: 0.0,
        seed: number as u64,
    }
}

fn head(shared: &Shared, adaptor: TrialId, number: usize, head: usize) -> Classify {
    let dataset = 1 + head % 2;
    Classify {
        dataset: shared.datasets[dataset],
        image: shared.embeddings[dataset][number % ENCODERS],
        adaptor: Some(adaptor),
        image_width: 768,
        label: "pneumonia".to_owned(),
        target: Target::Binary,
        subset: Subset::Nested,
        fraction: [0.01, 0.1, 1.0][head % 3],
        dropout: 0.1,
        learning_rate: 1e-4,
        weight_decay: 0.01,
        epochs: 50,
        batch_size: 64,
        patience: Some(5),
        min_delta: 0.0,
        seed: head as u64,
    }
}
