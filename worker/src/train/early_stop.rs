//! Which epoch was best, and whether to go on.

use crate::{checkpoint::State, error::Result};

/// Watches a validation score that should rise (negate a loss).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct EarlyStop {
    patience: Option<u32>,
    min_delta: f64,
    pub(super) best: f64,
    pub(super) best_epoch: u32,
    bad_epochs: u32,
}

impl EarlyStop {
    pub(super) fn new(patience: Option<u32>, min_delta: f64) -> Self {
        Self { patience, min_delta, best: f64::NEG_INFINITY, best_epoch: 0, bad_epochs: 0 }
    }

    /// Takes the score after `epoch`; true when it is the best so far.
    pub(super) fn improved(&mut self, epoch: u32, score: f64) -> bool {
        if score > self.best + self.min_delta {
            (self.best, self.best_epoch, self.bad_epochs) = (score, epoch, 0);
            return true;
        }
        self.bad_epochs += 1;
        false
    }

    pub(super) fn is_over(&self) -> bool {
        self.patience.is_some_and(|patience| self.bad_epochs >= patience)
    }

    pub(super) fn numbers(&self) -> [(&'static str, u64); 3] {
        [
            ("best", self.best.to_bits()),
            ("best_epoch", u64::from(self.best_epoch)),
            ("bad_epochs", u64::from(self.bad_epochs)),
        ]
    }

    pub(super) fn restore(&mut self, state: &State) -> Result<()> {
        self.best = f64::from_bits(state.number("best")?);
        self.best_epoch = state.number("best_epoch")? as u32;
        self.bad_epochs = state.number("bad_epochs")? as u32;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_after_its_patience() {
        let mut stop = EarlyStop::new(Some(2), 0.1);
        let scores = [1.0, 1.05, 1.2, 1.25, 1.3];
        let improved: Vec<bool> = (0..).zip(scores).map(|(epoch, score)| stop.improved(epoch, score)).collect();
        assert_eq!(improved, [true, false, true, false, false]);
        assert!(stop.is_over());
        assert_eq!((stop.best, stop.best_epoch), (1.2, 2));
        let mut never = EarlyStop::new(None, 0.0);
        (0..100).for_each(|epoch| assert!(!never.improved(epoch, f64::NEG_INFINITY)));
        assert!(!never.is_over());
    }
}
