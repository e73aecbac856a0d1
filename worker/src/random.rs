//! The program's own randomness: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
//!
//! Counter based: a number is a pure function of (seed, purpose, step, stream, position), so nothing needs to be saved
//! to resume, and results depend neither on the number of threads nor on the platform.

use pulp::{Arch, Simd, WithSimd};

/// What the numbers are for. Numbers of different purposes are independent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Purpose {
    /// Initial weights.
    Init = 1,
    /// Order of the samples in an epoch.
    Order = 2,
    /// Dropout masks.
    Dropout = 3,
    /// Choice of a subset.
    Sample = 4,
    /// Fixed random projections.
    Projection = 5,
    /// Training, validation and test splits.
    Split = 6,
}

/// Names one endless sequence of 32-bit numbers.
///
/// The Philox key is the seed, low word first. The counter is (block, purpose + 256 x stream, step low, step high), and
/// block `n` gives the numbers `4n..4n + 4`; a sequence has 2^34 numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    seed: [u32; 2],
    purpose: u32,
    step: [u32; 2],
}

/// Blocks computed side by side.
const LANES: usize = 16;
/// Numbers made at once.
const GROUP: usize = 4 * LANES;

impl Key {
    /// Stream 0 of (seed, purpose, step).
    pub fn new(seed: u64, purpose: Purpose, step: u64) -> Self {
        Self { seed: words(seed), purpose: purpose as u32, step: words(step) }
    }

    /// The same seed, purpose and step with an independent sequence for each `stream`, below 2^24.
    ///
    /// # Panics
    /// When `stream` is 2^24 or more.
    #[must_use]
    pub fn stream(self, stream: u32) -> Self {
        assert!(stream < 1 << 24, "stream numbers have 24 bits");
        Self { purpose: self.purpose & 0xff | stream << 8, ..self }
    }

    /// The first numbers of the sequence.
    pub fn bits(&self, out: &mut [u32]) {
        Arch::new().dispatch(Fill { key: *self, start: 0, out, map: |bits| bits });
    }

    /// Uniform numbers in [low, high), from the upper 24 bits of each number of the sequence.
    pub fn fill_uniform(&self, out: &mut [f32], low: f32, high: f32) {
        let width = high - low;
        // Rounding of `low + width * u` may reach `high` itself; the next smaller number is then taken.
        let map = |bits| (low + width * unit(bits)).min(high.next_down().max(low));
        Arch::new().dispatch(Fill { key: *self, start: 0, out, map });
    }

    /// Normal numbers of mean 0 (Box-Muller in f64; each number takes two of the sequence).
    pub fn fill_normal(&self, out: &mut [f32], std: f32) {
        let mut bits = [0_u32; GROUP];
        for (group, chunk) in out.chunks_mut(GROUP / 2).enumerate() {
            Arch::new().dispatch(Fill { key: *self, start: group * GROUP, out: &mut bits, map: |bits| bits });
            for (value, pair) in chunk.iter_mut().zip(bits.chunks_exact(2)) {
                // In (0, 1], so that the logarithm is finite.
                let radius = (f64::from(pair[0]) + 1.0) / 4_294_967_296.0;
                let angle = f64::from(pair[1]) / 4_294_967_296.0 * std::f64::consts::TAU;
                *value = ((-2.0 * libm::log(radius)).sqrt() * libm::cos(angle)) as f32 * std;
            }
        }
    }

    /// A random order of `0..n` (Fisher-Yates; index `i` takes the numbers `2i` and `2i + 1`).
    ///
    /// # Panics
    /// When `n` does not fit in 32 bits.
    pub fn permutation(&self, n: usize) -> Vec<u32> {
        let count = u32::try_from(n).unwrap_or_else(|_| panic!("a permutation of {n} items is too long"));
        let mut order: Vec<u32> = (0..count).collect();
        let mut bits = vec![0; 2 * n];
        self.bits(&mut bits);
        for i in (1..n).rev() {
            let word = u128::from(bits[2 * i]) | u128::from(bits[2 * i + 1]) << 32;
            // 64 random bits scaled to 0..=i: the bias is below n / 2^64.
            order.swap(i, ((word * (i as u128 + 1)) >> 64) as usize);
        }
        order
    }

