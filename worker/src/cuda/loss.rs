//! Kernels of the loss, and of the update (see [`super::kernels`]).

use super::{
    buffer::Buffer,
    error::Result,
    kernels::{Kernels, Parameters},
    stream::{
        Argument::{self, F32, Pointer, U32},
        Kind,
    },
};

/// Buffers of InfoNCE for all members.
#[derive(Debug)]
pub(super) struct LossBuffers {
    /// [members, batch, batch], row: image, column: text; cosines, then their gradient.
    pub cosines: Buffer<f32>,
    /// [members, batch], each.
    pub row_sums: Buffer<f32>,
    pub column_sums: Buffer<f32>,
    pub pairs: Buffer<f32>,
    pub products: Buffer<f32>,
    /// [members]: weight of the image-to-text term.
    pub i2t_weights: Buffer<f64>,
}

/// Where losses are written.
#[derive(Debug)]
pub(super) struct Record {
    /// [members, steps].
    pub losses: Buffer<f32>,
    pub steps: usize,
    /// [1]: the step.
    pub position: Buffer<u32>,
}

/// Parameters under training, and what their update takes.
#[derive(Debug)]
pub(super) struct Training {
    /// [members, stride].
    pub p: Buffer<f32>,
    /// [members, trained], each.
    pub g: Buffer<f32>,
    pub m: Buffer<f32>,
    pub v: Buffer<f32>,
    /// [members, trained]: bf16 copy of the parameters, where products are made of that.
    pub halves: Option<Buffer<half::bf16>>,
    pub stride: usize,
    pub trained: usize,
    /// [members]: 1, or 0 for those that are left alone.
    pub active: Buffer<u32>,
}

/// AdamW's constants that all members share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blend {
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
}

const THREADS: u32 = 256;
/// Rows of threads that share 32 columns.
const COLUMN_ROWS: u32 = 16;

fn count(value: usize) -> Argument {
    U32(value_u32(value))
}

fn value_u32(value: usize) -> u32 {
    u32::try_from(value).unwrap_or_else(|_| panic!("{value} does not fit in 32 bits"))
}

impl LossBuffers {
    fn holds(&self, members: usize, batch: usize) -> bool {
        let vectors = [&self.row_sums, &self.column_sums, &self.pairs, &self.products];
        self.cosines.len() >= members * batch * batch
            && vectors.iter().all(|vector| vector.len() >= members * batch)
            && self.i2t_weights.len() >= members
    }
}

impl Kernels {
    /// From cosines to the loss of this step. With `active`, members whose loss is not finite are left alone from here on.
    #[expect(clippy::too_many_arguments, reason = "the kernels'")]
    pub fn loss(
        &self,
        members: usize,
        batch: usize,
        buffers: &mut LossBuffers,
        parameters: Parameters<'_>,
        scale: usize,
        record: &mut Record,
        active: Option<&mut Buffer<u32>>,
    ) -> Result<()> {
        assert!(buffers.holds(members, batch) && parameters.p.len() >= members * parameters.stride);
        assert!(scale < parameters.stride && record.losses.len() >= members * record.steps);
        assert!(record.position.len() == 1 && active.as_ref().is_none_or(|active| active.len() >= members));
        let (stride, scale) = (count(parameters.stride), count(scale));
        let LossBuffers { cosines, row_sums, column_sums, pairs, i2t_weights, .. } = buffers;
        let rows = [cosines.at(0), row_sums.at(0), pairs.at(0), parameters.p.at(0), stride, scale, count(batch)];
        let columns = [cosines.at(0), column_sums.at(0), parameters.p.at(0), stride, scale, count(batch)];
        let last = [
            row_sums.at(0),
            column_sums.at(0),
            pairs.at(0),
            i2t_weights.at(0),
            record.losses.at(0),
            record.position.at(0),
            count(record.steps),
            count(batch),
            active.map_or(Pointer(0), |active| active.at(0)),
        ];
        let (k, b) = (value_u32(members), value_u32(batch));
        // SAFETY: lengths were checked; the caller counts no further than `steps`.
        unsafe {
            self.stream.launch("infonce_rows", [b, k, 1], [THREADS.min(b.next_multiple_of(32)), 1, 1], &rows)?;
            self.stream.launch("infonce_columns", [b.div_ceil(32), k, 1], [32, COLUMN_ROWS, 1], &columns)?;
            self.stream.launch("infonce_loss", [k, 1, 1], [THREADS, 1, 1], &last)
        }
    }

