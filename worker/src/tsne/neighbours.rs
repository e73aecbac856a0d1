//! Exact nearest neighbours, and what else one pass over all pairs of points tells.

use std::ops::ControlFlow;

use super::share::fill;

/// Rows between two looks at whether to stop.
const BLOCK: usize = 128;
/// Sums that run side by side in a distance.
const LANES: usize = 16;

/// Points, row by row.
#[derive(Clone, Copy, Debug)]
pub struct Points<'a> {
    /// [count, width].
    values: &'a [f32],
    width: usize,
}

impl<'a> Points<'a> {
    /// Row-major [count, width].
    ///
    /// # Panics
    /// When the values do not fill whole rows.
    pub fn new(values: &'a [f32], width: usize) -> Self {
        assert!(width > 0 && values.len().is_multiple_of(width), "points of width {width} do not fill whole rows");
        Self { values, width }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.values.len() / self.width
    }

    /// Values of each.
    pub fn width(&self) -> usize {
        self.width
    }

    /// One of them.
    pub fn row(&self, at: usize) -> &'a [f32] {
        &self.values[at * self.width..(at + 1) * self.width]
    }
}

/// The nearest neighbours of each point, itself left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbours {
    /// How many of each.
    pub k: usize,
    /// [count, k], nearest first; of equally near ones the first.
    pub indices: Vec<u32>,
    /// Squared Euclidean distances of the same.
    pub squared: Vec<f32>,
    /// Sum of the distances of each point to the points of each class, [count, classes].
    pub class_distances: Vec<f64>,
}

/// Looks at all pairs of points: the `k` nearest neighbours of each, and its distances to the classes. `go_on` is asked now and then.
/// Nothing when it breaks off.
///
/// # Panics
/// When there are not more than `k` points, or not a class for each.
pub fn scan(
    points: Points<'_>,
    k: usize,
    class_of: &[u32],
    classes: usize,
    threads: usize,
    go_on: &mut dyn FnMut() -> ControlFlow<()>,
) -> Option<Neighbours> {
    let count = points.count();
    assert!(count > k && class_of.len() == count, "{count} points have no {k} neighbours or not a class each");
    let mut rows: Vec<Row> = vec![Row::default(); count];
    for (block, out) in rows.chunks_mut(BLOCK).enumerate() {
        if go_on().is_break() {
            return None;
        }
        fill(out, 1, threads, |i, row| row[0] = Row::of(points, block * BLOCK + i, k, class_of, classes));
    }
    let mut found = Neighbours {
        k,
        indices: Vec::with_capacity(count * k),
        squared: Vec::with_capacity(count * k),
        class_distances: Vec::with_capacity(count * classes),
    };
    for row in rows {
        found.indices.extend(row.nearest.iter().map(|(_, index)| index));
        found.squared.extend(row.nearest.iter().map(|(squared, _)| squared));
        found.class_distances.extend(row.class_distances);
    }
    Some(found)
}

/// What is known of one point.
#[derive(Clone, Default)]
struct Row {
    nearest: Vec<(f32, u32)>,
    class_distances: Vec<f64>,
}

impl Row {
    fn of(points: Points<'_>, at: usize, k: usize, class_of: &[u32], classes: usize) -> Self {
        let own = points.row(at);
        let mut class_distances = vec![0.0; classes];
        let mut others = Vec::with_capacity(points.count());
        for other in (0..points.count()).filter(|&other| other != at) {
            let squared = squared_distance(own, points.row(other));
            class_distances[class_of[other] as usize] += f64::from(squared).sqrt();
            others.push((squared, other as u32));
        }
        let order = |a: &(f32, u32), b: &(f32, u32)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        if k < others.len() {
            others.select_nth_unstable_by(k, order);
            others.truncate(k);
        }
        others.sort_unstable_by(order);
        others.shrink_to_fit();
        Self { nearest: others, class_distances }
    }
}

/// Squared Euclidean distance. The order of the sum is fixed, and so are its bits on every processor.
fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a_chunks.remainder().iter().zip(b_chunks.remainder());
    let rest: f32 = rest.map(|(x, y)| (x - y) * (x - y)).sum();
    for (x, y) in a_chunks.zip(b_chunks) {
        for lane in 0..LANES {
            let difference = x[lane] - y[lane];
            sums[lane] += difference * difference;
        }
    }
    sums.iter().sum::<f32>() + rest
}
