//! Splits as published: what NumPy, scikit-learn and pandas draw, draw for draw, so that lists of ids can be
//! reproduced.
//!
//! Only for reproducing the results of others. The program's own choices come from [`crate::random`].

mod published;
mod random_state;
mod sample;
mod train_test;

pub use published::{
    COVIDX, COVIDX_TEST, Counts, CovidxCounts, RSNA_CLASSIFICATION, RSNA_SEGMENTATION, SIIM, SiimCounts, ThreeWay,
    Unit, balance, covidx, fraction, rsna_classification, rsna_segmentation, siim, siim_rows, three_way,
};
pub use random_state::RandomState;
pub use sample::{Amount, sample};
pub use train_test::{Size, Sizes, TrainTest, train_test_split};
