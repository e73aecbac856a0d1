//! Finds places in the plane for points, by gradient descent.

use std::ops::ControlFlow;

use super::{
    affinities::Affinities,
    forces::{Forces, divergence},
    neighbours::{Neighbours, Points},
    pca,
};

/// Iterations that are usual.
pub const ITERATIONS: u32 = 1000;
/// Bound on the width of a cell by its distance that is usual.
pub const THETA: f64 = 0.5;
/// Affinities are so many times as large in the beginning, so that clusters form.
const EXAGGERATION: f64 = 12.0;
/// For so many iterations.
const EXAGGERATED: u32 = 250;
/// Share of the last step that goes into the next one, in the beginning and later.
const MOMENTUM: [f64; 2] = [0.5, 0.8];
/// A direction that keeps its sign goes faster, one that changes it slower, but never slower than that.
const FASTER: f64 = 0.2;
const SLOWER: f64 = 0.8;
const SLOWEST: f64 = 0.01;
/// Spread of the points at the beginning, along the first axis.
const SPREAD: f64 = 1e-4;
/// Least learning rate.
const LEAST_RATE: f64 = 50.0;

/// How points are laid out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// How many neighbours count, roughly.
    pub perplexity: f64,
    /// Steps.
    pub iterations: u32,
    /// Bound on the width of a cell by its distance; 0 is exact, and slow.
    pub theta: f64,
    /// Where the search for the principal components begins.
    pub seed: u64,
    /// Threads; the result does not depend on them.
    pub threads: usize,
}

/// Places of points.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// One a point.
    pub places: Vec<[f64; 2]>,
    /// Kullback-Leibler divergence in nats, exact.
    pub divergence: f64,
}

/// Lays out points whose neighbours are known. `step` hears of every iteration and may break off; then there is nothing.
pub fn layout(
    points: Points<'_>,
    neighbours: &Neighbours,
    settings: &Settings,
    step: &mut dyn FnMut(u32) -> ControlFlow<()>,
) -> Option<Layout> {
    let Settings { perplexity, iterations, theta, seed, threads } = *settings;
    let affinities = Affinities::new(neighbours, perplexity, threads);
    let mut places = start(pca::project(points, seed, threads));
    let rate = (places.len() as f64 / EXAGGERATION / 4.0).max(LEAST_RATE);
    let mut forces = Forces::default();
    let mut gradient = vec![[0.0; 2]; places.len()];
    let mut moves = vec![[0.0; 2]; places.len()];
    let mut gains = vec![[1.0; 2]; places.len()];
    for iteration in 0..iterations {
        if step(iteration).is_break() {
            return None;
        }
        // A short run is exaggerated for a part of it only.
        let early = iteration < EXAGGERATED.min(iterations / 2);
        let (exaggeration, momentum) = if early { (EXAGGERATION, MOMENTUM[0]) } else { (1.0, MOMENTUM[1]) };
        forces.gradient(&affinities, &places, exaggeration, theta, threads, &mut gradient);
        for (((place, slope), moved), gain) in places.iter_mut().zip(&gradient).zip(&mut moves).zip(&mut gains) {
            for axis in 0..2 {
                let onwards = moved[axis] * slope[axis] < 0.0;
                gain[axis] = if onwards { gain[axis] + FASTER } else { gain[axis] * SLOWER }.max(SLOWEST);
                moved[axis] = momentum * moved[axis] - rate * gain[axis] * slope[axis];
                place[axis] += moved[axis];
            }
        }
    }
    let divergence = divergence(&affinities, &places, threads);
    Some(Layout { places, divergence })
}

/// Scales coordinates so that they begin close together.
fn start(mut places: Vec<[f64; 2]>) -> Vec<[f64; 2]> {
    let count = places.len() as f64;
    let mean = places.iter().map(|place| place[0]).sum::<f64>() / count;
    let spread = (places.iter().map(|place| (place[0] - mean).powi(2)).sum::<f64>() / count).sqrt();
    if spread > 0.0 {
        places.iter_mut().for_each(|place| *place = place.map(|value| value * SPREAD / spread));
    }
    places
}
