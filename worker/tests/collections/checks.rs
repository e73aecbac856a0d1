//! What a check finds does not depend on the number of cores, and a check can be ended.

use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use permafrost_worker::datasets::{
    Dataset, Image, Split,
    check::{Depth, Findings, Options, check},
};

use crate::support::{Place, image};

/// Two hundred images, of which some are the same, damaged or missing.
fn collection() -> (Place, Dataset) {
    let place = Place::new();
    let mut images = Vec::new();
    for i in 0..200_usize {
        let name = format!("{i}.png");
        match i % 10 {
            3 => {}
            5 => drop(place.write(&name, b"no image")),
            7 => drop(place.write(&name, &image("grey8.png", 0)[..90])),
            _ => drop(place.write(&name, image("grey8.png", (i % 50) as u8))),
        }
        images.push(Image {
            id: i.to_string(),
            split: if i < 120 { Split::Train } else { Split::Test },
            file: Some(name.into()),
            ..Image::default()
        });
    }
    let dataset = Dataset::new(vec![], vec![], images).unwrap();
    (place, dataset)
}

fn options(root: &Path) -> Options<'_> {
    Options { root, depth: Depth::Decode, published: &[], listed: &[] }
}

#[test]
fn threads_change_nothing() {
    let (place, dataset) = collection();
    let found: Vec<Findings> = [1, 2, 7]
        .into_iter()
        .map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| check(&dataset, &options(place.path()), &|_, _| false).unwrap())
        })
        .collect();
    assert!(found.iter().all(|other| *other == found[0]));
    let found = &found[0];
    assert_eq!((found.missing.count, found.unreadable.count), (20, 40));
    assert_eq!(found.missing.first[..2], ["3.png", "13.png"]);
    assert!(found.unreadable.first[0].starts_with("5.png: ") && found.unreadable.first[1].starts_with("7.png: "));
    // 140 good files of 35 contents; those of the first 50 come again three times, twice of them in the test split.
    assert_eq!(found.duplicate_images.count, 105);
    assert_eq!(found.duplicate_images.first[0], "50.png as 0.png");
    assert_eq!(found.images_across_splits.count, 56);
}

#[test]
fn a_check_tells_how_far_it_is_and_ends_when_told() {
    let (place, dataset) = collection();
    let most = AtomicUsize::new(0);
    let watch = |done: usize, total: usize| {
        assert_eq!(total, 200);
        most.fetch_max(done, Ordering::Relaxed);
        false
    };
    assert!(check(&dataset, &options(place.path()), &watch).is_some());
    assert_eq!(most.into_inner(), 200);
    let looked = AtomicUsize::new(0);
    let ended = check(&dataset, &options(place.path()), &|done, _| {
        looked.fetch_add(1, Ordering::Relaxed);
        done >= 5
    });
    assert!(ended.is_none());
    assert!(looked.into_inner() < 100);
}
