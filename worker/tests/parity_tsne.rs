//! t-SNE against scikit-learn. The references are made by `tests/fixtures/make_tsne.py`.
#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::{collections::BTreeMap, io::Write, ops::ControlFlow, path::Path, process::Command, time::Instant};

use permafrost_worker::tsne::{
    Affinities, Layout, Neighbours, Points, Separability, Settings, THETA, layout, neighbours_wanted, scan,
};
use serde::Deserialize;

const CLASSES: u32 = 6;

#[derive(Deserialize)]
struct Reference {
    affinities: Pairs,
    layout: Runs,
    separability: Apart,
}

#[derive(Deserialize)]
struct Pairs {
    count: usize,
    width: usize,
    spread: f64,
    perplexity: f64,
    pairs: Vec<(usize, usize, f64)>,
}

#[derive(Deserialize)]
struct Runs {
    count: usize,
    width: usize,
    spread: f64,
    perplexity: f64,
    runs: Vec<Run>,
}

#[derive(Deserialize)]
struct Run {
    divergence: f64,
    trustworthiness: f64,
}

#[derive(Deserialize)]
struct Apart {
    silhouette: f64,
    knn_accuracy: f64,
}

fn reference() -> Reference {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/tsne/reference.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The points of `make_tsne.py`, and the class of each.
fn points(count: usize, width: usize, spread: f64) -> (Vec<f32>, Vec<u32>) {
    let mut state = 12_345_u32;
    let mut uniform = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / f64::from(1 << 24)
    };
    let centres: Vec<Vec<f64>> = (0..CLASSES).map(|_| (0..width).map(|_| uniform()).collect()).collect();
    let class_of: Vec<u32> = (0..count as u32).map(|i| i % CLASSES).collect();
    let mut values = Vec::with_capacity(count * width);
    for &class in &class_of {
        for centre in &centres[class as usize] {
            let noise = uniform() + uniform() + uniform() + uniform() - 2.0;
            values.push((centre + spread * noise) as f32);
        }
    }
    (values, class_of)
}

fn neighbours(points: Points<'_>, k: usize, class_of: &[u32]) -> Neighbours {
    scan(points, k, class_of, CLASSES as usize, 2, &mut || ControlFlow::Continue(())).unwrap()
}

#[test]
fn affinities_are_scikit_learns() {
    let Pairs { count, width, spread, perplexity, pairs } = reference().affinities;
    let (values, class_of) = points(count, width, spread);
    let found = neighbours(Points::new(&values, width), neighbours_wanted(count, perplexity), &class_of);
    let ours = Affinities::new(&found, perplexity, 2);
    let expected: BTreeMap<(usize, usize), f64> = pairs.iter().map(|&(i, j, p)| ((i, j), p)).collect();
    let mut seen = 0;
    for i in 0..count {
        for (j, p) in ours.of(i).filter(|(j, _)| *j > i) {
            let theirs = expected.get(&(i, j)).copied().unwrap_or(0.0);
            assert!((p - theirs).abs() < 1e-7, "{i} {j}: {p} is not {theirs}");
            seen += 1;
        }
    }
    assert!(seen >= expected.len() && expected.len() > 1000, "{seen} of {}", expected.len());
}

fn laid_out(points: Points<'_>, found: &Neighbours, perplexity: f64, seed: u64) -> Layout {
    let settings = Settings { perplexity, iterations: 1000, theta: THETA, seed, threads: 2 };
    layout(points, found, &settings, &mut |_| ControlFlow::Continue(())).unwrap()
}

/// Share of neighbours in the plane that are neighbours of the points, weighed by how far off they are (Venna and Kaski 2001).
fn trustworthiness(points: Points<'_>, places: &[[f64; 2]], k: usize) -> f64 {
    let n = points.count();
    let everyone = neighbours(points, n - 1, &vec![0; n]);
    let flat: Vec<f32> = places.iter().flatten().map(|&value| value as f32).collect();
    let near = neighbours(Points::new(&flat, 2), k, &vec![0; n]);
    let mut penalty = 0;
    for (order, near) in everyone.indices.chunks_exact(n - 1).zip(near.indices.chunks_exact(k)) {
        for other in near {
            let rank = order.iter().position(|known| known == other).unwrap() + 1;
            penalty += rank.saturating_sub(k);
        }
    }
    1.0 - 2.0 * penalty as f64 / (n * k * (2 * n - 3 * k - 1)) as f64
}

