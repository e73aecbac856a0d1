//! Damaged and malicious files: errors, never a panic, never more memory than stated.

use std::{path::PathBuf, sync::LazyLock};

use permafrost_worker::images::{Fault, Limits, decode, read};
use proptest::prelude::*;

use super::{FOLDER, names};

/// Small enough for files that claim to be large to be refused.
const LIMITS: Limits = Limits { file_bytes: 1 << 20, side: 200, pixels: 10_000 };

static FIXTURES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let paths = names("").into_iter().chain(names("refused"));
    paths.map(|path| std::fs::read(path).unwrap()).collect()
});

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(PathBuf::from(FOLDER).join(name)).unwrap()
}

/// Fails when a decoder panicked, which [`decode`] turns into an error.
fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
    let found = decode(bytes, &LIMITS);
    if let Err(Fault::Damaged { what, .. }) = &found {
        prop_assert!(!what.contains("panicked"));
    }
    if let Ok(image) = found {
        prop_assert!(image.pixels().len() <= LIMITS.pixels);
    }
    Ok(())
}

/// One change of a file.
#[derive(Clone, Debug)]
enum Change {
    Set(prop::sample::Index, u8),
    Flip(prop::sample::Index, u8),
    Remove(prop::sample::Index, usize),
    Repeat(prop::sample::Index, usize),
    Cut(prop::sample::Index),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        4 => (at(), prop_oneof![Just(0), Just(0xFF), any::<u8>()]).prop_map(|(at, byte)| Change::Set(at, byte)),
        4 => (at(), 0..8_u8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        1 => (at(), 1..20_usize).prop_map(|(at, count)| Change::Remove(at, count)),
        1 => (at(), 1..20_usize).prop_map(|(at, count)| Change::Repeat(at, count)),
        1 => at().prop_map(Change::Cut),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change, within: usize) {
    if bytes.is_empty() {
        return;
    }
    let length = bytes.len();
    let place = |at: &prop::sample::Index| at.index(length.min(within));
    let end = |start: usize, count: usize| length.min(start + count);
    match change {
        Change::Set(at, byte) => bytes[place(at)] = *byte,
        Change::Flip(at, bit) => bytes[place(at)] ^= 1 << bit,
        Change::Remove(at, count) => drop(bytes.drain(place(at)..end(place(at), *count))),
        Change::Repeat(at, count) => {
            let copy = bytes[place(at)..end(place(at), *count)].to_vec();
            bytes.splice(place(at)..place(at), copy);
        }
        Change::Cut(at) => bytes.truncate(place(at)),
    }
}

/// Sets the checksums of a PNG's chunks right, so that changes reach what is behind them.
fn mend(bytes: &mut [u8]) {
    let mut at = 8;
    while let Some(header) = bytes.get(at..at + 8) {
        let length = u32::from_be_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let Some(data) = bytes.get(at + 4..at.saturating_add(8).saturating_add(length)) else { return };
        let mut sum = flate2::Crc::new();
        sum.update(data);
        let Some(place) = bytes.get_mut(at + 8 + length..at + 12 + length) else { return };
        place.copy_from_slice(&sum.sum().to_be_bytes());
        at += 12 + length;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_files_never_panic(
        file in any::<prop::sample::Index>(),
        changes in prop::collection::vec(change(), 1..6),
        // Most of what can go wrong is said at the beginning; the preamble of DICOM has 128 bytes.
        within in prop_oneof![Just(60_usize), Just(700), Just(usize::MAX)],
    ) {
        let mut bytes = file.get(&FIXTURES).clone();
        for change in &changes {
            apply(&mut bytes, change, within);
        }
        check(&bytes)?;
        if bytes.starts_with(b"\x89PNG") {
            mend(&mut bytes);
            check(&bytes)?;
        }
    }

    #[test]
    fn bytes_after_a_signature_never_panic(
        signature in prop::sample::select(vec![&b"\x89PNG\r\n\x1a\n"[..], &[0xFF, 0xD8, 0xFF], b"DICM"]),
        rest in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let preamble = if signature == b"DICM" { 128 } else { 0 };
        check(&[&vec![0; preamble], signature, &rest].concat())?;
    }
}

/// More with `PROPTEST_CASES`, for a long search.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(2_000)
}

#[test]
fn a_file_cut_off_anywhere_is_an_error() {
    for path in names("") {
        let bytes = std::fs::read(&path).unwrap();
        // What follows the pixels may be missing: a PNG's last chunk, an end marker, padding.
        for length in 0..bytes.len() - 40 {
            assert!(
                decode(&bytes[..length], &LIMITS).is_err(),
                "{}: {length} of {} bytes",
                path.display(),
                bytes.len()
            );
        }
    }
}

#[test]
fn large_images_are_refused_before_they_are_decoded() {
    let side = |name: &str| decode(&fixture(name), &Limits { side: 20, ..LIMITS });
    let pixels = |name: &str| decode(&fixture(name), &Limits { pixels: 400, ..LIMITS });
    for name in ["grey8.png", "grey.jpg", "u12_extras.dcm", "jpeg_u8.dcm", "lossless_u12.dcm", "rle_u8.dcm"] {
        for found in [side(name), pixels(name)] {
            assert!(matches!(found, Err(Fault::TooLarge { .. })), "{name}: {found:?}");
        }
    }
    let path = PathBuf::from(FOLDER).join("grey8.png");
    let length = std::fs::metadata(&path).unwrap().len();
    assert!(read(&path, &Limits { file_bytes: length, ..LIMITS }).is_ok());
    let error = read(&path, &Limits { file_bytes: length - 1, ..LIMITS }).unwrap_err().to_string();
    assert!(error.contains("grey8.png: too large: more than"), "{error}");
}

/// `name` with the bytes `from`, which are there once, replaced.
fn replaced(name: &str, from: &[u8], to: &[u8]) -> Vec<u8> {
    let bytes = fixture(name);
    let places: Vec<_> = (0..=bytes.len() - from.len()).filter(|at| bytes[*at..].starts_with(from)).collect();
    assert_eq!(places.len(), 1, "{name}");
    [&bytes[..places[0]], to, &bytes[places[0] + from.len()..]].concat()
}

#[test]
fn a_jpeg_that_cannot_hold_what_it_claims_is_refused() {
    let limits = Limits { side: 3_000, pixels: 9_000_000, ..LIMITS };
    let large = replaced("grey.jpg", b"\xFF\xC0\0\x0B\x08\0\x3D\0\x4B", b"\xFF\xC0\0\x0B\x08\x0B\xB8\x0B\xB8");
    let found = decode(&large, &limits).unwrap_err().to_string();
    assert!(found.ends_with("bytes cannot hold 3000 x 3000 pixels"), "{found}");
}

#[test]
fn fill_bytes_before_a_marker_are_passed_over() {
    let filled = replaced("grey.jpg", b"\xFF\xC0", b"\xFF\xFF\xFF\xC0");
    assert_eq!(decode(&filled, &LIMITS), decode(&fixture("grey.jpg"), &LIMITS));
}

#[test]
fn what_is_wrong_with_a_dicom_file_is_said() {
    for (bytes, expected) in [
        (
            replaced("u8.dcm", b"\x28\0\x11\0US\x02\0\x25", b"\x28\0\x11\0US\x02\0\x24"),
            "1074 bytes of pixel data, 1044 expected",
        ),
        (replaced("u8.dcm", b"\x28\0\x10\0US\x02\0\x1D", b"\x28\0\x10\0US\x02\0\0"), "37 x 0 pixels"),
        (replaced("u8.dcm", b"\x28\0\x10\0US\x02\0", b"\x28\0\x0F\0US\x02\0"), "it has no Rows"),
        (
            replaced("u8.dcm", b"\xE0\x7F\x10\0OB\0\0\x32\x04\0\0", b"\xE0\x7F\x10\0OB\0\0\xF0\xFF\xFF\xFF"),
            "(7FE0,0010) is longer than the file",
        ),
        (replaced("u8.dcm", b"\xE0\x7F\x10\0OB", b"\xE0\x7F\x11\0OB"), "it has no pixel data"),
        (
            replaced("u8.dcm", b"\x28\0\x01\x01US\x02\0\x08", b"\x28\0\x01\x01US\x02\0\x09"),
            "9 bits up to bit 7 in cells of 8",
        ),
        (
            replaced("rle_u8.dcm", b"\x28\0\x00\x01US\x02\0\x08", b"\x28\0\x00\x01US\x02\0\x10"),
            "1 RLE segments, 2 expected",
        ),
        (
            replaced("jpeg_u8.dcm", b"\x28\0\x11\0US\x02\0\x25", b"\x28\0\x11\0US\x02\0\x24"),
            "its JPEG has 37 x 29 pixels, the file states 36 x 29",
        ),
    ] {
        let found = decode(&bytes, &LIMITS).unwrap_err();
        assert!(matches!(found, Fault::Damaged { format: "DICOM", .. }), "{found}");
        assert!(found.to_string().contains(expected), "{found}, not {expected}");
    }
}
