//! The kernels of `kernels/*.cu`, one function each. They check lengths, so that no kernel leaves its buffers.

use std::sync::Arc;

use super::{
    buffer::Buffer,
    error::Result,
    stream::{Argument, Argument::U32, Kind, Stream},
    values::Values,
};

/// Rows that one block adds up (`LAYER_ROWS` in `layer.cuh`).
pub(super) const ROWS: usize = 32;
/// Words of what masks depend on, a member (`Member` in `dropout.cuh`).
pub(super) const MEMBER_WORDS: usize = 6;
/// Words of what a member reads on one side (`Source` in `rows.cuh`).
pub(super) const SOURCE_WORDS: usize = 5;
/// Threads a block where rows do not matter.
const THREADS: usize = 256;

/// Starts kernels on one stream.
#[derive(Debug)]
pub(super) struct Kernels {
    pub stream: Arc<dyn Stream>,
}

/// The stacked rows of all members: images, then texts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rows {
    pub members: usize,
    pub images: usize,
    pub texts: usize,
}

impl Rows {
    /// Of one member.
    pub fn each(self) -> usize {
        self.images + self.texts
    }

    /// Of all members.
    pub fn all(self) -> usize {
        self.members * self.each()
    }

    /// Blocks in which a member's rows are added up.
    pub fn blocks(self) -> usize {
        self.each().div_ceil(ROWS)
    }
}

/// What dropout depends on; in evaluation there is none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Masks<'a> {
    /// [members, 6].
    pub members: &'a Buffer<u32>,
    /// [1]: steps done in this call.
    pub position: &'a Buffer<u32>,
    /// Number of the place in the model: 4 * layer + site.
    pub site: usize,
}

/// Flat parameters of all members.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parameters<'a> {
    /// [members, stride].
    pub p: &'a Buffer<f32>,
    pub stride: usize,
}

impl Parameters<'_> {
    fn holds(&self, members: usize, place: usize, len: usize) -> bool {
        self.p.len() >= members * self.stride && place + len <= self.stride
    }
}

fn pick(kind: Kind, single: &'static str, half: &'static str) -> &'static str {
    match kind {
        Kind::F32 => single,
        Kind::Bf16 => half,
    }
}

/// Threads for a row: 4 columns each, whole warps.
fn threads(columns: usize) -> usize {
    (columns / 4).next_multiple_of(32)
}

fn u32_of(value: usize) -> u32 {
    u32::try_from(value).unwrap_or_else(|_| panic!("{value} does not fit in 32 bits"))
}

fn count(value: usize) -> Argument {
    U32(u32_of(value))
}

/// A block of `sums` to be added up: where its columns go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Destination<'a> {
    /// Columns of each part.
    pub width: usize,
    /// Where each part goes in a member's gradient; at most three.
    pub places: &'a [usize],
}

impl Kernels {
    /// # Safety
    /// The arguments are the kernel's, and it stays inside of the buffers behind them.
    unsafe fn start(&self, kernel: &'static str, grid: [usize; 3], block: usize, arguments: &[Argument]) -> Result<()> {
        let [x, y, z] = grid.map(u32_of);
        if x == 0 || y == 0 || z == 0 {
            return Ok(());
        }
        // SAFETY: the caller's word.
        unsafe { self.stream.launch(kernel, [x, y, z], [u32_of(block), 1, 1], arguments) }
    }

    fn masks(masks: Option<Masks<'_>>, members: usize) -> [Argument; 3] {
        match masks {
            Some(Masks { members: words, position, site }) => {
                assert!(words.len() >= members * MEMBER_WORDS && position.len() == 1, "masks of too few members");
                [words.at(0), position.at(0), count(site)]
            }
            None => [Argument::Pointer(0), Argument::Pointer(0), U32(0)],
        }
    }

