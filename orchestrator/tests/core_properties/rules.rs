//! Single rules of the scheduler, each in a history of a few steps.

use std::collections::BTreeMap;

use permafrost::core::{Core, CoreError, Effect, End, Event, Limits, NewTrial, TrialState};
use permafrost_worker::{
    id::TrialId,
    protocol::{FailureClass, Stop},
    task::Kind,
};
use uuid::Uuid;

use super::trial_id;

fn noop(n: u64, inputs: &[u64]) -> NewTrial {
    NewTrial {
        id: trial_id(n),
        kind: Kind::Noop,
        array_key: "noop".to_owned(),
        inputs: inputs.iter().map(|&n| trial_id(n)).collect(),
    }
}

fn ask(core: &mut Core, worker: u128, room: usize) -> Vec<TrialId> {
    let capacity = BTreeMap::from([(Kind::Noop, room)]);
    let effects = core.handle(0, Event::Lease { worker: Uuid::from_u128(worker), capacity }).unwrap();
    let grants = effects.iter().filter_map(|effect| match effect {
        Effect::Grant { leases, .. } => Some(leases.iter().map(|&(id, _)| id)),
        _ => None,
    });
    grants.flatten().collect()
}

#[test]
fn what_unblocks_most_comes_first() {
    let mut core = Core::new(Limits::default());
    let chain = vec![noop(0, &[]), noop(1, &[]), noop(2, &[1]), noop(3, &[2]), noop(4, &[]), noop(5, &[4])];
    core.handle(0, Event::Submit(chain)).unwrap();
    let order: Vec<_> = (0..3).flat_map(|_| ask(&mut core, 1, 1)).collect();
    assert_eq!(order, [1, 4, 0].map(trial_id));
}

#[test]
fn idle_workers_share_an_array() {
    let mut core = Core::new(Limits::default());
    for worker in 0..4 {
        core.handle(0, Event::Register { worker: Uuid::from_u128(worker) }).unwrap();
    }
    core.handle(0, Event::Submit((0..10).map(|n| noop(n, &[])).collect())).unwrap();
    let sizes: Vec<_> = (0..4).map(|worker| ask(&mut core, worker, 64).len()).collect();
    assert_eq!(sizes, [3, 3, 2, 2]);
}

#[test]
fn what_failed_by_a_bug_beside_others_runs_alone_the_next_time() {
    let mut core = Core::new(Limits::default());
    core.handle(0, Event::Submit((0..3).map(|n| noop(n, &[])).collect())).unwrap();
    assert_eq!(ask(&mut core, 1, 8).len(), 3);
    for n in 0..3 {
        let end = End::Failed(FailureClass::Bug);
        let finish = Event::Finish { worker: Uuid::from_u128(1), trial: trial_id(n), attempt: 1, end };
        core.handle(0, finish).unwrap();
    }
    for _ in 0..3 {
        assert_eq!(ask(&mut core, 1, 8).len(), 1);
    }
}

/// Four readers of one input; attempt `attempt` of reader `n` says that attempt `made_by` of it left a damaged file.
fn readers() -> (Core, impl Fn(&mut Core, (u64, u32), u32)) {
    let mut core = Core::new(Limits::default());
    core.handle(0, Event::Submit((0..5).map(|n| noop(n, if n == 0 { &[] } else { &[0] })).collect())).unwrap();
    make(&mut core, 1);
    assert_eq!(ask(&mut core, 1, 8), [1, 2, 3, 4].map(trial_id));
    let complain = |core: &mut Core, (n, attempt): (u64, u32), made_by: u32| {
        let end = End::Damaged { input: trial_id(0), made_by };
        core.handle(0, Event::Finish { worker: Uuid::from_u128(1), trial: trial_id(n), attempt, end }).unwrap();
        core.check_invariants().unwrap();
    };
    (core, complain)
}

