//! How near points are to each other, as probabilities.

use super::{neighbours::Neighbours, share::fill};

/// Steps of the search for a bandwidth, at most.
const STEPS: usize = 200;
/// How exactly the entropy of a point's neighbours is met, in nats.
const TOLERANCE: f64 = 1e-9;

/// Joint probabilities of pairs of points: symmetric, zero for pairs of which neither is a neighbour of the other; they sum to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Affinities {
    /// Where the entries of each point begin, and where the last one's end.
    pub starts: Vec<usize>,
    /// The other points, ascending.
    pub others: Vec<u32>,
    /// Their probabilities.
    pub values: Vec<f64>,
}

/// Neighbours of each of `count` points that a perplexity is spread over: three times as many, and one.
pub fn neighbours_wanted(count: usize, perplexity: f64) -> usize {
    ((3.0 * perplexity + 1.0) as usize).min(count.saturating_sub(1))
}

impl Affinities {
    /// Of neighbours that were found: each point's are weighted by a Gaussian whose width gives them the perplexity.
    pub fn new(neighbours: &Neighbours, perplexity: f64, threads: usize) -> Self {
        let k = neighbours.k;
        let count = neighbours.indices.len() / k;
        let mut conditional = vec![0.0; count * k];
        fill(&mut conditional, k, threads, |i, row| weigh(&neighbours.squared[i * k..(i + 1) * k], perplexity, row));

        // Every pair from both sides; those that name each other are added up.
        let mut entries: Vec<Vec<(u32, f64)>> = vec![Vec::new(); count];
        for (i, (others, weights)) in neighbours.indices.chunks_exact(k).zip(conditional.chunks_exact(k)).enumerate() {
            for (&other, &weight) in others.iter().zip(weights) {
                entries[i].push((other, weight));
                entries[other as usize].push((i as u32, weight));
            }
        }
        let (mut starts, mut others, mut values) = (vec![0], Vec::new(), Vec::new());
        for row in &mut entries {
            row.sort_by_key(|(other, _)| *other);
            for &(other, weight) in row.iter() {
                if others.len() > starts[starts.len() - 1] && others.last() == Some(&other) {
                    if let Some(last) = values.last_mut() {
                        *last += weight;
                    }
                } else {
                    others.push(other);
                    values.push(weight);
                }
            }
            starts.push(others.len());
        }
        let sum: f64 = values.iter().sum();
        values.iter_mut().for_each(|value| *value /= sum);
        Self { starts, others, values }
    }

    /// How many points there are.
    pub fn count(&self) -> usize {
        self.starts.len() - 1
    }

    /// The others that a point is near to, with their probabilities.
    pub fn of(&self, point: usize) -> impl Iterator<Item = (usize, f64)> + '_ {
        let range = self.starts[point]..self.starts[point + 1];
        self.others[range.clone()].iter().map(|&other| other as usize).zip(self.values[range].iter().copied())
    }
}

/// Weights of neighbours at these squared distances, nearest first, whose entropy is the logarithm of the perplexity; their sum is 1.
fn weigh(squared: &[f32], perplexity: f64, out: &mut [f64]) {
    let wanted = perplexity.ln();
    let nearest = f64::from(squared[0]);
    // A scale of the distances, so that the search begins near its end whatever the units are.
    let mean = squared.iter().map(|&d| f64::from(d) - nearest).sum::<f64>() / squared.len() as f64;
    let (mut low, mut high) = (0.0, f64::INFINITY);
    let mut beta = if mean > 0.0 { 1.0 / mean } else { 1.0 };
    for _ in 0..STEPS {
        let (mut sum, mut moment) = (0.0, 0.0);
        for (weight, &d) in out.iter_mut().zip(squared) {
            // Less the nearest distance, which cancels out: the weights cannot all vanish.
            let d = f64::from(d) - nearest;
            *weight = libm::exp(-beta * d);
            sum += *weight;
            moment += *weight * d;
        }
        out.iter_mut().for_each(|weight| *weight /= sum);
        let excess = libm::log(sum) + beta * moment / sum - wanted;
        if excess.abs() <= TOLERANCE {
            return;
        }
        if excess > 0.0 {
            low = beta;
            beta = if high.is_finite() { 0.5 * (low + high) } else { 2.0 * beta };
        } else {
            high = beta;
            beta = 0.5 * (low + high);
        }
        // Equal distances have one entropy, whatever the width.
        if !beta.is_finite() || beta == low || beta == high {
            return;
        }
    }
}
