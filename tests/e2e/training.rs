//! The whole job on the real program, with data made from nothing: and then again, killed over and over. What comes out must
//! be the same to the last bit.

use std::{collections::BTreeMap, path::PathBuf, process::Child, time::Duration};

use permafrost::store::SqlValue;

use crate::support::{self, Chance, World, kill, synthetic, training_sweep, wait};

/// Kills in all; each leaves another state behind.
const KILLS: u64 = 14;
/// Intervals that make much happen in little time.
const FAST: [&str; 8] =
    ["--heartbeat-ms", "100", "--checkpoint-ms", "700", "--lease-ttl-ms", "3000", "--linger-ms", "100"];

/// A world with the synthetic sweep in it.
fn world() -> World {
    let world = World::new();
    let (reports, bert) = synthetic::wheels(world.folder.path());
    world.write("sweep.yaml", &training_sweep(&reports, &bert));
    world
}

fn arguments<'a>(threads: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["launch", "sweep.yaml", "--wheel-dir", ".", "--threads", threads];
    arguments.extend(more);
    arguments
}

/// What an undisturbed run gives.
fn undisturbed() -> BTreeMap<String, Vec<String>> {
    let world = world();
    let (stdout, _) = world.expect(0, &arguments("2", &FAST));
    assert!(stdout.contains("synthetic data"), "{stdout}");
    assert_eq!(world.number("SELECT count(*) FROM attempts"), 2 + 1 + 3 + 2 + 16);
    let best = world.ask("SELECT max(value) FROM leaderboard WHERE metric = 'auroc' AND stage = 'classify'").unwrap();
    assert!(matches!(best.rows[0][0], SqlValue::Real(value) if value > 0.9), "{best:?}");
    launched_again_nothing_runs(&world);
    world.outcome()
}

fn launched_again_nothing_runs(world: &World) {
    world.wait_until_quiet();
    let events = world.number("SELECT count(*) FROM events");
    let (first, _) = world.expect(0, &["results"]);
    let (again, _) = world.expect(0, &arguments("2", &[]));
    assert!(again.starts_with(first.trim_end()), "{again}\n{first}");
    assert_eq!(world.number("SELECT count(*) FROM events"), events, "the second launch ran something");
    assert!(world.processes().0.is_none(), "the second launch started a coordinator");
}

/// Launches until the sweep is done, killing somebody again and again at random moments.
fn disturbed(world: &World, chance: &mut Chance) -> u64 {
    let mut kills = 0;
    loop {
        let mut launch = world.start(&arguments("2", &FAST));
        while kills < KILLS {
            std::thread::sleep(Duration::from_millis(50 + chance.below(1_500)));
            if launch.try_wait().unwrap().is_some() {
                break;
            }
            kills += disturb(world, chance, &mut launch);
        }
        let status = wait(launch).status;
        if status.code() == Some(0) {
            return kills;
        }
        assert!(status.code() != Some(3), "trials failed");
    }
}

fn disturb(world: &World, chance: &mut Chance, launch: &mut Child) -> u64 {
    let (coordinator, workers) = world.processes();
    let victims: Vec<u32> = match chance.below(6) {
        0 | 1 => coordinator.into_iter().collect(),
        2 | 3 => workers,
        4 => coordinator.into_iter().chain(workers).collect(),
        _ => coordinator.into_iter().chain(workers).chain([launch.id()]).collect(),
    };
    victims.iter().copied().for_each(kill);
    u64::from(!victims.is_empty())
}

#[test]
fn killed_at_random_moments_the_results_are_the_same_to_the_last_bit() {
    let expected = undisturbed();
    let mut chance = Chance::new();
    let world = world();
    let kills = disturbed(&world, &mut chance);
    assert_eq!(world.outcome(), expected);
    let twice =
        "SELECT count(*) FROM (SELECT trial FROM attempts WHERE state = 'done' GROUP BY trial HAVING count(*) > 1)";
    assert_eq!(world.number(twice), 0, "a finished trial ran again");
    assert_eq!(world.number("SELECT count(*) FROM trials WHERE state <> 'done'"), 0);
    let check = world.ask("PRAGMA integrity_check").unwrap();
    assert_eq!(check.rows[0][0], SqlValue::Text("ok".to_owned()));
    assert!(kills >= 5, "only {kills} kills: the run was over too soon");
    eprintln!("{kills} kills, {} attempts lost", world.number("SELECT count(*) FROM attempts WHERE state = 'lost'"));
}

