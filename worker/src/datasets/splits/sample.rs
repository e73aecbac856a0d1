//! pandas' `sample`.

use super::RandomState;
use crate::error::{Error, Result};

/// How many rows are sampled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// `n`: that many.
    Count(usize),
    /// `frac`: a share in [0, 1] of the rows, rounded to the nearest count, halves to the even one.
    Share(f64),
}

/// Positions of the rows that `DataFrame.sample(n=... | frac=..., random_state=seed)` of pandas returns from `rows`
/// rows, in its order: without replacement and without weights.
///
/// # Errors
/// [`Error::Input`] where pandas raises `ValueError`: more than all rows, a share that is negative or no number.
pub fn sample(rows: usize, amount: Amount, seed: u32) -> Result<Vec<usize>> {
    let size = match amount {
        Amount::Count(count) => count,
        // Python's `round` of the product.
        Amount::Share(share) if (0.0..=1.0).contains(&share) => (share * rows as f64).round_ties_even() as usize,
        Amount::Share(share) => return Err(Error::input(format!("a sampled share of {share} is not in [0, 1]"))),
    };
    RandomState::new(seed).choice(rows, size)
}
