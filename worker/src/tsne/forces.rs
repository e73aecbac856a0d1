//! What moves points in the plane: gradient and divergence.

use super::{affinities::Affinities, share::fill, tree::Tree};

/// What the others do to a point: repulsion before it is normalised, the point's part of the normaliser, attraction.
type Force = [f64; 5];

/// Room for the gradient, kept from step to step.
#[derive(Debug, Default)]
pub(super) struct Forces {
    tree: Tree,
    forces: Vec<Force>,
}

impl Forces {
    /// The gradient of the divergence, with all affinities `exaggeration` times as large; `theta` bounds the width of a cell that
    /// counts as one point by its distance, 0 is exact.
    pub(super) fn gradient(
        &mut self,
        affinities: &Affinities,
        at: &[[f64; 2]],
        exaggeration: f64,
        theta: f64,
        threads: usize,
        out: &mut [[f64; 2]],
    ) {
        let Self { tree, forces } = self;
        tree.build(at);
        forces.resize(at.len(), [0.0; 5]);
        let tree = &*tree;
        // In the tree's order, so that a thread meets the same cells again.
        fill(forces, 1, threads, |rank, force| {
            let point = tree.point(rank);
            let [x, y, part] = repulsion(tree, at[point], rank as u32, theta * theta);
            let [to_x, to_y] = attraction(affinities, at, point);
            force[0] = [x, y, part, to_x, to_y];
        });
        let normaliser: f64 = forces.iter().map(|force| force[2]).sum();
        for (rank, [x, y, _, to_x, to_y]) in forces.iter().enumerate() {
            out[tree.point(rank)] =
                [(to_x, x), (to_y, y)].map(|(to, away)| 4.0 * (exaggeration * to - away / normaliser));
        }
    }
}

fn repulsion(tree: &Tree, [x, y]: [f64; 2], rank: u32, squared_theta: f64) -> [f64; 3] {
    let mut force = [0.0; 3];
    let mut at = 0;
    while let Some(cell) = tree.cells.get(at) {
        let (dx, dy) = (x - cell.centre[0], y - cell.centre[1]);
        let squared = dx * dx + dy * dy;
        let own = cell.first <= rank && rank < cell.end;
        if cell.squared_width == 0.0 || (!own && cell.squared_width < squared_theta * squared) {
            let count = if own { cell.count - 1.0 } else { cell.count };
            let q = 1.0 / (1.0 + squared);
            let weight = count * q * q;
            force[0] += weight * dx;
            force[1] += weight * dy;
            force[2] += count * q;
            at = cell.next as usize;
        } else {
            at += 1;
        }
    }
    force
}

fn attraction(affinities: &Affinities, at: &[[f64; 2]], point: usize) -> [f64; 2] {
    let [x, y] = at[point];
    affinities.of(point).fold([0.0; 2], |[to_x, to_y], (other, p)| {
        let (dx, dy) = (x - at[other][0], y - at[other][1]);
        let weight = p / (1.0 + dx * dx + dy * dy);
        [to_x + weight * dx, to_y + weight * dy]
    })
}

/// The gradient of [`divergence`] by every point, with all affinities `exaggeration` times as large; exact for `theta` 0.
pub fn gradient(
    affinities: &Affinities,
    at: &[[f64; 2]],
    exaggeration: f64,
    theta: f64,
    threads: usize,
) -> Vec<[f64; 2]> {
    let mut out = vec![[0.0; 2]; at.len()];
    Forces::default().gradient(affinities, at, exaggeration, theta, threads, &mut out);
    out
}

/// The Kullback-Leibler divergence between the affinities of the points and those in the plane, in nats, over all pairs.
pub fn divergence(affinities: &Affinities, at: &[[f64; 2]], threads: usize) -> f64 {
    let q = |i: usize, j: usize| {
        let (dx, dy) = (at[i][0] - at[j][0], at[i][1] - at[j][1]);
        1.0 / (1.0 + dx * dx + dy * dy)
    };
    let mut parts = vec![[0.0; 2]; at.len()];
    fill(&mut parts, 1, threads, |i, part| {
        let normaliser = (0..at.len()).filter(|&j| j != i).map(|j| q(i, j)).sum();
        let known = affinities.of(i).filter(|(_, p)| *p > 0.0);
        part[0] = [normaliser, known.map(|(j, p)| p * libm::log(p / q(i, j))).sum()];
    });
    let [normaliser, sum] = parts.iter().fold([0.0, 0.0], |[z, s], part| [z + part[0], s + part[1]]);
    sum + libm::log(normaliser)
}
