//! A run that was interrupted ends with the same bits as one that was not.

use std::collections::BTreeMap;

use permafrost_worker::{
    protocol::{Checkpoint, Outcome, Stop},
    task::{Target, Task},
};

use crate::support::{Home, Member};

/// Runs `task` in attempts. Each gets the next of `plan`: how many steps it may do, and how it is stopped.
fn in_attempts(home: &Home, task: &Task, plan: &mut dyn FnMut() -> (u64, Stop)) -> (Member, u32) {
    let mut metrics: BTreeMap<(String, u64), u64> = BTreeMap::new();
    let mut kept: Vec<Checkpoint> = Vec::new();
    for attempt in 1..200 {
        let (steps, how) = plan();
        let begin = kept.first().map_or(0, |checkpoint| checkpoint.step);
        let lease = home.lease(task, attempt, kept.clone());
        // Who is stopped without a warning has only what was written before; who drains writes now.
        let interval = if how == Stop::Drain { u64::MAX } else { 0 };
        let mut member = home.run(vec![lease], interval, &move |done| (done >= begin + steps).then_some(how)).remove(0);
        for (key, bits) in &member.metrics {
            let before = metrics.insert(key.clone(), *bits);
            assert!(before.is_none_or(|before| before == *bits), "{key:?} is another value in attempt {attempt}");
        }
        match &member.outcome {
            Some(Outcome::Preempted { checkpoint }) => {
                let new = member.checkpoints.drain(..).chain(checkpoint.clone());
                let older = std::mem::take(&mut kept);
                // The newest first, and two at most, as the database keeps them.
                kept = older.into_iter().rev().chain(new).rev().take(2).collect();
                let folder = |checkpoint: &Checkpoint| home.path().join(&checkpoint.file.path);
                assert!(kept.iter().all(|checkpoint| folder(checkpoint).exists()));
            }
            _ => {
                member.metrics = metrics;
                return (member, attempt);
            }
        }
    }
    panic!("it never ends");
}

/// SplitMix64.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[test]
fn a_head_resumed_from_every_checkpoint_has_the_same_bits() {
    let home = Home::new(25, 9, 9);
    // A fraction, so that its sample is drawn again; the last batch of an epoch is smaller.
    let cases = [(1.0, Some(3), Target::Binary), (0.6, None, Target::Binary), (0.7, None, Target::Classes)];
    for (fraction, patience, target) in cases {
        let mut task = home.classify();
        (task.fraction, task.patience, task.target) = (fraction, patience, target);
        if target == Target::Classes {
            task.label = "kind".to_owned();
        }
        let task = Task::Classify(task);
        let expected = home.run_tasks(std::slice::from_ref(&task)).remove(0);
        assert!(expected.steps >= 6, "{} steps", expected.steps);
        // Every step has its own attempt.
        let (member, attempts) = in_attempts(&home, &task, &mut || (1, Stop::Drain));
        assert!(u64::from(attempts) >= expected.steps);
        assert_eq!(member.result(), expected.result());
        for seed in 0..12 {
            let mut state = seed;
            let mut plan = || {
                let how = [Stop::Drain, Stop::Lost][random(&mut state) as usize % 2];
                (1 + random(&mut state) % 7, how)
            };
            let (member, _) = in_attempts(&home, &task, &mut plan);
            assert_eq!(member.result(), expected.result(), "seed {seed}");
        }
    }
}

#[test]
fn an_adaptor_resumed_from_every_checkpoint_has_the_same_bits() {
    let home = Home::new(9, 3, 3);
    let task = Task::Pretrain(home.pretrain());
    let expected = home.run_tasks(std::slice::from_ref(&task)).remove(0);
    assert_eq!(expected.steps, 4);
    let (member, attempts) = in_attempts(&home, &task, &mut || (1, Stop::Drain));
    assert_eq!(attempts, 5);
    assert_eq!(member.result(), expected.result());
}

/// Alone or in company, interrupted or not.
#[test]
fn members_of_an_array_resume_each_from_its_own_checkpoint() {
    let home = Home::new(25, 9, 9);
    let tasks: Vec<Task> = (0..4)
        .map(|seed| {
            let mut task = home.classify();
            (task.seed, task.learning_rate) = (seed, 1e-3 * (1 + seed) as f64);
            Task::Classify(task)
        })
        .collect();
    let alone: Vec<_> =
        tasks.iter().map(|task| home.run_tasks(std::slice::from_ref(task)).remove(0).result()).collect();
    let mut before = Vec::new();
    let leases = tasks
        .iter()
        .zip(0..)
        .map(|(task, i)| {
            let first =
                home.run(vec![home.lease(task, 1, vec![])], u64::MAX, &move |done| (done > i).then_some(Stop::Drain));
            let Some(Outcome::Preempted { checkpoint: Some(checkpoint) }) = &first[0].outcome else {
                panic!("{:?}", first[0].outcome)
            };
            assert_eq!(checkpoint.step, i + 1);
            before.push(first[0].metrics.clone());
            home.lease(task, 2, vec![checkpoint.clone()])
        })
        .collect();
    let together = home.run(leases, u64::MAX, &|_| None);
    for ((mut member, before), alone) in together.into_iter().zip(before).zip(alone) {
        member.metrics.extend(before);
        assert_eq!(member.result(), alone);
    }
}
