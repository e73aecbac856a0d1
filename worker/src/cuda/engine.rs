//! The training step of an array: what is launched, in which order, on which buffers.

use std::sync::Arc;

use half::bf16;

use super::{
    buffer::Buffer,
    error::Result,
    kernels::{Destination, Kernels, MEMBER_WORDS, Masks, Parameters, ROWS, Rows, SOURCE_WORDS},
    layout::Layout,
    loss::{Blend, LossBuffers, Record, Training},
    matrices::{Matrices, Place},
    stream::{Kind, Stream},
    values::Values,
};

/// In which numbers an array is trained. Master weights, moments, statistics, logits, gradients of weights and all sums are
/// f32 in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arithmetic {
    /// Everything in f32.
    F32,
    /// Factors of matrix products are rounded to TF32.
    Tf32,
    /// Activations, and factors of matrix products, are bf16.
    Bf16,
}

impl Arithmetic {
    /// Type of the activations.
    pub fn kind(self) -> Kind {
        match self {
            Self::F32 | Self::Tf32 => Kind::F32,
            Self::Bf16 => Kind::Bf16,
        }
    }
}

/// All buffers of an array, and the work on them.
#[derive(Debug)]
pub(super) struct Engine {
    pub kernels: Kernels,
    pub layout: Layout,
    pub arithmetic: Arithmetic,
    /// Most pairs of a batch.
    pub batch: usize,
    pub training: Training,
    /// [members, stride]: parameters after the best epoch.
    pub best: Buffer<f32>,
    pub loss: LossBuffers,
    pub record: Record,
    /// [members, steps, 3]: see [`Kernels::adamw`].
    pub constants: Buffer<f32>,
    /// [members, 6]: see [`Masks`].
    pub words: Buffer<u32>,
    /// [members, 5]: what images and texts are gathered from.
    pub image_sources: Buffer<u64>,
    pub text_sources: Buffer<u64>,
    work: Work,
}

/// What a forward pass keeps for its backward pass, and scratch. Rows of each member are images, then texts.
#[derive(Debug)]
struct Work {
    /// [members, batch, image width] and [members, batch, text width].
    images: Values,
    texts: Values,
    layers: Vec<LayerWork>,
    /// [members, rows, width]: output of the last layer, then features.
    features: Values,
    /// [members, rows].
    feature_lengths: Buffer<f32>,
    token_lengths: Buffer<f32>,
    /// [members, rows, width]: always f32.
    gradient: Buffer<f32>,
    /// [members, rows, width]: a branch, or its gradient; gradient of the values.
    branch: Values,
    value_gradient: Values,
    /// [members, rows, hidden].
    hidden_gradient: Values,
    /// [members, blocks, the larger of 3 width and hidden].
    sums: Buffer<f32>,
}

/// [members, rows, ...] each: what `model/layer.rs` keeps.
#[derive(Debug)]
struct LayerWork {
    input: Values,
    value: Values,
    normalised1: Values,
    inverse1: Buffer<f32>,
    middle: Values,
    relu: Values,
    normalised2: Values,
    inverse2: Buffer<f32>,
}

/// Which pairs a forward pass takes, and how.
#[derive(Clone, Copy, Debug)]
pub(super) enum Take {
    /// The batch at the present position, with dropout.
    Train,
    /// Those from this one on, in evaluation mode.
    Evaluate(usize),
}

