use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{fraction, history, paper::Collection, params, style::Palette, tsne};
use crate::{
    store::{Curve, ResultRow},
    sweep::Theme,
};

/// Heads of six pairs, three shares, three seeds.
fn heads() -> Vec<ResultRow> {
    let mut rows = Vec::new();
    for (v, vision) in ["resnet-ae", "dinov2-s", "dinov2-b"].into_iter().enumerate() {
        for (t, text) in ["bert", "cxr-bert"].into_iter().enumerate() {
            for (f, fraction) in [0.01, 0.1, 1.0].into_iter().enumerate() {
                for seed in 0..3 {
                    let score = 0.76 + 0.03 * v as f64 + 0.005 * t as f64 + 0.015 * f as f64 + 0.004 * f64::from(seed);
                    let parameters = [
                        ("vision", json!(vision)),
                        ("text", json!(text)),
                        ("fraction", json!(fraction)),
                        ("seed", json!(seed)),
                    ];
                    rows.push(ResultRow {
                        stage: "classify".to_owned(),
                        id: format!("{:064x}", rows.len() + 1),
                        state: "done".to_owned(),
                        parameters: parameters.map(|(name, value)| (name.to_owned(), value)).into(),
                        values: BTreeMap::from([("auroc".to_owned(), score)]),
                    });
                }
            }
        }
    }
    rows
}

fn trainable(rows: &[ResultRow]) -> BTreeMap<String, u64> {
    rows.iter().map(|row| (row.id.clone(), 12_011_009)).collect()
}

/// Every picture must be one that can be turned into pixels; text stays text.
fn sound(svg: &super::Svg, words: &[&str]) {
    for word in words {
        assert!(svg.as_str().contains(&format!(">{word}</text>")), "no `{word}` in {}", svg.as_str());
    }
    assert!(!svg.as_str().contains("NaN") && !svg.as_str().contains("inf"), "{}", svg.as_str());
    assert!(!svg.as_str().contains("<script") && !svg.as_str().contains("style="));
    let png = svg.to_png(96).unwrap();
    assert!(png.starts_with(b"\x89PNG") && png.len() > 2000, "{} bytes", png.len());
}

#[test]
fn parameters_against_scores() {
    let rows = heads();
    let trials: Vec<&ResultRow> = rows.iter().collect();
    let known = trainable(&rows);
    let draw =
        || params::scatter(&trials, "auroc", &known, Some(Collection::Rsna), true, Some("Fig. 2".to_owned())).unwrap();
    let (scatter, data) = draw();
    for (width, theme) in [(174.0, Theme::Light), (85.0, Theme::Dark)] {
        let svg = scatter.draw(width, &Palette::of(theme)).unwrap();
        sound(&svg, &["Fig. 2", "MGCA (ViT-B)", "GLoRIA-MIMIC / GLoRIA", "dinov2-b · cxr-bert", "1 % of the labels"]);
        assert_eq!(svg, draw().0.draw(width, &Palette::of(theme)).unwrap(), "the same data, another file");
    }
    // Nine methods of the paper and six pairs, for each share.
    assert_eq!(data.rows.len(), 3 * (9 + 6));
    let ours: Vec<_> = data.rows.iter().filter(|row| row[1] == json!("measured")).collect();
    assert_eq!(ours.len(), 18);
    assert!(
        ours.iter().all(|row| row[7] == json!(3) && row[6].as_f64().unwrap() - row[4].as_f64().unwrap() > 0.5),
        "{ours:?}"
    );
    let alone = params::scatter(&[], "accuracy", &BTreeMap::new(), Some(Collection::Covidx), true, None).unwrap();
    sound(&alone.0.draw(120.0, &Palette::of(Theme::Light)).unwrap(), &["ConVIRT"]);
    assert!(params::scatter(&[], "auroc", &BTreeMap::new(), None, true, None).is_err());
}

