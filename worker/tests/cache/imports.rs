//! Embeddings that were made elsewhere: taken over by id, or refused with a reason.

use std::{collections::BTreeMap, fs, path::PathBuf};

use permafrost_worker::{
    cache::Embeddings,
    datasets::{Dataset, Image, Report},
    device::Device,
    execute::execute,
    files,
    id::TrialId,
    protocol::{FailureClass, Outcome},
    task::{Dtype, Embed, Encoder, Location, Output, Task},
};

use crate::support::{Recorder, World};

const COUNT: usize = 40;
const WIDTH: usize = 3;

/// A .npy file of this version.
fn npy(version: u8, header: &str, values: &[u8]) -> Vec<u8> {
    let length = if version == 1 { 2 } else { 4 };
    // Values begin at a multiple of 64.
    let padded = (8 + length + header.len() + 1).next_multiple_of(64) - 8 - length;
    let header = format!("{header:width$}\n", width = padded - 1);
    [b"\x93NUMPY", &[version, 0][..], &(padded as u32).to_le_bytes()[..length], header.as_bytes(), values].concat()
}

fn header(descr: &str, shape: &str) -> String {
    format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}")
}

/// The value of a row: exact in every type.
fn value(row: usize, at: usize) -> f64 {
    row as f64 + at as f64 / 4.0
}

fn bytes<const N: usize>(convert: impl Fn(f64) -> [u8; N]) -> Vec<u8> {
    (0..COUNT)
        .flat_map(|row| (0..WIDTH).map(move |at| (row, at)))
        .flat_map(|(row, at)| convert(value(row, at)))
        .collect()
}

fn f32_bytes() -> Vec<u8> {
    bytes(|value| (value as f32).to_le_bytes())
}