    /// From cosines to their gradient, in place, of that kind, in rows that are as far apart as those of the cosines; and the
    /// gradient of the logit scale, at `scale` of `g` [members, trained].
    #[expect(clippy::too_many_arguments, reason = "the kernels'")]
    pub fn loss_gradient(
        &self,
        members: usize,
        batch: usize,
        kind: Kind,
        buffers: &mut LossBuffers,
        parameters: Parameters<'_>,
        scale: usize,
        g: &mut Buffer<f32>,
        trained: usize,
    ) -> Result<()> {
        assert!(buffers.holds(members, batch) && parameters.p.len() >= members * parameters.stride);
        assert!(scale < trained && trained <= parameters.stride && g.len() >= members * trained);
        let LossBuffers { cosines, row_sums, column_sums, products, i2t_weights, .. } = buffers;
        let first = [
            cosines.at(0),
            row_sums.at(0),
            column_sums.at(0),
            products.at(0),
            i2t_weights.at(0),
            parameters.p.at(0),
            count(parameters.stride),
            count(scale),
            count(batch),
        ];
        let last = [products.at(0), g.at(0), count(trained), count(scale), count(batch)];
        let kernel = match kind {
            Kind::F32 => "infonce_gradient_f32",
            Kind::Bf16 => "infonce_gradient_bf16",
        };
        let (k, b) = (value_u32(members), value_u32(batch));
        // SAFETY: lengths were checked.
        unsafe {
            self.stream.launch(kernel, [b, k, 1], [THREADS.min(b.next_multiple_of(32)), 1, 1], &first)?;
            self.stream.launch("infonce_scale_gradient", [k, 1, 1], [THREADS, 1, 1], &last)
        }
    }

    /// One step of AdamW. `constants` is [members, steps, 3]: what decay keeps, the root of the second bias correction, and the
    /// learning rate over the first.
    pub fn adamw(
        &self,
        members: usize,
        training: &mut Training,
        constants: &Buffer<f32>,
        record: &Record,
        blend: Blend,
    ) -> Result<()> {
        let Training { p, g, m, v, halves, stride, trained, active } = training;
        let (stride, trained) = (*stride, *trained);
        assert!(stride.is_multiple_of(4) && trained.is_multiple_of(4) && trained <= stride);
        assert!(p.len() >= members * stride && [&*g, &*m, &*v].iter().all(|x| x.len() >= members * trained));
        assert!(halves.as_ref().is_none_or(|halves| halves.len() >= members * trained) && active.len() >= members);
        assert!(constants.len() >= members * record.steps * 3 && record.position.len() == 1);
        let arguments = [
            p.at(0),
            g.at(0),
            m.at(0),
            v.at(0),
            halves.as_ref().map_or(Pointer(0), |halves| halves.at(0)),
            count(stride),
            count(trained),
            constants.at(0),
            record.position.at(0),
            count(record.steps),
            active.at(0),
            F32((1.0 - blend.beta1) as f32),
            F32(blend.beta2 as f32),
            F32((1.0 - blend.beta2) as f32),
            F32(blend.eps as f32),
        ];
        let blocks = value_u32(stride / 4).div_ceil(THREADS);
        // SAFETY: lengths were checked; the caller counts no further than `steps`.
        unsafe { self.stream.launch("adamw", [blocks, value_u32(members), 1], [THREADS, 1, 1], &arguments) }
    }

    /// Makes the bf16 copy of one member's parameters, where there is one.
    pub fn narrow(&self, member: usize, training: &mut Training) -> Result<()> {
        let Training { p, halves: Some(halves), stride, trained, .. } = training else { return Ok(()) };
        assert!(p.len() >= (member + 1) * *stride && halves.len() >= (member + 1) * *trained && *trained <= *stride);
        let arguments = [p.at(0), halves.at(0), count(*stride), count(*trained), count(member)];
        let blocks = value_u32(*trained / 4).div_ceil(THREADS);
        // SAFETY: lengths were checked.
        unsafe { self.stream.launch("narrow_parameters", [blocks, 1, 1], [THREADS, 1, 1], &arguments) }
    }
}
