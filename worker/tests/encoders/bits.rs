//! The same bits whatever the threads, the company and the interruptions.

use std::fmt::Write as _;

use permafrost_worker::{
    protocol::Outcome,
    random::{Key, Purpose},
    task::Pooling,
};

use super::bench::{Bench, FOLDER, POOLINGS, bert, done, rows, tiny};

/// Texts of 1 to 30 words; every seventh is there twice. Enough for many batches.
fn texts(count: usize) -> Vec<String> {
    let words = "the heart lung size normal clear effusion pneumothorax mild left right opacity zebra".split(' ');
    let words: Vec<&str> = words.collect();
    let mut bits = vec![0; 31 * count];
    Key::new(1, Purpose::Sample, 0).bits(&mut bits);
    let text = |i: usize| {
        let bits = &bits[(i - i % 7 % 2) * 31..][..31];
        let mut text = String::new();
        for bits in &bits[..1 + bits[30] as usize % 30] {
            write!(text, " {}", words[*bits as usize % words.len()]).unwrap();
        }
        text
    };
    (0..count).map(text).collect()
}

#[test]
fn threads_company_and_interruptions_change_no_bit() {
    let texts = texts(700);
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut bench = Bench::new(&texts).wheel(&tiny());
    let encoders = || POOLINGS.map(|pooling| bert(FOLDER, pooling, 24)).to_vec();
    let reference = bench.embeddings(encoders(), 1);
    assert_ne!(rows(&reference[0]), rows(&reference[1]));
    for threads in 2..4 {
        for (member, found) in bench.embeddings(encoders(), threads).iter().enumerate() {
            assert_eq!(rows(found), rows(&reference[member]), "member {member}, {threads} threads");
        }
    }
    for (member, encoder) in encoders().into_iter().enumerate() {
        let alone = bench.embeddings(vec![encoder], 2);
        assert_eq!(rows(&alone[0]), rows(&reference[member]), "member {member} alone");
    }
    // Some batches are done, then the sweep drains, and later it goes on.
    let interrupted = bench.run(encoders(), 2, Some(9));
    for (member, outcome) in interrupted.outcomes.into_inner().unwrap() {
        let Outcome::Preempted { checkpoint: Some(checkpoint) } = outcome else { panic!("{outcome:?}") };
        let trial = bench.lease(encoders()[member].clone()).trial;
        bench.checkpoints.insert(trial, vec![checkpoint]);
    }
    let done = interrupted.progress.into_inner().unwrap();
    assert!(done[&0].last().is_some_and(|(done, total)| done < total), "{:?}", done[&0]);
    let resumed = bench.run(encoders(), 2, None);
    let logs = resumed.logs.into_inner().unwrap();
    assert_eq!(logs.iter().filter(|line| line.contains("goes on from the checkpoint")).count(), 3, "{logs:?}");
    for (member, found) in bench.embeddings(encoders(), 2).iter().enumerate() {
        assert_eq!(rows(found), rows(&reference[member]), "member {member} after an interruption");
    }
    // One of them alone has a checkpoint, the others begin at the beginning.
    let first = bench.checkpoints.keys().next().copied().unwrap();
    bench.checkpoints.retain(|trial, _| *trial == first);
    for (member, found) in bench.embeddings(encoders(), 2).iter().enumerate() {
        assert_eq!(rows(found), rows(&reference[member]), "member {member} beside a resumed one");
    }
}

#[test]
fn the_same_text_has_the_same_row_in_any_order() {
    let texts = texts(300);
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let reversed: Vec<&str> = texts.iter().rev().copied().collect();
    let encoder = || vec![bert(FOLDER, Pooling::Mean, 24)];
    let forward = Bench::new(&texts).wheel(&tiny()).embeddings(encoder(), 2);
    let backward = Bench::new(&reversed).wheel(&tiny()).embeddings(encoder(), 2);
    let mut equal = 0;
    for (i, text) in texts.iter().enumerate() {
        let row = forward[0].get(&format!("r{i}"));
        assert_eq!(row, backward[0].get(&format!("r{}", texts.len() - 1 - i)), "{text}");
        if let Some(first) = texts[..i].iter().position(|other| other == text) {
            assert_eq!(row, forward[0].get(&format!("r{first}")), "{text}");
            equal += 1;
        }
    }
    assert!(equal > 20, "{equal} equal texts");
}

#[test]
fn progress_rises_and_the_summary_counts() {
    let texts =
        ["the heart is normal", "the heart is normal", "zebra heart", " \u{200b}", "the lungs are clear and normal"];
    let mut bench = Bench::new(&texts).wheel(&tiny());
    let recorder = bench.run(vec![bert(FOLDER, Pooling::Cls, 6)], 2, None);
    let progress = recorder.progress.into_inner().unwrap();
    assert_eq!(progress[&0].last(), Some(&(4, 4)));
    assert!(progress[&0].is_sorted());
    let (summary, artifacts) = done(recorder.outcomes.into_inner().unwrap().remove(&0).unwrap());
    assert_eq!(artifacts.len(), 2);
    let expected = [
        ("samples", 5.0),
        ("texts", 4.0),
        ("texts_without_words", 1.0),
        // `lungs` is two tokens: seven without [CLS] and [SEP], of which four fit.
        ("tokens", 6.0 + 4.0 + 2.0 + 6.0),
        ("tokens_cut", 3.0),
        ("truncated", 1.0),
        ("unknown_tokens", 1.0),
        ("width", 32.0),
    ];
    assert_eq!(summary, expected.map(|(name, value)| (name.to_owned(), value)).into());
}
