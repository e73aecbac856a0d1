//! What is drawn, at sizes that people have, and what keys do.

use jiff::tz::TimeZone;
use permafrost_worker::id::TrialId;
use ratatui::{
    Terminal,
    backend::TestBackend,
    buffer::Buffer,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
    style::Color,
};
use serde_json::json;

use super::{
    Action, Command, CoordinatorView, DeviceView, Nothing, RunningView, Snapshot, State, SweepView, Theme, draw,
    snapshot::TrialView,
    state::{Dialog, Pane, View},
    text,
};
use crate::{
    monitor::estimate::TimeLeft,
    store::{
        CurvePoint, DeviceState, LogRow, RunningTrial, StageCounts, SweepName, TrialDetail, TrialLine, TrialUsage,
    },
};

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 60)];
const COLOR: Theme = Theme { color: true, unicode: true };
const NO_COLOR: Theme = Theme { color: false, unicode: true };
const ASCII: Theme = Theme { color: false, unicode: false };
/// 2026-03-04 05:06:07 UTC.
const NOW: i64 = 1_772_600_767_000;

fn id(seed: u64) -> String {
    blake3::hash(&seed.to_le_bytes()).to_hex().to_string()
}

fn stage(name: &str, counts: [i64; 6], reused: i64, share: f64) -> StageCounts {
    let [done, running, ready, waiting, blocked, without_result] = counts;
    let total = done + running + ready + waiting + without_result;
    StageCounts { stage: name.to_owned(), total, done, running, ready, waiting, blocked, without_result, reused, share }
}

fn running(seed: u64) -> RunningView {
    let vision = ["dinov2-s", "resnet-ae"][seed as usize % 2];
    let parameters = json!({"vision": vision, "text": "pubmedbert", "seed": seed, "epochs": 40});
    RunningView {
        row: RunningTrial {
            trial: seed as i64,
            stage: "pretrain".to_owned(),
            id: id(seed),
            parameters: parameters.to_string(),
            attempt: 1,
            done_units: 10 + 7 * seed as i64,
            total_units: 100,
            begun: Some(NOW - 93_000 - 1000 * seed as i64),
            beside: 4,
            array_key: "pretrain".to_owned(),
            device: format!("cuda:{}", seed % 2),
            host: "node7".to_owned(),
        },
        parameters,
        metric: Some("train_loss".to_owned()),
        curve: (0..60).map(|step| 6.0 / (1.0 + 0.1 * f64::from(step)) + 0.05 * f64::from((step * 7) % 5)).collect(),
    }
}

fn device(index: i64, advice: Option<&str>) -> DeviceView {
    let name = format!("cuda:{index}");
    let sample = DeviceState {
        device: index,
        host: "node7".to_owned(),
        name: name.clone(),
        model: "NVIDIA H100 80GB HBM3".to_owned(),
        memory_bytes: 85_520_809_984,
        power_limit_w: Some(700.0),
        at: NOW,
        utilisation: Some(if index == 0 { 0.93 } else { 0.04 }),
        memory_used_bytes: Some(23_400_000_000),
        power_w: Some(512.3),
        temperature_c: Some(61.0),
        sm_clock_mhz: Some(1980.0),
        throttle: (index == 1).then(|| "sw-power-cap".to_owned()),
        members: 4,
        ..DeviceState::default()
    };
    DeviceView {
        host: "node7".to_owned(),
        name,
        model: "NVIDIA H100 80GB HBM3".to_owned(),
        running: 4,
        sample: Some(sample),
        history: (0..90).map(|at| f64::from(at % 30) / 30.0).collect(),
        advice: advice.map(str::to_owned),
    }
}

fn failure(seed: u64, state: &str, message: Option<&str>) -> TrialLine {
    TrialLine {
        stage: "rsna".to_owned(),
        id: id(seed),
        state: state.to_owned(),
        parameters: json!({"vision": "dinov2-s", "seed": seed, "fraction": 0.01}).to_string(),
        ended: Some(NOW - 4000 * seed as i64),
        value: None,
        message: message.map(str::to_owned),
        cure: message.map(|_| "take a smaller batch".to_owned()),
    }
}

