//! Killed, damaged and made again, the files are the same bit for bit.

use std::{fs, path::Path};

use permafrost_worker::{
    cache::{Embeddings, Layout, Row, Writer},
    error::Error,
    files,
    protocol::{Artifact, Checkpoint},
    task::{Dtype, Output},
};

use crate::support::{Recorder, World, digests, ids, part, path, rows};

const DTYPE: Dtype = Dtype::F16;

fn world() -> (World, Layout, Vec<(String, Row)>) {
    // Seven shards.
    (World::new(Output::Pooled, DTYPE), Layout::pooled(5, DTYPE), rows(200, 5))
}

/// An attempt that computes `count` shards and is then killed, or finishes. Which were computed, what was told, and the files.
fn attempt(
    world: &World,
    number: u32,
    kept: &[Checkpoint],
    left: &[Artifact],
    count: usize,
) -> (Vec<usize>, Recorder, Option<Vec<Artifact>>) {
    let (_, layout, rows) = self::world();
    let (job, reporter) = (world.attempt(number, kept, left), Recorder::default());
    let writer = Writer::open(&job, 0, &reporter, layout, ids(&rows)).unwrap();
    let open: Vec<usize> = (0..writer.shards()).filter(|&shard| !writer.is_done(shard)).collect();
    let computed: Vec<usize> = open.iter().copied().take(count).collect();
    for &shard in &computed {
        writer.put(shard, part(&writer, &rows, shard)).unwrap();
    }
    let whole = computed.len() == open.len();
    let files = whole.then(|| writer.finish().unwrap().0);
    (computed, reporter, files)
}

/// The last two, the newest first, as the database keeps them: by step.
fn keep(kept: &mut Vec<Checkpoint>, reporter: &Recorder) {
    kept.append(&mut reporter.told().checkpoints);
    kept.sort_by_key(|checkpoint| std::cmp::Reverse(checkpoint.step));
    kept.truncate(2);
}

/// The ways in which a file is damaged.
fn damage(path: &Path, how: usize) {
    let mut bytes = fs::read(path).unwrap();
    match how % 4 {
        0 => bytes.truncate(bytes.len() / 2),
        1 => {
            let at = bytes.len() - 3;
            bytes[at] ^= 16;
        }
        2 => bytes.clear(),
        _ => return fs::remove_file(path).unwrap(),
    }
    fs::write(path, bytes).unwrap();
}

#[test]
fn killed_after_every_shard_and_damaged_the_files_are_the_same() {
    let (undisturbed, layout, rows) = world();
    let expected = digests(&undisturbed.embed(&layout, &rows, &[]));
    for how in 0..12 {
        let (world, mut kept) = (self::world().0, Vec::new());
        let mut damaged: Vec<usize> = Vec::new();
        let mut files = None;
        for number in 1.. {
            let (computed, reporter, done) = attempt(&world, number, &kept, &[], 1 + how % 3);
            // What was damaged is named, and made again before anything else that is open.
            for shard in damaged.drain(..) {
                assert!(computed.contains(&shard), "shard {shard} was not made again");
                let told = reporter.told();
                let named = format!("embeddings-{shard:05}-of-00007.safetensors is damaged");
                assert!(told.log.iter().any(|line| line.contains(&named)), "{:?}", told.log);
            }
            let steps: Vec<u64> = reporter.told().checkpoints.iter().map(|checkpoint| checkpoint.step).collect();
            let before = kept.first().map_or(0, |checkpoint: &Checkpoint| checkpoint.step);
            assert_eq!(steps, (before + 1..=before + computed.len() as u64).collect::<Vec<_>>());
            keep(&mut kept, &reporter);
            if done.is_some() {
                files = done;
                break;
            }
            // Each attempt but every third finds one of the first shards damaged.
            if number % 3 != 0 && number < 12 {
                let shard = number as usize % 2;
                let listed = fs::read_to_string(world.home().join(&kept[0].file.path)).unwrap();
                let name = format!("embeddings-{shard:05}-of-00007.safetensors");
                if listed.contains(&name) {
                    let folder = world.home().join(&kept[0].file.path);
                    // Not removed, as the checkpoint before may list another link to it.
                    damage(&folder.with_file_name(name), (how + number as usize) % 3);
                    damaged.push(shard);
                }
            }
        }
        let files = files.unwrap();
        assert_eq!(digests(&files), expected, "damaged as {how}");
        let read = Embeddings::open(world.home(), &files).unwrap();
        assert_eq!((read.len(), read.missing().len()), (171, 29));
    }
}

