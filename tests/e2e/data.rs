//! Data sets of users: `data check`, and what `doctor` says of a sweep.

use serde_json::Value;

use crate::support::World;

/// A table of three images in two splits, and a sweep on it with embeddings that were made elsewhere.
fn table() -> World {
    let world = World::new();
    let images = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/images");
    for (from, to) in [("grey8.png", "a.png"), ("grey16.png", "b.png"), ("grey.jpg", "c.jpg")] {
        std::fs::copy(format!("{images}/{from}"), world.folder.path().join(to)).unwrap();
    }
    world.write(
        "t.csv",
        "file,who,part,words,sick\na.png,1,train,one small thing,1\nb.png,2,train,two,0\nc.jpg,3,test,three,\n",
    );
    world.write("x.npy", "");
    world.write("x.txt", "a.png\nb.png\nc.jpg\n");
    world.write(
        "x.yaml",
        "name: x\ndatasets:\n  mine: {reader: table, table: t.csv, clean_texts: false, columns: {image: file, group: who, \
         split: part, text: words, binary: [sick]}}\nencoders: {vision: {v: {model: imported, file: x.npy, ids: x.txt, \
         width: 4}}}\nstages:\n  classify: {parameters: {vision: {value: v}, label: {value: sick}}}\n",
    );
    world
}

fn check(world: &World, code: i32, arguments: &[&str]) -> Value {
    let (stdout, _) = world.expect(code, &[&["data", "check", "x.yaml", "--json"], arguments].concat());
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"))
}

#[test]
fn a_whole_collection_is_clean_and_what_is_wrong_is_named() {
    let world = table();
    for depth in ["presence", "ends", "content", "decode"] {
        let sets = check(&world, 0, &["--depth", depth]);
        assert_eq!(sets[0]["clean"], true, "{depth}: {sets}");
    }
    let (text, _) = world.expect(0, &["data", "check", "x.yaml"]);
    assert!(text.contains("mine (table)") && text.contains("nothing is wrong"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(!world.home().exists());

    // Cut short, the same as another, and one patient in both splits.
    let image = std::fs::read(world.folder.path().join("b.png")).unwrap();
    std::fs::write(world.folder.path().join("b.png"), &image[..image.len() / 2]).unwrap();
    std::fs::copy(world.folder.path().join("a.png"), world.folder.path().join("d.png")).unwrap();
    world.write(
        "t.csv",
        "file,who,part,words,sick\na.png,1,train,one,1\nb.png,2,train,two,0\nc.jpg,3,test,one,\nd.png,4,test,four,1\n",
    );
    let sets = check(&world, 6, &["--depth", "content"]);
    let findings = &sets[0]["findings"];
    assert_eq!(findings["unreadable"]["count"], 1, "{findings}");
    assert!(findings["unreadable"]["first"][0].as_str().unwrap().starts_with("b.png: "), "{findings}");
    assert_eq!(findings["duplicate_images"]["first"][0], "d.png as a.png", "{findings}");
    assert_eq!(findings["texts_across_splits"]["count"], 1, "{findings}");
    let (text, stderr) = world.expect(6, &["data", "check", "x.yaml", "--depth", "content"]);
    assert!(text.contains("b.png: ") && text.contains("BAD"), "{text}");
    assert!(stderr.contains("1 data set"), "{stderr}");

    std::fs::remove_file(world.folder.path().join("t.csv")).unwrap();
    let sets = check(&world, 4, &[]);
    let table = sets[0]["missing"][0]["any_of"][0].as_str().unwrap();
    assert_eq!(std::path::Path::new(table), world.folder.path().join("t.csv"), "{sets}");
    let (_, stderr) = world.expect(1, &["data", "check", "x.yaml", "--dataset", "yours"]);
    assert!(stderr.contains("use one of: mine"), "{stderr}");
}

#[test]
fn doctor_says_what_a_sweep_lacks() {
    let world = table();
    let doctor = |code: i32, arguments: &[&str]| -> Vec<Value> {
        let (stdout, _) = world.expect(code, &[&["doctor", "x.yaml", "--json"], arguments].concat());
        serde_json::from_str(&stdout).unwrap()
    };
    let of = |checks: &[Value], name: &str| -> Vec<Value> {
        checks.iter().filter(|check| check["check"] == name).cloned().collect()
    };
    let whole = doctor(0, &[]);
    assert!(of(&whole, "data")[0]["found"].as_str().unwrap().contains("1 data set"), "{whole:?}");
    let device = of(&whole, "device");
    assert!(device[0]["found"].as_str().unwrap().contains("the largest trial (classify) needs"), "{device:?}");
    // No wheel must be fetched, so nobody needs Python.
    assert!(of(&whole, "tools").is_empty() && of(&whole, "python").is_empty(), "{whole:?}");

    let device = of(&doctor(1, &["--device", "cpu,gpu"]), "device");
    assert_eq!((&device[0]["state"], &device[1]["state"]), (&"ok".into(), &"bad".into()), "{device:?}");
    assert!(device[1]["cure"].as_str().unwrap().contains("cuda:N"), "{device:?}");

    std::fs::remove_file(world.folder.path().join("x.npy")).unwrap();
    std::fs::remove_file(world.folder.path().join("t.csv")).unwrap();
    let lacking = doctor(1, &[]);
    for name in ["data", "weights"] {
        let check = of(&lacking, name);
        assert_eq!((check.len(), &check[0]["state"]), (1, &"bad".into()), "{check:?}");
        assert!(!check[0]["cure"].as_str().unwrap().is_empty());
    }
}

#[test]
fn weights_that_cannot_be_had_offline_are_missing() {
    let world = table();
    let text = std::fs::read_to_string(world.folder.path().join("x.yaml")).unwrap();
    world.write("x.yaml", &text.replace("value: v", "value: dinov2-s"));
    let (_, stderr) = world.expect(4, &["launch", "x.yaml"]);
    for what in ["hub:facebook/dinov2-small@ed25f3a3", "HF_HUB_OFFLINE", "--revision ed25f3a3", "weights: DIR"] {
        assert!(stderr.contains(what), "{what}: {stderr}");
    }
    assert!(!world.home().exists());
}
