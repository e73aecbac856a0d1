//! What is written is read, in every dtype.

use permafrost_worker::{
    cache::{Embeddings, Layout, Row, Writer},
    task::{Dtype, Output},
};
use proptest::prelude::*;

use crate::support::{Recorder, World, digests, ids, part, rows};

const DTYPES: [Dtype; 3] = [Dtype::F32, Dtype::F16, Dtype::Bf16];

/// How far a kept value may be from `value`: half a unit in the last place, and what is lost below the least number.
fn tolerance(dtype: Dtype, value: f32) -> f32 {
    match dtype {
        Dtype::F32 => 0.0,
        Dtype::F16 => (value.abs() / 2048.0).max(f32::powi(2.0, -25)),
        Dtype::Bf16 => value.abs() / 256.0,
    }
}

fn samples() -> impl Strategy<Value = Vec<(String, Row)>> {
    (1..80_usize, 1..9_usize).prop_flat_map(|(count, width)| {
        let row = prop_oneof![
            6 => prop::collection::vec(-60_000.0_f32..60_000.0, width).prop_map(|row| Row::Values(vec![row])),
            6 => prop::collection::vec(-1.0_f32..1.0, width).prop_map(|row| Row::Values(vec![row])),
            1 => ".{0,20}".prop_map(Row::Missing),
        ];
        prop::collection::vec(row, count)
            .prop_map(|rows| rows.into_iter().enumerate().map(|(i, row)| (format!("\u{e9}\"{i}\\"), row)).collect())
    })
}

fn width(rows: &[(String, Row)]) -> usize {
    let values = rows.iter().find_map(|(_, row)| match row {
        Row::Values(values) => Some(values[0].len()),
        Row::Missing(_) => None,
    });
    values.unwrap_or(1)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_row_comes_back_by_its_id(rows in samples()) {
        for dtype in DTYPES {
            let (world, layout) = (World::new(Output::Pooled, dtype), Layout::pooled(width(&rows), dtype));
            let files = world.embed(&layout, &rows, &[]);
            let read = Embeddings::open(world.home(), &files).unwrap();
            prop_assert_eq!(read.len() + read.missing().len(), rows.len());
            let mut kept = Vec::new();
            for (id, row) in &rows {
                let found = read.get(id);
                kept.push((id.clone(), match row {
                    Row::Missing(reason) => {
                        prop_assert!(found.is_none());
                        prop_assert_eq!(&read.missing()[id], reason);
                        prop_assert!(read.require("image", id).unwrap_err().to_string().ends_with(reason));
                        row.clone()
                    }
                    Row::Values(values) => {
                        let found = found.unwrap();
                        for (value, found) in values[0].iter().zip(found.iter()) {
                            prop_assert!((value - found).abs() <= tolerance(dtype, *value), "{} is {}", value, found);
                        }
                        Row::Values(vec![found.into_owned()])
                    }
                }));
            }
            // What was rounded once is not rounded again; and the order in which shards are made does not matter.
            let again = World::new(Output::Pooled, dtype).embed(&layout, &kept, &[2, 1]);
            prop_assert_eq!(digests(&files), digests(&again));
        }
    }
}

#[test]
fn every_tensor_of_a_sample_has_its_shape_and_values() {
    let layout = Layout {
        tensors: vec![("stem".to_owned(), vec![2, 3, 3]), ("layer1".to_owned(), vec![4])],
        dtype: Dtype::Bf16,
    };
    let values = |sample: usize| vec![vec![sample as f32; 18], (0..4).map(|at| (sample + at) as f32).collect()];
    let rows: Vec<_> = (0..100).map(|sample| (format!("{sample}"), Row::Values(values(sample)))).collect();
    let world = World::new(Output::Maps, Dtype::Bf16);
    let read = Embeddings::open(world.home(), &world.embed(&layout, &rows, &[])).unwrap();
    let (stem, layer) = (read.tensor("stem").unwrap(), read.tensor("layer1").unwrap());
    assert_eq!((stem.shape(), layer.shape()), (&[2, 3, 3][..], &[4][..]));
    for sample in [0, 31, 32, 99] {
        let id = sample.to_string();
        assert_eq!([stem.get(&id).unwrap(), layer.get(&id).unwrap()], values(sample)[..]);
    }
    assert!(stem.get("100").is_none());
    let error = read.tensor("layer9").unwrap_err();
    assert_eq!(error.cure().unwrap(), "there are: stem, layer1");
}

