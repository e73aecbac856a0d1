//! Row-wise work in blocks of a fixed number of rows, so that sums come out the same for every number of threads.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Rows a block. Sums over rows are taken within a block, then over the blocks in order.
pub(super) const ROWS: usize = 64;

/// Blocks that `rows` rows make.
pub(super) const fn count(rows: usize) -> usize {
    rows.div_ceil(ROWS)
}

/// Runs one kernel a block, compiled for the best instruction set of this processor.
pub(super) fn run<K>(threads: usize, kernels: impl Iterator<Item = K>)
where
    K: WithSimd<Output = ()> + Send,
{
    if threads <= 1 {
        let arch = Arch::new();
        kernels.for_each(|kernel| arch.dispatch(kernel));
    } else {
        let kernels: Vec<K> = kernels.collect();
        let share = kernels.len().div_ceil(threads).max(1);
        kernels.into_par_iter().with_min_len(share).for_each(|kernel| Arch::new().dispatch(kernel));
    }
}

/// Adds up the first `sums.len()` columns of `partials`, whose rows are `stride` apart, in order.
pub(super) fn reduce(partials: &[f32], blocks: usize, stride: usize, offset: usize, sums: &mut [f32]) {
    struct Add<'a>(&'a mut [f32], &'a [f32]);
    impl WithSimd for Add<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) {
            for (sum, &value) in self.0.iter_mut().zip(self.1) {
                *sum += value;
            }
        }
    }
    sums.fill(0.0);
    for block in 0..blocks {
        let start = block * stride + offset;
        Arch::new().dispatch(Add(sums, &partials[start..start + sums.len()]));
    }
}

/// Sums run in this many lanes.
const LANES: usize = 16;

/// The sum of `term` over both slices, in a fixed order.
#[inline(always)]
pub(super) fn sum2(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let (heads_a, tail_a) = a.as_chunks::<LANES>();
    let (heads_b, tail_b) = b.as_chunks::<LANES>();
    for (a, b) in heads_a.iter().zip(heads_b) {
        for lane in 0..LANES {
            lanes[lane] += term(a[lane], b[lane]);
        }
    }
    for (lane, (&a, &b)) in lanes.iter_mut().zip(tail_a.iter().zip(tail_b)) {
        *lane += term(a, b);
    }
    fold(lanes)
}

/// The sum of `term` over a slice, in a fixed order.
#[inline(always)]
pub(super) fn sum(a: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    sum2(a, a, |value, _| term(value))
}

/// The largest value; NaN is not seen.
#[inline(always)]
pub(super) fn max(a: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (heads, tail) = a.as_chunks::<LANES>();
    for head in heads {
        for lane in 0..LANES {
            lanes[lane] = if head[lane] > lanes[lane] { head[lane] } else { lanes[lane] };
        }
    }
    lanes.iter().chain(tail).fold(f32::NEG_INFINITY, |largest, &value| if value > largest { value } else { largest })
}

#[inline(always)]
fn fold(mut lanes: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_maxima_cover_every_length() {
        for n in 0..70 {
            let values: Vec<f32> = (0..n).map(|i| i as f32 - 20.0).collect();
            assert_eq!(sum(&values, |x| 2.0 * x), values.iter().sum::<f32>() * 2.0);
            assert_eq!(sum2(&values, &values, |a, b| a * b), values.iter().map(|x| x * x).sum::<f32>());
            assert_eq!(max(&values), values.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        }
    }

    #[test]
    fn partial_sums_are_added_in_order() {
        let partials: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let mut sums = [7.0; 2];
        reduce(&partials, 3, 4, 1, &mut sums);
        assert_eq!(sums, [1.0 + 5.0 + 9.0, 2.0 + 6.0 + 10.0]);
    }
}