    /// Numbers `start..` of the sequence as a mask: 0 with probability `dropped / 2^32`, else 1.
    ///
    /// # Panics
    /// When `start` is not a multiple of four.
    pub(crate) fn fill_mask(&self, start: usize, out: &mut [u8], dropped: u32) {
        Arch::new().dispatch(Mask { key: *self, start, out, dropped });
    }
}

/// A seed for another use, from a seed and a name for the use.
pub fn derive_seed(seed: u64, salt: &str) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.update(salt.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_le_bytes(first)
}

const fn words(value: u64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}

/// In [0, 1).
#[inline(always)]
fn unit(bits: u32) -> f32 {
    (bits >> 8) as f32 * (1.0 / 16_777_216.0)
}

/// Writes mapped numbers from position `start`, a multiple of four.
struct Fill<'a, T, F> {
    key: Key,
    start: usize,
    out: &'a mut [T],
    map: F,
}

impl<T, F: Fn(u32) -> T> WithSimd for Fill<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { key, start, out, map } = self;
        assert!(start.is_multiple_of(4), "sequences are read from whole blocks");
        let mut numbers = [0; GROUP];
        let mut block = (start / 4) as u32;
        let (groups, rest) = out.as_chunks_mut::<GROUP>();
        for group in groups {
            group_of(&key, block, &mut numbers);
            for (value, &bits) in group.iter_mut().zip(&numbers) {
                *value = map(bits);
            }
            block = block.wrapping_add(LANES as u32);
        }
        if !rest.is_empty() {
            group_of(&key, block, &mut numbers);
            for (value, &bits) in rest.iter_mut().zip(&numbers) {
                *value = map(bits);
            }
        }
    }
}

/// Writes a mask from position `start`, a multiple of four.
struct Mask<'a> {
    key: Key,
    start: usize,
    out: &'a mut [u8],
    dropped: u32,
}

impl WithSimd for Mask<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { key, start, out, dropped } = self;
        assert!(start.is_multiple_of(4), "sequences are read from whole blocks");
        let mut block = (start / 4) as u32;
        let (groups, rest) = out.as_chunks_mut::<GROUP>();
        for group in groups {
            mask_group(&key, block, dropped, group);
            block = block.wrapping_add(LANES as u32);
        }
        if !rest.is_empty() {
            let mut group = [0; GROUP];
            mask_group(&key, block, dropped, &mut group);
            rest.copy_from_slice(&group[..rest.len()]);
        }
    }
}

/// The mask of blocks `first..first + LANES`: the four numbers of a block lie side by side, so they are put together as one word.
#[inline(always)]
fn mask_group(key: &Key, first: u32, dropped: u32, out: &mut [u8; GROUP]) {
    let counter = blocks(key, first);
    for (lane, out) in out.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        let keep = |word: usize| u32::from(counter[word][lane] as u32 >= dropped) << (8 * word);
        *out = (keep(0) | keep(1) | keep(2) | keep(3)).to_le_bytes();
    }
}

/// Blocks `first..first + LANES` of the sequence.
#[inline(always)]
fn group_of(key: &Key, first: u32, out: &mut [u32; GROUP]) {
    let counter = blocks(key, first);
    for lane in 0..LANES {
        for word in 0..4 {
            out[4 * lane + word] = counter[word][lane] as u32;
        }
    }
}

