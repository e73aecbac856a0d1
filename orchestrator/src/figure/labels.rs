//! Where labels stand so that they do not cover each other.

use super::svg::Place;

/// A rectangle: left, top, right, bottom.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rect(pub(super) f64, pub(super) f64, pub(super) f64, pub(super) f64);

impl Rect {
    fn overlap(&self, other: &Self) -> f64 {
        let across = self.2.min(other.2) - self.0.max(other.0);
        let down = self.3.min(other.3) - self.1.max(other.1);
        if across > 0.0 && down > 0.0 { across * down } else { 0.0 }
    }

    fn outside(&self, bounds: &Self) -> f64 {
        let over = [bounds.0 - self.0, bounds.1 - self.1, self.2 - bounds.2, self.3 - bounds.3];
        over.into_iter().map(|by| by.max(0.0)).sum()
    }
}

/// Places along a line that are at least `apart` from each other, in the order of `wanted` and as near to it as can be; within `low` and
/// `high` if there is room.
pub(super) fn spread(wanted: &[f64], apart: f64, low: f64, high: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&a, &b| wanted[a].total_cmp(&wanted[b]));
    // Neighbours that would touch become one block around their mean.
    let mut blocks: Vec<(f64, usize)> = Vec::new();
    let span = |count: usize| apart * (count.saturating_sub(1)) as f64;
    for &at in &order {
        let mut block = (wanted[at], 1);
        while let Some(&(centre, count)) = blocks.last() {
            if block.0 - span(block.1) / 2.0 - (centre + span(count) / 2.0) >= apart {
                break;
            }
            blocks.pop();
            let all = block.1 + count;
            let centre = (block.0 * block.1 as f64 + centre * count as f64) / all as f64;
            block = (within(centre, span(all), low, high), all);
        }
        block.0 = within(block.0, span(block.1), low, high);
        blocks.push(block);
    }
    let mut places = vec![0.0; wanted.len()];
    let mut order = order.into_iter();
    for (centre, count) in blocks {
        for (i, at) in order.by_ref().take(count).enumerate() {
            places[at] = centre - span(count) / 2.0 + apart * i as f64;
        }
    }
    places
}

fn within(centre: f64, span: f64, low: f64, high: f64) -> f64 {
    let (least, most) = (low + span / 2.0, high - span / 2.0);
    if least > most { (low + high) / 2.0 } else { centre.clamp(least, most) }
}

/// A point that wants a label.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) at: Place,
    /// Radius of the point.
    pub(super) radius: f64,
    /// Size of the label; 0 wide: the point is only in the way.
    pub(super) width: f64,
    pub(super) height: f64,
}

/// The rectangle of each label, in the order of `wanted`, which is that of their weight; where there is no room, it stands where it covers
/// least. None for a point without a label.
pub(super) fn place(wanted: &[Wanted], bounds: Rect, taken: &[Rect]) -> Vec<Option<Rect>> {
    let point = |wanted: &Wanted| {
        let ((x, y), r) = (wanted.at, wanted.radius);
        Rect(x - r, y - r, x + r, y + r)
    };
    let points: Vec<Rect> = wanted.iter().map(point).collect();
    let mut placed: Vec<Option<Rect>> = Vec::with_capacity(wanted.len());
    for label in wanted {
        if label.width == 0.0 {
            placed.push(None);
            continue;
        }
        let judged = candidates(label).map(|(rect, far)| {
            let wide = Rect(rect.0 - 1.0, rect.1 - 0.5, rect.2 + 1.0, rect.3 + 0.5);
            let covered: f64 = points.iter().chain(placed.iter().flatten()).chain(taken).map(|o| wide.overlap(o)).sum();
            // Over the edge it may stand on the next panel.
            let covered = covered + 10.0 * rect.outside(&bounds);
            // A line to it that crosses another point would seem to be that one's.
            let crossed = wanted.iter().any(|other| other.at != label.at && crosses(label, rect, other));
            let covers = if covered < 0.5 { 0.0 } else { 1000.0 + covered };
            (rect, covers + if crossed { 60.0 } else { 0.0 } + far)
        });
        placed.push(judged.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(rect, _)| rect));
    }
    placed
}

/// Whether the line from a point to its label goes through another point.
fn crosses(label: &Wanted, rect: Rect, other: &Wanted) -> bool {
    let (x, y) = label.at;
    let (to_x, to_y) = (x.clamp(rect.0, rect.2), y.clamp(rect.1, rect.3));
    let (dx, dy) = (to_x - x, to_y - y);
    let squared = dx * dx + dy * dy;
    if squared <= (label.radius + 2.0) * (label.radius + 2.0) {
        return false;
    }
    let along = (((other.at.0 - x) * dx + (other.at.1 - y) * dy) / squared).clamp(0.0, 1.0);
    let (off_x, off_y) = (x + along * dx - other.at.0, y + along * dy - other.at.1);
    off_x * off_x + off_y * off_y < other.radius * other.radius
}

/// Where a label may stand, and how little that is liked.
fn candidates(label: &Wanted) -> impl Iterator<Item = (Rect, f64)> + '_ {
    let (x, y) = label.at;
    let (w, h) = (label.width, label.height);
    // Beside the point first, then above and below, and further away.
    let sides = [(1.0, 0.0), (-1.0, 0.0), (0.0, -1.0), (0.0, 1.0), (1.0, -1.0), (-1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)];
    let away = [1.5, 5.0, 9.0, 14.0, 20.0, 28.0, 38.0, 50.0];
    away.into_iter().enumerate().flat_map(move |(step, gap)| {
        sides.into_iter().enumerate().map(move |(side, (dx, dy))| {
            let reach = label.radius + gap;
            let slant = if dx != 0.0 && dy != 0.0 { 0.7 } else { 1.0 };
            let left = x + dx * reach * slant - w * (1.0 - dx) / 2.0;
            let top = y + dy * reach * slant - h * (1.0 - dy) / 2.0;
            (Rect(left, top, left + w, top + h), (step * 10 + side) as f64)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_in_a_row_keep_apart_and_in_order() {
        let places = spread(&[10.0, 11.0, 50.0, 10.5, 99.0], 8.0, 0.0, 100.0);
        assert_eq!(places.iter().map(|place| place.round()).collect::<Vec<_>>(), [3.0, 19.0, 50.0, 11.0, 99.0]);
        assert_eq!(spread(&[0.0, 0.0], 10.0, 0.0, 100.0), [0.0, 10.0]);
        assert_eq!(spread(&[100.0, 100.0], 10.0, 0.0, 100.0), [90.0, 100.0]);
        assert!(spread(&[], 1.0, 0.0, 1.0).is_empty());
    }

    #[test]
    fn labels_cover_neither_points_nor_each_other() {
        let wanted: Vec<Wanted> = (0..6)
            .map(|i| Wanted { at: (50.0 + f64::from(i) * 4.0, 50.0), radius: 2.0, width: 30.0, height: 7.0 })
            .collect();
        let bounds = Rect(0.0, 0.0, 120.0, 100.0);
        let placed: Vec<Rect> = place(&wanted, bounds, &[]).into_iter().flatten().collect();
        assert_eq!(placed.len(), 6);
        for (i, rect) in placed.iter().enumerate() {
            assert!(rect.outside(&bounds) == 0.0);
            assert!(placed[..i].iter().all(|other| rect.overlap(other) < 0.5), "{placed:?}");
        }
        // A point may be only in the way.
        assert_eq!(place(&[Wanted { width: 0.0, ..wanted[0] }], bounds, &[]), [None]);
    }
}