impl Engine {
    /// Buffers for `members` members, batches of `batch` pairs, and `steps` steps between two looks at the losses.
    pub fn new(
        stream: &Arc<dyn Stream>,
        layout: Layout,
        members: usize,
        batch: usize,
        steps: usize,
        arithmetic: Arithmetic,
    ) -> Result<Self> {
        let kind = arithmetic.kind();
        let (stride, trained) = (layout.stride, layout.trained);
        let floats = |len: usize| Buffer::<f32>::zeros(stream, members * len);
        let halves = match kind {
            Kind::F32 => None,
            Kind::Bf16 => Some(Buffer::<bf16>::zeros(stream, members * trained)?),
        };
        Ok(Self {
            training: Training {
                p: floats(stride)?,
                g: floats(trained)?,
                m: floats(trained)?,
                v: floats(trained)?,
                halves,
                stride,
                trained,
                active: Buffer::zeros(stream, members)?,
            },
            best: floats(stride)?,
            loss: LossBuffers {
                cosines: floats(batch * batch)?,
                row_sums: floats(batch)?,
                column_sums: floats(batch)?,
                pairs: floats(batch)?,
                products: floats(batch)?,
                i2t_weights: Buffer::zeros(stream, members)?,
            },
            record: Record { losses: floats(steps)?, steps, position: Buffer::zeros(stream, 1)? },
            constants: floats(3 * steps)?,
            words: Buffer::zeros(stream, members * MEMBER_WORDS)?,
            image_sources: Buffer::zeros(stream, members * SOURCE_WORDS)?,
            text_sources: Buffer::zeros(stream, members * SOURCE_WORDS)?,
            work: Work::new(stream, &layout, members, batch, kind)?,
            kernels: Kernels { stream: Arc::clone(stream) },
            layout,
            arithmetic,
            batch,
        })
    }

    /// Forward, loss, backward and update of one step of the first `members` members, and on to the next step.
    pub fn train_step(&mut self, members: usize) -> Result<()> {
        let rows = Rows { members, images: self.batch, texts: self.batch };
        self.forward(rows, Take::Train)?;
        self.pair_loss(rows, true)?;
        self.backward(rows)?;
        let adam = crate::train::optimizer::AdamW::default();
        let blend = Blend { beta1: adam.beta1, beta2: adam.beta2, eps: adam.eps };
        self.kernels.adamw(members, &mut self.training, &self.constants, &self.record, blend)?;
        self.kernels.advance(&mut self.record.position)
    }

    /// The losses of `batch` pairs from `start` on in evaluation mode, and on to the next place for losses.
    pub fn evaluate(&mut self, members: usize, start: usize, batch: usize) -> Result<()> {
        let rows = Rows { members, images: batch, texts: batch };
        self.forward(rows, Take::Evaluate(start))?;
        self.pair_loss(rows, false)?;
        self.kernels.advance(&mut self.record.position)
    }

    /// Features of `count` images from `start` on in evaluation mode: [members, count, width], until the next pass.
    pub fn image_features(&mut self, members: usize, start: usize, count: usize) -> Result<&Values> {
        self.forward(Rows { members, images: count, texts: 0 }, Take::Evaluate(start))?;
        Ok(&self.work.features)
    }

    /// Most images that [`Self::image_features`] takes.
    pub fn most_images(&self) -> usize {
        // The buffer for image embeddings is the smallest.
        self.batch
    }

