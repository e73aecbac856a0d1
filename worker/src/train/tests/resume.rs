//! Trials that are interrupted on one device and go on on the same or another.

use std::time::Duration;

use super::*;
use crate::{
    protocol::Checkpoint,
    train::batched::{PACE, Pace},
};

/// Where an attempt runs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Card,
    Processor,
}

fn run(
    stream: &Arc<dyn Stream>,
    home: &Home,
    place: Place,
    leases: Vec<Lease>,
    checkpoint_ms: u64,
    stop: &support::Stopper,
) -> Vec<Member> {
    match place {
        Place::Card => run_on_card(stream, home, leases, checkpoint_ms, stop),
        Place::Processor => home.run(leases, checkpoint_ms, stop),
    }
}

fn checkpoint(member: &Member) -> Checkpoint {
    let Some(Outcome::Preempted { checkpoint: Some(checkpoint) }) = &member.outcome else {
        panic!("{:?}", member.outcome)
    };
    checkpoint.clone()
}

/// Runs `task` until it has done `steps` and drains, then to its end somewhere else.
fn interrupted(stream: &Arc<dyn Stream>, home: &Home, task: &Task, places: [Place; 2], steps: u64) -> Member {
    let stop = move |done| (done >= steps).then_some(Stop::Drain);
    let first = run(stream, home, places[0], vec![home.lease(task, 1, vec![])], u64::MAX, &stop).remove(0);
    let kept = checkpoint(&first);
    assert_eq!(kept.step, first.steps);
    let lease = home.lease(task, 2, vec![kept]);
    let mut member = run(stream, home, places[1], vec![lease], u64::MAX, &|_| None).remove(0);
    member.metrics.extend(first.metrics);
    member
}

#[test]
fn a_head_goes_on_on_another_device() {
    let Some(stream) = Emulation::open() else { return };
    let home = Home::new(25, 9, 9);
    let task = heads(&home, 1).remove(0);
    let expected = home.run_tasks(std::slice::from_ref(&task)).remove(0);
    let on_card = tasks_on_card(&stream, &home, std::slice::from_ref(&task)).remove(0);
    // The processor stops in the middle of an epoch, of three steps here; the card at its end.
    for (places, steps) in [
        ([Place::Processor, Place::Card], 6),
        ([Place::Processor, Place::Card], 3),
        ([Place::Card, Place::Processor], 5),
        ([Place::Card, Place::Card], 1),
    ] {
        let member = interrupted(&stream, &home, &task, places, steps);
        assert_near(&home, &member, &expected);
        if places == [Place::Card; 2] {
            assert_eq!(member.result(), on_card.result());
        }
    }
}

#[test]
fn an_adaptor_goes_on_on_another_device() {
    let Some(stream) = Emulation::open() else { return };
    let home = Home::new(9, 3, 3);
    let task = Task::Pretrain(home.pretrain());
    let expected = home.run_tasks(std::slice::from_ref(&task)).remove(0);
    for (places, steps) in [([Place::Processor, Place::Card], 1), ([Place::Card, Place::Processor], 1)] {
        assert_near(&home, &interrupted(&stream, &home, &task, places, steps), &expected);
    }
}

/// Somebody may want an array to stop that takes long for an epoch.
#[test]
fn a_long_epoch_is_cut() {
    let Some(stream) = Emulation::open() else { return };
    let home = Home::new(25, 9, 9);
    let tasks = heads(&home, 3);
    let undisturbed = tasks_on_card(&stream, &home, &tasks);
    PACE.set(Some(Pace { longest: Duration::ZERO, first: 2 }));
    for (found, undisturbed) in tasks_on_card(&stream, &home, &tasks).iter().zip(&undisturbed) {
        assert_eq!(found.result(), undisturbed.result());
    }
    // It looks after 2, 3, 4, ... steps, of three an epoch.
    let first = |stop| run_on_card(&stream, &home, vec![home.lease(&tasks[0], 1, vec![])], u64::MAX, stop).remove(0);
    assert_eq!(checkpoint(&first(&|done| (done >= 4).then_some(Stop::Drain))).step, 4);
    let expected = home.run_tasks(&tasks[..1]).remove(0);
    assert_near(&home, &interrupted(&stream, &home, &tasks[0], [Place::Card, Place::Processor], 4), &expected);
    PACE.set(None);
}

/// Members that are at other places of their epochs, and in other epochs, end as if they had never met.
#[test]
fn members_that_were_interrupted_anywhere_go_on_together() {
    let Some(stream) = Emulation::open() else { return };
    let home = Home::new(25, 9, 9);
    let tasks = heads(&home, 4);
    let expected = home.run_tasks(&tasks);
    let mut before = Vec::new();
    let mut leases = Vec::new();
    for (task, steps) in tasks.iter().zip([2, 5, 0, 9]) {
        if steps == 0 {
            before.push(BTreeMap::new());
            leases.push(home.lease(task, 1, vec![]));
            continue;
        }
        let stop = move |done| (done >= steps).then_some(Stop::Drain);
        let member = home.run(vec![home.lease(task, 1, vec![])], u64::MAX, &stop).remove(0);
        leases.push(home.lease(task, 2, vec![checkpoint(&member)]));
        before.push(member.metrics);
    }
    let together = run_on_card(&stream, &home, leases, u64::MAX, &|_| None);
    for ((mut member, before), expected) in together.into_iter().zip(before).zip(&expected) {
        member.metrics.extend(before);
        assert_near(&home, &member, expected);
    }
}

/// A checkpoint after every look at the host: the last one is as good as a drain.
#[test]
fn what_was_saved_on_the_way_is_enough() {
    let Some(stream) = Emulation::open() else { return };
    let home = Home::new(25, 9, 9);
    let mut tasks = heads(&home, 2);
    tasks.iter_mut().for_each(|task| {
        if let Task::Classify(task) = task {
            task.patience = None
        }
    });
    let undisturbed = tasks_on_card(&stream, &home, &tasks);
    let leases = tasks.iter().map(|task| home.lease(task, 1, vec![])).collect();
    let lost = run_on_card(&stream, &home, leases, 0, &|done| (done >= 8).then_some(Stop::Lost));
    let again = lost.iter().zip(&tasks).map(|(member, task)| {
        assert!(matches!(member.outcome, Some(Outcome::Preempted { checkpoint: None })), "{:?}", member.outcome);
        home.lease(task, 2, member.checkpoints.last().cloned().into_iter().collect())
    });
    let again = run_on_card(&stream, &home, again.collect(), u64::MAX, &|_| None);
    for ((mut member, lost), undisturbed) in again.into_iter().zip(lost).zip(&undisturbed) {
        assert_eq!(lost.checkpoints.last().map(|checkpoint| checkpoint.step), Some(6));
        member.metrics.extend(lost.metrics);
        assert_eq!(member.result(), undisturbed.result());
    }
}
