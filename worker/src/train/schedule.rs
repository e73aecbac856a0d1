//! Learning rate schedules.

/// Linear rise over the first steps, then linear fall to zero, as `transformers.get_linear_schedule_with_warmup`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinearWarmup {
    total: u64,
    warmup: u64,
}

impl LinearWarmup {
    /// A schedule over `total_steps`, of which the share `warmup_share`, rounded down, are warm-up.
    pub fn new(total_steps: u64, warmup_share: f64) -> Self {
        Self { total: total_steps, warmup: (total_steps as f64 * warmup_share) as u64 }
    }

    /// Factor on the peak learning rate in step `step`, counted from 0. With warm-up the first step has factor 0.
    pub fn factor(&self, step: u64) -> f64 {
        if step < self.warmup {
            return step as f64 / self.warmup as f64;
        }
        let left = self.total.saturating_sub(step);
        left as f64 / self.total.saturating_sub(self.warmup).max(1) as f64
    }
}

/// Cosine annealing with warm restarts, as `torch.optim.lr_scheduler.CosineAnnealingWarmRestarts` with `T_mult = 1`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CosineRestarts {
    t0: u64,
    eta_min: f64,
    base: f64,
}

impl CosineRestarts {
    /// From `base` to `eta_min` over `t0` calls, again and again. A period of 0 is taken as 1.
    pub fn new(t0: u64, eta_min: f64, base: f64) -> Self {
        Self { t0: t0.max(1), eta_min, base }
    }

    /// Learning rate after `t` calls of PyTorch's `step()`.
    pub fn rate(&self, t: u64) -> f64 {
        let phase = (t % self.t0) as f64 / self.t0 as f64;
        self.eta_min + (self.base - self.eta_min) * (1.0 + libm::cos(std::f64::consts::PI * phase)) / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warm_up_rises_and_falls() {
        let schedule = LinearWarmup::new(100, 0.1);
        for (step, factor) in [(0, 0.0), (5, 0.5), (10, 1.0), (55, 0.5), (100, 0.0), (1000, 0.0)] {
            assert_eq!(schedule.factor(step), factor, "{step}");
        }
        assert_eq!(LinearWarmup::new(10, 0.0).factor(0), 1.0);
    }

    #[test]
    fn cosine_restarts() {
        let schedule = CosineRestarts::new(4, 0.1, 0.9);
        assert_eq!(schedule.rate(0), 0.9);
        assert!((schedule.rate(2) - 0.5).abs() < 1e-12);
        assert_eq!(schedule.rate(3), schedule.rate(7));
        assert_eq!(schedule.rate(4), 0.9);
    }
}
