//! Arrays that nothing disturbs, and members that leave them.

use super::{support::fresh_id, *};
use crate::{
    cuda::tests::support::devices,
    datasets::Split,
    task::{Classify, Target},
};

#[test]
fn heads_are_those_of_the_processor() {
    let mut home = Home::new(25, 9, 9);
    // Another table of features, and one that lacks images, so that its member trains on fewer samples.
    let (other, some) = (fresh_id(), fresh_id());
    let splits = Split::ALL.into_iter().zip([25, 9, 9]);
    let rows: Vec<(String, Vec<f32>)> = splits
        .flat_map(|(split, count)| support::ids(split, count))
        .map(|id| (id.clone(), support::values(&format!("other {id}"), support::IMAGE_WIDTH)))
        .collect();
    home.embed(other, support::IMAGE_WIDTH, &rows);
    let rows = rows.into_iter().enumerate().map(|(i, (id, row))| (id, (i % 7 != 3).then_some(row))).collect();
    home.embed_some(some, support::IMAGE_WIDTH, rows);
    for (target, label) in [(Target::Binary, "sick"), (Target::Classes, "kind")] {
        let mut tasks = heads(&home, 5);
        for (task, image) in tasks.iter_mut().zip([home.image, other, home.image, some, other]) {
            if let Task::Classify(task) = task {
                *task = Classify { image, target, label: label.to_owned(), ..task.clone() };
            }
        }
        let expected = home.run_tasks(&tasks);
        for stream in devices() {
            for (found, expected) in tasks_on_card(&stream, &home, &tasks).iter().zip(&expected) {
                assert_near(&home, found, expected);
            }
        }
    }
}

/// Members that differ in the width of their images too.
#[test]
fn adaptors_are_those_of_the_processor() {
    let mut home = Home::new(9, 5, 3);
    let (wide, width) = (fresh_id(), support::IMAGE_WIDTH + 5);
    let splits = Split::ALL.into_iter().zip([9, 5, 3]);
    let rows: Vec<(String, Vec<f32>)> = splits
        .flat_map(|(split, count)| support::ids(split, count))
        .map(|id| (id.clone(), support::values(&format!("wide {id}"), width)))
        .collect();
    home.embed(wide, width, &rows);
    let task = home.pretrain();
    let mut other = task.clone();
    (other.seed, other.learning_rate, other.weight_decay, other.warmup) = (4, 3e-4, 0.1, 0.5);
    (other.image, other.image_width, other.i2t_weight, other.dropout) = (wide, width, 0.25, 0.2);
    let tasks = [task, other].map(Task::Pretrain);
    assert_eq!(tasks[0].array_key(), tasks[1].array_key());
    let expected = home.run_tasks(&tasks);
    for stream in devices() {
        for (found, expected) in tasks_on_card(&stream, &home, &tasks).iter().zip(&expected) {
            assert_near(&home, found, expected);
        }
    }
}

/// Heads on the features of an Adaptor, which the card makes too.
#[test]
fn features_of_an_adaptor_are_those_of_the_processor() {
    let mut home = Home::new(25, 9, 9);
    let mut pretrain = home.pretrain();
    pretrain.epochs = 1;
    let adaptor = home.run_tasks(&[Task::Pretrain(pretrain)]).remove(0);
    let Some(Outcome::Done { artifacts, .. }) = adaptor.outcome else { panic!("{:?}", adaptor.outcome) };
    let mut run = |card: Option<&Arc<dyn Stream>>| {
        // Features are kept by the id of their Adaptor.
        let id = fresh_id();
        home.inputs.insert(id, artifacts.clone());
        // Features of random images differ little, which the norm and a fast optimiser would make much of.
        let task = &[Task::Classify(Classify { adaptor: Some(id), epochs: 2, learning_rate: 1e-4, ..home.classify() })];
        card.map_or_else(|| home.run_tasks(task), |stream| tasks_on_card(stream, &home, task)).remove(0)
    };
    let expected = run(None);
    let found: Vec<Member> = devices().iter().map(|stream| run(Some(stream))).collect();
    found.iter().for_each(|found| assert_near(&home, found, &expected));
}

fn diverged(member: &Member) -> (u64, &str) {
    match &member.outcome {
        Some(Outcome::Diverged { step, what }) => (*step, what),
        other => panic!("it has not diverged: {other:?}"),
    }
}

#[test]
fn a_diverged_head_leaves_its_neighbours_as_they_are() {
    let Some(stream) = Emulation::open() else { return };
    let home = Home::new(25, 9, 9);
    let mut tasks = heads(&home, 4);
    let alone = tasks_on_card(&stream, &home, &tasks);
    let Task::Classify(bad) = &mut tasks[1] else { panic!("a head") };
    bad.learning_rate = 1e38;
    let together = tasks_on_card(&stream, &home, &tasks);
    assert_eq!(diverged(&together[1]), (1, "train_loss"));
    for i in [0, 2, 3] {
        assert_eq!(together[i].result(), alone[i].result(), "member {i}");
    }
    // The processor finds the same step.
    assert_eq!(diverged(&home.run_tasks(&tasks[1..2])[0]), (1, "train_loss"));
}

#[test]
fn a_diverged_adaptor_leaves_its_neighbour_as_it_is() {
    let Some(stream) = Emulation::open() else { return };
    let home = Home::new(9, 3, 0);
    let mut bad = home.pretrain();
    bad.learning_rate = 1e38;
    let tasks = [bad, home.pretrain()].map(Task::Pretrain);
    let alone = tasks_on_card(&stream, &home, &tasks[1..]).remove(0);
    let together = tasks_on_card(&stream, &home, &tasks);
    assert_eq!(diverged(&together[0]), (1, "train_loss"));
    assert_eq!(together[1].result(), alone.result());
}

/// What a member lacks is its own affair.
#[test]
fn a_member_without_its_input_fails_alone() {
    let Some(stream) = Emulation::open() else { return };
    let home = Home::new(25, 9, 9);
    let mut tasks = heads(&home, 2);
    let Task::Classify(bad) = &mut tasks[0] else { panic!("a head") };
    bad.label = "unheard of".to_owned();
    let members = tasks_on_card(&stream, &home, &tasks);
    assert!(members[0].failure().message.contains("unheard of"), "{:?}", members[0].failure());
    assert_near(&home, &members[1], &home.run_tasks(&tasks[1..])[0]);
}