    /// Writes the embeddings of pairs `start + position * step..` of every member: `rows` rows of `columns` from element `at`
    /// of `out` on, members `stride` apart. `sources` is [members, 5]; the caller sees to it that what it points to is there.
    #[expect(clippy::too_many_arguments, reason = "the kernel's")]
    pub fn gather(
        &self,
        out: &mut Values,
        members: usize,
        rows: usize,
        columns: usize,
        sources: &Buffer<u64>,
        position: Option<(&Buffer<u32>, usize)>,
        start: usize,
    ) -> Result<()> {
        let stride = rows * columns;
        assert!(columns.is_multiple_of(4) && sources.len() >= members * SOURCE_WORDS, "sources of too few members");
        assert!(out.len() >= members * stride, "embeddings do not fit");
        let (position, step) = position.map_or((Argument::Pointer(0), 0), |(position, step)| (position.at(0), step));
        let kernel = pick(out.kind(), "gather_f32", "gather_bf16");
        let arguments =
            [out.start(), sources.at(0), position, count(step), count(start), count(columns), count(stride)];
        // SAFETY: lengths were checked.
        unsafe { self.start(kernel, [rows, members, 1], threads(columns), &arguments) }
    }

    /// Divides rows by their length, in place.
    pub fn unit(&self, rows: Rows, columns: usize, values: &mut Values, lengths: &mut Buffer<f32>) -> Result<()> {
        assert!(columns.is_multiple_of(4) && values.len() >= rows.all() * columns && lengths.len() >= rows.all());
        let kernel = pick(values.kind(), "unit_f32", "unit_bf16");
        let arguments = [values.start(), lengths.at(0), count(rows.each()), count(columns)];
        // SAFETY: lengths were checked.
        unsafe { self.start(kernel, [rows.each(), rows.members, 1], threads(columns), &arguments) }
    }

    /// The gradient of [`Self::unit`], in place, or to `out`.
    pub fn unit_gradient(
        &self,
        rows: Rows,
        columns: usize,
        gradient: &mut Buffer<f32>,
        out: Option<&mut Values>,
        unit: &Values,
        lengths: &Buffer<f32>,
    ) -> Result<()> {
        let len = rows.all() * columns;
        assert!(columns.is_multiple_of(4) && gradient.len() >= len && unit.len() >= len && lengths.len() >= rows.all());
        let last = [unit.start(), lengths.at(0), count(rows.each()), count(columns)];
        let grid = [rows.each(), rows.members, 1];
        // SAFETY: lengths were checked.
        unsafe {
            match out {
                None => {
                    let kernel = pick(unit.kind(), "unit_gradient_f32", "unit_gradient_bf16");
                    self.start(kernel, grid, threads(columns), &[&[gradient.at(0)], &last[..]].concat())
                }
                Some(out) => {
                    assert!(out.len() >= len && out.kind() == unit.kind());
                    let kernel = pick(unit.kind(), "unit_gradient_to_f32", "unit_gradient_to_bf16");
                    self.start(kernel, grid, threads(columns), &[&[gradient.at(0), out.start()], &last[..]].concat())
                }
            }
        }
    }

    /// `value = (value + bias) * mask`, one element of the mask a head.
    #[expect(clippy::too_many_arguments, reason = "the kernel's")]
    pub fn head_drop(
        &self,
        rows: Rows,
        columns: usize,
        heads: usize,
        value: &mut Values,
        parameters: Parameters<'_>,
        bias: usize,
        masks: Option<Masks<'_>>,
    ) -> Result<()> {
        assert!(columns.is_multiple_of(4) && columns.is_multiple_of(heads) && value.len() >= rows.all() * columns);
        assert!(parameters.holds(rows.members, bias, columns), "no such parameters");
        let [members, position, site] = Self::masks(masks, rows.members);
        let arguments = [
            value.start(),
            parameters.p.at(0),
            count(parameters.stride),
            count(bias),
            members,
            position,
            site,
            count(rows.each()),
            count(rows.images),
            count(columns),
            count(heads),
        ];
        let kernel = pick(value.kind(), "head_drop_f32", "head_drop_bf16");
        // SAFETY: lengths were checked.
        unsafe { self.start(kernel, [rows.each(), rows.members, 1], threads(columns), &arguments) }
    }