#[test]
fn alone_or_in_an_array_and_interrupted_the_results_are_the_same_to_the_last_bit() {
    // One thread leases arrays of one Adaptor, three threads all that are there.
    let (alone, together) = (world(), world());
    alone.expect(0, &arguments("1", &FAST));
    let mut launch = together.start(&arguments("3", &FAST));
    let running = "SELECT count(*) FROM attempts JOIN trials USING (trial) WHERE kind = 'pretrain' AND done_units > 2";
    while together.number(running) == 0 && launch.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(50));
    }
    support::signal(launch.id(), rustix::process::Signal::INT);
    assert_eq!(wait(launch).status.code(), Some(130));
    together.wait_until_quiet();
    assert!(together.number("SELECT count(*) FROM attempts WHERE state = 'pre-empted'") > 0);
    assert!(together.number("SELECT count(*) FROM checkpoints") > 0);
    together.expect(0, &arguments("3", &FAST));
    assert_eq!(together.outcome(), alone.outcome());
    assert!(
        together.number("SELECT count(*) FROM attempts WHERE resumed_step > 0") > 0,
        "nothing went on from a checkpoint"
    );
    let sizes = |world: &World| {
        world.number("SELECT max(members) FROM attempts JOIN trials USING (trial) WHERE kind = 'pretrain'")
    };
    assert_eq!((sizes(&alone), sizes(&together)), (1, 2));
}

/// A path out of the database.
fn file_of(world: &World, kind: &str, name: &str) -> PathBuf {
    let sql = format!(
        "SELECT a.path FROM artifacts a JOIN trials t USING (trial) WHERE t.kind = '{kind}' AND a.name = '{name}' ORDER BY t.trial"
    );
    let Some(SqlValue::Text(path)) = world.ask(&sql).unwrap().rows.into_iter().flatten().next() else {
        panic!("no {kind} trial has left {name}")
    };
    world.home().join(path)
}

#[test]
fn damaged_files_are_found_and_made_again_while_their_readers_wait() {
    let world = world();
    world.expect(0, &arguments("2", &FAST));
    let before = world.outcome();
    world.wait_until_quiet();
    // Of the images of the first encoder: 240, in eight shards.
    let shard = file_of(&world, "embed", "embeddings-00005-of-00008.safetensors");
    let adaptor = file_of(&world, "pretrain", "adaptor.safetensors");
    let mut bytes = std::fs::read(&shard).unwrap();
    let at = bytes.len() - 9;
    bytes[at] ^= 4;
    std::fs::write(&shard, &bytes).unwrap();
    std::fs::write(&adaptor, &std::fs::read(&adaptor).unwrap()[..1000]).unwrap();

    // New readers of both.
    let sweep = std::fs::read_to_string(world.folder.path().join("sweep.yaml")).unwrap();
    world.write("sweep.yaml", &sweep.replace("seed: {values: [0, 1]}", "seed: {values: [0, 1, 2]}"));
    world.expect(0, &arguments("2", &FAST));
    let after = world.outcome();
    assert_eq!(after.len(), before.len() + 8);
    for (trial, outcome) in before {
        assert_eq!(after[&trial], outcome, "{trial} is another one now");
    }
    let again = "SELECT count(*) FROM events WHERE kind = 'made-again'";
    assert_eq!(world.number(again), 2);
    assert_eq!(world.number("SELECT count(*) FROM trials WHERE state <> 'done'"), 0);
    let named = "SELECT count(*) FROM attempts WHERE class = 'input' AND message LIKE '%embeddings-00005-of-00008.safetensors is damaged%'";
    assert!(world.number(named) > 0);
    let (made, kept) =
        (file_of(&world, "embed", "embeddings-00005-of-00008.safetensors"), std::fs::read(&shard).unwrap());
    assert_ne!((&made, std::fs::read(&made).unwrap()), (&shard, kept), "it is where it was");
}
