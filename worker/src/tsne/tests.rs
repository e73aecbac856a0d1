use std::ops::ControlFlow;

use proptest::prelude::*;

use super::{affinities::Affinities, tree::Tree, *};
use crate::random::{Key, Purpose};

/// Random points, [count, width], in two clusters.
fn points(count: usize, width: usize, seed: u64) -> Vec<f32> {
    let mut values = vec![0.0; count * width];
    Key::new(seed, Purpose::Sample, 0).fill_normal(&mut values, 1.0);
    values.chunks_exact_mut(width).step_by(2).for_each(|row| row[0] += 4.0);
    values
}

fn affinities(count: usize, perplexity: f64) -> Affinities {
    let values = points(count, 5, 1);
    let k = neighbours_wanted(count, perplexity);
    let found = scan(Points::new(&values, 5), k, &vec![0; count], 1, 2, &mut || ControlFlow::Continue(())).unwrap();
    Affinities::new(&found, perplexity, 2)
}

fn plane(count: usize, seed: u64) -> Vec<[f64; 2]> {
    points(count, 2, seed).chunks_exact(2).map(|pair| [pair[0], pair[1]].map(f64::from)).collect()
}

#[test]
fn the_exact_gradient_is_that_of_finite_differences() {
    let affinities = affinities(40, 6.0);
    let places = plane(40, 2);
    let exact = gradient(&affinities, &places, 1.0, 0.0, 1);
    let step = 1e-5;
    for point in 0..40 {
        for axis in 0..2 {
            let moved = |by: f64| {
                let mut places = places.clone();
                places[point][axis] += by;
                divergence(&affinities, &places, 1)
            };
            let difference = (moved(step) - moved(-step)) / (2.0 * step);
            let ours = exact[point][axis];
            assert!((ours - difference).abs() < 1e-8, "{point} {axis}: {ours} is not {difference}");
        }
    }
}

#[test]
fn the_tree_is_near_the_exact_gradient_and_nearer_for_less_theta() {
    let affinities = affinities(500, 20.0);
    let places = plane(500, 3);
    let exact = gradient(&affinities, &places, 1.0, 0.0, 2);
    let norm = |rows: &[[f64; 2]]| rows.iter().flatten().map(|value| value * value).sum::<f64>().sqrt();
    let error = |theta: f64| {
        let near = gradient(&affinities, &places, 1.0, theta, 2);
        let wrong: Vec<[f64; 2]> = near.iter().zip(&exact).map(|(a, b)| [a[0] - b[0], a[1] - b[1]]).collect();
        norm(&wrong) / norm(&exact)
    };
    let [half, fifth] = [0.5, 0.2].map(error);
    assert!(half < 0.01 && fifth < half / 3.0 && fifth > 0.0, "{half} {fifth}");
}

#[test]
fn affinities_are_symmetric_and_sum_to_one_and_have_the_perplexity() {
    let affinities = affinities(200, 15.0);
    assert!((affinities.values.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    for i in 0..200 {
        for (j, p) in affinities.of(i) {
            let back = affinities.of(j).find(|(other, _)| *other == i).unwrap().1;
            assert!(p > 0.0 && i != j && (p - back).abs() < 1e-18, "{i} {j}");
        }
    }
    // All at one place: every neighbour counts alike.
    let found = scan(Points::new(&[1.0; 60], 1), 5, &[0; 60], 1, 1, &mut || ControlFlow::Continue(())).unwrap();
    assert!(Affinities::new(&found, 4.0, 1).values.iter().all(|p| p.is_finite() && *p > 0.0));
}

#[test]
fn the_result_depends_on_the_seed_and_not_on_the_threads() {
    let values = points(150, 20, 4);
    let points = Points::new(&values, 20);
    let class_of: Vec<u32> = (0..150).map(|i| i % 2).collect();
    let run = |threads, seed| {
        let found = scan(points, 61, &class_of, 2, threads, &mut || ControlFlow::Continue(())).unwrap();
        let settings = Settings { perplexity: 20.0, iterations: 300, theta: THETA, seed, threads };
        let layout = layout(points, &found, &settings, &mut |_| ControlFlow::Continue(())).unwrap();
        (found, layout)
    };
    let (found, one) = run(1, 7);
    for threads in [2, 3, 7] {
        assert_eq!(run(threads, 7), (found.clone(), one.clone()), "{threads} threads");
    }
    let apart = Separability::of(&found, &class_of, 2);
    assert!(apart.silhouette > 0.1 && apart.knn_accuracy > 0.95, "{apart:?}");
    let mixed: Vec<u32> = (0..150).map(|i| i / 2 % 2).collect();
    let found = scan(points, 61, &mixed, 2, 2, &mut || ControlFlow::Continue(())).unwrap();
    let mixed = Separability::of(&found, &mixed, 2);
    assert!(mixed.silhouette.abs() < 0.02 && (0.3..0.7).contains(&mixed.knn_accuracy), "{mixed:?}");
}

#[test]
fn it_breaks_off_when_told_to() {
    let values = points(300, 4, 5);
    let points = Points::new(&values, 4);
    let mut asked = 0;
    let mut never = || {
        asked += 1;
        if asked > 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    assert_eq!(scan(points, 10, &[0; 300], 1, 2, &mut never), None);
    let found = scan(points, 31, &[0; 300], 1, 2, &mut || ControlFlow::Continue(())).unwrap();
    let settings = Settings { perplexity: 10.0, iterations: 50, theta: THETA, seed: 0, threads: 2 };
    let mut last = 0;
    let mut until_9 = |iteration| {
        last = iteration;
        if iteration == 9 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    assert_eq!(layout(points, &found, &settings, &mut until_9), None);
    assert_eq!(last, 9);
}

proptest! {
    #[test]
    fn a_tree_has_every_point_once(places in proptest::collection::vec((-4_i32..4, -4_i32..4), 1..60), scale in 0.001_f64..1e6) {
        let places: Vec<[f64; 2]> = places.iter().map(|&(x, y)| [f64::from(x) * scale, f64::from(y) * scale]).collect();
        let mut tree = Tree::default();
        tree.build(&places);
        let mut seen: Vec<usize> = (0..places.len()).map(|rank| tree.point(rank)).collect();
        prop_assert!((0..places.len()).all(|point| tree.point(tree.rank[point] as usize) == point));
        seen.sort_unstable();
        prop_assert_eq!(seen, (0..places.len()).collect::<Vec<_>>());
        for (at, cell) in tree.cells.iter().enumerate() {
            prop_assert!(cell.next as usize > at && cell.next as usize <= tree.cells.len());
            let inside: Vec<[f64; 2]> = (cell.first..cell.end).map(|rank| places[tree.point(rank as usize)]).collect();
            prop_assert_eq!(cell.count, inside.len() as f64);
            for axis in 0..2 {
                let mean = inside.iter().map(|place| place[axis]).sum::<f64>() / cell.count;
                prop_assert!((mean - cell.centre[axis]).abs() <= 1e-9 * scale);
                let extent = inside.iter().map(|place| (place[axis] - cell.centre[axis]).abs()).fold(0.0, f64::max);
                prop_assert!(extent <= cell.squared_width.sqrt() + 1e-7 * scale);
            }
        }
        // Cells that are not divided hold each point once.
        let leaves: f64 = tree.cells.iter().filter(|cell| cell.squared_width == 0.0).map(|cell| cell.count).sum();
        prop_assert_eq!(leaves, places.len() as f64);
    }
}