#[test]
fn what_cannot_be_kept_is_refused_by_name() {
    let refusal = |dtype: Dtype, value: f32| {
        let world = World::new(Output::Pooled, dtype);
        let (job, reporter) = (world.attempt(1, &[], &[]), Recorder::default());
        let writer = Writer::open(&job, 0, &reporter, Layout::pooled(2, dtype), vec!["a".to_owned()]).unwrap();
        let error = writer.put(0, vec![Row::Values(vec![vec![0.0, value]])]).err()?;
        assert!(!writer.is_done(0) && reporter.told().checkpoints.is_empty());
        Some(format!("{error}; {}", error.cure().unwrap()))
    };
    assert_eq!(
        refusal(Dtype::F16, 65_520.0).unwrap(),
        "the embedding of `a` has 65520 at 1, beyond the 65504 of f16; \
         use `dtype: bf16`, which has the range of f32, or `dtype: f32`"
    );
    assert_eq!(
        [refusal(Dtype::F16, 65_519.0), refusal(Dtype::Bf16, 65_520.0), refusal(Dtype::F32, f32::MAX)],
        [const { None }; 3]
    );
    assert!(refusal(Dtype::Bf16, f32::MIN).unwrap().contains("of bf16; use `dtype: f32`"));
    for dtype in DTYPES {
        assert!(refusal(dtype, f32::NAN).unwrap().starts_with("the embedding of `a` has NaN at 1"));
    }
}

#[test]
fn a_writer_takes_only_rows_of_its_layout() {
    let world = World::new(Output::Pooled, Dtype::F32);
    let (job, reporter, rows) = (world.attempt(1, &[], &[]), Recorder::default(), rows(70, 3));
    let open = |layout, ids| Writer::open(&job, 0, &reporter, layout, ids).err().map(|error| error.to_string());
    assert!(open(Layout::tokens(4, 3, Dtype::F32), ids(&rows)).unwrap().contains("for an output of Pooled"));
    assert!(open(Layout::pooled(3, Dtype::F16), ids(&rows)).unwrap().contains("as F32"));
    assert!(open(Layout::pooled(0, Dtype::F32), ids(&rows)).unwrap().contains("a width of at least 1"));
    assert!(open(Layout::pooled(3, Dtype::F32), vec![]).unwrap().contains("no sample"));
    assert!(
        open(Layout::pooled(3, Dtype::F32), vec!["a".to_owned(); 2]).unwrap().contains("`a` is empty or there twice")
    );

    let writer = Writer::open(&job, 0, &reporter, Layout::pooled(3, Dtype::F32), ids(&rows)).unwrap();
    assert_eq!((0..writer.shards()).map(|shard| writer.rows(shard)).collect::<Vec<_>>(), [0..32, 32..64, 64..70]);
    let put = |shard, rows| writer.put(shard, rows).unwrap_err().to_string();
    assert_eq!(put(2, part(&writer, &rows, 1)), "32 rows for the 6 samples of a shard");
    let mut wide = part(&writer, &rows, 2);
    wide[1] = Row::Values(vec![vec![0.0; 4]]);
    assert_eq!(put(2, wide.clone()), "the embedding of `sample-65` has 4 values, not 3");
    wide[1] = Row::Values(vec![]);
    assert_eq!(put(2, wide), "`sample-65` has values of 0 tensors, not 1");
    assert_eq!(writer.finish().unwrap_err().to_string(), "shard 0 was not computed");
}
