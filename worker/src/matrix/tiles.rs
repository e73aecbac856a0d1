//! Packing of operands into tiles of 16 x 16 words, with AVX-512.
//!
//! A word is one `f32`, or two consecutive `bf16` along the inner index: the even one in its lower half. A tile of the left operand
//! has a row for each of 16 rows of the matrix and a column for each of 16 words of the inner index; a tile of the right operand has
//! a row for each word of the inner index and a column for each column of the matrix. What lies outside of the matrix is zero.
//!
//! A panel is some tiles side by side over the whole inner index: [step, plane, tile, 16, 16], where a step is 16 words of the inner
//! index and planes are the parts of split numbers.

use std::{arch::x86_64::*, ops::Range};

use super::Matrix;

/// Rows, columns and words of a tile.
pub(super) const SIDE: usize = 16;
/// Words of a tile.
pub(super) const TILE: usize = SIDE * SIDE;

/// What a word holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Words {
    /// One `f32`.
    F32,
    /// Two `bf16`.
    Bf16,
    /// Two `bf16`, in three planes whose sum is the number.
    Split,
}

impl Words {
    pub(super) const fn planes(self) -> usize {
        match self {
            Self::F32 | Self::Bf16 => 1,
            Self::Split => 3,
        }
    }

    /// Elements of the inner index in a step.
    pub(super) const fn depth(self) -> usize {
        match self {
            Self::F32 => SIDE,
            Self::Bf16 | Self::Split => 2 * SIDE,
        }
    }
}

/// What of an operand is packed: a panel of so many tiles, from a step on.
#[derive(Clone, Copy)]
struct Place {
    panel: usize,
    tiles: usize,
    first: usize,
}

/// One operand of a product, to be packed in panels.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    data: &'a [f32],
    /// Distance between lines.
    stride: usize,
    /// Lines run along the inner index.
    along: bool,
    /// The tile's rows run along the inner index.
    right: bool,
    /// Rows of the left matrix, or columns of the right one.
    size: usize,
    /// Length of the inner index.
    inner: usize,
    factor: f32,
    words: Words,
}

impl<'a> Source<'a> {
    pub(super) fn left(a: Matrix<'a>, factor: f32, words: Words) -> Self {
        let Matrix { data, rows, columns, stride, transposed } = a;
        Self { data, stride, along: !transposed, right: false, size: rows, inner: columns, factor, words }
    }

    pub(super) fn right(b: Matrix<'a>, words: Words) -> Self {
        let Matrix { data, rows, columns, stride, transposed } = b;
        Self { data, stride, along: transposed, right: true, size: columns, inner: rows, factor: 1.0, words }
    }

    /// Steps along the inner index.
    pub(super) fn steps(&self) -> usize {
        self.inner.div_ceil(self.words.depth())
    }

    /// Panels of `tiles` tiles.
    pub(super) fn panels(&self, tiles: usize) -> usize {
        self.size.div_ceil(tiles * SIDE)
    }

    /// Words of `steps` steps of a panel of `tiles` tiles.
    pub(super) fn panel_len(&self, tiles: usize, steps: usize) -> usize {
        steps * self.words.planes() * tiles * TILE
    }

    /// Fills some steps of panel number `panel` of `tiles` tiles.
    ///
    /// # Safety
    /// The processor has AVX-512 F, and `avx512_bf16` for words of two.
    pub(super) unsafe fn pack(&self, panel: usize, tiles: usize, steps: Range<usize>, out: &mut [u32]) {
        debug_assert_eq!(out.len(), self.panel_len(tiles, steps.len()));
        let place = Place { panel, tiles, first: steps.start };
        // SAFETY: the caller's.
        unsafe {
            match self.words {
                Words::F32 => self.pack_f32(place, out),
                Words::Bf16 => self.pack_bf16(place, out),
                Words::Split => self.pack_split(place, out),
            }
        }
    }

