//! Arrays of heads against [`HeadStep`], on the emulation, and on a card where there is one.

use std::sync::Arc;

use super::*;
use crate::{
    cuda::{emulation::Emulation, tests::support::devices},
    model::{Dropout, HeadStep, Targets},
    random::{Key, Purpose},
    train::optimizer::AdamW,
};

const ROWS: usize = 40;

fn uniform(stream: u32, n: usize) -> Vec<f32> {
    let mut values = vec![0.0; n];
    Key::new(6, Purpose::Init, 1).stream(stream).fill_uniform(&mut values, -1.0, 1.0);
    values
}

fn sizes(width: usize, classes: usize) -> HeadSizes {
    let shape = HeadShape { width, hidden: 32, classes };
    // The last batch is smaller. (One of two samples would be normalised to 1 and -1, which rounding decides much of.)
    HeadSizes { shape, binary: classes == 1, dropout: 0.3, batch: 8, train: 20, evaluated: 11, steps: 3 }
}

/// A member of an array, and all that it needs.
#[derive(Clone)]
struct Case {
    member: HeadMember,
    learning_rate: f64,
    list: Arc<Samples>,
}

fn cases(sizes: HeadSizes, count: usize) -> Vec<Case> {
    let case = |i: usize| {
        let rows = (0..sizes.train).map(|j| ((7 * i + 3 * j) % ROWS) as u32).collect();
        let labels = sizes.shape.classes.max(2);
        let classes = (0..sizes.train).map(|j| ((i + j * j) % labels) as u32).collect();
        Case {
            member: HeadMember {
                seed: 11 + i as u64,
                weight_decay: 0.01 * i as f64,
                table: if i.is_multiple_of(2) { 0 } else { ROWS },
            },
            learning_rate: 1e-3 * (1 + i) as f64,
            list: Arc::new(Samples { rows, classes }),
        }
    };
    (0..count).map(case).collect()
}

/// One epoch on the processor: losses, and the state afterwards.
fn on_the_processor(sizes: HeadSizes, case: &Case, features: &[f32], step: u64, state: &mut HeadState) -> Vec<f32> {
    let HeadSizes { shape, binary, dropout, batch, .. } = sizes;
    let mut buffers = HeadStep::new(shape, batch);
    let mut g = vec![0.0; state.p.len()];
    let optimizer = AdamW { weight_decay: case.member.weight_decay, ..AdamW::default() };
    let mut losses = Vec::new();
    let batches = case.list.rows.chunks(batch).zip(case.list.classes.chunks(batch));
    for (step, (rows, classes)) in (step..).zip(batches) {
        let x: Vec<f32> = rows.iter().flat_map(|&row| row_of(features, case, shape.width, row)).copied().collect();
        let labels: Vec<f32> = classes.iter().map(|&class| class as f32).collect();
        let targets = if binary { Targets::Binary(&labels) } else { Targets::Classes(classes) };
        let dropout = Some(Dropout { p: dropout, seed: case.member.seed, step });
        let loss = buffers.forward_backward(&state.p, &mut g, &mut state.stats, &x, targets, rows.len(), dropout);
        losses.push(loss);
        optimizer.step(&mut state.p, &g, &mut state.m, &mut state.v, step + 1, case.learning_rate);
    }
    losses
}

fn row_of<'f>(features: &'f [f32], case: &Case, width: usize, row: u32) -> &'f [f32] {
    &features[(case.member.table + row as usize) * width..][..width]
}

fn close(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(1e-6_f32, |largest, value| largest.max(value.abs()));
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= 1e-4 * largest, "{what} {i}: {found}, not {expected}");
    }
}

fn array(stream: &Arc<dyn Stream>, sizes: HeadSizes, most: usize, cases: &[Case], features: &[f32]) -> HeadArray {
    let features = Arc::new(Buffer::from_slice(stream, features).unwrap());
    let mut array = HeadArray::new(stream, sizes, most, features).unwrap();
    for case in cases {
        array.push(case.member, &HeadState::new(sizes.shape, case.member.seed)).unwrap();
    }
    array
}

