//! Images in the plane, before and after the Adaptor, by class (paper, Fig. 3).

use std::collections::BTreeMap;

use plotters::{
    coord::ranged1d::Ranged,
    element::PathElement,
    style::{Color, text_anchor::HPos},
};
use serde_json::{Value, json};

use super::{
    axis::{Axis, number},
    data::Data,
    error::{FigureError, data},
    panel::Panel,
    style::{self, AXIS_PT, Palette, TICK_PT, TITLE_PT},
    svg::{Area, Drawn, MARGIN, PT_PER_MM, Svg, legend, stroke, write},
    text,
};

/// Between panels, and around what is in one, in points.
const BETWEEN: f64 = 7.0;
const INSET: f64 = 6.0;
/// Height of a panel, at most.
const MOST_HEIGHT: f64 = 178.0;
/// Two projections side by side need that width.
const TWO_WIDE: f64 = 340.0;
/// From one line below a panel to the next.
const NOTE: f64 = TICK_PT + 2.2;
/// How much a point covers what lies below.
const OPAQUE: f64 = 0.65;
/// The panels of a projection.
const WHENS: [&str; 2] = ["before", "after"];
/// Classes that can be told apart.
const CLASSES: usize = 7;

/// One projection.
#[derive(Clone, Debug)]
pub(super) struct Projection {
    /// What tells it from others; empty: there is one.
    pub(super) name: String,
    /// Its results by name.
    pub(super) values: BTreeMap<String, f64>,
    pub(super) images: Vec<PlacedImage>,
}

/// An image in the plane.
#[derive(Clone, Debug)]
pub(super) struct PlacedImage {
    pub(super) id: String,
    pub(super) class: String,
    pub(super) before: [f64; 2],
    pub(super) after: [f64; 2],
}

/// Reads the artifact of a projection.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<PlacedImage>, String> {
    let mut table = csv::Reader::from_reader(bytes);
    let heading: Vec<String> = table.headers().map_err(|error| error.to_string())?.iter().map(str::to_owned).collect();
    if heading != permafrost_worker::train::project::COLUMNS {
        return Err(format!("its columns are {}", heading.join(", ")));
    }
    let mut images = Vec::new();
    for row in table.records() {
        let row = row.map_err(|error| error.to_string())?;
        let number = |at: usize| row[at].parse::<f64>().ok().filter(|value| value.is_finite());
        let places = [2, 3, 4, 5].map(number);
        let [Some(a), Some(b), Some(c), Some(d)] = places else {
            return Err(format!("line {} has a place that is no number", images.len() + 2));
        };
        images.push(PlacedImage { id: row[0].to_owned(), class: row[1].to_owned(), before: [a, b], after: [c, d] });
    }
    Ok(images)
}

/// Draws projections, of which each has a panel before and one after.
pub(super) fn draw(
    projections: &[Projection],
    label: &str,
    title: Option<&str>,
    width_mm: f64,
    palette: &Palette,
) -> Result<(Svg, Data), FigureError> {
    let mut classes: Vec<&str> = Vec::new();
    for image in projections.iter().flat_map(|projection| &projection.images) {
        if !classes.contains(&image.class.as_str()) {
            classes.push(&image.class);
        }
    }
    classes.sort_unstable();
    // What is usual comes first.
    classes.sort_by_key(|class| !(class.starts_with("no ") || *class == "normal" || *class == "negative"));
    if classes.len() > CLASSES {
        let what = format!("{} classes cannot be told apart by colour, at most {CLASSES} can", classes.len());
        return Err(data(what, "project a label `COLUMN=CLASS`, one class against the rest"));
    }
    let mut table = Data::new(["projection", "image", "class", "before_x", "before_y", "after_x", "after_y"]);
    for projection in projections {
        table.rows.extend(projection.images.iter().map(|image| {
            let places = [image.before[0], image.before[1], image.after[0], image.after[1]];
            let names = [json!(projection.name), json!(image.id), json!(image.class)];
            names.into_iter().chain(places.into_iter().map(Value::from)).collect()
        }));
    }
    let width = width_mm * PT_PER_MM;
    let pairs = if projections.len() > 1 && width >= TWO_WIDE { 2 } else { 1 };
    let pair = (width - 2.0 * MARGIN - (pairs - 1) as f64 * 2.0 * BETWEEN) / pairs as f64;
    let side = (pair - BETWEEN) / 2.0;
    let height = side.min(MOST_HEIGHT);
    let description = format!("t-SNE of image embeddings before and after the Adaptor, by {label}");
    let svg = Svg::drawn(width_mm, palette, title, &description, |area, mut top| {
        for row in projections.chunks(pairs) {
            let named = row.iter().any(|projection| !projection.name.is_empty());
            let above = top + Panel::room_above("x") + if named { TITLE_PT + 3.0 } else { 0.0 };
            for (column, projection) in row.iter().enumerate() {
                let left = MARGIN + column as f64 * (pair + 2.0 * BETWEEN);
                if named {
                    let name = text::fitted(&projection.name, TITLE_PT, pair);
                    write(area, (left, top + 0.64 * TITLE_PT), &name, TITLE_PT, palette.ink, HPos::Left)?;
                }
                for (at, when) in WHENS.into_iter().enumerate() {
                    let left = left + at as f64 * (side + BETWEEN);
                    let panel = Panel { left, top: above, right: left + side, bottom: above + height };
                    show(area, palette, projection, &classes, &panel, when)?;
                }
            }
            let lines = row.iter().flat_map(|projection| WHENS.map(|when| note(projection, when, side).len()));
            top = above + height + NOTE * lines.max().unwrap_or(0) as f64 + 6.0;
        }
        let entries: Vec<(usize, String)> = classes
            .iter()
            .enumerate()
            .map(|(at, class)| {
                let [one] = projections else { return (at, (*class).to_owned()) };
                let count = one.images.iter().filter(|image| image.class == *class).count();
                (at, format!("{class} ({count})"))
            })
            .collect();
        legend(area, palette, "", &entries, (top - 0.5, width, 5.0), |&at, (x, y)| {
            style::mark(area, at, (x + 3.0, y), 2.2, palette.series(at))
        })
    })?;
    Ok((svg, table))
}

