//! Sweeps over time, what differs between them, and tables for other programs.

use std::process::Command;

use serde_json::Value;

use crate::support::{World, launch};

/// A sweep of trials that do nothing, by its tags and numbers.
fn noop(tags: &str, index: &str) -> String {
    format!(
        "name: x\ntags: {tags}\nstages:\n  noop: {{parameters: {{index: {{values: {index}}}, steps: {{value: 4}}}}, metric: {{name: value, goal: maximize}}}}\n\
         report: [{{rows: [index], value: noop.value}}]\n"
    )
}

/// A world in which a sweep was launched, and again with one trial less and one more.
fn twice() -> World {
    let world = World::new();
    world.write("x.yaml", &noop("[first]", "[1, 2, 3]"));
    world.expect(0, &launch("x.yaml"));
    world.write("x.yaml", &noop("[second]", "[2, 3, 4]"));
    world.expect(0, &launch("x.yaml"));
    world.wait_until_quiet();
    world
}

fn json(world: &World, arguments: &[&str]) -> Value {
    let (stdout, _) = world.expect(0, &[arguments, &["--json"]].concat());
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {stdout}"))
}

fn cure(world: &World, code: i32, arguments: &[&str]) -> String {
    let (_, stderr) = world.expect(code, &[arguments, &["--json"]].concat());
    let error: Value = serde_json::from_str(&stderr).unwrap();
    error["error"]["cure"].as_str().unwrap().to_owned()
}

/// Revisions that a history shows, newest first.
fn revisions(world: &World, arguments: &[&str]) -> Vec<i64> {
    let history = json(world, &[&["history"], arguments].concat());
    history["sweeps"].as_array().unwrap().iter().map(|sweep| sweep["revision"].as_i64().unwrap()).collect()
}

#[test]
fn sweeps_are_found_again() {
    let world = twice();
    let history = json(&world, &["history"]);
    let latest = &history["sweeps"][0];
    assert_eq!((&latest["sweep"], &latest["revision"]), (&"x".into(), &2.into()));
    assert_eq!((&latest["trials"], &latest["done"], &latest["reused"]), (&3.into(), &3.into(), &2.into()), "{latest}");
    assert_eq!(latest["programs"][0], env!("CARGO_PKG_VERSION"));
    assert_eq!(latest["best"]["result"], "noop.value");
    for (arguments, expected) in [
        (&["x"][..], vec![2, 1]),
        (&["x@1"], vec![1]),
        (&["--tag", "first"], vec![1]),
        (&["--tag", "first", "--tag", "second"], vec![]),
        (&["--since", "1h"], vec![2, 1]),
        (&["--until", "2020-01-01"], vec![]),
        (&["--program", "0.0.1"], vec![]),
        (&["--data", "rsna"], vec![]),
    ] {
        assert_eq!(revisions(&world, arguments), expected, "{arguments:?}");
    }
    let (text, _) = world.expect(0, &["history"]);
    assert!(text.contains("x@2") && text.contains("second") && text.contains("noop.value"), "{text}");
    let cells = json(&world, &["history", "--metric", "noop.value"]);
    assert_eq!(cells["tables"][0]["rows"].as_array().unwrap().len(), 4, "{cells}");
    let changed = json(&world, &["history", "--metric", "value", "--changed"]);
    assert_eq!(changed["tables"][0]["rows"].as_array().unwrap().len(), 0, "what is shared is one trial");
    assert!(cure(&world, 1, &["history", "--metric", "auroc"]).contains("value"));
    assert!(cure(&world, 2, &["history", "--since", "yesterday"]).contains("2026-03-01"));
    assert_eq!(cure(&world, 1, &["history", "xx"]), "did you mean `x`?");
}

#[test]
fn older_revisions_have_their_tables() {
    let world = twice();
    let first = |arguments: &[&str]| json(&world, &[&["results"], arguments].concat())["tables"][0]["rows"][0].clone();
    assert_eq!(first(&["x"])["parameters"]["index"], 2);
    for arguments in [&["x", "--revision", "1"][..], &["x@1"], &["--revision", "1"]] {
        assert_eq!(first(arguments)["parameters"]["index"], 1, "{arguments:?}");
    }
    assert_eq!(cure(&world, 1, &["results", "x@9"]), "it has 2, 1");
    cure(&world, 2, &["results", "x@one"]);
    cure(&world, 2, &["results", "x@1", "--revision", "2"]);
    cure(&world, 2, &["results", "x", "x@1"]);
}

#[test]
fn two_sweeps_are_compared() {
    let world = twice();
    let diff = json(&world, &["diff", "x@1", "x"]);
    let stage = &diff["stages"][0];
    assert_eq!((&stage["shared"], &stage["only_a"], &stage["only_b"]), (&2.into(), &1.into(), &1.into()), "{diff}");
    assert_eq!(diff["parameters"][0]["name"], "index");
    assert_eq!(diff["results"].as_array().unwrap().len(), 2, "{diff}");
    assert!(diff["results"].as_array().unwrap().iter().all(|row| row["shared"] == true && row["difference"] == 0.0));
    assert!(diff["results"].as_array().unwrap().iter().all(|row| row["paired_difference"] == 0.0 && row["pairs"] == 1));
    assert!(diff["file"].as_str().unwrap().contains("-tags: [first]\n+tags: [second]"), "{diff}");
    let (text, _) = world.expect(0, &["diff", "x@1", "x@2"]);
    for sign in ["shared", "Parameters that differ", "1, 2, 3", "same trials", "+tags: [second]"] {
        assert!(text.contains(sign), "{sign}: {text}");
    }
    let (text, _) = world.expect(0, &["diff", "x", "x"]);
    assert!(text.contains("the files are equal"), "{text}");
    assert!(cure(&world, 1, &["diff", "x@1", "x", "--metric", "auroc"]).contains("value"));
    assert_eq!(cure(&world, 1, &["diff", "xx", "x"]), "did you mean `x`?");
}

