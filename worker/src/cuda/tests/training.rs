//! Training of arrays.

use std::sync::Arc;

use super::support::{Trial, array, close, devices, train};
use crate::{
    cuda::{AdaptorArray, Arithmetic, CudaError, Kind, State, Stream, emulation::Emulation},
    model::Dims,
};

const DIMS: Dims = Dims { image_width: 10, text_width: 6, width: 16, heads: 2, hidden: 24, layers: 2 };
const BATCH: usize = 6;
const STEPS: usize = 20;

fn trials(count: usize) -> Vec<Trial> {
    (0..count).map(|number| Trial::new(number, DIMS, BATCH * STEPS)).collect()
}

fn rates(steps: usize) -> Vec<f64> {
    (0..steps).map(|step| 1e-3 * step as f64 / steps as f64).collect()
}

/// What is left of each member after some steps in one call.
fn states(stream: &Arc<dyn Stream>, trials: &[Trial], steps: usize) -> Vec<State> {
    let mut array = array(stream, trials, BATCH, Arithmetic::F32);
    train(stream, &mut array, trials, &rates(steps));
    (0..trials.len()).map(|member| array.state(member).unwrap()).collect()
}

/// The same to the bit.
#[track_caller]
fn same(found: &[f32], expected: &[f32]) {
    let differ = found.iter().zip(expected).position(|(a, b)| a.to_bits() != b.to_bits());
    assert_eq!((found.len(), differ), (expected.len(), None));
}

#[track_caller]
fn same_state(found: &State, expected: &State) {
    same(&found.p, &expected.p);
    same(&found.m, &expected.m);
    same(&found.v, &expected.v);
    same(&found.best, &expected.best);
}

#[test]
fn weights_after_20_steps_are_the_cpus() {
    for stream in devices() {
        let trials = trials(3);
        let mut array = array(&stream, &trials, BATCH, Arithmetic::F32);
        let losses = train(&stream, &mut array, &trials, &rates(STEPS));
        for (member, trial) in trials.iter().enumerate() {
            let (expected, end) = trial.cpu_train(BATCH, &rates(STEPS));
            close(&losses[member], &expected, 1e-4, "losses");
            let found = array.state(member).unwrap();
            close(&found.p, &end.p, 1e-4, "parameters");
            close(&found.m, &end.m, 1e-4, "first moments");
            close(&found.v, &end.v, 1e-4, "second moments");
            assert!(found.best.is_empty() && array.is_active(member));
        }
    }
}

/// Losses of bf16 stay within its rounding of those of f32, and go down.
#[test]
fn losses_in_bf16_are_near_those_in_f32() {
    for stream in devices() {
        let trials = trials(2);
        let curve = |arithmetic| {
            let mut array = array(&stream, &trials, BATCH, arithmetic);
            train(&stream, &mut array, &trials, &[2e-3; STEPS])
        };
        let (single, half) = (curve(Arithmetic::F32), curve(Arithmetic::Bf16));
        for (single, half) in single.iter().zip(&half) {
            close(half, single, 0.03, "losses");
            assert_ne!(half, single);
        }
        close(&curve(Arithmetic::Tf32)[0], &single[0], 0.01, "losses in tf32");
    }
}

/// A member whose embeddings hold a NaN is not updated from then on, and nobody else notices.
#[test]
fn a_diverging_member_leaves_the_others_alone() {
    for stream in devices() {
        let healthy = trials(3);
        let mut ill = healthy.clone();
        // In the batch of step 3, and in no earlier one.
        let pair = ill[1].order[3 * BATCH + 2] as usize;
        let fresh = (ill[1].images.len() / ill[1].dims.image_width) as u32;
        let width = ill[1].dims.image_width;
        ill[1].images.extend(vec![f32::NAN; width]);
        ill[1].pairs[pair].0 = fresh;
        let steps = 8;
        let expected = states(&stream, &healthy, steps);
        let mut array = array(&stream, &ill, BATCH, Arithmetic::F32);
        let losses = train(&stream, &mut array, &ill, &rates(steps));
        let first = losses[1].iter().position(|loss| !loss.is_finite());
        assert_eq!((first, array.is_active(1)), (Some(3), false));
        for member in [0, 2] {
            assert!(array.is_active(member));
            same_state(&array.state(member).unwrap(), &expected[member]);
        }
        // The diverged one is as it was after three steps.
        let mut before = self::array(&stream, &healthy, BATCH, Arithmetic::F32);
        let rates: Vec<f64> = rates(steps)[..3].to_vec();
        train(&stream, &mut before, &healthy, &rates);
        same_state(&array.state(1).unwrap(), &before.state(1).unwrap());
    }
}