/// The input is granted, as this attempt and before its readers, and done.
fn make(core: &mut Core, attempt: u32) {
    assert_eq!(ask(core, 1, 8), [trial_id(0)]);
    let worker = Uuid::from_u128(1);
    core.handle(0, Event::Finish { worker, trial: trial_id(0), attempt, end: End::Done }).unwrap();
}

#[test]
fn a_damaged_input_is_made_again_once_for_all_its_readers() {
    let (mut core, complain) = readers();
    complain(&mut core, (1, 1), 1);
    assert_eq!(core.state(trial_id(0)), Some(TrialState::Ready));
    complain(&mut core, (2, 1), 1);
    make(&mut core, 2);
    // This one has read what was there before.
    complain(&mut core, (3, 1), 1);
    assert_eq!(core.state(trial_id(0)), Some(TrialState::Done));
    assert_eq!(core.state(trial_id(4)), Some(TrialState::Running));
    assert_eq!(ask(&mut core, 1, 8), [1, 2, 3].map(trial_id));
}

#[test]
fn an_input_that_is_always_damaged_is_not_made_for_ever() {
    let (mut core, complain) = readers();
    for attempt in 1..=2 {
        complain(&mut core, (1, attempt), attempt);
        make(&mut core, attempt + 1);
        assert_eq!(ask(&mut core, 1, 1), [trial_id(1)]);
    }
    complain(&mut core, (1, 3), 3);
    complain(&mut core, (2, 1), 3);
    let states = [0, 1, 2].map(|n| core.state(trial_id(n)).unwrap());
    assert_eq!(states, [TrialState::Done, TrialState::Failed, TrialState::Failed]);
    // A user says that the disk is mended.
    core.handle(0, Event::Retry(vec![trial_id(2)])).unwrap();
    assert_eq!(ask(&mut core, 1, 1), [trial_id(2)]);
    complain(&mut core, (2, 2), 3);
    make(&mut core, 4);
}

#[test]
fn what_cannot_be_changes_nothing() {
    let mut core = Core::new(Limits::default());
    core.handle(0, Event::Submit(vec![noop(0, &[])])).unwrap();
    let refused = |core: &mut Core, trials| core.handle(0, Event::Submit(trials)).unwrap_err();
    let unknown = refused(&mut core, vec![noop(1, &[0]), noop(2, &[9])]);
    assert_eq!(unknown, CoreError::UnknownInput { trial: trial_id(2), input: trial_id(9) });
    assert_eq!(refused(&mut core, vec![noop(1, &[1])]), CoreError::Cycle(trial_id(1)));
    let cycle = refused(&mut core, vec![noop(1, &[2]), noop(2, &[3]), noop(3, &[1, 0]), noop(4, &[3])]);
    assert!(matches!(cycle, CoreError::Cycle(id) if id != trial_id(4)), "{cycle}");
    assert!(matches!(refused(&mut core, vec![noop(1, &[]), noop(1, &[0])]), CoreError::Ambiguous(_)));
    core.check_invariants().unwrap();
    assert_eq!(core.state(trial_id(1)), None);
}

#[test]
fn a_drain_ends_quiet() {
    let mut core = Core::new(Limits::default());
    core.handle(0, Event::Submit(vec![noop(0, &[]), noop(1, &[])])).unwrap();
    assert_eq!(ask(&mut core, 1, 1).len(), 1);
    core.handle(0, Event::Drain).unwrap();
    let worker = Uuid::from_u128(1);
    let heartbeat = Event::Heartbeat { worker, members: vec![(trial_id(0), 1)] };
    let effects = core.handle(0, heartbeat).unwrap();
    assert_eq!(effects, [Effect::Stop { worker, trial: trial_id(0), attempt: 1, why: Stop::Drain }]);
    let finish = Event::Finish { worker, trial: trial_id(0), attempt: 1, end: End::Preempted };
    core.handle(0, finish).unwrap();
    assert_eq!(core.running(), 0);
    let leave = core.handle(0, Event::Lease { worker, capacity: BTreeMap::from([(Kind::Noop, 1)]) }).unwrap();
    assert_eq!(leave, [Effect::Leave { worker }]);
}
