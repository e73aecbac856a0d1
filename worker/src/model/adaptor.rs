//! Forward and backward of the Adaptor with its loss (paper, section 2.1 and 2.2).
//!
//! Rows of both modalities are stacked, images first, because the layers share their weights.

use std::ops::Range;

use super::{
    Dims, Dropout,
    blocks::{self, ROWS},
    infonce::{Features, InfoNce},
    layer::{Layer, Pass, Saved, Scratch},
    linear::Linear,
    norm::{Unit, UnitGradient},
    shape::Places,
};
use crate::matrix::{How, Precision};

/// Buffers for the steps of one Adaptor.
#[derive(Debug)]
pub struct AdaptorStep {
    dims: Dims,
    precision: Precision,
    max_batch: usize,
    places: Places,
    layers: Vec<Saved>,
    scratch: Scratch,
    /// [rows, width]: output of the last layer, then features.
    features: Vec<f32>,
    /// [rows]: lengths of the last layer's output, and of the projected tokens.
    feature_lengths: Vec<f32>,
    token_lengths: Vec<f32>,
    /// [rows, width].
    gradient: Vec<f32>,
    loss: InfoNce,
}

/// What goes in: either side may be absent in evaluation.
#[derive(Clone, Copy)]
struct Inputs<'a> {
    images: &'a [f32],
    texts: &'a [f32],
    image_rows: usize,
    text_rows: usize,
    dropout: Option<Dropout>,
    how: How,
}

impl AdaptorStep {
    /// Buffers for batches of at most `max_batch` pairs: about 150 kB a pair with the paper's sizes.
    ///
    /// # Panics
    /// When the heads do not divide the width, or there is no layer.
    pub fn new(shape: impl Into<Dims>, max_batch: usize) -> Self {
        Self::with_precision(shape, max_batch, Precision::F32)
    }

    /// As [`Self::new`], with matrix products of another precision. All else stays in 32 bits: weights, sums, norms, softmaxes,
    /// moments.
    ///
    /// # Panics
    /// As [`Self::new`].
    pub fn with_precision(shape: impl Into<Dims>, max_batch: usize, precision: Precision) -> Self {
        let dims = shape.into();
        let rows = 2 * max_batch;
        Self {
            dims,
            precision,
            max_batch,
            places: Places::new(dims),
            layers: (0..dims.layers).map(|_| Saved::new(dims, rows)).collect(),
            scratch: Scratch::new(dims, rows),
            features: vec![0.0; rows * dims.width],
            feature_lengths: vec![0.0; rows],
            token_lengths: vec![0.0; rows],
            gradient: vec![0.0; rows * dims.width],
            loss: InfoNce::new(max_batch),
        }
    }

    const fn how(&self, threads: usize) -> How {
        How::new(self.precision, threads)
    }

    /// One training step without the update: the loss, and its gradient in `g` (overwritten).
    ///
    /// `images` is [batch, image_width], `texts` [batch, text_width], row `i` of both a pair. `i2t_weight` is alpha in
    /// the paper's Eq. 4. The loss is not finite when an input or a parameter is not.
    ///
    /// # Panics
    /// When a slice has another length than the shape's, or `batch` is 0 or above the maximum.
    #[expect(clippy::too_many_arguments, reason = "buffers stay the caller's")]
    pub fn forward_backward(
        &mut self,
        p: &[f32],
        g: &mut [f32],
        images: &[f32],
        texts: &[f32],
        batch: usize,
        dropout: Option<Dropout>,
        i2t_weight: f64,
        threads: usize,
    ) -> f32 {
        assert_eq!(g.len(), self.dims.parameters(), "gradients have another length");
        let inputs = Inputs { images, texts, image_rows: batch, text_rows: batch, dropout, how: self.how(threads) };
        let loss = self.pairs(p, inputs, i2t_weight);
        let width = self.dims.width;
        let wide = 2 * batch * width;
        let (images_out, texts_out) = self.features[..wide].split_at(batch * width);
        let (image_gradient, text_gradient) = self.gradient[..wide].split_at_mut(batch * width);
        let logit_scale = p[self.places.logit_scale];
        let features =
            Features { images: images_out, texts: texts_out, batch, logit_scale, i2t_weight, how: inputs.how };
        g[self.places.logit_scale] = self.loss.backward(features, image_gradient, text_gradient);
        unit_gradient(&mut self.gradient[..wide], &self.features[..wide], &self.feature_lengths, width, threads);
        for layer in (0..self.layers.len()).rev() {
            let pass = self.pass(layer, inputs);
            let places = &self.places.layers[layer];
            let gradient = &mut self.gradient[..wide];
            Layer { p, places }.backward(pass, &self.layers[layer], &mut self.scratch, gradient, g);
        }
        unit_gradient(&mut self.gradient[..wide], &self.layers[0].input[..wide], &self.token_lengths, width, threads);
        let (image_gradient, text_gradient) = self.gradient[..wide].split_at(batch * width);
        let (image, text) = (&self.places.image_projection, &self.places.text_projection);
        projection(p, image, self.dims.image_width, width).weight_gradient(
            image_gradient,
            images,
            &mut g[image.clone()],
            inputs.how,
        );
        projection(p, text, self.dims.text_width, width).weight_gradient(
            text_gradient,
            texts,
            &mut g[text.clone()],
            inputs.how,
        );
        loss
    }