    /// The gradient of [`Self::head_drop`], in place; `sums` are that of the bias, by blocks.
    pub fn head_drop_gradient(
        &self,
        rows: Rows,
        columns: usize,
        heads: usize,
        gradient: &mut Values,
        sums: &mut Buffer<f32>,
        masks: Option<Masks<'_>>,
    ) -> Result<()> {
        assert!(columns.is_multiple_of(4) && columns.is_multiple_of(heads) && gradient.len() >= rows.all() * columns);
        assert!(sums.len() >= rows.members * rows.blocks() * columns, "sums do not fit");
        let [members, position, site] = Self::masks(masks, rows.members);
        let arguments = [
            gradient.start(),
            sums.at(0),
            members,
            position,
            site,
            count(rows.each()),
            count(rows.images),
            count(columns),
            count(heads),
        ];
        let kernel = pick(gradient.kind(), "head_drop_gradient_f32", "head_drop_gradient_bf16");
        // SAFETY: lengths were checked.
        unsafe { self.start(kernel, [rows.blocks(), rows.members, 1], threads(columns), &arguments) }
    }

    /// `out = LayerNorm(residual + dropout(branch + bias))`; `places` are those of bias, weight and offset.
    #[expect(clippy::too_many_arguments, reason = "the kernel's")]
    pub fn residual_norm(
        &self,
        rows: Rows,
        columns: usize,
        residual: &Values,
        branch: &Values,
        normalised: &mut Values,
        inverse: &mut Buffer<f32>,
        out: &mut Values,
        parameters: Parameters<'_>,
        places: [usize; 3],
        masks: Option<Masks<'_>>,
    ) -> Result<()> {
        let len = rows.all() * columns;
        let all = [residual, branch, &*normalised, &*out];
        assert!(columns.is_multiple_of(4) && all.iter().all(|x| x.len() >= len && x.kind() == residual.kind()));
        assert!(inverse.len() >= rows.all(), "standard deviations do not fit");
        assert!(places.iter().all(|&place| parameters.holds(rows.members, place, columns)), "no such parameters");
        let [members, position, site] = Self::masks(masks, rows.members);
        let [bias, weight, offset] = places.map(count);
        let arguments = [
            residual.start(),
            branch.start(),
            normalised.start(),
            inverse.at(0),
            out.start(),
            parameters.p.at(0),
            count(parameters.stride),
            bias,
            weight,
            offset,
            members,
            position,
            site,
            count(rows.each()),
            count(rows.images),
            count(columns),
        ];
        let kernel = pick(residual.kind(), "residual_norm_f32", "residual_norm_bf16");
        // SAFETY: lengths were checked.
        unsafe { self.start(kernel, [rows.each(), rows.members, 1], threads(columns), &arguments) }
    }

    /// The gradient of [`Self::residual_norm`]: `gradient` becomes that of the residual, `branch` gets that of the branch, and
    /// `sums` [members, blocks, 3, columns] those of weight, offset and bias.
    #[expect(clippy::too_many_arguments, reason = "the kernel's")]
    pub fn residual_norm_gradient(
        &self,
        rows: Rows,
        columns: usize,
        gradient: &mut Buffer<f32>,
        branch: &mut Values,
        normalised: &Values,
        inverse: &Buffer<f32>,
        sums: &mut Buffer<f32>,
        parameters: Parameters<'_>,
        weight: usize,
        masks: Option<Masks<'_>>,
    ) -> Result<()> {
        let len = rows.all() * columns;
        assert!(columns.is_multiple_of(4) && gradient.len() >= len && branch.len() >= len && normalised.len() >= len);
        assert!(branch.kind() == normalised.kind() && inverse.len() >= rows.all());
        assert!(sums.len() >= rows.members * rows.blocks() * 3 * columns, "sums do not fit");
        assert!(parameters.holds(rows.members, weight, columns), "no such parameters");
        let [members, position, site] = Self::masks(masks, rows.members);
        let arguments = [
            gradient.at(0),
            branch.start(),
            normalised.start(),
            inverse.at(0),
            sums.at(0),
            parameters.p.at(0),
            count(parameters.stride),
            count(weight),
            members,
            position,
            site,
            count(rows.each()),
            count(rows.images),
            count(columns),
        ];
        let kernel = pick(branch.kind(), "residual_norm_gradient_f32", "residual_norm_gradient_bf16");
        // SAFETY: lengths were checked.
        unsafe { self.start(kernel, [rows.blocks(), rows.members, 1], threads(columns), &arguments) }
    }