#[test]
fn a_result_that_is_made_again_computes_only_what_is_damaged() {
    let (world, layout, rows) = world();
    let first = world.embed(&layout, &rows, &[]);
    for (how, name) in [(1, "embeddings-00003-of-00007.safetensors"), (3, "embeddings-00000-of-00007.safetensors")] {
        let number = how as u32 + 1;
        let left: Vec<Artifact> = first.clone();
        damage(&path(world.home(), &left, name), how);
        let error = Embeddings::open(world.home(), &left).unwrap_err();
        let Error::Damaged { path: at, .. } = &error else { panic!("{error}") };
        assert!(at.ends_with(name), "{error}");
        let origin = error.into_failure().damaged.unwrap();
        assert_eq!((origin.trial, origin.attempt), (world.lease.trial, 1));

        let (computed, reporter, files) = attempt(&world, number, &[], &left, 7);
        let shards: &[usize] = if how == 1 { &[3] } else { &[0, 3] };
        assert_eq!(computed, shards, "{:?}", reporter.told().log);
        let files = files.unwrap();
        assert_eq!(digests(&files), digests(&first));
        // Nothing of it lies in the folder of the former attempt, which may go.
        assert!(files.iter().all(|file| files::origin(&file.path).unwrap().attempt == number));
        Embeddings::open(world.home(), &files).unwrap();
    }
}

#[test]
fn a_damaged_checkpoint_is_passed_over() {
    let (world, mut kept) = (world().0, Vec::new());
    let (_, reporter, _) = attempt(&world, 1, &[], &[], 4);
    keep(&mut kept, &reporter);
    damage(&world.home().join(&kept[0].file.path), 1);
    let (computed, reporter, files) = attempt(&world, 2, &kept, &[], 7);
    // The one before lists three.
    assert_eq!(computed, [3, 4, 5, 6]);
    let told = reporter.told();
    assert!(told.log[0].starts_with("passes over the checkpoint of step 4"));
    assert_eq!((told.resumed, told.checkpoints[0].step), (Some(4), 5));
    assert!(files.is_some());
    // Of another trial, or of other samples: no use.
    let mut other = world.lease.clone();
    other.trial = permafrost_worker::id::TrialId::of(&"another").unwrap();
    let other = World { folder: world.folder, lease: other };
    assert_eq!(attempt(&other, 3, &kept, &[], 7).0.len(), 7);
}

#[test]
fn shards_of_other_samples_are_not_taken_over() {
    let (world, layout, rows) = world();
    let left = world.embed(&layout, &rows, &[]);
    let (job, reporter) = (world.attempt(2, &[], &left), Recorder::default());
    let mut renamed = ids(&rows);
    renamed.swap(40, 41);
    let writer = Writer::open(&job, 0, &reporter, layout, renamed).unwrap();
    let done: Vec<bool> = (0..writer.shards()).map(|shard| writer.is_done(shard)).collect();
    assert_eq!(done, [true, false, true, true, true, true, true]);
    assert!(reporter.told().log[0].contains("it holds other samples; shard 1 is made again"));
}

/// From many threads at once.
#[test]
fn shards_are_put_from_several_threads() {
    let (undisturbed, layout, rows) = world();
    let expected = digests(&undisturbed.embed(&layout, &rows, &[]));
    let (world, reporter) = (self::world().0, Recorder::default());
    let job = world.attempt(1, &[], &[]);
    let writer = Writer::open(&job, 0, &reporter, layout, ids(&rows)).unwrap();
    std::thread::scope(|scope| {
        for shard in 0..writer.shards() {
            let (writer, rows) = (&writer, &rows);
            scope.spawn(move || writer.put(shard, part(writer, rows, shard)).unwrap());
        }
    });
    assert_eq!(writer.missing(), 29);
    let (files, summary) = writer.finish().unwrap();
    assert_eq!(digests(&files), expected);
    assert_eq!((summary["samples"], summary["samples_missing"]), (171.0, 29.0));
    let steps: Vec<u64> = reporter.told().checkpoints.iter().map(|checkpoint| checkpoint.step).collect();
    assert_eq!(steps, (1..=7).collect::<Vec<_>>());
}
