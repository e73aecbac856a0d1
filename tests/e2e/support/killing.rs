//! Launches that are killed over and over.

use std::{process::Child, time::Duration};

use super::{Chance, World, kill, wait};

/// Intervals that make much happen in little time.
pub const FAST: [&str; 8] =
    ["--heartbeat-ms", "100", "--checkpoint-ms", "700", "--lease-ttl-ms", "3000", "--linger-ms", "100"];

/// Launches until the sweep is done, killing somebody again and again at random moments at most `pause_ms` apart, `most` times in
/// all; how many were killed.
pub fn disturbed(world: &World, launch: &[&str], most: u64, pause_ms: u64, chance: &mut Chance) -> u64 {
    let mut kills = 0;
    loop {
        let mut launch = world.start(launch);
        while kills < most {
            std::thread::sleep(Duration::from_millis(50 + chance.below(pause_ms)));
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

/// What must hold of a database however it came about.
pub fn nothing_ran_twice(world: &World) {
    let twice =
        "SELECT count(*) FROM (SELECT trial FROM attempts WHERE state = 'done' GROUP BY trial HAVING count(*) > 1)";
    assert_eq!(world.number(twice), 0, "a finished trial ran again");
    assert_eq!(world.number("SELECT count(*) FROM trials WHERE state <> 'done'"), 0);
    let check = world.ask("PRAGMA integrity_check").unwrap();
    assert_eq!(check.rows[0][0], permafrost::store::SqlValue::Text("ok".to_owned()));
}