#[test]
fn heads_of_one_adaptor_are_one_repetition() {
    let mut rows: Vec<ResultRow> = heads().into_iter().take(3).collect();
    for row in &mut rows {
        row.parameters.insert("pretrain.seed".to_owned(), json!(0));
    }
    let n = |rows: &[ResultRow]| {
        let (_, data) = fraction::chart(&rows.iter().collect::<Vec<_>>(), "auroc", None).unwrap();
        data.rows[0].last().cloned()
    };
    assert_eq!(n(&rows), Some(json!(3)));
    let others = rows.clone().into_iter().map(|mut row| {
        row.parameters.insert("pretrain.seed".to_owned(), json!(1));
        row
    });
    let crossed: Vec<ResultRow> = rows.iter().cloned().chain(others).collect();
    assert_eq!(n(&crossed), Some(json!(2)), "two Adaptors with three heads each");
}

#[test]
fn projections_and_single_values_can_be_told_apart() {
    let rows: Vec<ResultRow> = heads().into_iter().take(3).collect();
    let trials: Vec<&ResultRow> = rows.iter().collect();
    let names = super::groups::names_apart(&trials, &["vision".to_owned()]);
    assert_eq!(names, ["resnet-ae · seed 0", "resnet-ae · seed 1", "resnet-ae · seed 2"]);
    // One share alone: no line, no interval without a length, and a legend in place of leaders over the whole width.
    let mut one: Vec<ResultRow> = heads().into_iter().filter(|row| row.parameters["fraction"] == json!(1.0)).collect();
    for row in &mut one {
        row.values.insert("auroc".to_owned(), 0.8);
    }
    let (chart, _) = fraction::chart(&one.iter().collect::<Vec<_>>(), "auroc", Some("One".to_owned())).unwrap();
    let svg = chart.draw(174.0, &Palette::of(Theme::Light)).unwrap();
    sound(&svg, &["One", "vision:", "text:"]);
}

