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

    /// With a little room around it.
    fn widened(&self) -> Self {
        Self(self.0 - 1.0, self.1 - 0.5, self.2 + 1.0, self.3 + 0.5)
    }

    /// Whether a line ends in it or goes through it.
    fn is_crossed(&self, line: Segment) -> bool {
        let inside = |(x, y): Place| self.0 < x && x < self.2 && self.1 < y && y < self.3;
        let Self(left, top, right, bottom) = *self;
        // Most lines are far away.
        let [(ax, ay), (bx, by)] = line;
        if ax.max(bx) <= left || ax.min(bx) >= right || ay.max(by) <= top || ay.min(by) >= bottom {
            return false;
        }
        let diagonals = [[(left, top), (right, bottom)], [(left, bottom), (right, top)]];
        line.into_iter().any(inside) || diagonals.into_iter().any(|diagonal| cross(line, diagonal))
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

/// A line, from end to end.
pub(super) type Segment = [Place; 2];

/// Where a label stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Label {
    pub(super) rect: Rect,
    /// The line from its point to it, where it stands apart.
    pub(super) leader: Option<Segment>,
}

/// What is bad about a place, in points of distance that would be as bad.
mod cost {
    /// A label over the edge, each point of it.
    pub(super) const OUTSIDE: f64 = 200.0;
    /// A label on another one, on a point, or on what is taken.
    pub(super) const COVERS: f64 = 400.0;
    /// A leader through a label, through another point, over another leader, over what is taken.
    pub(super) const THROUGH_LABEL: f64 = 300.0;
    pub(super) const THROUGH_POINT: f64 = 300.0;
    pub(super) const THROUGH_LEADER: f64 = 200.0;
    pub(super) const THROUGH_TAKEN: f64 = 25.0;
}

/// Rounds in which every label may move, at most.
const ROUNDS: usize = 12;
/// Further orders in which labels are put, at most.
const STRIDES: usize = 6;
/// A label that is farther from its point has a leader, so that nobody has to guess.
const NEAR: f64 = 2.6;

/// Where each label stands, in the order of `wanted`; none for a point without a label. Labels are put one after the other, in several orders,
/// and then move in turn to where they are least in the way, until none does; the best of these is taken. Where there is no room, a label
/// stands where it covers least.
pub(super) fn place(wanted: &[Wanted], bounds: Rect, taken: &[Rect]) -> Vec<Option<Label>> {
    let named: Vec<usize> = (0..wanted.len()).filter(|at| wanted[*at].width > 0.0).collect();
    let choices: Vec<Vec<(Label, f64)>> = wanted.iter().map(|label| choices(label, bounds)).collect();
    // What does not depend on other labels.
    let fixed: Vec<Vec<f64>> = (0..wanted.len())
        .map(|at| choices[at].iter().map(|(label, far)| far + alone(wanted, at, label, bounds, taken)).collect())
        .collect();
    let mut sideways = named.clone();
    sideways.sort_by(|a, b| wanted[*a].at.0.total_cmp(&wanted[*b].at.0));
    let mut downwards = named.clone();
    downwards.sort_by(|a, b| wanted[*a].at.1.total_cmp(&wanted[*b].at.1));
    let reversed = |order: &[usize]| order.iter().rev().copied().collect::<Vec<_>>();
    let mut orders =
        vec![named.clone(), reversed(&named), reversed(&sideways), sideways, reversed(&downwards), downwards];
    // And some in which neighbours in none of these follow each other.
    for stride in (2..named.len()).take(STRIDES) {
        orders.push((0..stride).flat_map(|first| named.iter().skip(first).step_by(stride).copied()).collect());
    }
    let solved = orders.iter().map(|order| settle(order, wanted.len(), &choices, &fixed));
    let best = solved.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(placed, _)| placed).unwrap_or_default();
    best.into_iter().enumerate().map(|(at, choice)| choice.map(|choice| choices[at][choice].0)).collect()
}