    /// From embeddings to features.
    fn forward(&mut self, rows: Rows, take: Take) -> Result<()> {
        let Self { kernels, layout, training, work, record, batch, words, image_sources, text_sources, .. } = self;
        let tf32 = self.arithmetic == Arithmetic::Tf32;
        let Layout { dims, .. } = layout;
        let (width, members, each) = (dims.width, rows.members, rows.each());
        let (start, position) = match take {
            Take::Train => (0, Some((&record.position, *batch))),
            Take::Evaluate(start) => (start, None),
        };
        let masks = |layer: usize, site: usize| match take {
            Take::Train => Some(Masks { members: words, position: &record.position, site: 4 * layer + site }),
            Take::Evaluate(_) => None,
        };
        let parameters = Parameters { p: &training.p, stride: training.stride };
        let line = |at: usize, columns: usize| Place { at, row: columns, stride: each * columns };
        let all =
            |values: &Values, columns: usize| Matrices::of_values(values, line(0, columns), [each, columns], members);

        let sides = [
            (&mut work.images, &*image_sources, rows.images, dims.image_width, layout.image_projection, 0),
            (&mut work.texts, &*text_sources, rows.texts, dims.text_width, layout.text_projection, rows.images),
        ];
        for (embeddings, sources, count, columns, projection, first) in sides {
            if count == 0 {
                continue;
            }
            kernels.gather(embeddings, members, count, columns, sources, position, start)?;
            let place = Place { at: 0, row: columns, stride: count * columns };
            let from = Matrices::of_values(embeddings, place, [count, columns], members);
            let tokens = &work.layers[0].input;
            let to = Matrices::of_values(tokens, line(first * width, width), [count, width], members);
            kernels.product(from, weight(training, projection, [width, columns], members).t(), to, false, tf32)?;
        }
        kernels.unit(rows, width, &mut work.layers[0].input, &mut work.token_lengths)?;

        for (layer, places) in layout.layers.iter().enumerate() {
            let (own, rest) = work.layers[layer..].split_at_mut(1);
            let own = &mut own[0];
            let out = rest.first_mut().map_or(&mut work.features, |next| &mut next.input);
            let square = |place: usize| weight(training, place, [width, width], members).t();
            kernels.product(
                all(&own.input, width),
                square(places.value_weight),
                all(&own.value, width),
                false,
                tf32,
            )?;
            let bias = places.value_bias;
            kernels.head_drop(rows, width, dims.heads, &mut own.value, parameters, bias, masks(layer, 0))?;
            kernels.product(
                all(&own.value, width),
                square(places.out_weight),
                all(&work.branch, width),
                false,
                tf32,
            )?;
            kernels.residual_norm(
                rows,
                width,
                &own.input,
                &work.branch,
                &mut own.normalised1,
                &mut own.inverse1,
                &mut own.middle,
                parameters,
                [places.out_bias, places.norm1_weight, places.norm1_bias],
                masks(layer, 1),
            )?;
            let hidden = dims.hidden;
            let first = weight(training, places.first_weight, [hidden, width], members).t();
            kernels.product(all(&own.middle, width), first, all(&own.relu, hidden), false, tf32)?;
            kernels.relu_drop(rows, hidden, &mut own.relu, parameters, places.first_bias, masks(layer, 2))?;
            let second = weight(training, places.second_weight, [width, hidden], members).t();
            kernels.product(all(&own.relu, hidden), second, all(&work.branch, width), false, tf32)?;
            kernels.residual_norm(
                rows,
                width,
                &own.middle,
                &work.branch,
                &mut own.normalised2,
                &mut own.inverse2,
                out,
                parameters,
                [places.second_bias, places.norm2_weight, places.norm2_bias],
                masks(layer, 3),
            )?;
        }
        kernels.unit(rows, width, &mut work.features, &mut work.feature_lengths)
    }

    /// From features to the loss at the present position.
    fn pair_loss(&mut self, rows: Rows, train: bool) -> Result<()> {
        let Self { kernels, layout, training, loss, record, work, .. } = self;
        let tf32 = self.arithmetic == Arithmetic::Tf32;
        let (width, batch, members) = (layout.dims.width, rows.images, rows.members);
        let [images, texts] = both(&work.features, rows, width);
        let place = Place { at: 0, row: batch, stride: batch * batch };
        let cosines = Matrices::of(&loss.cosines, place, [batch, batch], members);
        kernels.product(images, texts.t(), cosines, false, tf32)?;
        let Training { p, stride, active, .. } = training;
        let parameters = Parameters { p, stride: *stride };
        kernels.loss(members, batch, loss, parameters, layout.logit_scale, record, train.then_some(active))
    }

