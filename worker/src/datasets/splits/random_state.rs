//! NumPy's legacy generator.

use crate::error::{Error, Result};

/// Words of the generator's state.
const WORDS: usize = 624;
/// Distance of the word that a new word is mixed with.
const SHIFT: usize = 397;

/// Reproduces `numpy.random.RandomState`: MT19937, seeded with an integer. Its numbers are frozen by NumPy, the same in
/// versions 1 and 2.
#[derive(Clone)]
pub struct RandomState {
    words: [u32; WORDS],
    /// The next word to give; at [`WORDS`] new ones are made first.
    next: usize,
}

impl RandomState {
    /// `RandomState(seed)`: the words by `init_genrand` of the generator's authors, Matsumoto and Nishimura.
    pub fn new(seed: u32) -> Self {
        let mut words = [seed; WORDS];
        for i in 1..WORDS {
            let before = words[i - 1];
            words[i] = (before ^ before >> 30).wrapping_mul(1_812_433_253).wrapping_add(i as u32);
        }
        Self { words, next: WORDS }
    }

    /// The next 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        if self.next == WORDS {
            self.twist();
            self.next = 0;
        }
        let mut bits = self.words[self.next];
        self.next += 1;
        bits ^= bits >> 11;
        bits ^= bits << 7 & 0x9d2c_5680;
        bits ^= bits << 15 & 0xefc6_0000;
        bits ^ bits >> 18
    }

    /// Uniform in 0..=`max`, as NumPy's C function `random_interval`: bits below the mask, drawn again while above
    /// `max`.
    ///
    /// Takes one word a try where `max` has 32 bits, else two, the upper first; none where `max` is 0.
    pub fn random_interval(&mut self, max: u64) -> u64 {
        if max == 0 {
            return 0;
        }
        let mask = u64::MAX >> max.leading_zeros();
        loop {
            let upper = if max > u64::from(u32::MAX) { u64::from(self.next_u32()) << 32 } else { 0 };
            let value = (upper | u64::from(self.next_u32())) & mask;
            if value <= max {
                return value;
            }
        }
    }

    /// `shuffle`: Fisher-Yates from the end, in place.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = self.random_interval(i as u64) as usize;
            items.swap(i, j);
        }
    }

    /// `permutation(n)`: `0..n`, shuffled.
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        self.shuffle(&mut order);
        order
    }

    /// `choice(n, size, replace=False)` without weights: `size` indices below `n`, each once, in the order drawn. They
    /// are the beginning of [`Self::permutation`], so the smaller of two choices of one seed is the beginning of the
    /// larger.
    ///
    /// # Errors
    /// [`Error::Input`] when `size` is above `n`.
    pub fn choice(&mut self, n: usize, size: usize) -> Result<Vec<usize>> {
        if size > n {
            return Err(Error::input(format!("cannot choose {size} of {n} without repeating some")));
        }
        let mut order = self.permutation(n);
        order.truncate(size);
        Ok(order)
    }

    /// Makes the next [`WORDS`] words.
    fn twist(&mut self) {
        for i in 0..WORDS {
            let joined = self.words[i] & 0x8000_0000 | self.words[(i + 1) % WORDS] & 0x7fff_ffff;
            let odd = if joined & 1 == 1 { 0x9908_b0df } else { 0 };
            self.words[i] = self.words[(i + SHIFT) % WORDS] ^ joined >> 1 ^ odd;
        }
    }
}
