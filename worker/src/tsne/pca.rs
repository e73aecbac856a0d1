//! The first two principal components of points, by subspace iteration with Rayleigh-Ritz steps.

use super::{neighbours::Points, share::fill};
use crate::random::{Key, Purpose, derive_seed};

/// Directions that are looked for; more than two, so that the first two settle soon.
const BLOCK: usize = 8;
/// Iterations at most.
const ITERATIONS: usize = 100;
/// The directions have settled when they change by less.
const SETTLED: f64 = 1e-6;
/// Sweeps of Jacobi's method at most.
const SWEEPS: usize = 30;

/// One value a direction.
type Row = [f64; BLOCK];

/// Coordinates of points along their first two principal components. `seed` chooses where the iteration begins.
pub(super) fn project(points: Points<'_>, seed: u64, threads: usize) -> Vec<[f64; 2]> {
    let (count, width) = (points.count(), points.width());
    let mut mean = vec![0.0; width];
    for i in 0..count {
        mean.iter_mut().zip(points.row(i)).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    // Divided once, so that the mean of equal values is that value.
    mean.iter_mut().for_each(|mean| *mean /= count as f64);
    let mut start = vec![0.0_f32; BLOCK * width];
    Key::new(derive_seed(seed, "principal components"), Purpose::Projection, 0).fill_normal(&mut start, 1.0);
    let mut directions: Vec<Row> =
        start.chunks_exact(BLOCK).map(|row| std::array::from_fn(|at| f64::from(row[at]))).collect();
    orthonormal(&mut directions);
    let mut along = vec![[0.0; BLOCK]; count];
    let mut settled = vec![[0.0; 2]; width];
    for _ in 0..ITERATIONS {
        fill(&mut along, 1, threads, |i, out| out[0] = coordinates(points.row(i), &mean, &directions));
        // Within what the directions span, those of the greatest spread.
        let turn = eigenvectors(products(&along));
        for rows in [&mut along, &mut directions] {
            rows.iter_mut().for_each(|row| *row = turned(row, &turn));
        }
        let first: Vec<[f64; 2]> = positive(&directions);
        let changes = first.iter().zip(&settled).flat_map(|(a, b)| [a[0] - b[0], a[1] - b[1]]);
        let change = changes.fold(0.0_f64, |largest, change| largest.max(change.abs()));
        settled = first;
        if change < SETTLED {
            break;
        }
        let mut next = vec![[0.0; BLOCK]; width];
        fill(&mut next, 1, threads, |j, out| {
            for (i, row) in along.iter().enumerate() {
                let value = f64::from(points.row(i)[j]) - mean[j];
                out[0].iter_mut().zip(row).for_each(|(sum, along)| *sum += value * along);
            }
        });
        orthonormal(&mut next);
        directions = next;
    }
    let mut places = vec![[0.0; 2]; count];
    fill(&mut places, 1, threads, |i, out| {
        out[0] = points.row(i).iter().zip(&mean).zip(&settled).fold([0.0; 2], |[x, y], ((&value, mean), direction)| {
            let value = f64::from(value) - mean;
            [x + value * direction[0], y + value * direction[1]]
        });
    });
    places
}

fn coordinates(row: &[f32], mean: &[f64], directions: &[Row]) -> Row {
    let mut sums = [0.0; BLOCK];
    for ((&value, mean), direction) in row.iter().zip(mean).zip(directions) {
        let value = f64::from(value) - mean;
        sums.iter_mut().zip(direction).for_each(|(sum, direction)| *sum += value * direction);
    }
    sums
}

/// The first two directions, each with its largest value positive.
fn positive(directions: &[Row]) -> Vec<[f64; 2]> {
    let sign = [0, 1].map(|at| {
        let largest = directions.iter().map(|row| row[at]).fold(0.0_f64, |l, v| if v.abs() > l.abs() { v } else { l });
        largest.signum()
    });
    directions.iter().map(|row| [row[0] * sign[0], row[1] * sign[1]]).collect()
}

/// Makes columns of length 1 and perpendicular to each other. One that lies in those before it becomes zero.
fn orthonormal(columns: &mut [Row]) {
    for column in 0..BLOCK {
        let length = |columns: &[Row]| columns.iter().map(|row| row[column] * row[column]).sum::<f64>().sqrt();
        let before = length(columns);
        // Twice is enough (Kahan and Parlett).
        for _ in 0..2 {
            for other in 0..column {
                let overlap: f64 = columns.iter().map(|row| row[other] * row[column]).sum();
                columns.iter_mut().for_each(|row| row[column] -= overlap * row[other]);
            }
        }
        let after = length(columns);
        let scale = if after > 1e-10 * before { 1.0 / after } else { 0.0 };
        columns.iter_mut().for_each(|row| row[column] *= scale);
    }
}

/// Sums of products of columns.
fn products(rows: &[Row]) -> [Row; BLOCK] {
    let mut sums = [[0.0; BLOCK]; BLOCK];
    for row in rows {
        for (sums, a) in sums.iter_mut().zip(row) {
            sums.iter_mut().zip(row).for_each(|(sum, b)| *sum += a * b);
        }
    }
    sums
}

fn turned(row: &Row, turn: &[Row; BLOCK]) -> Row {
    std::array::from_fn(|to| (0..BLOCK).map(|from| row[from] * turn[from][to]).sum())
}

/// Eigenvectors of a symmetric matrix as columns, that of the greatest eigenvalue first (Jacobi's method).
fn eigenvectors(mut a: [Row; BLOCK]) -> [Row; BLOCK] {
    let mut vectors: [Row; BLOCK] = std::array::from_fn(|i| std::array::from_fn(|j| f64::from(u8::from(i == j))));
    for _ in 0..SWEEPS {
        let scale = (0..BLOCK).map(|i| a[i][i].abs()).fold(0.0, f64::max);
        let mut largest = 0.0_f64;
        for p in 0..BLOCK {
            for q in p + 1..BLOCK {
                largest = largest.max(a[p][q].abs());
                if a[p][q].abs() <= f64::EPSILON * scale {
                    continue;
                }
                let ratio = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
                let tangent = ratio.signum() / (ratio.abs() + (ratio * ratio + 1.0).sqrt());
                let cosine = 1.0 / (tangent * tangent + 1.0).sqrt();
                let sine = tangent * cosine;
                for row in &mut a {
                    (row[p], row[q]) = (cosine * row[p] - sine * row[q], sine * row[p] + cosine * row[q]);
                }
                let (above, below) = a.split_at_mut(q);
                for (x, y) in above[p].iter_mut().zip(&mut below[0]) {
                    (*x, *y) = (cosine * *x - sine * *y, sine * *x + cosine * *y);
                }
                for row in &mut vectors {
                    (row[p], row[q]) = (cosine * row[p] - sine * row[q], sine * row[p] + cosine * row[q]);
                }
            }
        }
        if largest <= f64::EPSILON * scale {
            break;
        }
    }
    let mut order: [usize; BLOCK] = std::array::from_fn(|i| i);
    order.sort_by(|&i, &j| a[j][j].total_cmp(&a[i][i]));
    vectors.map(|row| order.map(|column| row[column]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_components_are_those_of_the_greatest_spread() {
        // Along three perpendicular directions, with spreads 5, 3 and 1.
        let (count, width) = (600, 12);
        let mut noise = vec![0.0; count * 3];
        Key::new(1, Purpose::Sample, 0).fill_normal(&mut noise, 1.0);
        let mut values = vec![0.0; count * width];
        for (row, noise) in values.chunks_exact_mut(width).zip(noise.chunks_exact(3)) {
            (row[3], row[7], row[0]) = (5.0 * noise[0] + 2.0, 3.0 * noise[1], noise[2]);
        }
        let spread = |places: &[[f64; 2]], axis: usize| {
            (places.iter().map(|place| place[axis] * place[axis]).sum::<f64>() / count as f64).sqrt()
        };
        let places = project(Points::new(&values, width), 0, 2);
        assert!((spread(&places, 0) - 5.0).abs() < 0.4 && (spread(&places, 1) - 3.0).abs() < 0.3);
        for (a, b) in places.iter().zip(project(Points::new(&values, width), 9, 1)) {
            assert!((a[0] - b[0]).abs() < 1e-3 && (a[1] - b[1]).abs() < 1e-3, "the seed makes a difference");
        }
        // No spread at all, and fewer values than directions.
        let still = project(Points::new(&[1.0; 30], 3), 0, 1);
        assert!(still.iter().flatten().all(|value| *value == 0.0));
    }
}