    /// The gradient of every parameter, after [`Self::pair_loss`].
    fn backward(&mut self, rows: Rows) -> Result<()> {
        let Self { kernels, layout, training, loss, record, work, words, .. } = self;
        let kernels = &*kernels;
        let kind = self.arithmetic.kind();
        let tf32 = self.arithmetic == Arithmetic::Tf32;
        let dims = layout.dims;
        let (width, hidden, members, each, batch) = (dims.width, dims.hidden, rows.members, rows.each(), rows.images);
        let Training { p, g, halves, stride, trained, .. } = training;
        let (stride, trained) = (*stride, *trained);
        let weights = Weights { p, halves: halves.as_ref(), stride, trained };
        let parameters = Parameters { p, stride };
        let scale = layout.logit_scale;
        kernels.loss_gradient(members, batch, kind, loss, parameters, scale, g, trained)?;

        // From the gradient of the cosines to that of the features.
        let place = Place { at: 0, row: batch, stride: batch * batch };
        let slopes = Matrices::of(&loss.cosines, place, [batch, batch], members).narrowed(kind);
        let [images, texts] = both(&work.features, rows, width);
        let line = |at: usize, columns: usize| Place { at, row: columns, stride: each * columns };
        let part = |buffer: &Buffer<f32>, first: usize| {
            Matrices::of(buffer, line(first * width, width), [batch, width], members)
        };
        kernels.product(slopes, texts, part(&work.gradient, 0), false, tf32)?;
        kernels.product(slopes.t(), images, part(&work.gradient, batch), false, tf32)?;
        kernels.unit_gradient(rows, width, &mut work.gradient, None, &work.features, &work.feature_lengths)?;

        let all =
            |values: &Values, columns: usize| Matrices::of_values(values, line(0, columns), [each, columns], members);
        let into = |g: &Buffer<f32>, at: usize, size: [usize; 2]| {
            Matrices::of(g, Place { at, row: size[1], stride: trained }, size, members)
        };
        for (layer, places) in layout.layers.iter().enumerate().rev() {
            let own = &work.layers[layer];
            let masks =
                |site: usize| Some(Masks { members: words, position: &record.position, site: 4 * layer + site });
            let gradient = |buffer: &Buffer<f32>| Matrices::of(buffer, line(0, width), [each, width], members);

            kernels.residual_norm_gradient(
                rows,
                width,
                &mut work.gradient,
                &mut work.branch,
                &own.normalised2,
                &own.inverse2,
                &mut work.sums,
                parameters,
                places.norm2_weight,
                masks(3),
            )?;
            let to = Destination { width, places: &[places.norm2_weight, places.norm2_bias, places.second_bias] };
            kernels.column_sums(rows, &work.sums, g, trained, to)?;
            let branch = all(&work.branch, width);
            let size = [width, hidden];
            kernels.product(branch.t(), all(&own.relu, hidden), into(g, places.second_weight, size), false, tf32)?;
            let second = weights.matrices(places.second_weight, size, members);
            kernels.product(branch, second, all(&work.hidden_gradient, hidden), false, tf32)?;
            kernels.relu_drop_gradient(rows, hidden, &mut work.hidden_gradient, &own.relu, &mut work.sums, masks(2))?;
            let to = Destination { width: hidden, places: &[places.first_bias] };
            kernels.column_sums(rows, &work.sums, g, trained, to)?;
            let deep = all(&work.hidden_gradient, hidden);
            let size = [hidden, width];
            kernels.product(deep.t(), all(&own.middle, width), into(g, places.first_weight, size), false, tf32)?;
            let first = weights.matrices(places.first_weight, size, members);
            kernels.product(deep, first, gradient(&work.gradient), true, tf32)?;

            kernels.residual_norm_gradient(
                rows,
                width,
                &mut work.gradient,
                &mut work.branch,
                &own.normalised1,
                &own.inverse1,
                &mut work.sums,
                parameters,
                places.norm1_weight,
                masks(1),
            )?;
            let to = Destination { width, places: &[places.norm1_weight, places.norm1_bias, places.out_bias] };
            kernels.column_sums(rows, &work.sums, g, trained, to)?;
            let branch = all(&work.branch, width);
            let size = [width, width];
            kernels.product(branch.t(), all(&own.value, width), into(g, places.out_weight, size), false, tf32)?;
            let out = weights.matrices(places.out_weight, size, members);
            kernels.product(branch, out, all(&work.value_gradient, width), false, tf32)?;
            kernels.head_drop_gradient(rows, width, dims.heads, &mut work.value_gradient, &mut work.sums, masks(0))?;
            let to = Destination { width, places: &[places.value_bias] };
            kernels.column_sums(rows, &work.sums, g, trained, to)?;
            let values = all(&work.value_gradient, width);
            kernels.product(values.t(), all(&own.input, width), into(g, places.value_weight, size), false, tf32)?;
            let value = weights.matrices(places.value_weight, size, members);
            kernels.product(values, value, gradient(&work.gradient), true, tf32)?;
        }

        let Work { gradient, branch, token_lengths, layers, .. } = &mut *work;
        kernels.unit_gradient(rows, width, gradient, Some(branch), &layers[0].input, token_lengths)?;
        let [image_gradient, text_gradient] = both(&work.branch, rows, width);
        let sides = [
            (image_gradient, &work.images, rows.images, dims.image_width, layout.image_projection),
            (text_gradient, &work.texts, rows.texts, dims.text_width, layout.text_projection),
        ];
        for (gradient, embeddings, count, columns, projection) in sides {
            let place = Place { at: 0, row: columns, stride: count * columns };
            let from = Matrices::of_values(embeddings, place, [count, columns], members);
            kernels.product(gradient.t(), from, into(g, projection, [width, columns]), false, tf32)?;
        }
        Ok(())
    }