#[test]
fn several_labels_have_no_score_in_common() {
    let mut rows = heads();
    for (i, row) in rows.iter_mut().enumerate() {
        row.parameters.insert("label".to_owned(), json!(if i % 2 == 0 { "a" } else { "b" }));
    }
    let trials: Vec<&ResultRow> = rows.iter().collect();
    let error = params::scatter(&trials, "auroc", &trainable(&rows), None, true, None).unwrap_err();
    assert!(error.cure().unwrap().contains("--filter label=NAME"), "{error}");
    // Shares have a panel a label instead.
    let (chart, _) = fraction::chart(&trials, "auroc", None).unwrap();
    assert_eq!(chart.panels.iter().map(|panel| panel.title.as_str()).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn scores_against_the_share_of_the_labels() {
    let rows = heads();
    let trials: Vec<&ResultRow> = rows.iter().collect();
    let (chart, data) = fraction::chart(&trials, "auroc", None).unwrap();
    assert_eq!(data.rows.len(), 18);
    assert_eq!(data.columns, ["panel", "line", "fraction", "auroc", "ci95_low", "ci95_high", "n"]);
    assert!(
        data.to_csv().starts_with("panel,line,fraction,auroc,ci95_low,ci95_high,n\n,resnet-ae · bert,0.01,"),
        "{}",
        data.to_csv()
    );
    for width in [85.0, 174.0] {
        let svg = chart.draw(width, &Palette::of(Theme::Light)).unwrap();
        sound(&svg, &["Share of the labels [%]", "AUROC [%]", "1", "10", "100"]);
        assert_eq!(svg, chart.draw(width, &Palette::of(Theme::Light)).unwrap());
    }
    assert!(chart.draw(174.0, &Palette::of(Theme::Light)).unwrap().as_str().contains(">dinov2-b · bert</text>"));
    let waiting: Vec<ResultRow> = rows.iter().map(|row| ResultRow { values: BTreeMap::new(), ..row.clone() }).collect();
    assert!(fraction::chart(&waiting.iter().collect::<Vec<_>>(), "auroc", None).is_err());
}

#[test]
fn curves_have_intervals_and_the_best_are_in_colour() {
    let rows: Vec<ResultRow> = heads().into_iter().filter(|row| row.parameters["fraction"] == json!(1.0)).collect();
    let curve = |row: &ResultRow| -> (String, Curve) {
        let value = |step: i64| row.values["auroc"] * (1.0 - 0.5 / (step + 1) as f64);
        (row.id.clone(), (0..20).map(|step| (step, value(step))).collect())
    };
    let curves = ["train_loss", "val_auroc"].map(|metric| (metric.to_owned(), rows.iter().map(curve).collect()));
    let ranking = Some(("auroc".to_owned(), true));
    let trials: Vec<&ResultRow> = rows.iter().collect();
    let (chart, data) = history::chart(&trials, &curves, &ranking, history::Axis::Epochs, None).unwrap();
    assert_eq!(data.rows.len(), 2 * 6 * 20);
    assert_eq!(data.columns, ["metric", "panel", "line", "epochs_trained", "mean", "ci95_low", "ci95_high", "n"]);
    assert_eq!((&data.rows[0][3], &data.rows[0][7]), (&json!(1), &json!(3)));
    let svg = chart.draw(174.0, &Palette::of(Theme::Light)).unwrap();
    sound(&svg, &["Epochs trained", "Training loss", "Validation AUROC", "resnet-ae", "cxr-bert"]);
    assert_eq!(svg.as_str().matches("<polygon opacity=\"0.16\"").count(), 12, "a band for each line");
    // Eighteen lines: seven in colour, the others pale.
    let many: Vec<ResultRow> = rows
        .iter()
        .map(|row| {
            let mut row = row.clone();
            let seed = row.parameters.remove("seed").unwrap();
            row.parameters.insert("pretrain.epochs".to_owned(), seed);
            row
        })
        .collect();
    let (chart, _) =
        history::chart(&many.iter().collect::<Vec<_>>(), &curves, &ranking, history::Axis::Epochs, None).unwrap();
    let coloured: Vec<&str> =
        chart.panels[1].lines.iter().filter(|line| line.colour.is_some()).map(|line| line.name.as_str()).collect();
    assert_eq!(coloured.len(), 7);
    assert!(coloured.contains(&"dinov2-b · cxr-bert · pretrain.epochs 2"), "{coloured:?}");
    sound(
        &chart.draw(85.0, &Palette::of(Theme::Dark)).unwrap(),
        &["11 others", "in colour: the best 7 by their mean auroc"],
    );
}

#[test]
fn images_before_and_after() {
    let mut text = permafrost_worker::train::project::COLUMNS.join(",") + "\n";
    for i in 0..40 {
        let (class, far) = if i % 3 == 0 { ("pneumonia", 8.0) } else { ("no pneumonia", 0.0) };
        let wave = f64::from(i);
        text += &format!("image-{i},{class},{},{},{},{}\n", wave.sin(), wave.cos(), far + wave.cos(), wave.sin());
    }
    let images = tsne::read(text.as_bytes()).unwrap();
    assert_eq!(images.len(), 40);
    let values = ["silhouette_before", "silhouette_after", "knn_accuracy_before", "knn_accuracy_after"]
        .map(|name| (name.to_owned(), 0.5));
    let one = tsne::Projection { name: String::new(), values: values.into(), images };
    let palette = Palette::of(Theme::Light);
    let (svg, data) = tsne::draw(std::slice::from_ref(&one), "pneumonia", None, 85.0, &palette).unwrap();
    sound(&svg, &["Before Adaptor", "After Adaptor", "pneumonia (14)", "no pneumonia (26)"]);
    assert_eq!(data.rows.len(), 40);
    assert_eq!(data.to_json()[0]["class"], json!("pneumonia"));
    let two = ["a · b", "c · d"].map(|name| tsne::Projection { name: name.to_owned(), ..one.clone() });
    sound(&tsne::draw(&two, "pneumonia", Some("Both"), 174.0, &palette).unwrap().0, &["Both", "a · b", "c · d"]);
    for (wrong, what) in [("image,class\n", "its columns are"), (&text.replace("0,1,", "0,NaN,"), "is no number")] {
        assert!(tsne::read(wrong.as_bytes()).unwrap_err().contains(what), "{wrong}");
    }
}

#[test]
fn values_of_one_kind_are_seeds() {
    let rows = heads();
    assert_eq!(super::groups::varying(&rows.iter().collect::<Vec<_>>()), ["vision", "text", "fraction"]);
    assert_eq!(super::groups::shown("fraction", &json!(0.07)), "7 %");
    assert_eq!(super::groups::shown("pretrain.epochs", &Value::from(3)), "3");
}

#[test]
fn intervals_of_shares_are_those_of_tables() {
    let mut rows: Vec<ResultRow> = heads().into_iter().take(3).collect();
    for (row, score) in rows.iter_mut().zip([0.97, 0.99, 1.0]) {
        row.values.insert("auroc".to_owned(), score);
    }
    let (_, data) = fraction::chart(&rows.iter().collect::<Vec<_>>(), "auroc", None).unwrap();
    let [mean, low, high] = [3, 4, 5].map(|at| data.rows[0][at].as_f64().unwrap());
    assert!(0.0 < low && low < mean && mean < high && high <= 1.0, "{low} {mean} {high}");
    // On the logit scale, the lower side is the longer one here.
    assert!(mean - low > 2.0 * (high - mean), "{low} {mean} {high}");
}

#[test]
fn what_is_no_share_has_no_per_cent_and_less_may_be_better() {
    let mut rows = heads();
    for (at, row) in rows.iter_mut().enumerate() {
        row.values = BTreeMap::from([("best_epoch".to_owned(), 3.0 + (at / 9) as f64)]);
    }
    let trials: Vec<&ResultRow> = rows.iter().collect();
    let (chart, data) = fraction::chart(&trials, "best_epoch", None).unwrap();
    assert_eq!((chart.panels[0].y_name.as_str(), &data.rows[0][3]), ("Best epoch", &json!(3.0)));
    let (scatter, data) = params::scatter(&trials, "best_epoch", &trainable(&rows), None, false, None).unwrap();
    assert_eq!((data.columns[4].as_str(), &data.rows.len()), ("score", &18));
    let named = |best: usize| {
        let mut points: Vec<_> = scatter.panels[0].points.iter().collect();
        points.sort_by(|a, b| a.score.mean.total_cmp(&b.score.mean));
        points[best].named
    };
    assert!(named(0) && named(5), "six points have room for their names");
    sound(&scatter.draw(174.0, &Palette::of(Theme::Light)).unwrap(), &["Best epoch", "1 % of the labels"]);
}

#[test]
fn many_points_lie_in_a_heap_and_long_names_are_told_below() {
    let mut rows = Vec::new();
    for at in 0..40 {
        for mut row in heads().into_iter().filter(|row| row.parameters["fraction"] == json!(1.0)).take(3) {
            row.id = format!("{:064x}", rows.len() + 1);
            row.parameters.insert("learning_rate".to_owned(), json!(1.234_567_89e-5 * f64::from(at + 1)));
            row.parameters.insert("a_parameter_with_a_long_name".to_owned(), json!(f64::from(at) / 7.0));
            *row.values.get_mut("auroc").unwrap() -= 0.002 * f64::from(at);
            rows.push(row);
        }
    }
    let trials: Vec<&ResultRow> = rows.iter().collect();
    let (scatter, _) = params::scatter(&trials, "auroc", &trainable(&rows), None, true, None).unwrap();
    let svg = scatter.draw(85.0, &Palette::of(Theme::Light)).unwrap();
    sound(&svg, &["1", "4"]);
    let text = svg.as_str();
    assert!(text.contains("the best 4 of a panel") && text.contains("numbered, with 95 % interval"), "{text}");
    assert!(text.contains("learning_rate 1.235e-5"), "{text}");
    // Four intervals, and a ring and a disc for each of forty points and the legend.
    assert_eq!(text.matches("<circle ").count(), 2 * 41, "{text}");
}