/// Which choice each label takes when they move in this order, and what all of it costs.
fn settle(
    order: &[usize],
    count: usize,
    choices: &[Vec<(Label, f64)>],
    fixed: &[Vec<f64>],
) -> (Vec<Option<usize>>, f64) {
    let mut placed: Vec<Option<usize>> = vec![None; count];
    let costs = |placed: &[Option<usize>], at: usize, choice: usize| {
        let others = order.iter().filter(|other| **other != at);
        let others = others.filter_map(|other| placed[*other].map(|choice| &choices[*other][choice].0));
        fixed[at][choice] + others.map(|other| between(&choices[at][choice].0, other)).sum::<f64>()
    };
    for _ in 0..ROUNDS {
        let before = placed.clone();
        for &at in order {
            let mut best: Option<(usize, f64)> = None;
            for (choice, alone) in fixed[at].iter().enumerate() {
                let least = best.map_or(f64::INFINITY, |(_, cost)| cost);
                // Others only add to what it costs by itself.
                if *alone < least {
                    let cost = costs(&placed, at, choice);
                    best = if cost < least { Some((choice, cost)) } else { best };
                }
            }
            placed[at] = best.map(|(choice, _)| choice);
        }
        if placed == before {
            break;
        }
    }
    let total = order.iter().filter_map(|at| placed[*at].map(|choice| costs(&placed, *at, choice))).sum();
    (placed, total)
}

/// What a place costs for itself.
fn alone(wanted: &[Wanted], at: usize, label: &Label, bounds: Rect, taken: &[Rect]) -> f64 {
    let wide = label.rect.widened();
    let mut sum = cost::OUTSIDE * label.rect.outside(&bounds);
    for (other, point) in wanted.iter().enumerate() {
        let ((x, y), r) = (point.at, point.radius);
        sum += covering(wide.overlap(&Rect(x - r, y - r, x + r, y + r)));
        let crossed = label.leader.is_some_and(|leader| other != at && distance(leader, point.at) < r + 0.4);
        sum += if crossed { cost::THROUGH_POINT } else { 0.0 };
    }
    for rect in taken {
        sum += covering(wide.overlap(rect));
        sum += if label.leader.is_some_and(|leader| rect.is_crossed(leader)) { cost::THROUGH_TAKEN } else { 0.0 };
    }
    sum
}

/// What two labels cost beside each other.
fn between(a: &Label, b: &Label) -> f64 {
    let through = |leader: Option<Segment>, rect: &Rect| leader.is_some_and(|leader| rect.widened().is_crossed(leader));
    let labels =
        [through(a.leader, &b.rect), through(b.leader, &a.rect)].into_iter().filter(|through| *through).count();
    let leaders = a.leader.zip(b.leader).is_some_and(|(a, b)| cross(a, b));
    covering(a.rect.widened().overlap(&b.rect))
        + cost::THROUGH_LABEL * labels as f64
        + if leaders { cost::THROUGH_LEADER } else { 0.0 }
}

fn covering(area: f64) -> f64 {
    if area < 0.5 { 0.0 } else { cost::COVERS + area }
}

/// Where a label may stand, and how little that is liked: beside its point first, then above and below, and farther away.
fn choices(label: &Wanted, bounds: Rect) -> Vec<(Label, f64)> {
    const SIDES: [(f64, f64); 16] = [
        (1.0, 0.0),
        (-1.0, 0.0),
        (0.0, -1.0),
        (0.0, 1.0),
        (1.0, -1.0),
        (-1.0, -1.0),
        (1.0, 1.0),
        (-1.0, 1.0),
        (0.5, -1.0),
        (-0.5, -1.0),
        (0.5, 1.0),
        (-0.5, 1.0),
        (-1.0, 0.5),
        (-1.0, -0.5),
        (1.0, 0.5),
        (1.0, -0.5),
    ];
    const AWAY: [f64; 12] = [1.5, 4.5, 8.0, 12.0, 17.0, 23.0, 30.0, 38.0, 46.0, 55.0, 66.0, 80.0];
    if label.width == 0.0 {
        return Vec::new();
    }
    let ((x, y), (w, h)) = (label.at, (label.width, label.height));
    let mut all = Vec::with_capacity(2 * SIDES.len() * AWAY.len());
    for gap in AWAY {
        for (side, (dx, dy)) in SIDES.into_iter().enumerate() {
            let reach = label.radius + gap;
            let slant = if dx != 0.0 && dy != 0.0 { 0.7 } else { 1.0 };
            let left = x + dx * reach * slant - w * (1.0 - dx) / 2.0;
            let top = y + dy * reach * slant - h * (1.0 - dy) / 2.0;
            // Also moved to where it is within the bounds.
            let within = left.min(bounds.2 - w).max(bounds.0);
            for left in [Some(left), Some(within).filter(|within| *within != left)].into_iter().flatten() {
                let rect = Rect(left, top, left + w, top + h);
                all.push((Label { rect, leader: leader(label, rect) }, gap + 0.8 * side as f64));
            }
        }
    }
    all
}

