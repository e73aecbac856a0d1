//! Parameters under training on the CPU, with their moments and the best so far.

use std::{borrow::Cow, ops::Range};

use super::optimizer::AdamW;
use crate::{checkpoint::State, error::Result};

/// Parameters under training.
pub(super) struct Weights {
    pub(super) p: Vec<f32>,
    /// Empty where updates are made from parts of the gradient.
    pub(super) g: Vec<f32>,
    m: Vec<f32>,
    v: Vec<f32>,
    /// Parameters after the best epoch; empty before the first.
    pub(super) best: Vec<f32>,
    optimizer: AdamW,
}

impl Weights {
    pub(super) fn new(p: Vec<f32>, weight_decay: f64) -> Self {
        let zeros = || vec![0.0; p.len()];
        let optimizer = AdamW { weight_decay, ..AdamW::default() };
        Self { g: Vec::new(), m: zeros(), v: zeros(), best: Vec::new(), optimizer, p }
    }

    /// With room for a gradient of all parameters.
    pub(super) fn with_gradient(mut self) -> Self {
        self.g = vec![0.0; self.p.len()];
        self
    }

    /// The parameters, and what one step of AdamW does to some of them, given their range, themselves and their gradient; `step`
    /// counts from 0.
    pub(super) fn in_parts(&mut self, step: u64, learning_rate: f64) -> (&mut [f32], impl InPlace) {
        let update = self.optimizer.at(step + 1, learning_rate);
        let Self { p, m, v, .. } = self;
        (p, move |range, p, g| update.apply(p, g, &mut m[range.clone()], &mut v[range]))
    }

    /// One step of AdamW with the gradient in `g`; `step` counts from 0.
    pub(super) fn update(&mut self, step: u64, learning_rate: f64) {
        self.optimizer.step(&mut self.p, &self.g, &mut self.m, &mut self.v, step + 1, learning_rate);
    }

    pub(super) fn keep_best(&mut self) {
        self.best.clone_from(&self.p);
    }

    pub(super) fn saved(&self) -> Saved<'_> {
        let vectors = [("p", &self.p), ("m", &self.m), ("v", &self.v), ("best", &self.best)];
        Saved {
            numbers: vec![],
            vectors: vectors.into_iter().map(|(name, vector)| (name, Cow::from(vector.as_slice()))).collect(),
        }
    }

    pub(super) fn restore(&mut self, state: &mut State) -> Result<()> {
        [self.p, self.m, self.v, self.best] = restore(state, self.p.len())?;
        Ok(())
    }
}

/// Changes a range of parameters, given the range, the parameters in it and their gradient.
pub(super) trait InPlace: FnMut(Range<usize>, &mut [f32], &[f32]) {}

impl<F: FnMut(Range<usize>, &mut [f32], &[f32])> InPlace for F {}

/// Parameters, moments and the best so far of a model with `len` parameters, as [`Saved`] has them.
pub(super) fn restore(state: &mut State, len: usize) -> Result<[Vec<f32>; 4]> {
    let best = if state.number("has_best")? == 1 { len } else { 0 };
    Ok([state.take("p", len)?, state.take("m", len)?, state.take("v", len)?, state.take("best", best)?])
}

/// What the rest of a member's run depends on, beside where it is: the same on every device, so that a trial goes on on another
/// one. It holds `p`, `m`, `v` (parameters and AdamW's moments) and `best`, which is empty before the first validation.
pub(super) struct Saved<'a> {
    /// Counters of the model.
    pub(super) numbers: Vec<(&'static str, u64)>,
    pub(super) vectors: Vec<(&'static str, Cow<'a, [f32]>)>,
}

impl Saved<'_> {
    /// Parameters, moments and the best so far.
    pub(super) fn owned([p, m, v, best]: [Vec<f32>; 4]) -> Saved<'static> {
        let vectors = [("p", p), ("m", m), ("v", v), ("best", best)];
        Saved { numbers: vec![], vectors: vectors.map(|(name, vector)| (name, Cow::from(vector))).into() }
    }

    pub(super) fn has_best(&self) -> bool {
        self.vectors.iter().any(|(name, vector)| *name == "best" && !vector.is_empty())
    }
}
