//! `permafrost bench`, with sizes that take no time, and with a stand-in for Python.

use std::os::unix::fs::PermissionsExt;

use permafrost_worker::bench::HeadSetup;
use serde_json::Value;

use crate::support::World;

const ADAPTOR: [&str; 8] = ["bench", "adaptor", "--members", "1,3", "--batch", "3", "--threads", "2"];
const HEADS: [&str; 8] = ["bench", "heads", "--members", "1,5", "--batch", "4", "--threads", "2"];
const ONCE: [&str; 4] = ["--rounds", "1", "--steps", "2"];

fn json(world: &World, code: i32, arguments: &[&str]) -> Value {
    let (stdout, _) = world.expect(code, &[arguments, &ONCE, &["--json"]].concat());
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {stdout}"))
}

fn cure(world: &World, code: i32, arguments: &[&str]) -> String {
    let (stdout, stderr) = world.expect(code, &[arguments, &ONCE, &["--json"]].concat());
    assert_eq!(stdout, "", "{arguments:?}");
    let error: Value = serde_json::from_str(&stderr).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {stderr}"));
    assert_eq!(error["error"]["code"], code, "{arguments:?}");
    error["error"]["cure"].as_str().unwrap_or_else(|| panic!("no cure: {error}")).to_owned()
}

fn numbers(row: &Value, names: &[&str]) -> Vec<f64> {
    names.iter().map(|name| row[name].as_f64().unwrap_or_else(|| panic!("no {name} in {row}"))).collect()
}

/// A program that answers as a yardstick: it says these losses, and 0.25 s for whatever is asked.
fn pretender(world: &World, losses: &[f32]) -> String {
    let text = format!("#!/bin/sh\necho torch 0 pretender\necho '{losses:?}'\nwhile read steps; do echo 0.25; done\n");
    let path = world.write("python", &text);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn adaptors_and_heads_are_measured() {
    let world = World::new();
    for (arguments, batch) in [(ADAPTOR, 3.0), (HEADS, 4.0)] {
        let told = json(&world, 0, &arguments);
        assert_eq!(told["device"]["threads"], 2);
        let report = &told["comparisons"][0];
        let rows = report["rows"].as_array().unwrap();
        assert_eq!(rows.len(), 2);
        assert!(report["peak"]["gflops"].as_f64().unwrap() > 0.0, "{report}");
        for row in rows {
            let found = numbers(row, &["members", "step_ms", "per_second", "gflops", "share_of_peak"]);
            assert!((found[2] * found[1] / 1e3 - found[0] * batch).abs() < 1e-6, "{row}");
            assert!(found.iter().all(|&number| number > 0.0), "{row}");
        }
    }
    let report = &json(&world, 0, &ADAPTOR)["comparisons"][0];
    let found = numbers(&report["rows"][1], &["per_second", "grid_seconds"]);
    assert!((found[0] * found[1] / (277_110.0 * 50.0 * 15.0) - 1.0).abs() < 1e-9, "{report}");
    // Nothing is written.
    assert!(!world.home().exists());
}

#[test]
fn people_get_a_table() {
    let world = World::new();
    let (text, _) = world.expect(0, &[&ADAPTOR[..], &ONCE].concat());
    for part in ["Adaptors", "pairs/s", "of peak", "measured now", "paper's grid", "predicted"] {
        assert!(text.contains(part), "no {part} in {text}");
    }
}

#[test]
fn a_yardstick_must_do_the_same_work() {
    let world = World::new();
    let (_, losses) = HeadSetup::paper(4, 3).reference(3, 3);
    let python = pretender(&world, &losses);
    let report = &json(&world, 0, &[&HEADS[..], &["--torch", &python]].concat())["comparisons"][0];
    // Three yardsticks for each size of ours, 0.25 s for two steps.
    assert_eq!(report["rows"].as_array().unwrap().len(), 8, "{report}");
    assert_eq!(report["rows"][7]["step_ms"], 125.0);
    assert_eq!(report["ratios"].as_array().unwrap().len(), 6, "{report}");
    let ratio = &report["ratios"][5];
    let own = report["rows"][1]["per_second"].as_f64().unwrap();
    assert!((ratio["ratio"].as_f64().unwrap() * (5.0 * 4.0 / 0.125) / own - 1.0).abs() < 1e-6, "{report}");
    assert_eq!(report["checks"][0]["largest_difference"], 0.0);

    let python = pretender(&world, &losses.iter().map(|loss| loss * 1.001).collect::<Vec<_>>());
    let report = &json(&world, 1, &[&HEADS[..], &["--torch", &python]].concat())["comparisons"][0];
    assert!(report["rows"][2]["error"].as_str().unwrap().contains("does something else"), "{report}");
    assert!(report["ratios"].as_array().unwrap().is_empty());
}

#[test]
fn what_cannot_be_measured_has_a_cure() {
    let world = World::new();
    let with = |more: &[&'static str]| [&HEADS[..], more].concat();
    assert!(cure(&world, 5, &with(&["--device", "gpu"])).contains("cuda:N"));
    assert!(cure(&world, 5, &with(&["--torch", "/no/such/python"])).contains("--torch python3"));
    assert!(cure(&world, 5, &with(&["--torch", "false"])).contains("has PyTorch"));
    for wrong in [["--members", "0"], ["--members", ""], ["--batch", "1"], ["--rounds", "0"], ["--threads", "0"]] {
        let told = cure(&world, 2, &[&["bench", "heads"][..], &wrong].concat());
        assert!(told.contains("--help"), "{told}");
    }
    cure(&world, 2, &["bench", "adaptor", "--precision", "f8"]);
}

#[test]
#[cfg(not(feature = "cuda"))]
fn cuda_is_not_replaced_by_the_cpu() {
    let world = World::new();
    assert!(cure(&world, 5, &[&HEADS[..], &["--device", "cuda"]].concat()).contains("--features cuda"));
}
