//! What the routes answer is what the database holds.

use std::collections::BTreeMap;

use reqwest::StatusCode;
use serde_json::Value;

use crate::{
    database::Made,
    support::{NASTY, SMALL, World},
};

#[tokio::test]
async fn an_overview_counts_what_is_there() {
    let world = World::new().await;
    let overview = world.json("/api/overview").await;
    assert_eq!(overview["total"], SMALL.trials + 15);
    assert_eq!(overview["done"], SMALL.trials + 15 - SMALL.running - SMALL.failed);
    assert_eq!(overview["running_total"], SMALL.running);
    assert_eq!(overview["sweep"]["name"], NASTY);
    let running = overview["running"].as_array().unwrap();
    assert_eq!(running.len(), SMALL.running);
    assert_eq!((running[0]["metric"].as_str(), running[0]["curve"].as_array().unwrap().len()), (Some("train_loss"), 3));
    let failures = overview["failures"].as_array().unwrap();
    assert_eq!(failures.len(), 1);
    assert_eq!((&failures[0]["trials"], &failures[0]["cure"]), (&5.into(), &"use a smaller `batch_size`".into()));
    assert_eq!(failures[0]["examples"].as_array().unwrap().len(), SMALL.failed.min(5));
    let best = world.made.iter().skip(15).filter_map(|trial| trial.auroc).fold(0.0, f64::max);
    // Many values come as JSON that SQLite writes: fifteen digits.
    assert!((overview["best"]["trials"][0]["value"].as_f64().unwrap() - best).abs() < 1e-14);
    assert_eq!(overview["devices"].as_array().unwrap().len(), 4);
    let sweeps = world.json("/api/sweeps").await;
    assert_eq!((&sweeps["total"], &sweeps["sweeps"][0]["counts"]["running"]), (&1.into(), &SMALL.running.into()));
}

#[tokio::test]
async fn tables_of_trials_are_sorted_and_filtered() {
    let world = World::new().await;
    let all = world.json("/api/trials?stage=classify&sort=r.auroc&dir=desc&limit=500").await;
    let values: Vec<f64> =
        all["rows"].as_array().unwrap().iter().filter_map(|row| row["results"]["auroc"].as_f64()).collect();
    assert_eq!(values.len(), SMALL.trials - SMALL.running - SMALL.failed);
    assert!(values.is_sorted_by(|a, b| a >= b));
    assert_eq!(all["total"], SMALL.trials);
    // What has no result comes last.
    assert_eq!(all["rows"][SMALL.trials - 1]["results"]["auroc"], Value::Null);

    let some = world.json("/api/trials?stage=classify&f.vision=dinov2-s&f.fraction=0.01&sort=p.text").await;
    let expected = world
        .made
        .iter()
        .skip(15)
        .filter(|trial| trial.parameters["vision"] == "dinov2-s" && trial.parameters["fraction"] == 0.01);
    assert_eq!(some["total"], expected.count());
    let texts: Vec<&str> =
        some["rows"].as_array().unwrap().iter().map(|row| row["parameters"]["text"].as_str().unwrap()).collect();
    assert!(texts.is_sorted());

    let id = world.made[20].id.short();
    let found = world.json(&format!("/api/trials?stage=classify&q={id}")).await;
    assert_eq!((found["total"].as_u64(), found["rows"][0]["id"].as_str()), (Some(1), Some(&*world.made[20].id.hex())));
    assert_eq!(world.json("/api/trials?stage=classify&state=running").await["total"], SMALL.running);
    assert_eq!(
        world.json("/api/trials?stage=classify&q=vision=dinov2-b+biobert&limit=1").await["rows"][0]["parameters"]["text"],
        "biobert"
    );
    // Pages do not overlap.
    let page = |offset: usize| format!("/api/trials?stage=classify&limit=50&offset={offset}");
    let (first, second) = (world.json(&page(0)).await, world.json(&page(50)).await);
    assert_ne!(first["rows"][0]["id"], second["rows"][0]["id"]);
    assert_eq!(second["rows"][0]["id"], *world.made[15 + 50].id.hex());
}