/// From the edge of a point to the nearest place of its label.
fn leader(label: &Wanted, Rect(left, top, right, bottom): Rect) -> Option<Segment> {
    let (x, y) = label.at;
    let near = (x.clamp(left, right), y.clamp(top, bottom));
    let (dx, dy) = (near.0 - x, near.1 - y);
    let length = (dx * dx + dy * dy).sqrt();
    let from = (x + dx / length * label.radius, y + dy / length * label.radius);
    (length > label.radius + NEAR).then_some([from, near])
}

/// How far a place is from a line.
fn distance([(ax, ay), (bx, by)]: Segment, (x, y): Place) -> f64 {
    let (dx, dy) = (bx - ax, by - ay);
    let squared = dx * dx + dy * dy;
    let along = if squared > 0.0 { (((x - ax) * dx + (y - ay) * dy) / squared).clamp(0.0, 1.0) } else { 0.0 };
    ((ax + along * dx - x).powi(2) + (ay + along * dy - y).powi(2)).sqrt()
}

/// Whether two lines cross.
fn cross([a, b]: Segment, [c, d]: Segment) -> bool {
    let side = |(ax, ay): Place, (bx, by): Place, (x, y): Place| (bx - ax) * (y - ay) - (by - ay) * (x - ax);
    side(a, b, c) * side(a, b, d) < 0.0 && side(c, d, a) * side(c, d, b) < 0.0
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
        let placed: Vec<Label> = place(&wanted, bounds, &[]).into_iter().flatten().collect();
        assert_eq!(placed.len(), 6);
        for (i, label) in placed.iter().enumerate() {
            assert!(label.rect.outside(&bounds) == 0.0);
            assert!(placed[..i].iter().all(|other| between(label, other) == 0.0), "{placed:?}");
        }
        // A point may be only in the way.
        assert_eq!(place(&[Wanted { width: 0.0, ..wanted[0] }], bounds, &[]), [None]);
    }

    #[test]
    fn leaders_cross_neither_labels_nor_each_other() {
        // A heap of points: no label has room beside its own.
        let wanted: Vec<Wanted> = (0..9)
            .map(|i| Wanted {
                at: (58.0 + f64::from(i % 3) * 6.0, 55.0 + f64::from(i / 3) * 6.0),
                radius: 2.5,
                width: 28.0,
                height: 7.6,
            })
            .collect();
        let bounds = Rect(0.0, 0.0, 130.0, 120.0);
        let placed = place(&wanted, bounds, &[]);
        let labels: Vec<&Label> = placed.iter().flatten().collect();
        assert!(labels.iter().filter(|label| label.leader.is_some()).count() > 3, "{labels:?}");
        for (i, label) in labels.iter().enumerate() {
            assert!(labels[..i].iter().all(|other| between(label, other) == 0.0), "{labels:?}");
            assert!(label.rect.outside(&bounds) == 0.0, "{labels:?}");
        }
        assert!(cross([(0.0, 0.0), (2.0, 2.0)], [(0.0, 2.0), (2.0, 0.0)]));
        assert!(!cross([(0.0, 0.0), (1.0, 1.0)], [(3.0, 0.0), (3.0, 4.0)]));
        assert!(Rect(0.0, 0.0, 10.0, 2.0).is_crossed([(-1.0, 1.0), (11.0, 1.0)]));
        assert!(!Rect(0.0, 0.0, 10.0, 2.0).is_crossed([(-1.0, 3.0), (11.0, 3.0)]));
    }
}
