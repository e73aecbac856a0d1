//! Outputs of the vision encoders against `transformers` and torchxrayvision.
//!
//! The references are made by `tests/fixtures/make_vision.py`. Errors are relative to a tensor's largest magnitude. The ignored
//! test is of encoders of full size, which `tests/parity/vision.py` makes.
#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod vision;

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use candle_core::{Device, Tensor};
use permafrost_worker::encoders::{
    dinov2::{Dinov2, Interpolation},
    resnet_ae::{Config, ResNetAe},
};
use vision::bench::{Reference, fixture, narrow};

/// Largest relative error.
const TOLERANCE: f64 = 1e-4;

/// Largest relative error of `found`, which must be within the tolerance.
fn check(name: &str, found: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(found.dims(), expected.dims(), "{name}");
    let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let (found, expected) = (values(found), values(expected));
    let largest = expected.iter().fold(0.0_f64, |largest, x| largest.max(f64::from(x.abs())));
    let mut worst = 0.0_f64;
    for (i, (&found, &expected)) in found.iter().zip(&expected).enumerate() {
        let error = (f64::from(found) - f64::from(expected)).abs() / largest;
        // Also false for NaN.
        assert!(error <= TOLERANCE, "{name}, {i}: {found}, not {expected}; the largest is {largest}");
        worst = worst.max(error);
    }
    worst
}

/// An output's name, the error, and how long its images took, in seconds.
type Checked = (String, f64, f64);

/// All of a folder's references, with both interpolations.
fn check_dinov2(folder: &Path, threads: usize) -> Vec<Checked> {
    let reference = Reference::open(folder);
    let mut checked = Vec::new();
    for (interpolation, suffix) in [(Interpolation::Size, ""), (Interpolation::ScaleFactor, "-factor")] {
        let model = Dinov2::load(folder, interpolation, &Device::Cpu).unwrap();
        for (i, image) in reference.images().iter().enumerate() {
            let start = Instant::now();
            let found = model.forward(image, threads).unwrap();
            let seconds = start.elapsed().as_secs_f64();
            for (name, found) in [("pooled", &found.pooled), ("tokens", &found.tokens)] {
                let name = format!("{name}{suffix}.{i}");
                let error = check(&name, found, &reference.tensor(&name));
                checked.push((format!("{name} {:?}", image.dims()), error, seconds));
            }
        }
    }
    checked
}

/// All of a folder's references.
fn check_resnet_ae(folder: &Path, config: &Config, threads: usize) -> Vec<Checked> {
    let reference = Reference::open(folder);
    let model = ResNetAe::load_as(&folder.join("model.pt"), config, &Device::Cpu).unwrap();
    let mut checked = Vec::new();
    for (i, image) in reference.images().iter().enumerate() {
        let start = Instant::now();
        let maps = model.forward(image, threads).unwrap();
        let seconds = start.elapsed().as_secs_f64();
        let all = [
            ("stem", &maps.stem),
            ("layer1", &maps.layer1),
            ("layer2", &maps.layer2),
            ("layer3", &maps.layer3),
            ("spatial", &maps.spatial),
            ("pooled", &maps.pooled),
        ];
        for (name, found) in all {
            let name = format!("{name}.{i}");
            let error = check(&name, found, &reference.tensor(&name));
            checked.push((format!("{name} {:?}", image.dims()), error, seconds));
        }
    }
    checked
}

#[test]
fn dinov2_is_that_of_transformers() {
    check_dinov2(&fixture("dinov2"), 2);
}

#[test]
fn dinov2_with_swiglu_is_that_of_transformers() {
    check_dinov2(&fixture("dinov2-swiglu"), 2);
}

/// Otherwise the references would not tell one from the other.
#[test]
fn the_interpolations_differ_by_more_than_the_tolerance() {
    let reference = Reference::open(&fixture("dinov2"));
    let [size, factor] = ["tokens.1", "tokens-factor.1"].map(|name| reference.tensor(name));
    let difference = (size - factor).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    assert!(difference > 0.01, "{difference}");
}

#[test]
fn resnet_ae_is_that_of_torchxrayvision() {
    check_resnet_ae(&fixture("resnet-ae"), &narrow(), 2);
}

/// The folder `PERMAFROST_VISION` has a folder for each encoder. Run it with `--release -- --ignored --nocapture`.
#[test]
#[ignore = "takes the folder that tests/parity/vision.py makes"]
fn encoders_of_full_size_are_those_of_the_reference_libraries() {
    let folder = PathBuf::from(std::env::var_os("PERMAFROST_VISION").expect("PERMAFROST_VISION names a folder"));
    let mut folders: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let threads = std::thread::available_parallelism().unwrap().get();
    let mut encoders = 0;
    for folder in folders.into_iter().filter(|folder| folder.join("reference.safetensors").exists()) {
        let checked = if folder.join("config.json").exists() {
            check_dinov2(&folder, threads)
        } else {
            check_resnet_ae(&folder, &Config::published(), threads)
        };
        for (name, error, seconds) in checked {
            eprintln!("{} {name}: error {error:.1e}, {seconds:.2} s", folder.display());
        }
        encoders += 1;
    }
    assert!(encoders > 0, "no encoder in {}", folder.display());
}