fn spans(cases: &[Case], step: u64) -> Vec<HeadSpan> {
    let span = |(slot, case): (usize, &Case)| HeadSpan { slot, step, learning_rate: case.learning_rate, list: slot };
    cases.iter().enumerate().map(span).collect()
}

fn lists(cases: &[Case]) -> Vec<Arc<Samples>> {
    cases.iter().map(|case| Arc::clone(&case.list)).collect()
}

/// Widths of which a row is no multiple of four, too.
#[test]
fn heads_train_as_on_the_processor() {
    for (stream, (width, classes, count)) in
        devices().iter().flat_map(|stream| [(8, 1, 1), (6, 1, 3), (7, 3, 4)].map(|sizes| (stream, sizes)))
    {
        let sizes = sizes(width, classes);
        let features = uniform(0, 2 * ROWS * width);
        let cases = cases(sizes, count);
        let mut array = array(stream, sizes, count, &cases, &features);
        let mut states: Vec<HeadState> =
            cases.iter().map(|case| HeadState::new(sizes.shape, case.member.seed)).collect();
        for epoch in 0..3 {
            let mut asked = false;
            let losses =
                array.train(&spans(&cases, 3 * epoch), &lists(&cases), 0, sizes.train, || asked = true).unwrap();
            assert!(asked);
            for ((i, case), state) in cases.iter().enumerate().zip(&mut states) {
                let expected = on_the_processor(sizes, case, &features, 3 * epoch, state);
                close(&losses[i], &expected, "losses");
            }
            if epoch == 1 {
                array.keep_best(&(0..count).collect::<Vec<_>>()).unwrap();
                for state in &mut states {
                    (state.best, state.best_stats) = (state.p.clone(), state.stats.clone());
                }
            }
        }
        let evaluated = |i: usize| Samples { rows: (0..9 + i as u32 % 3).map(|j| 3 * j).collect(), classes: vec![] };
        let lists: Vec<Samples> = (0..count).map(evaluated).collect();
        let members: Vec<(usize, usize)> = (0..count).map(|i| (i, i)).collect();
        for best in [false, true] {
            let outputs = array.evaluate(&members, &lists, best).unwrap();
            for (i, (case, state)) in cases.iter().zip(&states).enumerate() {
                let rows = &lists[i].rows;
                let x: Vec<f32> = rows.iter().flat_map(|&row| row_of(&features, case, width, row)).copied().collect();
                let mut expected = vec![0.0; rows.len() * classes];
                let (p, stats) = if best { (&state.best, &state.best_stats) } else { (&state.p, &state.stats) };
                HeadStep::new(sizes.shape, 16).logits(p, stats, &x, rows.len(), &mut expected);
                close(&outputs[i], &expected, "outputs");
            }
        }
        for (slot, expected) in states.iter().enumerate() {
            let found = array.state(slot).unwrap();
            for (what, found, expected) in [
                ("p", &found.p, &expected.p),
                ("m", &found.m, &expected.m),
                ("v", &found.v, &expected.v),
                ("best", &found.best, &expected.best),
                ("mean", &found.stats.mean, &expected.stats.mean),
                ("variance", &found.stats.variance, &expected.stats.variance),
                ("best mean", &found.best_stats.mean, &expected.best_stats.mean),
            ] {
                close(found, expected, what);
            }
            assert_eq!((found.stats.batches, found.best_stats.batches), (9, 6));
        }
    }
}

