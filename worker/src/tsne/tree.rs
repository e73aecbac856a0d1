//! A quadtree over points in the plane, in the order of a walk through it: a cell, then all that is in it.

/// Bits of a coordinate in the order of the points.
const BITS: u32 = 31;

/// A cell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    /// Mean of its points.
    pub(super) centre: [f64; 2],
    /// How many there are.
    pub(super) count: f64,
    /// Square of its width; 0 when it is not divided.
    pub(super) squared_width: f64,
    /// The cell after all that are in it.
    pub(super) next: u32,
    /// Its points, in the tree's order.
    pub(super) first: u32,
    pub(super) end: u32,
}

/// A tree.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) cells: Vec<Cell>,
    /// The points in the order of the Morton curve, and their codes.
    order: Vec<(u64, u32)>,
    /// Place of each point in that order.
    pub(super) rank: Vec<u32>,
    side: f64,
}

impl Tree {
    /// Takes these points instead of those before.
    pub(super) fn build(&mut self, points: &[[f64; 2]]) {
        let mut low = [f64::INFINITY; 2];
        let mut high = [f64::NEG_INFINITY; 2];
        for point in points {
            for axis in 0..2 {
                low[axis] = low[axis].min(point[axis]);
                high[axis] = high[axis].max(point[axis]);
            }
        }
        let extent = (high[0] - low[0]).max(high[1] - low[1]);
        self.side = if extent > 0.0 { extent } else { 1.0 };
        let scale = f64::from((1_u32 << BITS) - 1) / self.side;
        let code = |point: &[f64; 2]| {
            let [x, y] = [0, 1].map(|axis| spread(((point[axis] - low[axis]) * scale) as u64));
            x | y << 1
        };
        self.order.clear();
        self.order.extend(points.iter().zip(0..).map(|(point, index)| (code(point), index)));
        self.order.sort_unstable();
        self.rank.resize(points.len(), 0);
        for (rank, &(_, point)) in (0..).zip(&self.order) {
            self.rank[point as usize] = rank;
        }
        self.cells.clear();
        if !points.is_empty() {
            self.divide(points, 0, points.len());
        }
    }

    /// The points in the tree's order: neighbours in it are near each other.
    pub(super) fn point(&self, rank: usize) -> usize {
        self.order[rank].1 as usize
    }

    /// Adds the smallest cell that has the points `first..end`, and those in it; returns the sum of the points.
    fn divide(&mut self, points: &[[f64; 2]], first: usize, end: usize) -> [f64; 2] {
        let at = self.cells.len();
        let (first_code, last_code) = (self.order[first].0, self.order[end - 1].0);
        let differ = first_code ^ last_code;
        let count = (end - first) as f64;
        let mut cell =
            Cell { centre: [0.0; 2], count, squared_width: 0.0, next: 0, first: first as u32, end: end as u32 };
        self.cells.push(cell);
        let mut sum = [0.0; 2];
        if differ == 0 {
            for &(_, point) in &self.order[first..end] {
                sum = added(sum, points[point as usize]);
            }
        } else {
            // The two bits in which the points of this cell differ first.
            let shift = (63 - differ.leading_zeros()) / 2 * 2;
            let width = self.side * 0.5_f64.powi((BITS - 1) as i32 - (shift / 2) as i32);
            cell.squared_width = width * width;
            let mut begin = first;
            while begin < end {
                let quadrant = self.order[begin].0 >> shift;
                let inside = self.order[begin..end].partition_point(|(code, _)| code >> shift == quadrant);
                sum = added(sum, self.divide(points, begin, begin + inside));
                begin += inside;
            }
        }
        cell.centre = sum.map(|value| value / count);
        cell.next = self.cells.len() as u32;
        self.cells[at] = cell;
        sum
    }
}

fn added(a: [f64; 2], b: [f64; 2]) -> [f64; 2] {
    [a[0] + b[0], a[1] + b[1]]
}

/// Puts a zero before every bit.
fn spread(value: u64) -> u64 {
    let mut x = value & 0xFFFF_FFFF;
    for (shift, mask) in [
        (16, 0x0000_FFFF_0000_FFFF),
        (8, 0x00FF_00FF_00FF_00FF),
        (4, 0x0F0F_0F0F_0F0F_0F0F),
        (2, 0x3333_3333_3333_3333),
        (1, 0x5555_5555_5555_5555),
    ] {
        x = (x | x << shift) & mask;
    }
    x
}