fn safetensors(tensors: &[(&str, safetensors::Dtype, Vec<usize>, Vec<u8>)]) -> Vec<u8> {
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        (*name, safetensors::tensor::TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    safetensors::serialize(views, None).unwrap()
}

struct Import {
    values: Vec<u8>,
    ids: String,
    fingerprint: Option<String>,
    output: Output,
    dtype: Dtype,
}

/// Row `i` is of image `COUNT - 1 - i`: by id, never by position.
fn ids() -> String {
    (0..COUNT).rev().map(|i| format!("i{i}\n")).collect()
}

impl Default for Import {
    fn default() -> Self {
        let values = npy(1, &header("<f4", &format!("({COUNT}, {WIDTH})")), &f32_bytes());
        Self { values, ids: ids(), fingerprint: None, output: Output::Pooled, dtype: Dtype::F32 }
    }
}

impl Import {
    fn of(values: Vec<u8>) -> Self {
        Self { values, ..Self::default() }
    }

    fn with_ids(ids: String) -> Self {
        Self { ids, ..Self::default() }
    }

    /// Runs it on a collection of images `i0`, `i1`, ... and half as many reports `r0`, `r1`, ...
    fn run(&self) -> (World, Outcome) {
        let files = tempfile::tempdir().unwrap();
        let [location, list] = ["values", "ids.txt"].map(|name| files.path().join(name));
        fs::write(&location, &self.values).unwrap();
        fs::write(&list, &self.ids).unwrap();
        let found = files::fingerprint(&[location.clone(), list.clone()]).unwrap();
        let fingerprint = self.fingerprint.clone().unwrap_or(found);
        let encoder = Encoder::Imported { location, ids: Location { location: list }, fingerprint };
        let dataset = TrialId::of(&"a collection").unwrap();
        let task = Embed { output: self.output, dtype: self.dtype, ..Embed::pooled(dataset, encoder) };
        let mut world = World::of(Task::Embed(task));
        let file = collection().save(world.home(), &world.home().join("artifacts")).unwrap();
        world.lease.inputs = BTreeMap::from([(dataset, vec![file])]);
        let recorder = Recorder::default();
        execute(&Device::Cpu { threads: 1 }, &world.attempt(1, &[], &[]), &recorder);
        let outcome = recorder.told().outcome.take().unwrap();
        (world, outcome)
    }

    /// It must fail for its input, with a cure; returns what is said.
    fn refusal(&self) -> String {
        match self.run().1 {
            Outcome::Failed(failure) => {
                assert!(failure.class == FailureClass::Input && failure.cure.is_some(), "{failure:?}");
                failure.message
            }
            other => panic!("it was not refused: {other:?}"),
        }
    }

    /// It must be done; returns the embeddings and the summary.
    fn done(&self) -> (World, Embeddings, BTreeMap<String, f64>) {
        let (world, outcome) = self.run();
        let Outcome::Done { summary, artifacts } = outcome else { panic!("{outcome:?}") };
        let read = Embeddings::open(world.home(), &artifacts).unwrap();
        (world, read, summary)
    }
}

fn collection() -> Dataset {
    let image = |i: usize| Image { id: format!("i{i}"), report: Some(i / 2), ..Image::default() };
    let report = |i: usize| Report { id: format!("r{i}"), text: "Text.".to_owned() };
    Dataset::new(vec![], (0..COUNT / 2).map(report).collect(), (0..COUNT).map(image).collect()).unwrap()
}

#[test]
fn every_kind_of_file_is_taken_over_by_id() {
    let shape = format!("({COUNT}, {WIDTH})");
    let f16 = || bytes(|value| half::f16::from_f64(value).to_le_bytes());
    let f64 = || bytes(f64::to_le_bytes);
    let tensor = |name: &'static str| (name, safetensors::Dtype::F32, vec![COUNT, WIDTH], f32_bytes());
    let cases = [
        npy(1, &header("<f4", &shape), &f32_bytes()),
        npy(2, &header("<f8", &shape), &f64()),
        npy(3, &header("<f2", &shape), &f16()),
        // As other programs write it.
        npy(1, &format!("{{'shape':({COUNT},{WIDTH}),'fortran_order':False,'descr':'<f4'}}"), &f32_bytes()),
        safetensors(&[tensor("anything")]),
        safetensors(&[tensor("embeddings"), ("more", safetensors::Dtype::U8, vec![1], vec![0])]),
        safetensors(&[(
            "e",
            safetensors::Dtype::BF16,
            vec![COUNT, WIDTH],
            bytes(|v| half::bf16::from_f64(v).to_le_bytes()),
        )]),
    ];
    for (case, values) in cases.into_iter().enumerate() {
        for dtype in [Dtype::F32, Dtype::F16] {
            let (_world, read, summary) = Import { dtype, ..Import::of(values.clone()) }.done();
            assert_eq!((read.len(), read.width(), summary["rows_unused"]), (COUNT, WIDTH, 0.0), "case {case}");
            for i in 0..COUNT {
                let expected = [0, 1, 2].map(|at| value(COUNT - 1 - i, at) as f32);
                assert_eq!(read.require("image", &format!("i{i}")).unwrap(), &expected[..], "case {case}");
            }
        }
    }
}

#[test]
fn reports_are_matched_too_and_other_rows_are_counted() {
    // Windows' line ends, a byte order mark, and rows of nobody here.
    let ids: String =
        (0..COUNT).map(|i| if i < COUNT / 2 { format!("r{i}\r\n") } else { format!("x{i}\r\n") }).collect();
    let (_world, read, summary) = Import::with_ids(format!("\u{feff}{ids}\r\n")).done();
    assert_eq!((read.len(), summary["samples"], summary["rows_unused"]), (COUNT / 2, 20.0, 20.0));
    assert_eq!(read.require("report", "r7").unwrap(), &[7.0_f32, 7.25, 7.5][..]);
}

#[test]
fn what_is_wrong_with_an_import_is_said() {
    let shape = format!("({COUNT}, {WIDTH})");
    let file = |descr: &str, shape: &str| npy(1, &header(descr, shape), &f32_bytes());
    let mut poisoned = file("<f4", &shape);
    let at = poisoned.len() - 4;
    poisoned[at..].copy_from_slice(&f32::NAN.to_le_bytes());
    let tensor = |name, shape: &[usize]| safetensors(&[(name, safetensors::Dtype::F32, shape.to_vec(), f32_bytes())]);
    let two = |name| {
        let tensor = |name| (name, safetensors::Dtype::F32, vec![COUNT, WIDTH], f32_bytes());
        safetensors(&[tensor(name), tensor("b")])
    };
    let cases = [
        (Import::of(file(">f4", &shape)), "its values are '>f4', not '<f2', '<f4' or '<f8'"),
        (Import::of(file("<i8", &shape)), "its values are '<i8'"),
        (Import::of(file("<f8", &shape)), "40 rows of 3 values do not fit its 480 bytes"),
        (Import::of(file("<f4", "(40, 2)")), "40 rows of 2 values do not fit its 480 bytes"),
        (Import::of(file("<f4", "(120,)")), "it has the shape (120,), not (samples, width)"),
        (Import::of(file("<f4", "(40, 3, 1)")), "it has the shape (40, 3, 1)"),
        (Import::of(npy(1, &header("<f4", &shape).replace("False", "True"), &f32_bytes())), "Fortran order"),
        (Import::of(npy(1, "{'descr': '<f4', 'fortran_order': False}", &f32_bytes())), "no `shape`"),
        (Import::of(npy(4, &header("<f4", &shape), &f32_bytes())), ".npy version 4"),
        (Import::of(npy(1, &header("<f4", "(0, 3)"), &[])), "it has 0 rows"),
        (Import::of(b"\x93NUMPY\x01".to_vec()), "it is cut short"),
        (Import::of(b"id,value\n".to_vec()), "neither a .npy file nor whole as safetensors"),
        (Import::of(poisoned), "the embedding of `i0` has NaN at 2"),
        (Import::of(two("a")), "it has 2 tensors, and none is called `embeddings`"),
        (Import::of(tensor("a", &[COUNT * WIDTH])), "`a` has the shape [120], not [samples, width]"),
        (
            Import::of(safetensors(&[("a", safetensors::Dtype::I32, vec![COUNT, WIDTH], f32_bytes())])),
            "`a` is I32, not F16, BF16, F32 or F64",
        ),
        (Import::with_ids("i0\n".to_owned()), "1 ids for 40 rows of values"),
        (Import::with_ids(ids().replace("i5\n", "i6\n")), "id `i6` is in line 34 and in line 35"),
        (Import::with_ids(ids().replace("i5\n", "\n")), "line 35 is empty"),
        (
            Import::with_ids(ids().replace("i5\n", "x\n").replace("i7\n", "y\n")),
            "2 of the 40 images of the collection have no row: `i5`, `i7`",
        ),
        (
            Import::with_ids((0..COUNT).map(|i| if i < 13 { format!("r{i}\n") } else { format!("x{i}\n") }).collect()),
            "7 of the 20 reports of the collection have no row: `r13`, `r14`, `r15`, `r16`, `r17`, ...",
        ),
        (Import { fingerprint: Some("0".to_owned()), ..Import::default() }, "has changed since the sweep was launched"),
        (Import { output: Output::Tokens, ..Import::default() }, "one vector a sample, and no tokens"),
    ];
    for (import, expected) in cases {
        let said = import.refusal();
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

#[test]
fn no_file_at_all_is_refused() {
    let encoder = Encoder::Imported {
        location: PathBuf::from("no/such/values.npy"),
        ids: Location { location: PathBuf::from("no/such/ids.txt") },
        fingerprint: String::new(),
    };
    let dataset = TrialId::of(&"a collection").unwrap();
    let mut world = World::of(Task::Embed(Embed::pooled(dataset, encoder)));
    let file = collection().save(world.home(), &world.home().join("artifacts")).unwrap();
    world.lease.inputs = BTreeMap::from([(dataset, vec![file])]);
    let recorder = Recorder::default();
    execute(&Device::Cpu { threads: 1 }, &world.attempt(1, &[], &[]), &recorder);
    let Some(Outcome::Failed(failure)) = recorder.told().outcome.take() else { panic!("it was not refused") };
    assert_eq!((failure.class, failure.damaged), (FailureClass::Input, None));
    assert!(failure.message.contains("values.npy"), "{failure:?}");
}