fn event(number: i64, kind: &str, trial: Option<u64>, detail: &str) -> LogRow {
    let detail = Some(detail.to_owned());
    LogRow {
        event: number,
        at: NOW - 1000 * (100 - number),
        kind: kind.to_owned(),
        id: trial.map(id),
        attempt: None,
        detail,
    }
}

/// A sweep in the middle of its work.
fn busy() -> Snapshot {
    let sweep =
        |row, name: &str| SweepName { sweep: row, name: name.to_owned(), revision: row, submitted: NOW - 7_200_000 };
    Snapshot {
        at: NOW,
        coordinator: Some(CoordinatorView { pid: 4711, address: "127.0.0.1:40001".to_owned() }),
        nothing: None,
        sweep: Some(SweepView {
            sweep: 2,
            name: "table1".to_owned(),
            revision: 2,
            submitted: NOW - 7_200_000,
            metrics: [("rsna".to_owned(), "auroc".to_owned())].into(),
        }),
        sweeps: vec![sweep(2, "table1"), sweep(1, "quickstart")],
        stages: vec![
            stage("fetch", [2, 0, 0, 0, 0, 0], 2, 1.0),
            stage("embed", [8, 0, 0, 0, 0, 0], 8, 1.0),
            stage("pretrain", [3, 6, 4, 0, 0, 2], 0, 0.37),
            stage("rsna", [40, 0, 20, 162, 30, 3], 0, 0.18),
        ],
        left: TimeLeft { ms: Some(5_000_000), at_least: true },
        running: (0..6).map(running).collect(),
        failures: vec![
            failure(20, "failed", Some("CUDA out of memory:\nasked for 12 GB, 3 GB are free")),
            failure(21, "diverged", Some("train_loss is not finite at step 120")),
            failure(22, "cancelled", None),
        ],
        devices: vec![device(0, None), device(1, Some("starved: it waits for data from the processor"))],
        events: vec![
            event(99, "trial-failed", Some(20), "CUDA out of memory"),
            event(98, "attempt-lost", Some(3), "its worker was not heard from for 30 s"),
            event(97, "sweep-launched", None, "table1 revision 2"),
        ],
        list: None,
        trial: None,
    }
}

fn list() -> Vec<TrialLine> {
    let line = |seed: u64| TrialLine {
        value: (seed % 3 != 2).then_some(0.7 + 0.01 * seed as f64),
        ..failure(seed, ["done", "done", "failed"][seed as usize % 3], (seed % 3 == 2).then_some("out of memory"))
    };
    (0..50).map(line).collect()
}

fn trial() -> TrialView {
    let key: TrialId = id(3).parse().unwrap();
    let detail: TrialDetail = TrialDetail {
        id: key,
        kind: "pretrain".to_owned(),
        state: "failed".to_owned(),
        why_waiting: None,
        task: permafrost_worker::task::Task::Noop(permafrost_worker::task::Noop {
            index: 0,
            steps: 1,
            step_ms: 0,
            after: vec![],
            end: permafrost_worker::task::NoopEnd::Done,
        }),
        places: vec![crate::store::PlaceRow {
            sweep: "table1".to_owned(),
            revision: 2,
            stage: "pretrain".to_owned(),
            parameters: json!({"vision": "dinov2-s", "text": "pubmedbert", "learning_rate": 2e-5, "batch_size": 1024, "epochs": 40, "seed": 3}),
        }],
        inputs: vec![crate::store::InputRow { id: id(100), kind: "embed".to_owned(), state: "done".to_owned() }],
        attempts: (1..=2)
            .map(|number| crate::store::AttemptRow {
                attempt: number,
                state: ["lost", "failed"][number as usize - 1].to_owned(),
                started: NOW - 600_000 + 200_000 * i64::from(number),
                ended: Some(NOW - 450_000 + 200_000 * i64::from(number)),
                done_units: 30,
                total_units: 40,
                members: 4,
                resumed_step: (number == 2).then_some(12),
                host: "node7".to_owned(),
                device: "cuda:1".to_owned(),
                model: "NVIDIA H100 80GB HBM3".to_owned(),
                program: "0.1.0".to_owned(),
                class: (number == 2).then(|| "resources".to_owned()),
                message: Some("CUDA out of memory: asked for 12 GB".to_owned()),
                cure: Some("take a smaller batch, or fewer members".to_owned()),
                samples: Some(145),
                device_s: Some(146.2),
                utilisation: Some(0.42),
                energy_j: Some(61_728.0),
                memory_peak_bytes: Some(23_400_000_000),
            })
            .collect(),
        usage: Some(TrialUsage {
            samples: 290,
            utilisation: Some(0.42),
            device_hours: 0.0812,
            energy_j: Some(123_456.0),
            memory_peak_bytes: Some(23_400_000_000),
        }),
        results: [("val_loss".to_owned(), 2.345_67), ("best_epoch".to_owned(), 31.0)].into(),
        artifacts: vec![],
        events: vec![],
    };
    let points = |metric: &str, value: fn(f64) -> f64| -> Vec<CurvePoint> {
        let point = |step: i64| CurvePoint { id: id(3), metric: metric.to_owned(), step, value: value(step as f64) };
        (0..40).map(point).collect()
    };
    let mut curves = points("learning_rate", |step| 2e-5 * (1.0 - step / 40.0));
    curves.extend(points("train_loss", |step| 6.9 / (1.0 + 0.2 * step)));
    curves.extend(points("val_loss", |step| 6.9 / (1.0 + 0.15 * step) + 0.01 * step));
    TrialView {
        id: key,
        detail: Ok(Box::new(detail)),
        curves,
        log: (0..30).map(|line| format!("05:0{}:00 epoch {line}", line % 10)).collect(),
    }
}