/// Alone, beside others, in another slot after a neighbour has left: the same bits.
#[test]
fn company_changes_no_bit() {
    let Some(stream) = Emulation::open() else { return };
    let sizes = sizes(6, 1);
    let features = uniform(0, 2 * ROWS * 6);
    let cases = cases(sizes, 3);
    let alone: Vec<HeadState> = cases
        .iter()
        .map(|case| {
            let case = std::slice::from_ref(case);
            let mut array = array(&stream, sizes, 2, case, &features);
            for epoch in 0..2 {
                array.train(&spans(case, 3 * epoch), &lists(case), 0, sizes.train, || {}).unwrap();
            }
            array.state(0).unwrap()
        })
        .collect();
    let mut array = array(&stream, sizes, 3, &cases, &features);
    let all = spans(&cases, 0);
    array.train(&all, &lists(&cases), 0, sizes.train, || {}).unwrap();
    let first = array.state(0).unwrap();
    array.remove(0).unwrap();
    assert_eq!(array.len(), 2);
    // The last one has moved into the free slot. Only it goes on, in two parts of an epoch.
    let moved = HeadSpan { slot: 0, step: 3, ..all[2] };
    array.train(&[moved], &lists(&cases), 0, 16, || {}).unwrap();
    array.train(&[HeadSpan { step: 5, ..moved }], &lists(&cases), 16, sizes.train, || {}).unwrap();
    array.train(&[HeadSpan { slot: 1, step: 3, ..all[1] }], &lists(&cases), 0, sizes.train, || {}).unwrap();
    assert_eq!(array.state(0).unwrap(), alone[2]);
    assert_eq!(array.state(1).unwrap(), alone[1]);
    assert_ne!(first, alone[0]);
    // A saved state goes on with the same bits.
    array.push(cases[0].member, &first).unwrap();
    array.train(&[HeadSpan { slot: 2, step: 3, ..all[0] }], &lists(&cases), 0, sizes.train, || {}).unwrap();
    assert_eq!(array.state(2).unwrap(), alone[0]);
}

#[test]
fn a_diverged_member_keeps_its_weights_and_its_neighbours_theirs() {
    for stream in &devices() {
        let sizes = sizes(6, 3);
        let mut features = uniform(0, 2 * ROWS * 6);
        let cases = cases(sizes, 3);
        let run = |features: &[f32]| {
            let mut array = array(stream, sizes, 3, &cases, features);
            let losses = array.train(&spans(&cases, 0), &lists(&cases), 0, sizes.train, || {}).unwrap();
            (losses, [0, 1, 2].map(|slot| array.state(slot).unwrap()))
        };
        let (_, healthy) = run(&features);
        // Member 1 is alone in its table; its tenth sample is in the second step.
        features[(ROWS + cases[1].list.rows[9] as usize) * 6 + 2] = f32::NAN;
        let (losses, poisoned) = run(&features);
        assert_eq!(losses[1].iter().position(|loss| !loss.is_finite()), Some(1), "{losses:?}");
        assert_eq!((&poisoned[0], &poisoned[2]), (&healthy[0], &healthy[2]));
        let mut before = array(stream, sizes, 3, &cases, &features);
        before.train(&spans(&cases, 0), &lists(&cases), 0, sizes.batch, || {}).unwrap();
        let before = before.state(1).unwrap();
        assert_eq!((&poisoned[1].p, &poisoned[1].m, &poisoned[1].v), (&before.p, &before.m, &before.v));
    }
}

#[test]
fn the_memory_an_array_needs_is_known() {
    for (members, evaluated) in [(1, 11), (3, 0), (40, 900)] {
        let sizes = HeadSizes { evaluated, ..sizes(6, 3) };
        let bytes = sizes.bytes_needed(members);
        let Some(device) = Emulation::with_memory(bytes) else { return };
        let stream: Arc<dyn Stream> = Arc::new(device);
        let features = Arc::new(Buffer::undefined(&stream, 0).unwrap());
        let array = HeadArray::new(&stream, sizes, members, features).unwrap();
        let spare = stream.memory().unwrap().free;
        assert!(spare <= bytes / 8 + 8192, "{spare} of {bytes} bytes are spare");
        let error = HeadArray::new(&stream, sizes, members, Arc::clone(&array.features)).unwrap_err();
        assert!(error.is_out_of_memory(), "{error}");
    }
}
