//! t-SNE in two dimensions (van der Maaten and Hinton, "Visualizing data using t-SNE", JMLR 9, 2008) by the algorithm of Barnes and Hut
//! (van der Maaten, "Accelerating t-SNE using tree-based algorithms", JMLR 15, 2014), and how separable classes are.
//!
//! The defaults are scikit-learn's: a start from the principal components, exaggeration 12 for 250 iterations, and the learning
//! rate of Belkina et al. (Nature Communications 10, 2019). The result is a function of the points and the settings: sums run in a fixed
//! order, whatever the number of threads.

mod affinities;
mod forces;
mod layout;
mod neighbours;
mod pca;
mod separability;
mod share;
#[cfg(test)]
mod tests;
mod tree;

pub use affinities::{Affinities, neighbours_wanted};
pub use forces::{divergence, gradient};
pub use layout::{ITERATIONS, Layout, Settings, THETA, layout};
pub use neighbours::{Neighbours, Points, scan};
pub use separability::{KNN, Separability};