    /// `value = dropout(relu(value + bias))`.
    pub fn relu_drop(
        &self,
        rows: Rows,
        columns: usize,
        value: &mut Values,
        parameters: Parameters<'_>,
        bias: usize,
        masks: Option<Masks<'_>>,
    ) -> Result<()> {
        assert!(columns.is_multiple_of(4) && value.len() >= rows.all() * columns);
        assert!(parameters.holds(rows.members, bias, columns), "no such parameters");
        let [members, position, site] = Self::masks(masks, rows.members);
        let arguments = [
            value.start(),
            parameters.p.at(0),
            count(parameters.stride),
            count(bias),
            members,
            position,
            site,
            count(rows.each()),
            count(rows.images),
            count(columns),
        ];
        let kernel = pick(value.kind(), "relu_drop_f32", "relu_drop_bf16");
        let blocks = (rows.each() * columns / 4).div_ceil(THREADS);
        // SAFETY: lengths were checked.
        unsafe { self.start(kernel, [blocks, rows.members, 1], THREADS, &arguments) }
    }

    /// The gradient of [`Self::relu_drop`], in place; `sums` are that of the bias, by blocks.
    pub fn relu_drop_gradient(
        &self,
        rows: Rows,
        columns: usize,
        gradient: &mut Values,
        relu: &Values,
        sums: &mut Buffer<f32>,
        masks: Option<Masks<'_>>,
    ) -> Result<()> {
        const SHARE: usize = 128;
        let len = rows.all() * columns;
        assert!(columns.is_multiple_of(4) && gradient.len() >= len && relu.len() >= len);
        assert!(gradient.kind() == relu.kind() && sums.len() >= rows.members * rows.blocks() * columns);
        let [members, _, _] = Self::masks(masks, rows.members);
        let arguments = [gradient.start(), relu.start(), sums.at(0), members, count(rows.each()), count(columns)];
        let kernel = pick(gradient.kind(), "relu_drop_gradient_f32", "relu_drop_gradient_bf16");
        let share = threads(columns).min(SHARE);
        let grid = [rows.blocks(), rows.members, (columns / 4).div_ceil(share)];
        // SAFETY: lengths were checked.
        unsafe { self.start(kernel, grid, share, &arguments) }
    }

    /// Adds up blocks of sums into the gradients of vectors; `g` is [members, stride].
    pub fn column_sums(
        &self,
        rows: Rows,
        sums: &Buffer<f32>,
        g: &mut Buffer<f32>,
        stride: usize,
        to: Destination<'_>,
    ) -> Result<()> {
        let columns = to.width * to.places.len();
        assert!((1..=3).contains(&to.places.len()) && to.places.iter().all(|place| place + to.width <= stride));
        assert!(sums.len() >= rows.members * rows.blocks() * columns && g.len() >= rows.members * stride);
        let place = |i: usize| count(to.places.get(i).copied().unwrap_or(0));
        let arguments = [
            sums.at(0),
            g.at(0),
            count(rows.blocks()),
            count(columns),
            count(to.width),
            count(stride),
            place(0),
            place(1),
            place(2),
        ];
        let block = threads(4 * columns).min(128);
        // SAFETY: lengths were checked.
        unsafe { self.start("column_sums", [columns.div_ceil(block), rows.members, 1], block, &arguments) }
    }

    /// One more step was done.
    pub fn advance(&self, position: &mut Buffer<u32>) -> Result<()> {
        assert_eq!(position.len(), 1);
        // SAFETY: the length was checked.
        unsafe { self.start("advance", [1, 1, 1], 32, &[position.at(0)]) }
    }
}
