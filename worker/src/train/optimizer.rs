//! AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019), in PyTorch's semantics.

use pulp::{Arch, Simd, WithSimd};

/// AdamW's constants. Weight decay applies to every parameter, also to those whose gradient is zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay; the learning rate multiplies it.
    pub weight_decay: f64,
}

impl Default for AdamW {
    /// PyTorch's.
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 }
    }
}

impl AdamW {
    /// Updates parameters `p` and moments `m`, `v` with gradient `g`. `t` counts steps from 1.
    ///
    /// # Panics
    /// When the slices have different lengths, or `t` is 0.
    pub fn step(&self, p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], t: u64, learning_rate: f64) {
        assert!(p.len() == g.len() && p.len() == m.len() && p.len() == v.len(), "lengths differ");
        let Constants { keep, root, size } = self.constants(t, learning_rate);
        Arch::new().dispatch(Update {
            p,
            g,
            m,
            v,
            keep,
            blend1: (1.0 - self.beta1) as f32,
            beta2: self.beta2 as f32,
            blend2: (1.0 - self.beta2) as f32,
            root,
            eps: self.eps as f32,
            size,
        });
    }

    /// What step `t`, counted from 1, needs to know.
    ///
    /// # Panics
    /// When `t` is 0.
    pub(crate) fn constants(&self, t: u64, learning_rate: f64) -> Constants {
        assert!(t > 0, "steps are counted from 1");
        let power = t.min(i32::MAX as u64) as i32;
        let first = 1.0 - self.beta1.powi(power);
        let second = 1.0 - self.beta2.powi(power);
        Constants {
            keep: (1.0 - learning_rate * self.weight_decay) as f32,
            root: second.sqrt() as f32,
            size: (learning_rate / first) as f32,
        }
    }
}

/// What differs from step to step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Constants {
    /// Factor that weight decay leaves of a parameter.
    pub(crate) keep: f32,
    /// Root of the second moment's bias correction.
    pub(crate) root: f32,
    /// Learning rate over the first moment's bias correction.
    pub(crate) size: f32,
}

struct Update<'a> {
    p: &'a mut [f32],
    g: &'a [f32],
    m: &'a mut [f32],
    v: &'a mut [f32],
    keep: f32,
    blend1: f32,
    beta2: f32,
    blend2: f32,
    root: f32,
    eps: f32,
    size: f32,
}

impl WithSimd for Update<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { p, g, m, v, keep, blend1, beta2, blend2, root, eps, size } = self;
        for (((p, &g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
            *m += blend1 * (g - *m);
            *v = beta2 * *v + blend2 * g * g;
            *p = *p * keep - size * (*m / (v.sqrt() / root + eps));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zero_gradient_still_decays() {
        let mut p = [2.0, -4.0];
        let (mut m, mut v) = ([0.0; 2], [0.0; 2]);
        let optimizer = AdamW { weight_decay: 0.5, ..AdamW::default() };
        optimizer.step(&mut p, &[0.0; 2], &mut m, &mut v, 1, 0.1);
        assert_eq!(p, [2.0 * 0.95, -4.0 * 0.95]);
    }

    /// In the first step the bias-corrected ratio is the gradient's sign.
    #[test]
    fn the_first_step_has_the_size_of_the_learning_rate() {
        let mut p = [0.0; 2];
        let (mut m, mut v) = ([0.0; 2], [0.0; 2]);
        let optimizer = AdamW { weight_decay: 0.0, ..AdamW::default() };
        optimizer.step(&mut p, &[3.0, -0.01], &mut m, &mut v, 1, 0.1);
        assert!((p[0] + 0.1).abs() < 1e-6 && (p[1] - 0.1).abs() < 1e-6, "{p:?}");
    }
}
