//! From a vector a token to one a text.

use candle_core::{Result, Tensor};

use super::bert::{Bert, Padded};
use crate::task::Pooling;

/// Pools the last hidden states of `batch`, [texts, length, width], to [texts, width]; none when the encoder lacks the
/// pooler that is asked for.
pub(super) fn pool(bert: &Bert, batch: &Padded, hidden: &Tensor, pooling: Pooling) -> Result<Option<Tensor>> {
    let first = || hidden.narrow(1, 0, 1)?.squeeze(1)?.contiguous();
    match (pooling, &bert.pooler) {
        (Pooling::Cls, _) => first().map(Some),
        (Pooling::Mean, _) => batch.mean.matmul(hidden)?.squeeze(1).map(Some),
        (Pooling::Pooler, Some(pooler)) => pooler.forward(&first()?)?.tanh().map(Some),
        (Pooling::Pooler, None) => Ok(None),
    }
}
