//! Decoded and resized pixels against OpenCV and pydicom.
//!
//! The images and references are made by `tests/fixtures/make_images.py`; all of them are synthetic.
#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod images;

use std::path::PathBuf;

use images::{FOLDER, names};
use permafrost_worker::{
    error::Error,
    images::{Fault, Grey, Limits, read},
};
use safetensors::SafeTensors;

/// Largest difference of a resized pixel, in levels.
const RESIZED: u8 = 1;

/// Largest mean difference over an averaged image, and over an interpolated one, where OpenCV's weights have 11 bits.
const MEAN: [f64; 2] = [0.01, 0.1];

fn grey(file: &SafeTensors<'_>, name: &str) -> Grey {
    let view = file.tensor(name).unwrap_or_else(|_| panic!("no reference for {name}"));
    let [height, width] = view.shape() else { panic!("{name} is no image") };
    Grey::new(*width, *height, view.data().to_vec()).unwrap()
}

/// Compares sizes, and gives the largest and the mean difference of the pixels.
fn difference(name: &str, found: &Grey, expected: &Grey) -> (u8, f64) {
    let size = |image: &Grey| (image.width(), image.height());
    assert_eq!(size(found), size(expected), "{name}");
    let differences = || found.pixels().iter().zip(expected.pixels()).map(|(a, b)| a.abs_diff(*b));
    let sum: f64 = differences().map(f64::from).sum();
    (differences().max().unwrap(), sum / found.pixels().len() as f64)
}

fn references() -> Vec<u8> {
    std::fs::read(PathBuf::from(FOLDER).join("expected.safetensors")).unwrap()
}

/// Inverse DCTs and wavelets in floating point differ by a level between decoders, which DICOM's scaling may make two; all else has
/// one right answer.
fn tolerance(name: &str) -> u8 {
    match name {
        _ if name.ends_with(".jpg") => 1,
        _ if name.starts_with("jpeg_") || name.starts_with("j2k_lossy_") => 2,
        _ => 0,
    }
}

/// Compares a resized image.
fn check_resized(name: &str, source: &Grey, found: &Grey, expected: &Grey) {
    let (largest, mean) = difference(name, found, expected);
    let grows = found.width() > source.width() || found.height() > source.height();
    assert!(largest <= RESIZED, "{name}: {largest} levels");
    assert!(mean <= MEAN[usize::from(grows)], "{name}: {mean} levels in the mean");
}

#[test]
fn decoded_pixels_are_those_of_opencv_and_pydicom() {
    let bytes = references();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut checked = 0;
    for path in names("") {
        let name = path.file_name().unwrap().to_str().unwrap();
        let found = read(&path, &Limits::default()).unwrap();
        let (largest, mean) = difference(name, &found, &grey(&file, name));
        assert!(largest <= tolerance(name), "{name}: {largest} levels");
        assert!(mean <= 0.02, "{name}: {mean} levels in the mean");
        checked += 1;
    }
    assert_eq!(checked, 42);
}

#[test]
fn resized_pixels_are_those_of_inter_area() {
    let bytes = references();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut checked = 0;
    for (name, _) in file.iter().filter(|(name, _)| name.starts_with("area/")) {
        let expected = grey(&file, name);
        let source = grey(&file, &format!("source/{}", name.split('/').nth(1).unwrap()));
        let found = source.resized(expected.width(), expected.height()).unwrap();
        check_resized(name, &source, &found, &expected);
        let whole = |from: usize, to: usize| from.is_multiple_of(to);
        if whole(source.width(), found.width()) && whole(source.height(), found.height()) {
            assert_eq!(found, expected, "{name} shrinks by whole factors");
        }
        checked += 1;
    }
    assert_eq!(checked, 28);
}

#[test]
fn squares_are_those_of_the_papers_code() {
    let bytes = references();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut checked = 0;
    for (name, _) in file.iter().filter(|(name, _)| name.starts_with("square/")) {
        let expected = grey(&file, name);
        let source = grey(&file, &format!("source/{}", name.split('/').nth(1).unwrap()));
        let found = source.resized_longest(expected.width()).unwrap().padded_square();
        check_resized(name, &source, &found, &expected);
        checked += 1;
    }
    assert_eq!(checked, 7);
}

#[test]
fn kinds_that_are_not_read_are_refused_by_name() {
    for (name, expected) in [
        ("big_endian.dcm", "its transfer syntax is big endian: 1.2.840.10008.1.2.2"),
        ("cmyk.jpg", "colours in "),
        ("deflated.dcm", "its transfer syntax is deflated: 1.2.840.10008.1.2.1.99"),
        ("frames.dcm", "2 frames; single ones are read"),
        ("jpeg12.dcm", " bits a sample; 8 are read"),
        ("jpeg_ls.dcm", "its transfer syntax is JPEG-LS: 1.2.840.10008.1.2.4.80"),
        ("rgb.dcm", "`RGB` with 3 samples a pixel; grey is read"),
    ] {
        let error = read(&PathBuf::from(FOLDER).join("refused").join(name), &Limits::default()).unwrap_err();
        assert!(matches!(&error, Error::Image { fault: Fault::Unsupported { .. }, .. }), "{error}");
        let message = error.to_string();
        assert!(message.contains(name) && message.contains(expected), "{message}");
        assert!(error.cure().is_some());
    }
}

#[test]
fn content_counts_and_not_the_extension() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.txt");
    for name in ["grey8.png", "grey.jpg", "u12_extras.dcm"] {
        let source = PathBuf::from(FOLDER).join(name);
        std::fs::copy(&source, &path).unwrap();
        assert_eq!(read(&path, &Limits::default()).unwrap(), read(&source, &Limits::default()).unwrap());
    }
    // What follows the image is not part of it, such as the padding of DICOM's fragments.
    for name in ["grey8.png", "grey.jpg", "rgb_422_progressive.jpg"] {
        let source = PathBuf::from(FOLDER).join(name);
        std::fs::write(&path, [std::fs::read(&source).unwrap(), vec![0; 7]].concat()).unwrap();
        assert_eq!(read(&path, &Limits::default()).unwrap(), read(&source, &Limits::default()).unwrap());
    }
    std::fs::write(&path, "no image").unwrap();
    let error = read(&path, &Limits::default()).unwrap_err();
    assert!(error.to_string().ends_with("image.txt: neither PNG, JPEG nor DICOM"), "{error}");
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(read(&path, &Limits::default()), Err(Error::Io { action: "open", .. })));
}
