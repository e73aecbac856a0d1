//! What reading an image may allocate, as `Limits` states it. Alone in its process, as it counts all allocations.
#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use permafrost_worker::images::{Fault, Limits, decode};

/// Counts what is allocated now, and the most that ever was.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Relaxed) + layout.size();
        MOST.fetch_max(now, Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SIDE: u16 = 3000;

/// Largest allocation, in bytes, beyond three times the file, which is one of them.
const BOUND: usize = 16 * SIDE as usize * SIDE as usize + (8 << 20);

/// A bit for every pixel, and some more.
const PADDING: usize = 1_200_000;

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/../tests/fixtures/images/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// Writes `to` where `from` is for the first time.
fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
    bytes[at..at + to.len()].copy_from_slice(to);
}

/// A JPEG that claims `SIDE` x `SIDE` pixels; `marker` is that of its frame.
fn large_jpeg(bytes: &mut [u8], marker: u8, precision: u8, components: u8, [height, width]: [u8; 2]) {
    let frame = [0xFF, marker, 0, 8 + 3 * components, precision, 0, height, 0, width];
    let [high, low] = SIDE.to_be_bytes();
    replace(bytes, &frame, &[0xFF, marker, 0, 8 + 3 * components, precision, high, low, high, low]);
}

/// A JPEG 2000 that claims `SIDE` x `SIDE` pixels in one tile.
fn large_jpeg2000(bytes: &mut [u8]) {
    let size = bytes.windows(4).position(|window| window == [0xFF, 0x4F, 0xFF, 0x51]).unwrap();
    for at in [8, 12, 24, 28] {
        bytes[size + at..size + at + 4].copy_from_slice(&u32::from(SIDE).to_be_bytes());
    }
}

/// Lengthens the only fragment of a DICOM file by [`PADDING`]; 8 bytes that end the pixel data follow it.
fn padded(mut bytes: Vec<u8>) -> Vec<u8> {
    let image = bytes.windows(3).position(|window| window == [0xFF, 0xD8, 0xFF]).unwrap();
    let length = bytes.len() - 8 - image + PADDING;
    bytes[image - 4..image].copy_from_slice(&u32::try_from(length).unwrap().to_le_bytes());
    let end = bytes.len() - 8;
    bytes.splice(end..end, [0; PADDING]);
    bytes
}

/// Files with few bytes that claim many pixels, and one that keeps what it claims.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let mut files = Vec::new();
    for (name, marker, components) in [
        ("grey.jpg", 0xC0, 1),
        ("grey_progressive.jpg", 0xC2, 1),
        ("rgb_422_progressive.jpg", 0xC2, 3),
        ("rgb_kept.jpg", 0xC0, 3),
    ] {
        let mut bytes = fixture(name);
        large_jpeg(&mut bytes, marker, 8, components, [61, 75]);
        // Or else it could not hold the image.
        bytes.extend_from_slice(&[0; PADDING]);
        files.push((name, bytes));
    }
    let [low, high] = SIDE.to_le_bytes();
    for name in
        ["u8.dcm", "rle_i16.dcm", "jpeg_u8.dcm", "lossless_u16_process14.dcm", "j2k_u16.dcm", "j2k_lossy_u12.dcm"]
    {
        let mut bytes = fixture(name);
        replace(&mut bytes, b"\x28\0\x10\0US\x02\0", &[0x28, 0, 0x10, 0, b'U', b'S', 2, 0, low, high]);
        replace(&mut bytes, b"\x28\0\x11\0US\x02\0", &[0x28, 0, 0x11, 0, b'U', b'S', 2, 0, low, high]);
        match name {
            "jpeg_u8.dcm" => large_jpeg(&mut bytes, 0xC0, 8, 1, [29, 37]),
            "lossless_u16_process14.dcm" => large_jpeg(&mut bytes, 0xC3, 16, 1, [29, 37]),
            _ if name.starts_with("j2k_") => {
                large_jpeg2000(&mut bytes);
                files.push((name, bytes));
                continue;
            }
            _ => {
                files.push((name, bytes));
                continue;
            }
        }
        files.push((name, padded(bytes)));
    }
    let mut bytes = fixture("u8.dcm");
    replace(&mut bytes, b"\xE0\x7F\x10\0OB\0\0", b"\xE0\x7F\x10\0OB\0\0\xFE\xFF\xFF\xFF");
    files.push(("a length of 4 GiB", bytes));
    files.push(("a bomb", bomb()));
    files
}

/// A PNG of black pixels with 8 bytes each, a thousand times smaller than they are.
fn bomb() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, SIDE.into(), SIDE.into());
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Sixteen);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&vec![0; 8 * usize::from(SIDE) * usize::from(SIDE)]).unwrap();
    writer.finish().unwrap();
    bytes
}

#[test]
fn what_is_allocated_is_bounded() {
    for (name, bytes) in files() {
        let before = NOW.load(Relaxed);
        MOST.store(before, Relaxed);
        let found = decode(&bytes, &Limits::default());
        let most = MOST.load(Relaxed) - before;
        println!("{name}: {:.1} bytes a pixel, {found:?}", most as f64 / f64::from(SIDE).powi(2));
        assert!(most <= BOUND + 2 * bytes.len(), "{name}: {most} bytes");
        drop(found);

        MOST.store(before, Relaxed);
        let side = usize::from(SIDE) - 1;
        let found = decode(&bytes, &Limits { side, ..Limits::default() });
        let most = MOST.load(Relaxed) - before;
        if name != "a length of 4 GiB" {
            assert!(matches!(found, Err(Fault::TooLarge { .. })), "{name}: {found:?}");
        }
        assert!(most <= 1 << 20, "{name}: {most} bytes for a file that is refused");
    }
}