    /// The loss of one batch in evaluation mode.
    ///
    /// # Panics
    /// As [`Self::forward_backward`].
    pub fn loss(
        &mut self,
        p: &[f32],
        images: &[f32],
        texts: &[f32],
        batch: usize,
        i2t_weight: f64,
        threads: usize,
    ) -> f32 {
        let inputs =
            Inputs { images, texts, image_rows: batch, text_rows: batch, dropout: None, how: self.how(threads) };
        self.pairs(p, inputs, i2t_weight)
    }

    /// Image features in evaluation mode: `x` is [batch, image_width], `out` [batch, width], its rows of length 1.
    /// Any batch size.
    ///
    /// # Panics
    /// When a slice has another length than the shape's.
    pub fn image_features(&mut self, p: &[f32], x: &[f32], batch: usize, out: &mut [f32], threads: usize) {
        let how = self.how(threads);
        self.encode(p, x, batch, self.dims.image_width, out, |images, image_rows| Inputs {
            images,
            texts: &[],
            image_rows,
            text_rows: 0,
            dropout: None,
            how,
        });
    }

    /// Text features in evaluation mode: `x` is [batch, text_width], `out` [batch, width], its rows of length 1.
    /// Any batch size.
    ///
    /// # Panics
    /// When a slice has another length than the shape's.
    pub fn text_features(&mut self, p: &[f32], x: &[f32], batch: usize, out: &mut [f32], threads: usize) {
        let how = self.how(threads);
        self.encode(p, x, batch, self.dims.text_width, out, |texts, text_rows| Inputs {
            images: &[],
            texts,
            image_rows: 0,
            text_rows,
            dropout: None,
            how,
        });
    }

    /// In parts that fit the buffers.
    fn encode<'a>(
        &mut self,
        p: &[f32],
        x: &'a [f32],
        batch: usize,
        input_width: usize,
        out: &mut [f32],
        inputs: impl Fn(&'a [f32], usize) -> Inputs<'a>,
    ) {
        let width = self.dims.width;
        assert_eq!(x.len(), batch * input_width, "embeddings of another length");
        assert_eq!(out.len(), batch * width, "features of another length");
        let rows = 2 * self.max_batch;
        for (x, out) in x.chunks(rows * input_width).zip(out.chunks_mut(rows * width)) {
            self.forward(p, inputs(x, x.len() / input_width));
            out.copy_from_slice(&self.features[..out.len()]);
        }
    }

    /// Forward of pairs, with their loss.
    fn pairs(&mut self, p: &[f32], inputs: Inputs<'_>, i2t_weight: f64) -> f32 {
        let batch = inputs.image_rows;
        assert!((1..=self.max_batch).contains(&batch), "a batch of {batch}, not 1 to {}", self.max_batch);
        self.forward(p, inputs);
        let (images, texts) = self.features[..2 * batch * self.dims.width].split_at(batch * self.dims.width);
        let logit_scale = p[self.places.logit_scale];
        self.loss.forward(Features { images, texts, batch, logit_scale, i2t_weight, how: inputs.how })
    }

    /// From embeddings to features.
    fn forward(&mut self, p: &[f32], inputs: Inputs<'_>) {
        let Inputs { images, texts, image_rows, text_rows, how, .. } = inputs;
        let Dims { image_width, text_width, width, .. } = self.dims;
        assert_eq!(p.len(), self.dims.parameters(), "parameters have another length");
        assert_eq!(images.len(), image_rows * image_width, "image embeddings have another length");
        assert_eq!(texts.len(), text_rows * text_width, "text embeddings have another length");
        let wide = (image_rows + text_rows) * width;
        // The first layer keeps the normalised projections as its input.
        let first = &mut self.layers[0].input;
        let (image_tokens, text_tokens) = first[..wide].split_at_mut(image_rows * width);
        if image_rows > 0 {
            projection(p, &self.places.image_projection, image_width, width).forward(images, image_tokens, how);
        }
        if text_rows > 0 {
            projection(p, &self.places.text_projection, text_width, width).forward(texts, text_tokens, how);
        }
        unit(&mut first[..wide], &mut self.token_lengths, width, how.threads);
        for layer in 0..self.layers.len() {
            let pass = self.pass(layer, inputs);
            let places = &self.places.layers[layer];
            let (saved, rest) = self.layers[layer..].split_at_mut(1);
            let out = rest.first_mut().map_or(&mut self.features, |next| &mut next.input);
            Layer { p, places }.forward(pass, &mut saved[0], &mut self.scratch, &mut out[..wide]);
        }
        unit(&mut self.features[..wide], &mut self.feature_lengths, width, how.threads);
    }

    fn pass(&self, layer: usize, inputs: Inputs<'_>) -> Pass {
        let Inputs { image_rows, text_rows, dropout, how, .. } = inputs;
        Pass { dims: self.dims, layer, images: image_rows, rows: image_rows + text_rows, dropout, how }
    }
}

fn projection<'a>(p: &'a [f32], place: &Range<usize>, inputs: usize, outputs: usize) -> Linear<'a> {
    Linear { weight: &p[place.clone()], inputs, outputs }
}

fn unit(rows: &mut [f32], lengths: &mut [f32], width: usize, threads: usize) {
    let parts = rows.chunks_mut(ROWS * width).zip(lengths.chunks_mut(ROWS));
    blocks::run(threads, parts.map(|(rows, lengths)| Unit { rows, lengths, width }));
}

fn unit_gradient(gradient: &mut [f32], unit: &[f32], lengths: &[f32], width: usize, threads: usize) {
    let parts = gradient.chunks_mut(ROWS * width).zip(unit.chunks(ROWS * width)).zip(lengths.chunks(ROWS));
    blocks::run(threads, parts.map(|((gradient, unit), lengths)| UnitGradient { gradient, unit, lengths, width }));
}
