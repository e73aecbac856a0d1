//! Cards with little memory: arrays are smaller then, and nothing fails as long as one member fits.

use super::*;
use crate::{cuda::heads::HeadSizes, model::HeadShape, protocol::FailureClass, train::sizing};

/// Bytes that an array of so many heads of [`Home::classify`] takes, with its features.
fn bytes(members: usize) -> usize {
    let shape = HeadShape { width: support::IMAGE_WIDTH, hidden: 512, classes: 1 };
    let sizes = HeadSizes { shape, binary: true, dropout: 0.2, batch: 8, train: 25, evaluated: 9, steps: 3 };
    sizes.bytes_needed(members) + 4 * 43 * support::IMAGE_WIDTH
}

fn with_memory(bytes: usize) -> Option<Arc<dyn Stream>> {
    Some(Arc::new(Emulation::with_memory(bytes)?))
}

#[test]
fn a_small_card_trains_in_parts() {
    let home = Home::new(25, 9, 9);
    let tasks = heads(&home, 5);
    let Some(stream) = Emulation::open() else { return };
    let expected = tasks_on_card(&stream, &home, &tasks);
    for members in [1, 2, 3] {
        let Some(small) = with_memory(bytes(members) * 107 / 100) else { return };
        for (found, expected) in tasks_on_card(&small, &home, &tasks).iter().zip(&expected) {
            assert_eq!(found.result(), expected.result(), "room for {members}");
        }
    }
}

/// The emulation is one processor: more members are no faster, whatever is chosen. What is measured does not change what is trained.
#[test]
fn the_size_is_measured() {
    let home = Home::new(25, 9, 9);
    let tasks = heads(&home, 4);
    let Some(stream) = Emulation::open() else { return };
    let expected = tasks_on_card(&stream, &home, &tasks);
    sizing::MEASURE.set(true);
    let Some(device) = Emulation::with_memory(8 << 30) else { return };
    let measured: Arc<dyn Stream> = Arc::new(device.clone());
    let found = tasks_on_card(&measured, &home, &tasks);
    sizing::MEASURE.set(false);
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found.result(), expected.result());
    }
    // A trial has steps beside those of the training.
    let again = device.launches();
    tasks_on_card(&measured, &home, &tasks);
    assert!(again > device.launches() - again, "no trial was run: {again}");
}

#[test]
fn a_card_without_room_for_one_member_says_so() {
    let home = Home::new(25, 9, 9);
    let tasks = heads(&home, 2);
    let Some(tiny) = with_memory(bytes(1) / 2) else { return };
    for member in tasks_on_card(&tiny, &home, &tasks) {
        let failure = member.failure();
        assert_eq!(failure.class, FailureClass::Resources);
        assert!(failure.cure.as_deref().is_some_and(|cure| cure.contains("batch_size")), "{failure:?}");
    }
    let tasks = [Task::Pretrain(home.pretrain())];
    assert_eq!(tasks_on_card(&tiny, &home, &tasks)[0].failure().class, FailureClass::Resources);
}