/// One panel. Coordinates of t-SNE have no meaning, so there are no ticks; both axes have one scale.
fn show(
    area: &Area<'_>,
    palette: &Palette,
    projection: &Projection,
    classes: &[&str],
    panel: &Panel,
    when: &str,
) -> Drawn<()> {
    let place = |image: &PlacedImage| if when == "before" { image.before } else { image.after };
    let range = |axis: usize| {
        projection.images.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), image| {
            (low.min(place(image)[axis]), high.max(place(image)[axis]))
        })
    };
    let (ranges, lengths) = ([range(0), range(1)], [panel.width(), panel.height()]);
    // Units a point, so that all of it has room on both axes.
    let room = lengths.map(|length| length - 2.0 * INSET);
    let unit = (0..2).map(|axis| (ranges[axis].1 - ranges[axis].0) / room[axis]).fold(1e-9, f64::max);
    let axis = |axis: usize| {
        let (middle, half) = ((ranges[axis].0 + ranges[axis].1) / 2.0, unit * lengths[axis] / 2.0);
        Axis::exact(middle - half, middle + half)
    };
    let (x, y) = (axis(0), axis(1));
    let [(left, right), (low, high)] = [x.range(), y.range()].map(|range| (range.start, range.end));
    let heading = if when == "before" { "Before Adaptor" } else { "After Adaptor" };
    let mut plane = panel.draw(area, palette, x, y, heading)?;
    let frame = [(left, low), (left, high), (right, high), (right, low), (left, low)];
    plane.draw_series([PathElement::new(frame, stroke(palette.pale, AXIS_PT))])?;
    let count = projection.images.len() as f64;
    // So that a tenth of the panel is covered, within reason.
    let size = (0.1 * panel.width() * panel.height() / count / std::f64::consts::PI).sqrt().clamp(0.7, 1.7);
    // Of all classes in turn, so that none covers another one.
    for at in shuffled(projection.images.len()) {
        let image = &projection.images[at];
        let class = classes.iter().position(|class| *class == image.class).unwrap_or_default();
        let here = std::iter::once((place(image)[0], place(image)[1]));
        style::marks(&mut plane, class, here, size, palette.series(class).mix(OPAQUE))?;
    }
    for (at, line) in note(projection, when, panel.width()).iter().enumerate() {
        let height = panel.bottom + 7.0 + NOTE * at as f64;
        write(area, (panel.left, height), line, TICK_PT, palette.muted, HPos::Left)?;
    }
    Ok(())
}

/// Numbers in an order that is always the same and looks like chance.
fn shuffled(count: usize) -> Vec<usize> {
    // A finaliser of 64 bits: a bijection that scatters neighbours (Steele et al., "Fast splittable pseudorandom number generators", 2014).
    let scattered = |at: &usize| {
        let mut bits = (*at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    };
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_key(scattered);
    order
}

/// What the numbers say of a panel, in lines of that width. The share of the commonest class is what naming it always would reach.
fn note(projection: &Projection, when: &str, room: f64) -> Vec<String> {
    let value = |name: &str| projection.values.get(&format!("{name}_{when}"));
    let (Some(silhouette), Some(knn)) = (value("silhouette"), value("knn_accuracy")) else { return Vec::new() };
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for image in &projection.images {
        *counts.entry(&image.class).or_default() += 1;
    }
    let majority = counts.values().max().copied().unwrap_or_default() as f64 / projection.images.len().max(1) as f64;
    let decimals = if silhouette.abs() < 0.1 { 4 } else { 3 };
    let parts = [
        format!("silhouette {}", number(*silhouette, decimals)),
        format!("10-NN {:.1} % (majority {:.1} %)", 100.0 * knn, 100.0 * majority),
    ];
    let whole = parts.join(", ");
    if text::width(&whole, TICK_PT) <= room {
        return vec![whole];
    }
    parts.iter().flat_map(|part| text::wrapped(part, TICK_PT, room, 2)).collect()
}