#[test]
fn layouts_are_as_good_as_scikit_learns() {
    let Runs { count, width, spread, perplexity, runs } = reference().layout;
    let (values, class_of) = points(count, width, spread);
    let points = Points::new(&values, width);
    let found = neighbours(points, neighbours_wanted(count, perplexity), &class_of);
    let worst = runs.iter().map(|run| run.divergence).fold(0.0, f64::max);
    let best = runs.iter().map(|run| run.divergence).fold(f64::INFINITY, f64::min);
    let trusted = runs.iter().map(|run| run.trustworthiness).fold(f64::INFINITY, f64::min);
    for seed in [0, 1] {
        let ours = laid_out(points, &found, perplexity, seed);
        let (divergence, trust) = (ours.divergence, trustworthiness(points, &ours.places, 10));
        writeln!(
            std::io::stderr().lock(),
            "divergence {divergence:.4} (scikit-learn {best:.4} to {worst:.4}), trustworthiness {trust:.4} (at least {trusted:.4})"
        )
        .unwrap();
        assert!(divergence < 1.02 * worst && divergence > 0.95 * best, "{divergence} is not near {best} to {worst}");
        assert!(trust > trusted - 0.005, "{trust} is less than {trusted}");
    }
}

#[test]
fn separability_is_scikit_learns() {
    let Reference { layout: Runs { count, width, spread, .. }, separability: expected, .. } = reference();
    let (values, class_of) = points(count, width, spread);
    let found = neighbours(Points::new(&values, width), 10, &class_of);
    let ours = Separability::of(&found, &class_of, CLASSES as usize);
    assert!((ours.silhouette - expected.silhouette).abs() < 1e-6, "{ours:?} is not {}", expected.silhouette);
    assert!((ours.knn_accuracy - expected.knn_accuracy).abs() < 1e-12, "{ours:?} is not {}", expected.knn_accuracy);
}

/// Run by hand: `cargo test --workspace --test parity_tsne -- --ignored --nocapture`, with PERMAFROST_TEST_PYTHON a Python that has
/// scikit-learn. Both use two threads, in turn.
#[test]
#[ignore = "it measures time, and needs scikit-learn"]
fn speed_beside_scikit_learn() {
    let python = std::env::var("PERMAFROST_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/bench/tsne_sklearn.py");
    let known = Command::new(&python).args(["-c", "import sklearn"]).output();
    if !known.is_ok_and(|output| output.status.success()) {
        writeln!(std::io::stderr().lock(), "skipped: {python} has no scikit-learn").unwrap();
        return;
    }
    let (count, width) = (4000, 256);
    let (values, class_of) = points(count, width, 0.6);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("points.f32");
    std::fs::write(&file, values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>()).unwrap();
    for _ in 0..2 {
        let began = Instant::now();
        let points = Points::new(&values, width);
        let found = neighbours(points, neighbours_wanted(count, 30.0), &class_of);
        let searched = began.elapsed().as_secs_f64();
        let divergence = laid_out(points, &found, 30.0, 0).divergence;
        let ours = began.elapsed().as_secs_f64();
        let output = Command::new(&python)
            .arg(&script)
            .arg(&file)
            .arg(width.to_string())
            .envs([("OMP_NUM_THREADS", "2"), ("OPENBLAS_NUM_THREADS", "2")])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let theirs: Vec<f64> = text.split_whitespace().map(|word| word.parse().unwrap()).collect();
        writeln!(
            std::io::stderr().lock(),
            "{count} points of {width}: ours {ours:.1} s ({searched:.1} s of it neighbours), divergence {divergence:.4}; scikit-learn {:.1} s, \
             divergence {:.4} as it reports; {:.2} times as fast",
            theirs[0],
            theirs[1],
            theirs[0] / ours
        )
        .unwrap();
        assert!(divergence < 1.05 * theirs[1]);
    }
}
