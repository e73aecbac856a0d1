//! Images that cannot be read.

use std::fs;

use permafrost_worker::{
    protocol::FailureClass,
    task::{Dtype, Output},
};

use super::support::{Home, noise};

/// A hundred images, of which five cannot be read, each for another reason.
fn collection() -> Home {
    let mut images: Vec<_> = (0..100).map(|i| (format!("image-{i}"), Some(format!("{i}.png")))).collect();
    images[40].1 = None;
    Home::new(images, |root| {
        (0..100).for_each(|i| noise(&root.join(format!("{i}.png")), i));
        let whole = fs::read(root.join("10.png")).unwrap();
        fs::write(root.join("10.png"), &whole[..whole.len() / 2]).unwrap();
        fs::remove_file(root.join("20.png")).unwrap();
        fs::write(root.join("30.png"), "<html>").unwrap();
        fs::write(root.join("50.png"), "").unwrap();
    })
}

#[test]
fn they_have_no_embedding_and_change_no_other() {
    let home = collection();
    let mut task = home.embed(Output::Pooled, Dtype::F32);
    task.max_damaged = 0.05;
    let members = home.run_tasks(&[task]);
    let (summary, artifacts) = members[0].done();
    let counts = ["samples", "samples_missing", "images_damaged"].map(|name| summary[name]);
    assert_eq!(counts, [95.0, 5.0, 5.0]);
    let embeddings = home.open(&members[0]);
    let sound = Home::noise(100);
    let undamaged = sound.run_tasks(&[sound.embed(Output::Pooled, Dtype::F32)]);
    let undamaged = sound.open(&undamaged[0]);
    for i in 0..100 {
        let id = format!("image-{i}");
        match i {
            10 | 20 | 30 | 40 | 50 => assert!(embeddings.get(&id).is_none(), "{id}"),
            _ => assert_eq!(embeddings.get(&id), undamaged.get(&id), "{id}"),
        }
    }
    let manifest = artifacts.iter().find(|file| file.name == "manifest.json").unwrap();
    let manifest = fs::read_to_string(home.path().join(&manifest.path)).unwrap();
    let log = members[0].log.join("\n");
    for reason in [
        "10.png: damaged PNG",
        "20.png: the file is missing",
        "30.png: neither PNG, JPEG nor DICOM",
        "the collection names no file",
        "50.png: neither PNG, JPEG nor DICOM",
    ] {
        assert!(log.contains(reason) && manifest.contains(reason), "{reason} is not in:\n{log}\n{manifest}");
    }
}

#[test]
fn too_many_fail_the_trial_with_names_count_and_cure() {
    let home = collection();
    let mut task = home.embed(Output::Pooled, Dtype::F32);
    task.max_damaged = 0.04;
    let members = home.run_tasks(&[task]);
    let failure = members[0].failure();
    assert_eq!(failure.class, FailureClass::Input);
    assert!(failure.message.contains("5 of 100 images") && failure.message.contains("20.png: the file is missing"));
    let cure = failure.cure.as_ref().unwrap();
    assert!(cure.contains("permafrost data check") && cure.contains("max_damaged"), "{cure}");
}

#[test]
fn the_log_does_not_grow_with_their_number() {
    let images: Vec<_> = (0..200).map(|i| (format!("image-{i}"), Some(format!("{i}.png")))).collect();
    let home = Home::new(images, |root| noise(&root.join("7.png"), 7));
    let mut task = home.embed(Output::Pooled, Dtype::F32);
    task.max_damaged = 1.0;
    let members = home.run_tasks(&[task]);
    assert_eq!(members[0].done().0["images_damaged"], 199.0);
    assert!(members[0].log.len() < 40, "{} lines", members[0].log.len());
}

/// Not one file less, but all of them: a disk that is not mounted, or a collection that was moved.
#[test]
fn a_folder_that_is_gone_is_no_damaged_image() {
    let home = Home::noise(40);
    fs::rename(home.root(), home.path().join("elsewhere")).unwrap();
    let mut task = home.embed(Output::Pooled, Dtype::F32);
    task.max_damaged = 1.0;
    let members = home.run_tasks(&[task]);
    let failure = members[0].failure();
    assert!(failure.message.contains("collection") && failure.cure.is_some(), "{failure:?}");
    assert_eq!(failure.class, FailureClass::Input);
}
