//! What is not finite ends the one trial that has it, at the step where it first shows, and nobody else's.

use permafrost_worker::{
    datasets::Split,
    protocol::{Outcome, Stop},
    random::{Key, Purpose},
    task::Task,
};

use crate::support::{Home, IMAGE_WIDTH, Member, fresh_id, ids, values};

fn diverged(member: &Member) -> (u64, &str) {
    match &member.outcome {
        Some(Outcome::Diverged { step, what }) => (*step, what),
        other => panic!("it has not diverged: {other:?}"),
    }
}

/// The loss of step 0 is that of the initial weights, so a learning rate that is far too high shows in step 1.
#[test]
fn a_diverged_adaptor_leaves_its_neighbours_as_they_are() {
    let home = Home::new(9, 3, 3);
    let good = Task::Pretrain(home.pretrain());
    let mut bad = home.pretrain();
    bad.learning_rate = 1e38;
    let bad = Task::Pretrain(bad);
    let mut other = home.pretrain();
    other.seed = 4;
    let other = Task::Pretrain(other);
    assert_eq!(good.array_key(), bad.array_key());

    let alone = [&good, &other].map(|task| home.run_tasks(std::slice::from_ref(task)).remove(0).result());
    let together = home.run_tasks(&[good.clone(), bad.clone(), other.clone()]);
    assert_eq!(diverged(&together[1]), (1, "train_loss"));
    assert_eq!(together[0].result(), alone[0]);
    assert_eq!(together[2].result(), alone[1]);

    // The step before was fine: a checkpoint could be written there, and going on from it ends in the same way.
    let first = home.run(vec![home.lease(&bad, 1, vec![])], u64::MAX, &|done| (done >= 1).then_some(Stop::Drain));
    let Some(Outcome::Preempted { checkpoint: Some(checkpoint) }) = &first[0].outcome else {
        panic!("{:?}", first[0].outcome)
    };
    let again = home.run(vec![home.lease(&bad, 2, vec![checkpoint.clone()])], u64::MAX, &|_| None);
    assert_eq!(diverged(&again[0]), (1, "train_loss"));
}

#[test]
fn a_diverged_head_leaves_its_neighbours_as_they_are() {
    let mut home = Home::new(25, 9, 9);
    // Finite, so that it is accepted as an input, and too large to be squared.
    let poisoned = &ids(Split::Train, 25)[11];
    let bad_images = fresh_id();
    let all: Vec<String> =
        Split::ALL.into_iter().zip([25, 9, 9]).flat_map(|(split, count)| ids(split, count)).collect();
    let rows: Vec<(String, Vec<f32>)> = all
        .iter()
        .map(|id| (id.clone(), if id == poisoned { vec![3e38; IMAGE_WIDTH] } else { values(id, IMAGE_WIDTH) }))
        .collect();
    home.embed(bad_images, IMAGE_WIDTH, &rows);

    let good = home.classify();
    let mut poison = good.clone();
    poison.image = bad_images;
    let mut too_fast = good.clone();
    (too_fast.learning_rate, too_fast.seed) = (1e38, 6);
    let mut other = good.clone();
    other.seed = 7;
    // The step whose batch holds the poisoned sample is the first bad one.
    let order = Key::new(poison.seed, Purpose::Order, 0).permutation(25);
    let at = order.iter().position(|&sample| sample == 11).unwrap();
    let expected = (at / poison.batch_size) as u64;

    let tasks = [good, poison, too_fast, other].map(Task::Classify);
    let alone = [0, 3].map(|i| home.run_tasks(&tasks[i..=i]).remove(0).result());
    let together = home.run_tasks(&tasks);
    assert_eq!(diverged(&together[1]), (expected, "train_loss"));
    assert_eq!(diverged(&together[2]), (1, "train_loss"));
    assert_eq!(together[0].result(), alone[0]);
    assert_eq!(together[3].result(), alone[1]);
}
