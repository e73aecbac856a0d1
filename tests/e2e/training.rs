//! The whole job on the real program, with data made from nothing: and then again, killed over and over. What comes out must
//! be the same to the last bit.

use std::{collections::BTreeMap, time::Duration};

use crate::support::{
    self, Chance, World,
    killing::{FAST, disturbed, nothing_ran_twice},
    synthetic, training_sweep, wait,
};

/// Kills in all; each leaves another state behind.
const KILLS: u64 = 14;
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
    assert!(matches!(best.rows[0][0], permafrost::store::SqlValue::Real(value) if value > 0.9), "{best:?}");
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

#[test]
fn killed_at_random_moments_the_results_are_the_same_to_the_last_bit() {
    let expected = undisturbed();
    let mut chance = Chance::new();
    let world = world();
    let kills = disturbed(&world, &arguments("2", &FAST), KILLS, 1_500, &mut chance);
    assert_eq!(world.outcome(), expected);
    nothing_ran_twice(&world);
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