/// Only under the emulation: cuBLAS may choose other algorithms for other numbers of members.
#[test]
fn a_member_alone_and_in_an_array_are_the_same_to_the_bit() {
    let Some(stream) = Emulation::open() else { return };
    let trials = trials(3);
    let together = states(&stream, &trials, 5);
    for (trial, expected) in trials.iter().zip(&together) {
        same_state(&states(&stream, std::slice::from_ref(trial), 5)[0], expected);
    }
}

#[test]
fn a_removed_member_makes_room_for_the_last() {
    for stream in devices() {
        let all = trials(3);
        let mut array = array(&stream, &all, BATCH, Arithmetic::Bf16);
        let mut rest = self::array(&stream, &all[1..], BATCH, Arithmetic::Bf16);
        array.keep_best(2).unwrap();
        array.remove(0).unwrap();
        // The last one is the first now.
        let moved = [all[2].clone(), all[1].clone()];
        let losses = train(&stream, &mut array, &moved, &rates(4));
        let expected = train(&stream, &mut rest, &all[1..], &rates(4));
        assert_eq!(array.len(), 2);
        let tolerance = if stream.name().contains("emulated") { 0.0 } else { 0.01 };
        close(&losses[0], &expected[1], tolerance, "losses");
        close(&losses[1], &expected[0], tolerance, "losses");
        same(&array.state(0).unwrap().best, &all[2].start().p);
        array.remove(1).unwrap();
        array.remove(0).unwrap();
        assert!(array.is_empty());
    }
}

/// Steps of a recorded step, and steps that are launched one by one.
#[test]
fn replays_are_what_was_recorded() {
    for stream in devices() {
        let trials = trials(2);
        let mut direct = array(&stream, &trials, BATCH, Arithmetic::F32);
        let mut one_by_one = vec![Vec::new(); 2];
        for (step, &rate) in rates(6).iter().enumerate() {
            let mut segments: Vec<_> = trials.iter().map(|trial| trial.segment(&stream, &[rate])).collect();
            for segment in &mut segments {
                segment.start = step * BATCH;
                segment.first_step += step as u64;
            }
            for (all, losses) in one_by_one.iter_mut().zip(direct.train(&segments).unwrap()) {
                all.extend(losses);
            }
        }
        let mut replayed = array(&stream, &trials, BATCH, Arithmetic::F32);
        assert_eq!(train(&stream, &mut replayed, &trials, &rates(6)), one_by_one);
        for member in 0..2 {
            same_state(&replayed.state(member).unwrap(), &direct.state(member).unwrap());
        }
    }
}

/// A checkpoint, and the best parameters, go to the card and back as they are.
#[test]
fn states_come_back_as_they_went() {
    for stream in devices() {
        let trials = trials(2);
        let mut trained = array(&stream, &trials, BATCH, Arithmetic::Bf16);
        train(&stream, &mut trained, &trials, &rates(3));
        trained.keep_best(1).unwrap();
        train(&stream, &mut trained, &trials, &rates(2));
        let state = trained.state(1).unwrap();
        assert_ne!(state.best, state.p);
        let mut other = array(&stream, &trials, BATCH, Arithmetic::Bf16);
        other.set_state(1, &state).unwrap();
        same_state(&other.state(1).unwrap(), &state);
        other.use_best(1).unwrap();
        same(&other.state(1).unwrap().p, &state.best);
        other.freeze(0);
        let before = other.state(0).unwrap();
        train(&stream, &mut other, &trials, &rates(2));
        same_state(&other.state(0).unwrap(), &before);
    }
}

#[test]
fn what_an_array_takes_is_known_before() {
    let dims = vec![DIMS; 3];
    let needed = AdaptorArray::bytes_needed(&dims, BATCH, STEPS, Arithmetic::Bf16).unwrap();
    let Some(device) = Emulation::with_memory(1 << 30) else { return };
    let stream: Arc<dyn Stream> = Arc::new(device);
    let members: Vec<_> = (0..3)
        .map(|number| Trial { dims: DIMS, ..Trial::new(3 * number, DIMS, 9) }.member(&stream, Kind::Bf16))
        .collect();
    let before = stream.memory().unwrap().free;
    let array = AdaptorArray::new(&stream, members.clone(), BATCH, STEPS, Arithmetic::Bf16).unwrap();
    let taken = before - stream.memory().unwrap().free;
    // A card rounds each of some 50 pieces up to 512 bytes.
    assert!(needed >= taken && needed < taken + 60 * 512, "{needed} {taken}");
    drop(array);
    let Some(device) = Emulation::with_memory(taken * 9 / 10) else { return };
    let small: Arc<dyn Stream> = Arc::new(device);
    let refused = AdaptorArray::new(&small, members, BATCH, STEPS, Arithmetic::Bf16).unwrap_err();
    assert!(matches!(refused, CudaError::OutOfMemory { .. }), "{refused}");
    // What was allocated before it ran out is free again.
    assert_eq!(small.memory().unwrap().free, taken * 9 / 10);
}