/// Blocks `first..first + LANES`, a word a row; see [`philox`].
#[inline(always)]
fn blocks(key: &Key, first: u32) -> [[u64; LANES]; 4] {
    let [low, high] = key.step.map(u64::from);
    let mut counter = [[0; LANES], [u64::from(key.purpose); LANES], [low; LANES], [high; LANES]];
    for (lane, word) in counter[0].iter_mut().enumerate() {
        *word = u64::from(first.wrapping_add(lane as u32));
    }
    philox(&mut counter, key.seed);
    counter
}

/// Ten rounds on each lane of `counter`. A number is the lower half of a word; what the upper half holds does not matter, so that
/// products need not be taken apart: this is what processors multiply fastest.
#[inline(always)]
fn philox<const N: usize>(counter: &mut [[u64; N]; 4], mut key: [u32; 2]) {
    const MULTIPLIERS: [u64; 2] = [0xd251_1f53, 0xcd9e_8d57];
    const WEYL: [u32; 2] = [0x9e37_79b9, 0xbb67_ae85];
    const LOWER: u64 = 0xffff_ffff;
    for _ in 0..10 {
        let [c0, c1, c2, c3] = *counter;
        let [k0, k1] = key.map(u64::from);
        for lane in 0..N {
            let first = (c0[lane] & LOWER) * MULTIPLIERS[0];
            let second = (c2[lane] & LOWER) * MULTIPLIERS[1];
            counter[0][lane] = (second >> 32) ^ c1[lane] ^ k0;
            counter[1][lane] = second;
            counter[2][lane] = (first >> 32) ^ c3[lane] ^ k1;
            counter[3][lane] = first;
        }
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The known answers that come with the authors' own implementation, Random123 (`kat_vectors`, philox 4x32 10).
    #[test]
    fn philox_gives_the_known_answers() {
        let cases: [([u32; 4], [u32; 2], [u32; 4]); 3] = [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (input, key, expected) in cases {
            let mut counter = input.map(|word: u32| [u64::from(word)]);
            philox(&mut counter, key);
            assert_eq!(counter.map(|[word]| word as u32), expected);
        }
    }

    /// The counter's layout, on which every recorded result depends.
    #[test]
    fn sequences_are_laid_out_as_documented() {
        let seed = 0x0123_4567_89ab_cdef;
        let step = 0xfedc_ba98_7654_3210;
        let mut found = vec![0; 1003];
        Key::new(seed, Purpose::Dropout, step).stream(7).bits(&mut found);
        for (block, numbers) in found.chunks(4).enumerate() {
            let mut counter = [[block as u64], [3 | 7 << 8], [0x7654_3210], [0xfedc_ba98]];
            philox(&mut counter, [0x89ab_cdef, 0x0123_4567]);
            assert_eq!(numbers, &counter.map(|[word]| word as u32)[..numbers.len()]);
        }
    }

    /// Each distribution is the documented function of the sequence, at every position.
    #[test]
    fn distributions_follow_from_the_sequence() {
        let key = Key::new(8, Purpose::Projection, 1);
        let mut bits = vec![0; 400];
        key.bits(&mut bits);
        let (mut uniform, mut normal) = (vec![0.0; 400], vec![0.0; 200]);
        key.fill_uniform(&mut uniform, -0.5, 1.5);
        key.fill_normal(&mut normal, 3.0);
        for (i, &value) in uniform.iter().enumerate() {
            assert_eq!(value, -0.5 + 2.0 * ((bits[i] >> 8) as f32 / 16_777_216.0), "{i}");
        }
        for (i, &value) in normal.iter().enumerate() {
            let radius = (-2.0 * ((f64::from(bits[2 * i]) + 1.0) / 2_f64.powi(32)).ln()).sqrt();
            let expected = 3.0 * radius * (f64::from(bits[2 * i + 1]) / 2_f64.powi(32) * std::f64::consts::TAU).cos();
            assert!((f64::from(value) - expected).abs() < 1e-6, "{i}: {value}, not {expected}");
        }
    }

    /// Recorded orders and seeds must stay what they are: results in databases depend on them.
    #[test]
    fn orders_and_seeds_stay_what_they_are() {
        assert_eq!(Key::new(0, Purpose::Order, 0).permutation(8), [3, 6, 0, 2, 1, 7, 4, 5]);
        assert_eq!(derive_seed(0, "fraction"), 1_944_799_078_992_159_681);
    }

    #[test]
    fn sequences_of_different_keys_differ() {
        let key = Key::new(1, Purpose::Init, 2);
        let others = [Key::new(2, Purpose::Init, 2), Key::new(1, Purpose::Order, 2), Key::new(1, Purpose::Init, 3)];
        let first = |key: Key| {
            let mut out = [0; 4];
            key.bits(&mut out);
            out
        };
        for other in others.into_iter().chain([key.stream(1)]) {
            assert_ne!(first(key), first(other));
        }
        assert_eq!(first(key), first(key.stream(0)));
        assert_ne!(derive_seed(1, "a"), derive_seed(1, "b"));
        assert_ne!(derive_seed(1, "a"), derive_seed(2, "a"));
    }

    #[test]
    fn distributions_have_their_moments() {
        let n = 200_000;
        let moments = |values: &[f32]| {
            let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / n as f64;
            (mean, (values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n as f64).sqrt())
        };
        let mut values = vec![0.0; n];
        Key::new(5, Purpose::Init, 0).fill_uniform(&mut values, -1.0, 3.0);
        let (mean, std) = moments(&values);
        assert!((mean - 1.0).abs() < 0.01 && (std - 4.0 / 12_f64.sqrt()).abs() < 0.01, "{mean} {std}");
        assert!(values.iter().all(|x| (-1.0..3.0).contains(x)));
        Key::new(5, Purpose::Projection, 0).fill_normal(&mut values, 2.0);
        let (mean, std) = moments(&values);
        assert!(mean.abs() < 0.02 && (std - 2.0).abs() < 0.02, "{mean} {std}");
        let beyond = values.iter().filter(|x| x.abs() > 4.0).count() as f64 / n as f64;
        assert!((beyond - 0.0455).abs() < 0.003, "{beyond}");
    }

    #[test]
    fn masks_drop_their_share_and_can_be_made_in_parts() {
        let key = Key::new(9, Purpose::Dropout, 4);
        let mut whole = vec![9; 100_003];
        key.fill_mask(0, &mut whole, 429_496_730);
        let kept = whole.iter().map(|&keep| u64::from(keep)).sum::<u64>() as f64 / whole.len() as f64;
        assert!((kept - 0.9).abs() < 0.005, "{kept}");
        let mut part = vec![9; 5001];
        key.fill_mask(2004, &mut part, 429_496_730);
        assert_eq!(part, whole[2004..7005]);
        let mut bits = vec![0; whole.len()];
        key.bits(&mut bits);
        assert!(bits.iter().zip(&whole).all(|(&bits, &keep)| keep == u8::from(bits >= 429_496_730)));
    }

    proptest! {
        #[test]
        fn a_permutation_has_each_index_once(seed: u64, step: u64, n in 0_usize..2000) {
            let key = Key::new(seed, Purpose::Order, step);
            let order = key.permutation(n);
            prop_assert_eq!(&order, &key.permutation(n));
            let mut sorted = order.clone();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (0..n as u32).collect::<Vec<_>>());
            if n > 50 {
                prop_assert_ne!(order, Key::new(seed, Purpose::Order, step.wrapping_add(1)).permutation(n));
            }
        }
    }

    #[test]
    fn permutations_are_uniform() {
        let mut counts = std::collections::BTreeMap::new();
        for step in 0..12_000 {
            *counts.entry(Key::new(3, Purpose::Order, step).permutation(4)).or_insert(0_u32) += 1;
        }
        assert_eq!(counts.len(), 24);
        // Each of the 24 orders is expected 500 times, with a standard deviation of 22.
        assert!(counts.values().all(|count| (390..610).contains(count)), "{counts:?}");
    }
}
