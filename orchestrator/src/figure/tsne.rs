//! Images in the plane, before and after the Adaptor, by class (paper, Fig. 3).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    data::Data,
    error::{FigureError, data},
    panel::Panel,
    scale::Scale,
    style::{self, AXIS_PT, LABEL_PT, Palette, TICK_PT, TITLE_PT},
    svg::{Anchor, Canvas, Font, PT_PER_MM, Place, Stroke, Svg},
    text,
};

const MARGIN: f64 = 5.0;
const BETWEEN: f64 = 7.0;
/// Height of a panel, at most.
const MOST_HEIGHT: f64 = 178.0;
/// Two projections side by side need that width.
const TWO_WIDE: f64 = 340.0;
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
    let width = width_mm * PT_PER_MM;
    let pairs = if projections.len() > 1 && width >= TWO_WIDE { 2 } else { 1 };
    let pair = (width - 2.0 * MARGIN - (pairs - 1) as f64 * 2.0 * BETWEEN) / pairs as f64;
    let side = (pair - BETWEEN) / 2.0;
    let height = side.min(MOST_HEIGHT);
    let mut canvas = Canvas::default();
    let mut top = MARGIN;
    if let Some(title) = title {
        let font = Font { size: TITLE_PT + 0.5, colour: palette.ink, anchor: Anchor::Start };
        canvas.text((MARGIN, top + TITLE_PT), &text::fitted(title, TITLE_PT + 0.5, width - 2.0 * MARGIN), font);
        top += TITLE_PT + 6.0;
    }
    let mut table = Data::new(["projection", "image", "class", "before_x", "before_y", "after_x", "after_y"]);
    for row in projections.chunks(pairs) {
        let named = row.iter().any(|projection| !projection.name.is_empty());
        let above = top + Panel::room_above("x") + if named { TITLE_PT + 3.0 } else { 0.0 };
        for (column, projection) in row.iter().enumerate() {
            let left = MARGIN + column as f64 * (pair + 2.0 * BETWEEN);
            if named {
                let font = Font { size: TITLE_PT, colour: palette.ink, anchor: Anchor::Start };
                canvas.text((left, top + TITLE_PT), &text::fitted(&projection.name, TITLE_PT, pair), font);
            }
            for (at, (when, heading)) in [("before", "Before Adaptor"), ("after", "After Adaptor")].iter().enumerate() {
                let left = left + at as f64 * (side + BETWEEN);
                let panel = Panel { left, top: above, right: left + side, bottom: above + height };
                show(&mut canvas, palette, projection, &classes, &panel, when, heading);
            }
            table.rows.extend(projection.images.iter().map(|image| {
                let places = [image.before[0], image.before[1], image.after[0], image.after[1]];
                let names = [json!(projection.name), json!(image.id), json!(image.class)];
                names.into_iter().chain(places.into_iter().map(Value::from)).collect()
            }));
        }
        top = above + height + TICK_PT + 6.0;
    }
    top = legend(&mut canvas, palette, projections, &classes, width, top);
    let description = format!("t-SNE of image embeddings before and after the Adaptor, by {label}");
    let title = title.map_or_else(|| description.clone(), str::to_owned);
    Ok((canvas.finish(width, top + MARGIN - 1.0, palette.background, &title, &description), table))
}

/// One panel. Coordinates of t-SNE have no meaning, so there are no ticks; both axes have one scale.
fn show(
    canvas: &mut Canvas,
    palette: &Palette,
    projection: &Projection,
    classes: &[&str],
    panel: &Panel,
    when: &str,
    heading: &str,
) {
    let place = |image: &PlacedImage| if when == "before" { image.before } else { image.after };
    let range = |axis: usize| {
        projection.images.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), image| {
            (low.min(place(image)[axis]), high.max(place(image)[axis]))
        })
    };
    let ranges = [range(0), range(1)];
    // Units a point, so that all of it has room on both axes.
    let inset = 6.0;
    let room = [panel.width() - 2.0 * inset, panel.height() - 2.0 * inset];
    let unit = (0..2).map(|axis| (ranges[axis].1 - ranges[axis].0) / room[axis]).fold(1e-9, f64::max);
    let scale = |axis: usize, from: f64, to: f64| {
        let middle = (ranges[axis].0 + ranges[axis].1) / 2.0;
        let half = unit * (to - from).abs() / 2.0;
        Scale::exact(middle - half, middle + half, from, to)
    };
    let (x, y) = (scale(0, panel.left, panel.right), scale(1, panel.bottom, panel.top));
    canvas.frame((panel.left, panel.top), panel.width(), panel.height(), Stroke::solid(palette.pale, AXIS_PT));
    let count = projection.images.len() as f64;
    // So that a tenth of the panel is covered, within reason.
    let size = (0.1 * panel.width() * panel.height() / count / std::f64::consts::PI).sqrt().clamp(0.7, 1.7);
    for (at, class) in classes.iter().enumerate() {
        let of_class = projection.images.iter().filter(|image| image.class == *class);
        let places: Vec<Place> = of_class.map(|image| (x.at(place(image)[0]), y.at(place(image)[1]))).collect();
        canvas.marks(&places, style::mark(at), size, palette.series(at), 0.8);
    }
    panel.heading(canvas, palette, heading);
    let value = |name: &str| projection.values.get(&format!("{name}_{when}"));
    if let (Some(silhouette), Some(knn)) = (value("silhouette"), value("knn_accuracy")) {
        let silhouette = super::scale::number(*silhouette, 3);
        let note = format!("silhouette {silhouette}, 10-NN {:.1} %", 100.0 * knn);
        let font = Font { size: TICK_PT, colour: palette.muted, anchor: Anchor::Start };
        canvas.text((panel.left, panel.bottom + TICK_PT + 2.5), &text::fitted(&note, TICK_PT, panel.width()), font);
    }
}

fn legend(
    canvas: &mut Canvas,
    palette: &Palette,
    projections: &[Projection],
    classes: &[&str],
    width: f64,
    mut top: f64,
) -> f64 {
    top += LABEL_PT + 1.0;
    let mut left = MARGIN + 1.0;
    for (at, class) in classes.iter().enumerate() {
        let count = projections.first().map_or(0, |p| p.images.iter().filter(|image| image.class == *class).count());
        let name = if projections.len() == 1 { format!("{class} ({count})") } else { (*class).to_owned() };
        let name = text::fitted(&name, TICK_PT, width - 2.0 * MARGIN - 12.0);
        let needed = 9.0 + text::width(&name, TICK_PT);
        if left + needed > width - MARGIN && left > MARGIN + 1.0 {
            left = MARGIN + 1.0;
            top += LABEL_PT + 3.0;
        }
        let middle = top - 0.5 * text::CAPITALS * TICK_PT;
        canvas.marks(&[(left + 3.0, middle)], style::mark(at), 2.2, palette.series(at), 1.0);
        let font = Font { size: TICK_PT, colour: palette.ink, anchor: Anchor::Start };
        canvas.text((left + 8.0, top), &name, font);
        left += needed + 12.0;
    }
    top + 2.0
}
