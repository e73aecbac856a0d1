//! Projections: what they leave, that they repeat to the last bit, stop when told to, and refuse what cannot be shown.

use permafrost_worker::{
    datasets::Split,
    protocol::{Outcome, Stop},
    task::{Project, Target, Task},
    train::project::COLUMNS,
};

use crate::support::{Home, IMAGE_WIDTH, KINDS, Member, kind};

/// Test images of the collection.
const TEST: usize = 60;

/// A collection with an Adaptor.
fn home() -> (Home, Project) {
    let mut home = Home::new(24, 8, TEST);
    let pretrain = Task::Pretrain(home.pretrain());
    let member = home.run_tasks(std::slice::from_ref(&pretrain)).remove(0);
    let Some(Outcome::Done { artifacts, .. }) = member.outcome else { panic!("{:?}", member.outcome) };
    let adaptor = pretrain.id().unwrap();
    home.inputs.insert(adaptor, artifacts);
    let task = Project {
        dataset: home.dataset,
        image: home.image,
        adaptor,
        image_width: IMAGE_WIDTH,
        label: "kind".to_owned(),
        target: Target::Classes,
        split: Split::Test,
        samples: 1000,
        perplexity: 8.0,
        iterations: 60,
        seed: 0,
    };
    (home, task)
}

fn table(home: &Home, member: &Member) -> Vec<Vec<String>> {
    let Some(Outcome::Done { artifacts, .. }) = &member.outcome else { panic!("{:?}", member.outcome) };
    let text = std::fs::read_to_string(home.path().join(&artifacts[0].path)).unwrap();
    text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

#[test]
fn every_image_has_a_place_before_and_after() {
    let (home, task) = home();
    let few = Project { samples: 30, label: "sick".to_owned(), target: Target::Binary, ..task.clone() };
    let members = home.run_tasks(&[Task::Project(task.clone()), Task::Project(few.clone())]);
    let rows = table(&home, &members[0]);
    assert_eq!(rows[0], COLUMNS);
    assert_eq!(rows.len(), 1 + TEST);
    for (i, row) in rows[1..].iter().enumerate() {
        assert_eq!(row[..2], [format!("test-{i}"), KINDS[kind(i) as usize].to_owned()]);
        assert!(row[2..].iter().all(|place| place.parse::<f32>().unwrap().is_finite()), "{row:?}");
    }
    let Some(Outcome::Done { summary, .. }) = &members[0].outcome else { panic!() };
    assert_eq!(summary["samples"], TEST as f64);
    for when in ["before", "after"] {
        assert!(summary[&format!("kl_{when}")] > 0.0, "{summary:?}");
        assert!((-1.0..1.0).contains(&summary[&format!("silhouette_{when}")]), "{summary:?}");
        assert!((0.0..=1.0).contains(&summary[&format!("knn_accuracy_{when}")]), "{summary:?}");
    }
    assert_ne!(summary["kl_before"], summary["kl_after"]);
    let chosen = table(&home, &members[1]);
    assert_eq!(chosen.len(), 31);
    assert!(chosen[1..].iter().all(|row| ["no sick", "sick"].contains(&row[1].as_str())), "{chosen:?}");

    // Alone or in company, the same bits; another seed chooses other images.
    let again = home.run_tasks(&[Task::Project(few.clone())]).remove(0);
    let values = |member: &Member| match &member.outcome {
        Some(Outcome::Done { summary, .. }) => summary.values().map(|value| value.to_bits()).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!((table(&home, &again), values(&again)), (chosen.clone(), values(&members[1])));
    let other = home.run_tasks(&[Task::Project(Project { seed: 1, ..few })]).remove(0);
    assert_ne!(table(&home, &other), chosen);
}

#[test]
fn it_stops_when_told_to() {
    let (home, task) = home();
    let task = Task::Project(task);
    for most in [0, 20, 130] {
        let stop = move |done: u64| (done >= most).then_some(Stop::Drain);
        let member = home.run(vec![home.lease(&task, 1, vec![])], u64::MAX, &stop).remove(0);
        assert!(matches!(member.outcome, Some(Outcome::Preempted { checkpoint: None })), "{:?}", member.outcome);
        assert!(member.steps < most + 60, "{} steps", member.steps);
    }
}

#[test]
fn what_cannot_be_shown_is_refused() {
    let (home, task) = home();
    for (task, expected) in [
        (Project { perplexity: 59.0, ..task.clone() }, "60 test images have `kind`, a perplexity of 59 needs 61"),
        (
            Project { label: "unkind".to_owned(), ..task.clone() },
            "the collection has no label of several classes `unkind`",
        ),
    ] {
        let failed = home.run_tasks(&[Task::Project(task)]).remove(0);
        assert!(failed.failure().message.contains(expected), "{:?}", failed.failure());
        assert!(failed.failure().cure.is_some());
    }
}
