//! scikit-learn's `train_test_split`.

use super::RandomState;
use crate::error::{Error, Result};

/// How large a part is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Size {
    /// A share of the samples, inside (0, 1): rounded up for the test part, down for the training part.
    Share(f64),
    /// A number of samples, at least one and below their number.
    Count(usize),
}

/// Which parts' sizes are given; the other part is the rest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sizes {
    /// `test_size`.
    Test(Size),
    /// `train_size`.
    Train(Size),
    /// Both. Samples may be left over.
    Both {
        /// `train_size`.
        train: Size,
        /// `test_size`.
        test: Size,
    },
}

/// Indices of the samples of both parts, each in the order drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainTest {
    /// The first list that scikit-learn returns.
    pub train: Vec<usize>,
    /// The second.
    pub test: Vec<usize>,
}

/// Reproduces `sklearn.model_selection.train_test_split(range(n), test_size=..., train_size=..., random_state=seed)`
/// with shuffling and without strata: of one permutation, the first indices are the test part and the next the training
/// part.
///
/// # Errors
/// [`Error::Input`] where scikit-learn raises `ValueError`: a share outside (0, 1), a count of 0 or of all samples,
/// parts that are together larger than `n`, an empty training part.
pub fn train_test_split(n: usize, sizes: Sizes, seed: u32) -> Result<TrainTest> {
    let (train, test) = counts(n, sizes)?;
    let mut order = RandomState::new(seed).permutation(n);
    order.truncate(test + train);
    let train = order.split_off(test);
    Ok(TrainTest { train, test: order })
}

/// Samples in the training and in the test part.
fn counts(n: usize, sizes: Sizes) -> Result<(usize, usize)> {
    let (train, test) = match sizes {
        Sizes::Test(size) => {
            let test = count("test", size, n, f64::ceil)?;
            (n.saturating_sub(test), test)
        }
        Sizes::Train(size) => {
            let train = count("train", size, n, f64::floor)?;
            (train, n.saturating_sub(train))
        }
        Sizes::Both { train, test } => {
            if let (Size::Share(train), Size::Share(test)) = (train, test)
                && train + test > 1.0
            {
                return Err(Error::input(format!("train and test shares of {train} and {test} are together above 1")));
            }
            (count("train", train, n, f64::floor)?, count("test", test, n, f64::ceil)?)
        }
    };
    if train.saturating_add(test) > n {
        return Err(Error::input(format!("{train} samples to train and {test} to test are more than {n}")));
    }
    if train == 0 {
        return Err(Error::input(format!("no sample of {n} is left to train, {test} are to test")));
    }
    Ok((train, test))
}

/// Samples in the part called `part`.
fn count(part: &str, size: Size, n: usize, round: fn(f64) -> f64) -> Result<usize> {
    match size {
        Size::Share(share) if share > 0.0 && share < 1.0 => Ok(round(share * n as f64) as usize),
        Size::Share(share) => Err(Error::input(format!("a {part} share of {share} is not inside (0, 1)"))),
        Size::Count(count) if count > 0 && count < n => Ok(count),
        Size::Count(count) => Err(Error::input(format!("{part} takes {count} of {n} samples, not one of 1..{n}"))),
    }
}