fn state(theme: Theme) -> State {
    let mut state = State::new("/data/.permafrost", theme, TimeZone::UTC);
    state.update(busy());
    state
}

fn buffer(state: &State, (width, height): (u16, u16)) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, state)).unwrap();
    terminal.backend().buffer().clone()
}

fn lines(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width);
    let symbols: Vec<&str> = buffer.content.iter().map(ratatui::buffer::Cell::symbol).collect();
    let lines: Vec<String> = symbols.chunks(width).map(|line| line.concat().trim_end().to_owned()).collect();
    lines.join("\n")
}

fn press(state: &mut State, code: KeyCode) -> Option<Action> {
    state.key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn letters(state: &mut State, text: &str) {
    for c in text.chars() {
        assert_eq!(press(state, KeyCode::Char(c)), None);
    }
}

/// Every view that there is, with its name.
fn views(theme: Theme) -> Vec<(&'static str, State)> {
    let overview = state(theme);
    let mut of_stage = state(theme);
    of_stage.focus = Pane::Stages;
    press(&mut of_stage, KeyCode::End);
    press(&mut of_stage, KeyCode::Enter);
    of_stage.update(Snapshot { list: Some(list()), ..busy() });
    let mut of_trial = state(theme);
    let key = trial().id;
    of_trial.views.push(View::Trial { id: key, scroll: 0, chart: 0 });
    of_trial.update(Snapshot { trial: Some(trial()), ..busy() });
    let mut help = state(theme);
    letters(&mut help, "?");
    let mut confirm = state(theme);
    letters(&mut confirm, "R");
    let mut nothing = State::new("/data/.permafrost", theme, TimeZone::UTC);
    nothing.update(Snapshot { at: NOW, nothing: Some(Nothing::NoDatabase), ..Snapshot::default() });
    vec![
        ("overview", overview),
        ("list", of_stage),
        ("trial", of_trial),
        ("help", help),
        ("confirm", confirm),
        ("nothing", nothing),
    ]
}

#[test]
fn pictures() {
    for (name, state) in views(NO_COLOR) {
        for size in SIZES {
            if size.0 == 80 || matches!(name, "overview" | "trial" | "list") {
                insta::assert_snapshot!(format!("{name}_{}x{}", size.0, size.1), lines(&buffer(&state, size)));
            }
        }
    }
}

#[test]
fn nothing_is_told_by_color_alone() {
    for ((name, colored), (_, plain)) in views(COLOR).into_iter().zip(views(NO_COLOR)) {
        for size in SIZES {
            let (colored, plain) = (buffer(&colored, size), buffer(&plain, size));
            assert_eq!(lines(&colored), lines(&plain), "{name} {size:?}");
            let is_colored = |cell: &ratatui::buffer::Cell| cell.fg != Color::Reset || cell.bg != Color::Reset;
            assert!(!plain.content.iter().any(is_colored), "{name} {size:?}");
            assert!(colored.content.iter().any(is_colored), "{name} {size:?}");
        }
    }
}

#[test]
fn a_terminal_without_unicode_gets_none() {
    for (name, state) in views(ASCII) {
        for size in SIZES {
            let text = lines(&buffer(&state, size));
            let strange: String = text.chars().filter(|c| !c.is_ascii()).collect();
            assert_eq!(strange, "", "{name} {size:?}\n{text}");
        }
    }
    insta::assert_snapshot!("overview_ascii", lines(&buffer(&state(ASCII), (80, 24))));
}

#[test]
fn any_size_can_be_drawn() {
    for (name, state) in views(NO_COLOR) {
        for (width, height) in [(1, 1), (5, 3), (49, 12), (50, 11), (50, 12), (61, 13), (300, 100)] {
            let text = lines(&buffer(&state, (width, height)));
            assert_eq!(
                text.contains("too small"),
                (width, height) == (49, 12) || (width, height) == (50, 11),
                "{name} {width}x{height}\n{text}"
            );
        }
    }
}

#[test]
fn long_lists_follow_the_cursor() {
    let mut state = state(NO_COLOR);
    state.update(Snapshot { running: (0..500).map(running).collect(), ..busy() });
    press(&mut state, KeyCode::End);
    assert!(lines(&buffer(&state, (80, 24))).contains(&id(499)[..10]));
    // What is selected stays selected when what runs changes.
    let mut fewer: Vec<RunningView> = (0..500).map(running).collect();
    fewer.drain(..100);
    state.update(Snapshot { running: fewer, ..busy() });
    assert_eq!(state.selected_trial().unwrap().0.hex(), id(499));
    assert_eq!(state.wanted().curves, (399 - 24, 48), "curves are read for what is seen");
}

#[test]
fn keys_open_and_close() {
    let mut state = state(NO_COLOR);
    assert_eq!(state.focus, Pane::Running);
    press(&mut state, KeyCode::Down);
    press(&mut state, KeyCode::Enter);
    let opened: TrialId = id(1).parse().unwrap();
    assert_eq!(state.wanted().trial, Some(opened));
    press(&mut state, KeyCode::Esc);
    assert_eq!(state.wanted().trial, None);
    for pane in [Pane::Failures, Pane::Events, Pane::Stages, Pane::Devices, Pane::Running] {
        press(&mut state, KeyCode::Tab);
        assert_eq!(state.focus, pane);
    }
    press(&mut state, KeyCode::BackTab);
    press(&mut state, KeyCode::BackTab);
    press(&mut state, KeyCode::End);
    press(&mut state, KeyCode::Enter);
    assert_eq!(state.wanted().list, Some((Some("rsna".to_owned()), String::new())));
    letters(&mut state, "/seed=3");
    assert_eq!(state.wanted().list, Some((Some("rsna".to_owned()), "seed=3".to_owned())));
    press(&mut state, KeyCode::Enter);
    letters(&mut state, "s");
    press(&mut state, KeyCode::Down);
    press(&mut state, KeyCode::Enter);
    assert_eq!((state.wanted().chosen, state.wanted().list), (Some(1), None), "another sweep");
    assert_eq!(press(&mut state, KeyCode::Char('q')), Some(Action::Quit));
    assert_eq!(state.key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), Some(Action::Quit));
}