#[tokio::test]
async fn cells_of_a_grid_are_means_of_their_trials() {
    let world = World::new().await;
    let grid = world.json("/api/grid?stage=classify&f.learning_rate=*&f.weight_decay=*").await;
    assert_eq!((&grid["row"], &grid["column"], &grid["by"]), (&"text".into(), &"vision".into(), &"fraction".into()));
    let mut expected: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for Made { parameters, auroc, .. } in world.made.iter().skip(15) {
        let key = format!("{} {} {}", parameters["text"], parameters["vision"], parameters["fraction"]);
        expected.entry(key).or_default().extend(auroc);
    }
    let mut seen = 0;
    let columns = grid["table"]["columns"].as_array().unwrap();
    for row in grid["table"]["rows"].as_array().unwrap() {
        for (column, cell) in columns.iter().zip(row["cells"].as_array().unwrap()) {
            let of = &row["parameters"];
            let values = &expected[&format!("{} {} {}", of["text"], column["vision"], of["fraction"])];
            assert_eq!(cell["n"], values.len());
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            assert!((cell["mean"].as_f64().unwrap() - mean).abs() < 1e-9, "{cell} {mean}");
            seen += 1;
        }
    }
    assert_eq!(seen, 45);
    // Table 1 of the paper, BERT with DINOv2-S and 1 % of the labels.
    let cell = grid["table"]["rows"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["parameters"]["text"] == "bert" && row["parameters"]["fraction"] == 0.01);
    let at = columns.iter().position(|column| column["vision"] == "dinov2-s").unwrap();
    assert_eq!(cell.unwrap()["cells"][at]["reference"], 0.813);
    let (status, message, cure) = world.refusal("/api/grid?stage=classify&row=nonsense").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(message.contains("nonsense") && cure.contains("vision"), "{message} {cure}");
}

#[tokio::test]
async fn curves_lines_and_devices_are_told() {
    let world = World::new().await;
    let curves = world.json("/api/curves?stage=classify&which=best&n=7&metric=train_loss").await;
    let lines = curves["curves"].as_array().unwrap();
    assert_eq!((lines.len(), lines[0]["points"].as_array().unwrap().len()), (7, SMALL.epochs as usize));
    let values: Vec<f64> = lines.iter().map(|line| line["value"].as_f64().unwrap()).collect();
    assert!(values.is_sorted_by(|a, b| a >= b));
    assert_eq!((&curves["axis"], &lines[0]["points"][0][0]), (&"epoch".into(), &1.into()));
    // By default what runs comes first, of the metric of what was not trained on.
    let first = world.json("/api/curves?stage=classify").await;
    assert_eq!((&first["metric"], &first["curves"][0]["state"]), (&"val_auroc".into(), &"running".into()));
    let two = format!("/api/curves?trials={},{}", world.made[30].id.short(), world.made[31].id.short());
    assert_eq!(world.json(&two).await["curves"].as_array().unwrap().len(), 2);

    let parallel = world.json("/api/parallel?stage=classify").await;
    let done = SMALL.trials - SMALL.running - SMALL.failed;
    assert_eq!(parallel["values"].as_array().unwrap().len(), done);
    for axis in parallel["axes"].as_array().unwrap() {
        assert_eq!(axis["of"].as_array().unwrap().len(), done, "{}", axis["name"]);
    }
    // Seeds are repetitions, whosever they are; what the page may offer is told.
    let named = |axis: &Value| axis["name"].as_str().unwrap().to_owned();
    assert!(!parallel["axes"].as_array().unwrap().iter().any(|axis| named(axis).ends_with("seed")));
    assert_eq!(parallel["most"], 10);
    let vision = parallel["axes"].as_array().unwrap().iter().find(|axis| axis["name"] == "vision").unwrap();
    let value = &vision["values"][vision["of"][0].as_u64().unwrap() as usize];
    assert_eq!(*value, world.made[15].parameters["vision"]);

    for range in ["", "all", "3600000", "86400000"] {
        let devices = world.json(&format!("/api/devices?range={range}")).await;
        let arrays = devices["arrays"].as_array().unwrap();
        let members: u64 = arrays.iter().map(|array| array["members"].as_u64().unwrap()).sum();
        assert_eq!(members as usize, SMALL.trials + 15);
    }
    let devices = world.json("/api/devices?range=3600000").await;
    assert!(devices["buckets"].as_array().unwrap().len() >= 4 * 400);
}