#[test]
fn two_trials_are_compared() {
    let world = twice();
    let ids = json(&world, &["sql", "SELECT id FROM trials ORDER BY trial"]);
    let [a, b] = [0, 3].map(|at| ids[at]["id"].as_str().unwrap()[..12].to_owned());
    let diff = json(&world, &["diff", &a, &b]);
    let changed = diff["changed"].as_array().unwrap();
    assert_eq!(changed.len(), 1, "{diff}");
    assert_eq!((&changed[0]["path"], &changed[0]["a"], &changed[0]["b"]), (&"index".into(), &1.into(), &4.into()));
    let (one, other) = (diff["results"][0]["a"].as_f64().unwrap(), diff["results"][0]["b"].as_f64().unwrap());
    assert_eq!(diff["results"][0]["difference"].as_f64(), Some(other - one));
    assert_eq!(diff["curves"][0]["a"]["points"], 4, "{diff}");
    let (text, _) = world.expect(0, &["diff", &a, &b]);
    assert!(text.contains("What differs") && text.contains("Ends of the curves"), "{text}");
    let (text, _) = world.expect(0, &["diff", &a, &a]);
    assert!(text.contains("they are the same trial"), "{text}");
    assert!(cure(&world, 2, &["diff", &a, "x"]).contains("two trials or two sweeps"));
    assert!(cure(&world, 1, &["diff", "0000000000000000", &a]).contains("permafrost history"));
    cure(&world, 2, &["diff", &a, &b, "--metric", "value"]);
}

#[test]
fn tables_compare_and_the_papers_are_there() {
    let world = twice();
    let compared = json(&world, &["results", "--compare", "index"]);
    assert_eq!(compared["tables"][0]["rows"].as_array().unwrap().len(), 3, "{compared}");
    let against = json(&world, &["results", "--compare", "index", "--against", "2"]);
    assert!(against.to_string().contains("baseline"), "{against}");
    assert!(cure(&world, 1, &["results", "--compare", "vision"]).contains("index"));
    assert_eq!(cure(&world, 1, &["results", "--compare", "index", "--against", "7"]), "there are 2, 3, 4");
    for number in ["1", "2", "3"] {
        let table = json(&world, &["results", "--table", number]);
        assert!(table["tables"][0]["reference"]["citation"].as_str().unwrap().contains("2401.01179"));
        let (text, _) = world.expect(0, &["results", "--table", number]);
        assert!(text.contains("of the paper"), "{text}");
    }
    world.expect(2, &["results", "--table", "4"]);
    // The ending says the form.
    for (name, sign) in [("out.csv", "index,"), ("out.json", "{"), ("out.tex", "% Preamble"), ("out.md", "###")] {
        world.expect(0, &["results", "--output", name]);
        let text = std::fs::read_to_string(world.folder.path().join(name)).unwrap();
        assert!(text.starts_with(sign), "{name}: {text}");
    }
    assert_eq!(cure(&world, 1, &["results", "--table", "1", "nobody"]), "there are x");
}

/// Tables as files for pandas, read by pandas where Python has it.
#[test]
fn parquet_is_read_by_pandas() {
    let world = twice();
    world.expect(0, &["results", "--format", "parquet", "--output", "cells.parquet"]);
    world.expect(0, &["results", "--trials", "--format", "parquet", "--output", "trials.parquet"]);
    let (piped, _) = world.expect(0, &["results", "--format", "parquet"]);
    assert!(piped.starts_with("PAR1"), "a pipe gets the file");
    let bytes = std::fs::read(world.folder.path().join("cells.parquet")).unwrap();
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
    let python = std::env::var("PERMAFROST_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let run = |code: &str| Command::new(&python).current_dir(world.folder.path()).args(["-c", code]).output();
    if !run("import pandas, pyarrow").is_ok_and(|output| output.status.success()) {
        use std::io::Write;
        writeln!(std::io::stderr().lock(), "skipped: {python} has no pandas and pyarrow").ok();
        return;
    }
    let code = "
import pandas
cells = pandas.read_parquet('cells.parquet')
assert cells['index'].tolist() == [2, 3, 4] and cells['index'].dtype == 'int64', cells
assert cells['best'].tolist() == [True, False, False] and cells['mean'].dtype == 'float64', cells
assert set(cells.metric) == {'value'} and cells.sd.isna().all(), cells
trials = pandas.read_parquet('trials.parquet')
assert len(trials) == 3 and trials.value.tolist() == cells['mean'].tolist(), trials
";
    let output = run(code).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