    /// The gradient of one member, in the order of this layout; waits for all work.
    #[cfg(test)]
    pub fn gradient(&self, member: usize) -> Result<Vec<f32>> {
        let mut g = vec![0.0; self.layout.trained];
        self.training.g.download_into(member * self.layout.trained, &mut g)?;
        Ok(g)
    }
}

/// Images and texts of all members in stacked rows.
fn both(values: &Values, rows: Rows, width: usize) -> [Matrices; 2] {
    let stride = rows.each() * width;
    [(0, rows.images), (rows.images, rows.texts)].map(|(first, count)| {
        let place = Place { at: first * width, row: width, stride };
        Matrices::of_values(values, place, [count, width], rows.members)
    })
}

/// The parameters that products are made of.
#[derive(Clone, Copy)]
struct Weights<'a> {
    p: &'a Buffer<f32>,
    halves: Option<&'a Buffer<bf16>>,
    stride: usize,
    trained: usize,
}

impl Weights<'_> {
    /// A matrix of each member.
    fn matrices(self, at: usize, size: [usize; 2], members: usize) -> Matrices {
        let place = |stride: usize| Place { at, row: size[1], stride };
        match self.halves {
            Some(halves) => Matrices::of(halves, place(self.trained), size, members),
            None => Matrices::of(self.p, place(self.stride), size, members),
        }
    }
}

fn weight(training: &Training, at: usize, size: [usize; 2], members: usize) -> Matrices {
    let Training { p, halves, stride, trained, .. } = training;
    Weights { p, halves: halves.as_ref(), stride: *stride, trained: *trained }.matrices(at, size, members)
}

impl Work {
    fn new(stream: &Arc<dyn Stream>, layout: &Layout, members: usize, batch: usize, kind: Kind) -> Result<Self> {
        let dims = layout.dims;
        let rows = 2 * batch;
        let values = |rows: usize, columns: usize| Values::undefined(stream, kind, members * rows * columns);
        let floats = |len: usize| Buffer::<f32>::undefined(stream, members * len);
        let layer = || {
            Ok(LayerWork {
                input: values(rows, dims.width)?,
                value: values(rows, dims.width)?,
                normalised1: values(rows, dims.width)?,
                inverse1: floats(rows)?,
                middle: values(rows, dims.width)?,
                relu: values(rows, dims.hidden)?,
                normalised2: values(rows, dims.width)?,
                inverse2: floats(rows)?,
            })
        };
        Ok(Self {
            images: values(batch, dims.image_width)?,
            texts: values(batch, dims.text_width)?,
            layers: (0..dims.layers).map(|_| layer()).collect::<Result<_>>()?,
            features: values(rows, dims.width)?,
            feature_lengths: floats(rows)?,
            token_lengths: floats(rows)?,
            gradient: floats(rows * dims.width)?,
            branch: values(rows, dims.width)?,
            value_gradient: values(rows, dims.width)?,
            hidden_gradient: values(rows, dims.hidden)?,
            sums: floats(rows.div_ceil(ROWS) * dims.hidden.max(3 * dims.width))?,
        })
    }
}
