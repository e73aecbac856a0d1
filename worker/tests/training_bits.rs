//! Results are the same to the last bit for every number of threads, in every run, and whatever the buffers held before.

use permafrost_worker::{
    model::{AdaptorShape, AdaptorStep, Dims, Dropout, HeadShape, HeadStep, RunningStats, Targets},
    random::{Key, Purpose},
    train::optimizer::AdamW,
};

fn uniform(stream: u32, n: usize) -> Vec<f32> {
    let mut values = vec![0.0; n];
    Key::new(6, Purpose::Init, 1).stream(stream).fill_uniform(&mut values, -1.0, 1.0);
    values
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// All that one step and one evaluation give.
fn step(step: &mut AdaptorStep, dims: Dims, batch: usize, threads: usize) -> Vec<u32> {
    let p = dims.init(2);
    let (images, texts) = (uniform(0, batch * dims.image_width), uniform(1, batch * dims.text_width));
    let mut g = vec![f32::NAN; p.len()];
    let dropout = Some(Dropout { p: 0.1, seed: 3, step: 5 });
    let mut out = vec![step.forward_backward(&p, &mut g, &images, &texts, batch, dropout, 0.75, threads)];
    out.push(step.loss(&p, &images, &texts, batch, 0.75, threads));
    let mut features = vec![f32::NAN; batch * dims.width];
    step.image_features(&p, &images, batch, &mut features, threads);
    out.extend(&features);
    step.text_features(&p, &texts, batch, &mut features, threads);
    out.extend(&features);
    out.extend(&g);
    assert!(out.iter().all(|value| value.is_finite()));
    bits(&out)
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let small = Dims { image_width: 40, text_width: 33, width: 48, heads: 4, hidden: 72, layers: 2 };
    let paper = Dims::from(AdaptorShape { image_width: 384, text_width: 768 });
    for (dims, batches) in [(small, &[1, 2, 63, 64, 65, 200][..]), (paper, &[1, 130])] {
        for &batch in batches {
            let mut buffers = AdaptorStep::new(dims, batch);
            let expected = step(&mut buffers, dims, batch, 1);
            for threads in [2, 5] {
                let found = step(&mut buffers, dims, batch, threads);
                assert!(found == expected, "batch {batch}, {threads} threads");
            }
        }
    }
}

/// The last batch of an epoch is smaller, and evaluation comes between steps.
#[test]
fn earlier_use_of_the_buffers_changes_no_bit() {
    let dims = Dims { image_width: 40, text_width: 33, width: 48, heads: 4, hidden: 72, layers: 2 };
    let expected = step(&mut AdaptorStep::new(dims, 70), dims, 70, 1);
    let mut buffers = AdaptorStep::new(dims, 150);
    step(&mut buffers, dims, 150, 1);
    assert!(step(&mut buffers, dims, 70, 1) == expected);
}

/// Members of an array run side by side on different threads.
#[test]
fn neighbours_change_no_bit() {
    let dims = Dims { image_width: 40, text_width: 33, width: 48, heads: 4, hidden: 72, layers: 2 };
    let expected = step(&mut AdaptorStep::new(dims, 70), dims, 70, 1);
    std::thread::scope(|scope| {
        let runs: Vec<_> =
            (0..6).map(|i| scope.spawn(move || step(&mut AdaptorStep::new(dims, 70), dims, 70, 1 + i % 3))).collect();
        for run in runs {
            assert!(run.join().unwrap() == expected);
        }
    });
}

fn head(buffers: &mut HeadStep, shape: HeadShape, batch: usize) -> Vec<u32> {
    let mut p = shape.init(1);
    let (mut g, mut m, mut v) = (vec![f32::NAN; p.len()], vec![0.0; p.len()], vec![0.0; p.len()]);
    let mut stats = RunningStats::new(shape.hidden);
    let x = uniform(2, batch * shape.width);
    let labels: Vec<f32> = (0..batch).map(|i| (i % 2) as f32).collect();
    let mut out = vec![];
    for t in 1..4 {
        let dropout = Some(Dropout { p: 0.1, seed: 3, step: t });
        out.push(buffers.forward_backward(&p, &mut g, &mut stats, &x, Targets::Binary(&labels), batch, dropout));
        AdamW::default().step(&mut p, &g, &mut m, &mut v, t, 1e-3);
    }
    let mut logits = vec![f32::NAN; batch];
    buffers.logits(&p, &stats, &x, batch, &mut logits);
    out.extend(logits);
    out.extend(p);
    assert!(out.iter().all(|value| value.is_finite()));
    bits(&out)
}

#[test]
fn heads_do_not_depend_on_earlier_use_of_their_buffers() {
    let shape = HeadShape { width: 768, hidden: 512, classes: 1 };
    let expected = head(&mut HeadStep::new(shape, 48), shape, 48);
    let mut buffers = HeadStep::new(shape, 64);
    head(&mut buffers, shape, 64);
    assert!(head(&mut buffers, shape, 48) == expected);
}

/// A step over values that are not finite says so in its loss, so that the trial can end as diverged.
#[test]
fn what_is_not_finite_shows_in_the_loss() {
    let dims = Dims { image_width: 40, text_width: 33, width: 48, heads: 4, hidden: 72, layers: 2 };
    let (batch, p) = (10, dims.init(2));
    let mut g = vec![0.0; p.len()];
    let mut buffers = AdaptorStep::new(dims, batch);
    let (images, texts) = (uniform(0, batch * dims.image_width), uniform(1, batch * dims.text_width));
    for poison in [f32::NAN, f32::INFINITY] {
        let mut bad = images.clone();
        bad[7] = poison;
        assert!(!buffers.forward_backward(&p, &mut g, &bad, &texts, batch, None, 0.75, 1).is_finite());
        for slot in dims.layout() {
            let queries = slot.name.contains("in_proj");
            let mut bad = p.clone();
            // The last element: of values, where the tensor also holds queries and keys.
            bad[slot.range.end - 1] = poison;
            let loss = buffers.forward_backward(&bad, &mut g, &images, &texts, batch, None, 0.75, 1);
            assert!(!loss.is_finite(), "{poison} in {} ({queries}) gives {loss}", slot.name);
        }
    }
}
