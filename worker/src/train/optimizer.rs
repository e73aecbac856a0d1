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
        self.at(t, learning_rate).apply(p, g, m, v);
    }

    /// What one step does to each parameter. `t` counts steps from 1.
    ///
    /// # Panics
    /// When `t` is 0.
    pub fn at(&self, t: u64, learning_rate: f64) -> Update {
        let (first, root) = self.corrections(t);
        Update {
            keep: (1.0 - learning_rate * self.weight_decay) as f32,
            blend1: (1.0 - self.beta1) as f32,
            beta2: self.beta2 as f32,
            blend2: (1.0 - self.beta2) as f32,
            eps: (self.eps * root) as f32,
            size: (learning_rate / first * root) as f32,
        }
    }

    /// What step `t`, counted from 1, needs to know.
    ///
    /// # Panics
    /// When `t` is 0.
    pub(crate) fn constants(&self, t: u64, learning_rate: f64) -> Constants {
        let (first, root) = self.corrections(t);
        Constants {
            keep: (1.0 - learning_rate * self.weight_decay) as f32,
            root: root as f32,
            size: (learning_rate / first) as f32,
        }
    }

    /// Bias corrections of step `t`: of the first moment, and the root of that of the second.
    fn corrections(&self, t: u64) -> (f64, f64) {
        assert!(t > 0, "steps are counted from 1");
        let power = t.min(i32::MAX as u64) as i32;
        (1.0 - self.beta1.powi(power), (1.0 - self.beta2.powi(power)).sqrt())
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

/// One step of [`AdamW`]: `m` and `v` move towards the gradient and its square, then
/// `p = keep p - size m / (sqrt(v) + eps)`, where `eps` and `size` hold the correction of both moments' bias (Kingma and Ba,
/// "Adam", ICLR 2015, end of section 2), so that an element takes one division.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Update {
    keep: f32,
    blend1: f32,
    beta2: f32,
    blend2: f32,
    eps: f32,
    size: f32,
}

impl Update {
    /// Updates some parameters; in parts or all at once comes to the same, bit for bit.
    ///
    /// # Panics
    /// When the slices have different lengths.
    pub fn apply(self, p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) {
        assert!(p.len() == g.len() && p.len() == m.len() && p.len() == v.len(), "lengths differ");
        Arch::new().dispatch(Kernel { update: self, p, g, m, v });
    }
}

struct Kernel<'a> {
    update: Update,
    p: &'a mut [f32],
    g: &'a [f32],
    m: &'a mut [f32],
    v: &'a mut [f32],
}

impl WithSimd for Kernel<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { update: Update { keep, blend1, beta2, blend2, eps, size }, p, g, m, v } = self;
        for (((p, &g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
            *m += blend1 * (g - *m);
            *v = beta2 * *v + blend2 * g * g;
            *p = *p * keep - size * *m / (v.sqrt() + eps);
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

    #[test]
    fn in_parts_comes_to_the_same() {
        let n = 1003;
        let g: Vec<f32> = (0..n).map(|i| (i as f32 * 0.37).sin()).collect();
        let (mut p, mut m, mut v) = (vec![0.5; n], vec![0.1; n], vec![0.2; n]);
        let (mut p2, mut m2, mut v2) = (p.clone(), m.clone(), v.clone());
        let update = AdamW::default().at(7, 1e-3);
        update.apply(&mut p, &g, &mut m, &mut v);
        for part in [0..5, 5..700, 700..n] {
            update.apply(&mut p2[part.clone()], &g[part.clone()], &mut m2[part.clone()], &mut v2[part]);
        }
        assert!(p == p2 && m == m2 && v == v2);
    }

    /// Beside the formula as the paper has it, in f64, also where the second moment is small.
    #[test]
    fn the_corrections_are_those_of_the_paper() {
        let (optimizer, t, rate) = (AdamW::default(), 3, 1e-2);
        for (g, m, v) in [(0.3, 0.1, 0.02), (1e-9, 1e-9, 1e-17), (0.0, 0.0, 0.0), (-5.0, 2.0, 9.0)] {
            let (mut p, mut m1, mut v1) = ([0.7_f32], [m as f32], [v as f32]);
            optimizer.step(&mut p, &[g as f32], &mut m1, &mut v1, t, rate);
            let (m, v) = (0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g);
            let (first, second) = (m / (1.0 - 0.9_f64.powi(3)), v / (1.0 - 0.999_f64.powi(3)));
            let expected = 0.7 * (1.0 - rate * 0.01) - rate * first / (second.sqrt() + 1e-8);
            assert!((f64::from(p[0]) - expected).abs() < 1e-7, "{} {expected}", p[0]);
        }
    }
}
