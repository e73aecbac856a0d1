//! Stops and resumes.

use permafrost_worker::{
    protocol::{Outcome, Stop},
    task::{Dtype, Output},
};

use super::support::Home;

const IMAGES: usize = 150;
/// See `cache::Layout`: that is the least.
const SHARD: usize = 32;

#[test]
fn a_stop_at_any_shard_changes_no_bit() {
    let home = Home::noise(IMAGES);
    let tasks = [home.embed(Output::Pooled, Dtype::F32), home.embed(Output::Tokens, Dtype::Bf16)];
    let whole: Vec<_> = home.run_tasks(&tasks).iter().map(|member| member.result()).collect();
    let mut attempt = 10;
    for stopped_at in [0, 1, 31, 33, 64, 90, 128, 149] {
        attempt += 2;
        let stop = move |rows: u64| (rows >= stopped_at).then_some(Stop::Drain);
        let leases = tasks.iter().map(|task| home.lease(task, attempt, vec![])).collect();
        let first = home.run(leases, 2, &stop);
        let leases = tasks.iter().zip(&first).map(|(task, member)| {
            assert!(matches!(member.outcome, Some(Outcome::Preempted { .. })), "{:?}", member.outcome);
            home.lease(task, attempt + 1, member.checkpoints.clone())
        });
        let second = home.run(leases.collect(), 3, &|_| None);
        // A member that ended first may lack the last row of a shard that the other one has.
        let kept = first.iter().map(|member| member.checkpoints.len() * SHARD).min().unwrap().min(IMAGES);
        assert!(kept + 3 * SHARD > stopped_at as usize, "{kept} rows kept of {stopped_at}");
        for (second, whole) in second.iter().zip(&whole) {
            assert_eq!(second.result(), *whole, "stopped at {stopped_at}");
            assert_eq!(second.rows, IMAGES as u64);
            assert!(second.encoded() <= IMAGES - kept, "{} encoded, {kept} kept", second.encoded());
        }
    }
}

/// Members of an array may have got to different places.
#[test]
fn members_that_are_further_on_wait_for_nobody() {
    let home = Home::noise(IMAGES);
    let tasks = [home.embed(Output::Pooled, Dtype::F32), home.embed(Output::Tokens, Dtype::F32)];
    let whole: Vec<_> = home.run_tasks(&tasks).iter().map(|member| member.result()).collect();
    let stop = |rows: u64| (rows >= 100).then_some(Stop::Drain);
    let first = home.run(vec![home.lease(&tasks[1], 20, vec![])], 2, &stop);
    let leases = vec![home.lease(&tasks[0], 21, vec![]), home.lease(&tasks[1], 21, first[0].checkpoints.clone())];
    let second: Vec<_> = home.run(leases, 2, &|_| None).iter().map(|member| member.result()).collect();
    assert_eq!(second, whole);
}

#[test]
fn a_lost_lease_ends_one_member_alone() {
    let home = Home::noise(60);
    let tasks = [home.embed(Output::Pooled, Dtype::F32)];
    let leases = tasks.iter().map(|task| home.lease(task, 1, vec![])).collect();
    let members = home.run(leases, 2, &|rows| (rows >= 5).then_some(Stop::Lost));
    assert_eq!(members[0].outcome, Some(Outcome::Preempted { checkpoint: None }));
    assert!(members[0].rows < 60);
}