#[test]
fn commands_are_asked_for_first() {
    let mut state = state(NO_COLOR);
    let first: TrialId = id(0).parse().unwrap();
    letters(&mut state, "c");
    assert!(matches!(&state.dialog, Some(Dialog::Confirm { command: Command::Cancel(id), .. }) if *id == first));
    letters(&mut state, "n");
    assert_eq!(state.dialog, None);
    letters(&mut state, "c");
    assert_eq!(press(&mut state, KeyCode::Char('y')), Some(Action::Run(Command::Cancel(first))));
    state.answered("1 trial cancelled".to_owned());
    assert!(lines(&buffer(&state, (80, 24))).contains("1 trial cancelled"));
    // What runs cannot be run again; what failed can.
    letters(&mut state, "r");
    assert!(state.dialog.is_none() && state.message.as_ref().unwrap().0.contains("has not ended"));
    press(&mut state, KeyCode::Tab);
    letters(&mut state, "r");
    assert_eq!(press(&mut state, KeyCode::Enter), Some(Action::Run(Command::Retry(id(20).parse().unwrap()))));
    letters(&mut state, "R");
    assert_eq!(press(&mut state, KeyCode::Char('y')), Some(Action::Run(Command::RetryAll(2))));
    letters(&mut state, "D");
    assert_eq!(press(&mut state, KeyCode::Char('y')), Some(Action::Run(Command::Drain)));
    state.update(Snapshot { coordinator: None, ..busy() });
    letters(&mut state, "D");
    assert!(state.dialog.is_none(), "nothing to drain");
}

