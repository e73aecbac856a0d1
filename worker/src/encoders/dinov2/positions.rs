//! Positions of patches in images of another size than the trained one: bicubic interpolation, as PyTorch does it with
//! `align_corners=False` and without antialiasing.

use serde::{Deserialize, Serialize};

/// How many trained positions a step from one patch to the next is. The two differ slightly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interpolation {
    /// Trained over new number of patches, as `transformers` has it.
    #[default]
    Size,
    /// 0.1 patches are added to the new number, as in the original hub's models.
    ScaleFactor,
}

/// Trained positions of a square of patches.
pub(super) struct Positions {
    /// Patches of a side.
    side: usize,
    /// [side, side, width].
    values: Vec<f32>,
}

impl Positions {
    /// `values` are [side, side, width].
    pub(super) fn new(side: usize, values: Vec<f32>) -> Self {
        Self { side, values }
    }

    /// Positions of `size` patches, rows and columns: [rows, columns, width].
    pub(super) fn at(&self, size: (usize, usize), interpolation: Interpolation) -> Vec<f32> {
        let (rows, columns) = size;
        if rows == self.side && columns == self.side {
            return self.values.clone();
        }
        let width = self.values.len() / (self.side * self.side);
        let taps = |new: usize| -> Vec<[(usize, f64); 4]> {
            let added = if interpolation == Interpolation::ScaleFactor { 0.1 } else { 0.0 };
            let step = self.side as f64 / (new as f64 + added);
            (0..new).map(|i| taps((i as f64 + 0.5) * step - 0.5, self.side)).collect()
        };
        let (down, across) = (taps(rows), taps(columns));
        let mut values = Vec::with_capacity(rows * columns * width);
        let mut sum = vec![0.0; width];
        for down in &down {
            for across in &across {
                sum.fill(0.0);
                for (row, by_row) in down {
                    for (column, by_column) in across {
                        let from = &self.values[(row * self.side + column) * width..][..width];
                        let by = by_row * by_column;
                        sum.iter_mut().zip(from).for_each(|(sum, from)| *sum += by * f64::from(*from));
                    }
                }
                values.extend(sum.iter().map(|sum| *sum as f32));
            }
        }
        values
    }
}

/// The four of `count` values around `at`, and what each is multiplied by (Keys, 1981, with a = -0.75). Beyond the ends stand
/// the ends' values.
fn taps(at: f64, count: usize) -> [(usize, f64); 4] {
    const A: f64 = -0.75;
    let near = |x: f64| ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
    let far = |x: f64| ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A;
    let t = at - at.floor();
    let tap = |offset: f64, by: f64| ((at.floor() + offset).clamp(0.0, (count - 1) as f64) as usize, by);
    [tap(-1.0, far(t + 1.0)), tap(0.0, near(t)), tap(1.0, near(1.0 - t)), tap(2.0, far(2.0 - t))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_sum_to_one_and_stop_at_the_ends() {
        for at in [-0.4, 0.0, 0.25, 2.5, 4.0, 4.49] {
            let taps = taps(at, 5);
            assert!((taps.iter().map(|tap| tap.1).sum::<f64>() - 1.0).abs() < 1e-12, "{at}: {taps:?}");
            assert!(taps.iter().all(|tap| tap.0 < 5));
        }
        assert_eq!(taps(2.0, 5).map(|tap| tap.1), [0.0, 1.0, 0.0, 0.0]);
        assert_eq!(taps(-0.4, 5).map(|tap| tap.0), [0, 0, 0, 1]);
    }

    #[test]
    fn the_trained_size_is_left_as_it_is() {
        let values: Vec<f32> = (0..18).map(|i| i as f32).collect();
        for interpolation in [Interpolation::Size, Interpolation::ScaleFactor] {
            let positions = Positions::new(3, values.clone());
            assert_eq!(positions.at((3, 3), interpolation), values);
            assert_eq!(positions.at((2, 5), interpolation).len(), 20);
        }
    }
}
