//! From a table and image files to results, with tiny encoders out of folders; and real X-rays through real encoders, where they
//! are at hand.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use permafrost::store::SqlValue;

use crate::support::{
    Chance, World,
    killing::{FAST, disturbed, nothing_ran_twice},
};

/// Images, one of which is damaged.
const IMAGES: usize = 150;
/// Sides of an image, in pixels.
const SIZE: (u32, u32) = (80, 60);

/// A world with a table of images and two tiny encoders in folders.
fn world() -> World {
    let world = World::new();
    let folder = world.folder.path();
    let images = folder.join("data/images");
    fs::create_dir_all(&images).unwrap();
    let mut table = "file,patient,view,ill,note\n".to_owned();
    for number in 0..IMAGES {
        let (view, ill) = (["front", "side", "top"][number % 3], (number / 3) % 2);
        // Every fifth image has no note.
        let note = match number % 5 {
            0 => String::new(),
            _ => format!("{} lung {}", ["clear", "opacity"][ill], ["right", "left", "base"][number % 3]),
        };
        writeln!(table, "{number:03}.png,p{},{view},{ill},{note}", number / 2).unwrap();
        fs::write(images.join(format!("{number:03}.png")), image(number, ill)).unwrap();
    }
    fs::write(folder.join("data/table.csv"), table).unwrap();
    // Cut off in the middle, as by a full disk.
    let damaged = images.join("007.png");
    let bytes = fs::read(&damaged).unwrap();
    fs::write(&damaged, &bytes[..bytes.len() / 2]).unwrap();
    for (from, to) in [("vision/dinov2", "tiny-dino"), ("encoders/model", "tiny-bert")] {
        let (from, to) = (fixtures().join(from), folder.join("weights").join(to));
        fs::create_dir_all(&to).unwrap();
        for file in fs::read_dir(from).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
    world.write("sweep.yaml", &sweep("data"));
    world
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")
}

/// A PNG of stripes that are wide in the ill, over a pattern of its own.
fn image(number: usize, ill: usize) -> Vec<u8> {
    let (width, height) = SIZE;
    let pixel = |at: usize| {
        let (x, y) = (at % width as usize, at / width as usize);
        let stripe = if (x / (4 + 8 * ill)).is_multiple_of(2) { 150 } else { 30 };
        (stripe + (x * 7 + y * 13 + number * 29) % 60) as u8
    };
    let pixels: Vec<u8> = (0..(width * height) as usize).map(pixel).collect();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    bytes
}

/// The sweep, its data in `folder`.
fn sweep(folder: &str) -> String {
    format!(
        "name: pixels
datasets:
  small:
    reader: table
    table: {folder}/table.csv
    root: {folder}/images
    columns: {{image: file, text: note, group: patient, binary: [ill], classes: [view]}}
    split: groups
    train: 0.5
    valid: 0.25
    resize: 56
    max_damaged: 0.02
encoders:
  vision:
    tiny: {{model: dinov2, weights: weights/tiny-dino, width: 32, crop: 42, dtype: f16}}
  text:
    tiny: {{model: bert-folder, weights: weights/tiny-bert, width: 32, pooling: mean, max_tokens: 16}}
stages:
  pretrain:
    parameters:
      vision: {{value: tiny}}
      text: {{value: tiny}}
      epochs: {{value: 3}}
      batch_size: {{value: 16}}
      learning_rate: {{value: 1.0e-4}}
  adapted:
    kind: classify
    from: pretrain
    parameters:
      label: {{values: [ill, view=front, view]}}
      epochs: {{value: 6}}
      batch_size: {{value: 16}}
      learning_rate: {{value: 1.0e-3}}
  patches:
    kind: embed
    dataset: small
    parameters: {{encoder: {{value: tiny-patches}}}}
"
    )
    .replace(
        "  text:\n",
        "    tiny-patches: {model: dinov2, weights: weights/tiny-dino, width: 32, crop: 42}\n  text:\n",
    )
    .replace(
        "encoder: {value: tiny-patches}",
        "encoder: {value: tiny-patches}, output: {value: tokens}, dtype: {value: bf16}",
    )
}

fn launch(more: &[&'static str]) -> Vec<&'static str> {
    [&["launch", "sweep.yaml", "--threads", "2"][..], more].concat()
}

fn result(world: &World, stage: &str, name: &str) -> Option<f64> {
    let sql = format!("SELECT value FROM leaderboard WHERE stage = '{stage}' AND metric = '{name}'");
    match world.ask(&sql)?.rows.first()?.first()? {
        SqlValue::Real(value) => Some(*value),
        _ => None,
    }
}

/// The one shard, or the first, of the pooled image embeddings.
fn shard(world: &World) -> PathBuf {
    let sql = "SELECT path FROM artifacts JOIN trials USING (trial) WHERE kind = 'embed' AND name LIKE '%.safetensors'
               AND task LIKE '%dinov2%' AND task LIKE '%pooled%' ORDER BY name";
    match &world.ask(sql).unwrap().rows[0][0] {
        SqlValue::Text(path) => world.home().join(path),
        other => panic!("{other:?}"),
    }
}

#[test]
fn images_become_results_once() {
    let world = world();
    world.expect(0, &launch(&FAST));
    let ran = "SELECT count(*) FROM attempts";
    // Prepare, three encodings, an Adaptor, three heads.
    assert_eq!(world.number(ran), 1 + 3 + 1 + 3);
    let damaged = "SELECT count(*) FROM results WHERE name = 'images_damaged' AND value = 1.0";
    assert_eq!(world.number(damaged), 2, "both passes over the images tell of the damaged one");
    assert!(result(&world, "adapted", "auroc").is_some_and(|auroc| auroc > 0.5));
    world.wait_until_quiet();

    // A folder that moved is the same data.
    fs::rename(world.folder.path().join("data"), world.folder.path().join("moved")).unwrap();
    world.write("sweep.yaml", &sweep("moved"));
    let before = world.number(ran);
    world.expect(0, &launch(&FAST));
    assert_eq!(world.number(ran), before, "a moved folder ran something again");

    // A byte of a shard changes on disk: whoever reads it next finds out, and it is made again with the same content.
    let path = shard(&world);
    let good = fs::read(&path).unwrap();
    let mut bad = good.clone();
    let last = bad.len() - 1;
    bad[last] ^= 1;
    fs::write(&path, bad).unwrap();
    world.wait_until_quiet();
    world.write("sweep.yaml", &sweep("moved").replace("epochs: {value: 6}", "epochs: {value: 5}"));
    world.expect(0, &launch(&FAST));
    assert_eq!(fs::read(shard(&world)).unwrap(), good);
    world.wait_until_quiet();

    // Another table is other data.
    let table = world.folder.path().join("moved/table.csv");
    let text = fs::read_to_string(&table).unwrap().replace("clear lung", "normal lung");
    fs::write(&table, text).unwrap();
    let before = world.number(ran);
    world.expect(0, &launch(&FAST));
    assert!(world.number(ran) > before + 5, "another table has run nothing");
}

#[test]
fn whatever_is_killed_the_shards_are_the_same() {
    let (expected, killed) = (world(), world());
    expected.expect(0, &launch(&FAST));
    let mut chance = Chance::new();
    let kills = disturbed(&killed, &launch(&FAST), 8, 700, &mut chance);
    assert_eq!(killed.outcome(), expected.outcome());
    nothing_ran_twice(&killed);
    assert!(kills >= 2, "only {kills} kills: the run was over too soon");
}

/// Folders of real X-rays and of real weights; none, said aloud, where they are not at hand. Weights are made once, and kept.
fn shared() -> Option<(PathBuf, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let shared = std::env::var_os("PERMAFROST_SHARED").map_or_else(|| root.join("../shared"), PathBuf::from);
    let (data, script) = (shared.join("data/covid-cxr"), shared.join("weights/get.sh"));
    let skipped = |why: String| {
        writeln!(std::io::stderr().lock(), "skipped real_x_rays_through_real_encoders: {why}").unwrap();
        None
    };
    if !data.is_dir() || !script.is_file() {
        return skipped(format!("{} has no X-rays; set PERMAFROST_SHARED", shared.display()));
    }
    let weights = Path::new(env!("CARGO_TARGET_TMPDIR")).join("weights");
    match Command::new("bash").arg(script).arg(&weights).stdout(Stdio::null()).output() {
        Ok(output) if output.status.success() => Some((data.canonicalize().unwrap(), weights)),
        other => skipped(format!("no weights: {other:?}")),
    }
}

/// Real X-rays with notes and patients, DINOv2-S, MiniLM: the shipped sweep.
#[test]
fn real_x_rays_through_real_encoders() {
    let Some((data, weights)) = shared() else { return };
    let world = World::new();
    std::os::unix::fs::symlink(weights, world.folder.path().join("weights")).unwrap();
    let sweep = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sweeps/covid-cxr.yaml");
    let downloads = std::env::var_os("PERMAFROST_WHEELS");
    let mut command = world.command();
    command.arg("launch").arg(sweep).args(FAST).env("COVID_CXR", data);
    if let Some(folder) = downloads {
        command.arg("--wheel-dir").arg(folder);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    // What scikit-learn's logistic regression has on the same features and split: 0.81, and 0.31 to 0.47.
    for (label, range) in [("view=PA", 0.72..0.9), ("sex=F", 0.2..0.6)] {
        let sql = format!(
            "SELECT avg(value) FROM leaderboard WHERE stage = 'frozen' AND metric = 'auroc'
             AND parameters ->> 'label' = '{label}' AND parameters ->> 'fraction' = 1.0"
        );
        let auroc = match world.ask(&sql).unwrap().rows[0][0] {
            SqlValue::Real(value) => value,
            ref other => panic!("{label}: {other:?}\n{text}"),
        };
        assert!(range.contains(&auroc), "{label}: {auroc}\n{text}");
    }
}