    #[target_feature(enable = "avx512f")]
    fn pack_f32(&self, place: Place, out: &mut [u32]) {
        self.each(place, out, |source, from, at, [plane]| {
            let mut rows = [_mm512_setzero_si512(); SIDE];
            for (i, row) in rows.iter_mut().enumerate() {
                // Lines are rows of the tile, or will be.
                let (line, first) = if source.along { (from + i, at) } else { (at + i, from) };
                *row = _mm512_castps_si512(source.load(line, first));
            }
            store(plane, rows, source.turned());
        });
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    fn pack_bf16(&self, place: Place, out: &mut [u32]) {
        self.each(place, out, |source, from, at, [plane]| {
            let mut rows = [_mm512_setzero_si512(); SIDE];
            for (i, row) in rows.iter_mut().enumerate() {
                let [even, odd] = source.pair(from, at, i);
                *row = source.joined(_mm512_cvtneps_pbh(even), _mm512_cvtneps_pbh(odd));
            }
            store(plane, rows, source.turned());
        });
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    fn pack_split(&self, place: Place, out: &mut [u32]) {
        self.each(place, out, |source, from, at, planes: [&mut [u32]; 3]| {
            let mut rows = [[_mm512_setzero_si512(); SIDE]; 3];
            for i in 0..SIDE {
                let mut rest = source.pair(from, at, i);
                for plane in &mut rows {
                    let high = rest.map(|values| _mm512_cvtneps_pbh(values));
                    plane[i] = source.joined(high[0], high[1]);
                    for (rest, high) in rest.iter_mut().zip(high) {
                        *rest = _mm512_sub_ps(*rest, widened(high));
                    }
                }
            }
            for (plane, rows) in planes.into_iter().zip(rows) {
                store(plane, rows, source.turned());
            }
        });
    }

    /// Calls `fill(self, first row or column of the matrix, first inner index, the tile's planes)` for each tile of a panel.
    #[inline(always)]
    fn each<const PLANES: usize>(
        &self,
        Place { panel, tiles, first }: Place,
        out: &mut [u32],
        fill: impl Fn(&Self, usize, usize, [&mut [u32]; PLANES]),
    ) {
        // Steps outermost: where lines run across the inner index they are then read once, in full.
        for (step, out) in out.chunks_exact_mut(PLANES * tiles * TILE).enumerate() {
            let at = (first + step) * self.words.depth();
            for tile in 0..tiles {
                let from = (panel * tiles + tile) * SIDE;
                let mut planes = out.chunks_exact_mut(tiles * TILE);
                let planes = std::array::from_fn(|_| match planes.next() {
                    Some(plane) => &mut plane[tile * TILE..(tile + 1) * TILE],
                    None => &mut [],
                });
                fill(self, from, at, planes);
            }
        }
    }

    /// Whether what was read must be transposed.
    #[inline(always)]
    fn turned(&self) -> bool {
        self.along == self.right
    }

    /// Sixteen elements of a line.
    #[inline(always)]
    fn load(&self, line: usize, first: usize) -> __m512 {
        let (lines, length) = if self.along { (self.size, self.inner) } else { (self.inner, self.size) };
        if line >= lines || first >= length {
            // SAFETY: the callers have AVX-512 F.
            return unsafe { _mm512_setzero_ps() };
        }
        let rest = length - first;
        let mask = if rest >= SIDE { 0xffff } else { (1_u16 << rest) - 1 };
        // SAFETY: a `Matrix` holds `length` elements at each of `lines` multiples of its stride, and the mask ends there; the
        // callers have AVX-512 F.
        unsafe {
            let values = _mm512_maskz_loadu_ps(mask, self.data.as_ptr().add(line * self.stride + first));
            if self.factor == 1.0 { values } else { _mm512_mul_ps(values, _mm512_set1_ps(self.factor)) }
        }
    }

    /// What makes up sixteen words: the first and the last sixteen elements of a line, or the same part of two lines.
    #[inline(always)]
    fn pair(&self, from: usize, at: usize, i: usize) -> [__m512; 2] {
        if self.along {
            [self.load(from + i, at), self.load(from + i, at + SIDE)]
        } else {
            [self.load(at + 2 * i, from), self.load(at + 2 * i + 1, from)]
        }
    }

    /// The words of [`Self::pair`].
    #[inline(always)]
    fn joined(&self, first: __m256bh, second: __m256bh) -> __m512i {
        // SAFETY: both types are 256 plain bits; the callers have AVX-512 F.
        unsafe {
            let [first, second]: [__m256i; 2] = std::mem::transmute([first, second]);
            if self.along {
                _mm512_inserti64x4::<1>(_mm512_castsi256_si512(first), second)
            } else {
                let high = _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(second));
                _mm512_or_si512(_mm512_cvtepu16_epi32(first), high)
            }
        }
    }
}

/// Back to 32 bits, exactly.
#[inline(always)]
fn widened(values: __m256bh) -> __m512 {
    // SAFETY: both types are 256 plain bits; the callers have AVX-512 F.
    unsafe {
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(std::mem::transmute::<__m256bh, __m256i>(
            values,
        ))))
    }
}

/// Writes a tile.
#[inline(always)]
fn store(tile: &mut [u32], rows: [__m512i; SIDE], turned: bool) {
    // SAFETY: the callers have AVX-512 F.
    let rows = if turned { unsafe { transposed(rows) } } else { rows };
    for (out, row) in tile.chunks_exact_mut(SIDE).zip(rows) {
        // SAFETY: `out` has sixteen words; the callers have AVX-512 F.
        unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), row) };
    }
}

/// Rows and columns swapped, by four rounds that exchange halves of ever larger groups.
#[inline]
#[target_feature(enable = "avx512f")]
fn transposed(r: [__m512i; SIDE]) -> [__m512i; SIDE] {
    let zero = _mm512_setzero_si512();
    let (mut t, mut u) = ([zero; SIDE], [zero; SIDE]);
    for i in 0..8 {
        t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
    }
    for i in (0..SIDE).step_by(4) {
        u[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        u[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        u[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        u[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    // Quarter `q` of u[4 g + j] now has column 4 q + j of rows 4 g to 4 g + 3.
    let mut out = [zero; SIDE];
    for j in 0..4 {
        let even = [_mm512_shuffle_i32x4::<0x88>(u[j], u[4 + j]), _mm512_shuffle_i32x4::<0x88>(u[8 + j], u[12 + j])];
        let odd = [_mm512_shuffle_i32x4::<0xdd>(u[j], u[4 + j]), _mm512_shuffle_i32x4::<0xdd>(u[8 + j], u[12 + j])];
        out[j] = _mm512_shuffle_i32x4::<0x88>(even[0], even[1]);
        out[8 + j] = _mm512_shuffle_i32x4::<0xdd>(even[0], even[1]);
        out[4 + j] = _mm512_shuffle_i32x4::<0x88>(odd[0], odd[1]);
        out[12 + j] = _mm512_shuffle_i32x4::<0xdd>(odd[0], odd[1]);
    }
    out
}