#[test]
fn the_filter_is_for_what_is_seen() {
    let mut state = state(NO_COLOR);
    letters(&mut state, "/RESNET");
    assert_eq!(state.running().count(), 3);
    let text = lines(&buffer(&state, (80, 24)));
    assert!(text.contains("/RESNET") && text.contains("nothing that the filter shows"), "{text}");
    press(&mut state, KeyCode::Esc);
    assert_eq!(state.running().count(), 6);
}

#[test]
fn all_words_of_the_filter_must_fit() {
    let mut state = state(NO_COLOR);
    letters(&mut state, "/vision=resnet-ae");
    assert_eq!(state.running().count(), 3);
    letters(&mut state, " seed=3");
    assert_eq!(state.running().map(|view| view.row.trial).collect::<Vec<_>>(), [3]);
    press(&mut state, KeyCode::Esc);
    letters(&mut state, "/rsna fraction=0.010 memory");
    assert_eq!(state.failures().map(|row| row.id.clone()).collect::<Vec<_>>(), [id(20)]);
    assert_eq!((state.running().count(), state.events().count()), (0, 0));
}

#[test]
fn without_sweeps_there_is_none_to_choose() {
    let mut state = State::new("/data/.permafrost", NO_COLOR, TimeZone::UTC);
    state.update(Snapshot { at: NOW, nothing: Some(Nothing::NoDatabase), ..Snapshot::default() });
    letters(&mut state, "s");
    assert_eq!(state.dialog, None);
    assert!(lines(&buffer(&state, (80, 24))).contains("there is no sweep to choose from yet"));
    // Nor does a list stay that has lost its entries.
    state.update(busy());
    letters(&mut state, "s");
    assert!(state.dialog.is_some());
    state.update(Snapshot { at: NOW, nothing: Some(Nothing::NoDatabase), ..Snapshot::default() });
    assert_eq!(state.dialog, None);
}

#[test]
fn what_runs_is_seen_before_bars() {
    let mut state = state(NO_COLOR);
    let mut stages = busy().stages;
    stages[2] = stage("pretrain", [3, 6, 9, 0, 0, 0], 0, 0.37);
    state.update(Snapshot { stages, ..busy() });
    for size in [(80, 24), (120, 40)] {
        let text = lines(&buffer(&state, size));
        assert!(text.contains("6 running  9 ready"), "{size:?}\n{text}");
    }
    let text = lines(&buffer(&state, (50, 12)));
    let shown = |name: &str| text.lines().any(|line| line.trim_start().starts_with(name) && line.contains('/'));
    assert!(shown("pretrain") && !shown("fetch"), "{text}");
}

#[test]
fn what_a_user_cancelled_is_said_to_be() {
    let mut state = state(NO_COLOR);
    let failures = vec![failure(1, "cancelled", None), failure(2, "cancelled", None)];
    let stages = vec![stage("rsna", [40, 0, 0, 1, 1, 2], 0, 0.9)];
    let ended = Snapshot { stages, failures, running: vec![], ..busy() };
    state.update(ended.clone());
    assert!(
        lines(&buffer(&state, (120, 40))).contains("nothing: cancelled; launching the sweep again takes that back")
    );
    state.update(Snapshot { failures: vec![failure(1, "cancelled", None), failure(2, "failed", None)], ..ended });
    assert!(lines(&buffer(&state, (120, 40))).contains("what is left cannot run"));
}

#[test]
fn text_for_pipes() {
    insta::assert_snapshot!(text(&busy(), "/data/.permafrost", &TimeZone::UTC));
}
