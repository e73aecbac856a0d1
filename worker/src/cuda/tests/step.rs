//! One step: loss and every gradient.

use super::support::{Trial, array, close, devices, train};
use crate::{
    cuda::{Arithmetic, emulation::Emulation},
    model::Dims,
};

/// Small, and odd where it may be.
const SMALL: Dims = Dims { image_width: 11, text_width: 9, width: 12, heads: 3, hidden: 20, layers: 2 };
/// More than one warp a row, more than one block a column, more rows than a block adds up.
const LARGER: Dims = Dims { image_width: 140, text_width: 24, width: 136, heads: 2, hidden: 520, layers: 1 };

/// All gradients, tensor by tensor. With a learning rate of 0 a step changes nothing but the moments.
#[track_caller]
fn check(dims: Dims, members: usize, batch: usize) {
    for stream in devices() {
        let trials: Vec<Trial> = (0..members).map(|number| Trial::new(number, dims, batch)).collect();
        let mut array = array(&stream, &trials, batch, Arithmetic::F32);
        let losses = train(&stream, &mut array, &trials, &[0.0]);
        for (member, trial) in trials.iter().enumerate() {
            let (loss, expected) = trial.cpu_step(&trial.start().p, batch, 0);
            close(&losses[member], &[loss], 1e-5, "loss");
            let found = array.gradient(member).unwrap();
            for slot in trial.dims.layout() {
                let what = format!("{} of member {member} of {members} on {}", slot.name, stream.name());
                close(&found[slot.range.clone()], &expected[slot.range], 1e-4, &what);
            }
        }
    }
}

#[test]
fn gradients_of_one_member_are_the_cpus() {
    check(SMALL, 1, 7);
}

#[test]
fn gradients_of_members_of_different_widths_are_the_cpus() {
    check(SMALL, 2, 5);
    check(SMALL, 3, 9);
}

#[test]
fn gradients_of_larger_rows_are_the_cpus() {
    check(LARGER, 2, 35);
}

/// Blocks and grids are those of a real training here; only the batch is small.
#[test]
fn gradients_at_the_papers_widths_are_the_cpus() {
    check(crate::model::AdaptorShape { image_width: 384, text_width: 768 }.into(), 1, 3);
}

/// In bf16 every gradient is near that of f32, in length and direction; in rows as short as these a few rounded elements, and
/// ReLUs near 0, are a large part of the whole.
#[test]
fn gradients_in_bf16_are_near_the_cpus() {
    for stream in devices() {
        let trials: Vec<Trial> = (0..2).map(|number| Trial::new(number, SMALL, 16)).collect();
        let mut array = array(&stream, &trials, 16, Arithmetic::Bf16);
        train(&stream, &mut array, &trials, &[0.0]);
        for (member, trial) in trials.iter().enumerate() {
            let (_, expected) = trial.cpu_step(&trial.start().p, 16, 0);
            let found = array.gradient(member).unwrap();
            for slot in trial.dims.layout() {
                let pairs = found[slot.range.clone()].iter().zip(&expected[slot.range]);
                let error = pairs.clone().map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt();
                let length = pairs.map(|(_, b)| b * b).sum::<f32>().sqrt();
                assert!(error <= 0.1 * length, "{}: {error} of {length}", slot.name);
            }
        }
    }
}

/// Launches cost more than work when one small member is trained alone.
#[test]
fn a_step_of_two_layers_takes_less_than_80_launches() {
    let Some(device) = Emulation::with_memory(1 << 30) else { return };
    let stream: std::sync::Arc<dyn crate::cuda::Stream> = std::sync::Arc::new(device.clone());
    let trials = [Trial::new(0, SMALL, 8)];
    let mut array = array(&stream, &trials, 4, Arithmetic::Bf16);
    let before = device.launches();
    train(&stream, &mut array, &trials, &[1e-3; 2]);
    let launches = (device.launches() - before) / 2;
    assert!((50..80).contains(&launches), "{launches}");
}

#[test]
fn evaluation_is_the_cpus() {
    for stream in devices() {
        let trials: Vec<Trial> = (0..3).map(|number| Trial::new(number, SMALL, [18, 15, 18][number])).collect();
        let batch = 7;
        let mut array = array(&stream, &trials, batch, Arithmetic::F32);
        let pairs: Vec<_> = trials.iter().map(|trial| trial.segment(&stream, &[]).pairs).collect();
        let found = array.losses(&pairs).unwrap();
        let tables: Vec<_> =
            (0..3).map(|member| trials[member].member(&stream, crate::cuda::Kind::F32).images).collect();
        let features = array.image_features(&tables).unwrap();
        for (member, trial) in trials.iter().enumerate() {
            let p = trial.start().p;
            let mut step = crate::model::AdaptorStep::new(trial.dims, batch);
            let (mut sum, mut count) = (0.0, 0);
            let all: Vec<usize> = (0..trial.pairs.len()).collect();
            // 15 pairs leave one over, which has no loss.
            for part in all.chunks(batch).filter(|part| part.len() > 1) {
                let (images, texts) = trial.gather(part.iter().copied());
                let loss = step.loss(&p, &images, &texts, part.len(), trial.i2t_weight, 1);
                sum += f64::from(loss) * part.len() as f64;
                count += part.len();
            }
            let expected = sum / count as f64;
            assert!((found[member] - expected).abs() < 1e-5 * expected, "{} {expected}", found[member]);
            let rows = trial.images.len() / trial.dims.image_width;
            let mut expected = vec![0.0; rows * trial.dims.width];
            step.image_features(&p, &trial.images, rows, &mut expected, 1);
            close(&features[member].download().unwrap(), &expected, 1e-5, "features");
        }
    }
}