#[tokio::test]
async fn a_trial_is_told_whole() {
    let world = World::new().await;
    let (head, adaptor) = (&world.made[40], &world.made[(40 - 15) % 15]);
    let trial = world.json(&format!("/api/trial/{}", head.id.short())).await;
    assert_eq!(trial["results"]["auroc"].as_f64(), head.auroc);
    assert_eq!(trial["ancestors"][0]["id"], adaptor.id.hex());
    assert_eq!(trial["places"][0]["parameters"]["label"], NASTY);
    assert_eq!(trial["usage"][0]["energy_j"], 5000.0);
    assert_eq!(trial["artifacts"][0]["name"], "head.safetensors");
    let curves = world.json(&format!("/api/trial/{}/curves", head.id.short())).await;
    let names: Vec<&str> =
        curves["curves"].as_array().unwrap().iter().map(|curve| curve["metric"].as_str().unwrap()).collect();
    assert_eq!(names, ["train_loss", "val_auroc"]);
    let readers = world.json(&format!("/api/trial/{}", adaptor.id.short())).await;
    assert_eq!(readers["readers_total"], SMALL.trials / 15);

    let log = format!("/api/trial/{}/log", head.id.short());
    assert!(world.json(&log).await["missing"].as_str().unwrap().contains("another machine"));
    let path = permafrost_worker::files::attempt_log(world.home.path(), head.id, 1);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, format!("{{\"at\":\"2026-01-02T03:04:05Z\",\"message\":{}}}\n", Value::from(NASTY))).unwrap();
    assert_eq!(world.json(&log).await["lines"][0]["message"], NASTY);

    let both = format!("/api/compare?trials={},{},ffffffffffff", head.id.short(), world.made[41].id.short());
    let both = world.json(&both).await;
    assert_eq!(both["trials"].as_array().unwrap().len(), 2);
    assert_eq!((&both["unknown"][0], &both["trials"][0]["goals"]["auroc"]), (&"ffffffffffff".into(), &1.into()));

    let never = world.json(&format!("/api/trial/{}/log?attempt=7", head.id.short())).await;
    assert_eq!(never["missing"], "there is no attempt 7, the last one is 1");

    let (status, message, _) = world.refusal("/api/trial/zz").await;
    assert_eq!((status, message.as_str()), (StatusCode::NOT_FOUND, "no trial begins with `zz`"));
    assert_eq!(world.refusal("/api/curves?sweep=99").await.0, StatusCode::NOT_FOUND);
    assert_eq!(world.refusal("/api/trials?offset=-3").await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_browser_that_has_an_answer_is_told_so_and_large_ones_are_compressed() {
    let world = World::new().await;
    let url = format!("{}/api/trials?stage=classify", world.base);
    let first = world.client.get(&url).header("accept-encoding", "gzip").send().await.unwrap();
    assert_eq!(first.headers()["content-encoding"], "gzip");
    let tag = first.headers()["etag"].clone();
    let packed = first.bytes().await.unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&packed[..]), &mut text).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["total"], SMALL.trials);
    let again = world.client.get(&url).header("if-none-match", tag).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    assert!(again.bytes().await.unwrap().is_empty());
}
