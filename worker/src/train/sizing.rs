//! How many members an array on a card has: as many as its memory holds, but no more than make it faster.
//!
//! A card is filled by more members until its units are busy; from there on a larger array only takes longer, loses more when it
//! is interrupted, and gives its first results later. So when a worker first sees a shape, arrays of 1, 2, 4, ... members do a few
//! steps each, and the size is doubled as long as that pays.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
};

use crate::cuda::CudaError;

/// Twice the members must do so many times the steps of all members in a second.
const WORTH: f64 = 1.05;
/// Share of the free memory that an array may take: the driver and cuBLAS want some, too.
const SHARE: f64 = 0.95;

/// Members' steps a second by size of the array, for every shape that this process has seen.
static MEASURED: Mutex<Option<HashMap<String, BTreeMap<usize, f64>>>> = Mutex::new(None);

#[cfg(test)]
thread_local! {
    /// Whether arrays on an emulated card are measured. It is never faster with more members, so that most tests want as many as fit.
    pub(super) static MEASURE: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// The most of `members` for which `bytes` does not exceed the card's `free` memory. At least one: whether that fits is seen when it
/// is tried.
pub(crate) fn fits(members: usize, free: usize, bytes: impl Fn(usize) -> usize) -> usize {
    let room = (free as f64 * SHARE) as usize;
    // More members never take less memory.
    let (mut fit, mut too_many) = (1, members + 1);
    while too_many - fit > 1 {
        let middle = fit.midpoint(too_many);
        if bytes(middle) <= room {
            fit = middle;
        } else {
            too_many = middle;
        }
    }
    fit
}

/// The size for `members` of which at most `fit` have room. `measure` gives the steps a second of all members together, for an array
/// of that size; what was measured for `shape` before is not measured again.
///
/// # Errors
/// When the card fails. That its memory is full is no error but a bound.
pub(super) fn choose(
    shape: &str,
    members: usize,
    fit: usize,
    mut measure: impl FnMut(usize) -> Result<f64, CudaError>,
) -> Result<usize, CudaError> {
    let limit = members.min(fit).max(1);
    #[cfg(test)]
    if shape.contains("emulated") && !MEASURE.get() {
        return Ok(limit);
    }
    let mut measured = MEASURED.lock().unwrap_or_else(PoisonError::into_inner);
    let rates = measured.get_or_insert_default().entry(shape.to_owned()).or_default();
    let mut best: Option<(usize, f64)> = None;
    let mut size = 1;
    if limit == 1 {
        // One alone needs no comparison.
        return Ok(1);
    }
    loop {
        let rate = match rates.get(&size) {
            Some(&rate) => rate,
            None => match measure(size) {
                Ok(rate) => *rates.entry(size).or_insert(rate),
                Err(CudaError::OutOfMemory { .. }) => break,
                Err(error) => return Err(error),
            },
        };
        if best.is_some_and(|(_, before)| rate < before * WORTH) {
            break;
        }
        best = Some((size, rate));
        if size == limit {
            break;
        }
        size = (2 * size).min(limit);
    }
    Ok(best.map_or(1, |(size, _)| size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_bounds_an_array() {
        let bytes = |members| 1000 + 100 * members;
        for (free, expected) in [(2000, 9), (1_000_000, 15), (1158, 1), (0, 1)] {
            assert_eq!(fits(15, free, bytes), expected, "{free} bytes are free");
        }
    }

    /// A card that is busy from `full` members on.
    fn card(full: usize) -> impl Fn(usize) -> f64 {
        move |size| size.min(full) as f64 * 10.0
    }

    #[test]
    fn arrays_grow_while_that_pays() {
        for (shape, full, members, fit, expected) in [
            ("a", 4, 15, 15, 4),
            ("b", 100, 15, 15, 15),
            ("c", 1, 15, 15, 1),
            ("d", 100, 15, 6, 6),
            // 12 are only a half more than 8, but that pays.
            ("e", 12, 100, 12, 12),
            ("f", 100, 1, 1, 1),
        ] {
            let rate = card(full);
            assert_eq!(choose(shape, members, fit, |size| Ok(rate(size))).unwrap(), expected, "{shape}");
        }
    }

    #[test]
    fn a_size_is_measured_once() {
        let rate = card(100);
        let mut tried = vec![];
        for members in [3, 15, 15] {
            let mut measure = |size| {
                tried.push(size);
                Ok(rate(size))
            };
            assert_eq!(choose("once", members, 100, &mut measure).unwrap(), members);
        }
        assert_eq!(tried, [1, 2, 3, 4, 8, 15]);
    }

    #[test]
    fn full_memory_is_a_bound() {
        let rate = card(100);
        let measure = |size| if size > 5 { Err(CudaError::OutOfMemory { bytes: 1, free: 0 }) } else { Ok(rate(size)) };
        assert_eq!(choose("bound", 15, 15, measure).unwrap(), 4);
        let failed = choose("failed", 15, 15, |_| Err(CudaError::NoKernel("x".to_owned())));
        assert_eq!(failed, Err(CudaError::NoKernel("x".to_owned())));
    }
}
