//! What a user looks at, and what keys change. No terminal, no database.

use jiff::tz::TimeZone;
use permafrost_worker::id::TrialId;

use super::{fetch::Wanted, snapshot::Snapshot, theme::Theme};
use crate::store::Words;

/// Longest filter.
pub(super) const MAX_FILTER: usize = 60;
/// Views that lie above one another.
const MAX_DEPTH: usize = 8;
/// How long the answer to a command is shown, in milliseconds.
const MESSAGE_MS: i64 = 10_000;

/// A part of the overview.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pane {
    Stages,
    Devices,
    Running,
    Failures,
    Events,
}

impl Pane {
    pub(super) const ALL: [Self; 5] = [Self::Stages, Self::Devices, Self::Running, Self::Failures, Self::Events];
}

/// A place in a list that stays at its entry when the list changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) at: usize,
    key: Option<String>,
}

impl Cursor {
    /// Finds its entry again.
    fn follow(&mut self, keys: &[String]) {
        if let Some(at) = self.key.as_ref().and_then(|key| keys.iter().position(|known| known == key)) {
            self.at = at;
        }
        self.at = self.at.min(keys.len().saturating_sub(1));
        self.key = keys.get(self.at).cloned();
    }

    fn go(&mut self, to: isize, keys: &[String]) {
        self.at = to.clamp(0, keys.len().saturating_sub(1) as isize) as usize;
        self.key = keys.get(self.at).cloned();
    }
}

/// What fills the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum View {
    Overview,
    List { stage: Option<String>, cursor: Cursor },
    Trial { id: TrialId, scroll: usize, chart: usize },
}

/// What lies above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Dialog {
    Help { scroll: usize },
    Sweeps { cursor: Cursor },
    Confirm { command: Command, text: String },
}

/// A command of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Run this trial again.
    Retry(TrialId),
    /// Run all trials of the sweep again that ended without a result.
    RetryAll(i64),
    /// Stop this trial, or do not start it.
    Cancel(TrialId),
    /// Cancel every trial of the sweep that has not ended.
    CancelAll(i64),
    /// End coordinator and workers after checkpoints.
    Drain,
}

/// What a key leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Leave.
    Quit,
    /// To the shell, until it comes back.
    Suspend,
    /// Draw everything again.
    Redraw,
    /// Carry this out.
    Run(Command),
}

/// All that decides what is drawn.
#[derive(Clone, Debug)]
pub struct State {
    /// What is known.
    pub snapshot: Snapshot,
    /// What the terminal can show.
    pub theme: Theme,
    /// In which moments are shown.
    pub zone: TimeZone,
    pub(super) home: String,
    pub(super) views: Vec<View>,
    pub(super) dialog: Option<Dialog>,
    pub(super) focus: Pane,
    pub(super) cursors: [Cursor; Pane::ALL.len()],
    pub(super) filter: String,
    pub(super) typing: bool,
    pub(super) chosen: Option<i64>,
    pub(super) message: Option<(String, i64)>,
    pub(super) working: bool,
    /// Lines of the screen: what is seen of long lists.
    pub(super) height: usize,
}

impl State {
    /// At the start, before anything is known.
    pub fn new(home: &str, theme: Theme, zone: TimeZone) -> Self {
        Self {
            snapshot: Snapshot::default(),
            theme,
            zone,
            home: home.to_owned(),
            views: vec![View::Overview],
            dialog: None,
            focus: Pane::Running,
            cursors: Default::default(),
            filter: String::new(),
            typing: false,
            chosen: None,
            message: None,
            working: false,
            height: 24,
        }
    }

    /// The terminal has so many lines.
    pub fn resized(&mut self, height: u16) {
        self.height = usize::from(height);
    }

    /// Something new is known.
    pub fn update(&mut self, snapshot: Snapshot) {
        self.snapshot = snapshot;
        if self.snapshot.sweeps.is_empty() && matches!(self.dialog, Some(Dialog::Sweeps { .. })) {
            self.dialog = None;
        }
        if self.message.as_ref().is_some_and(|(_, until)| *until < self.snapshot.at) {
            self.message = None;
        }
        for pane in Pane::ALL {
            let keys = self.keys_of(pane);
            self.cursors[pane as usize].follow(&keys);
        }
        if self.keys_of(self.focus).is_empty() && self.focus == Pane::Failures {
            self.focus = Pane::Running;
        }
        let keys = self.list_keys();
        if let Some(View::List { cursor, .. }) = self.views.last_mut() {
            cursor.follow(&keys);
        }
    }

    /// A command was carried out, or was not: in words.
    pub fn answered(&mut self, text: String) {
        self.working = false;
        self.message = Some((text, jiff::Timestamp::now().as_millisecond() + MESSAGE_MS));
    }

    /// What has to be read.
    pub fn wanted(&self) -> Wanted {
        let at = self.cursors[Pane::Running as usize].at;
        let mut wanted = Wanted {
            chosen: self.chosen,
            curves: (at.saturating_sub(self.height), 2 * self.height),
            ..Wanted::default()
        };
        match self.view() {
            View::Overview => {}
            View::List { stage, .. } => wanted.list = Some((stage.clone(), self.filter.clone())),
            View::Trial { id, .. } => wanted.trial = Some(*id),
        }
        wanted
    }

    pub(super) fn view(&self) -> &View {
        self.views.last().unwrap_or(&View::Overview)
    }

    pub(super) fn cursor(&self, pane: Pane) -> usize {
        self.cursors[pane as usize].at
    }

    /// What tells the entries of a pane apart, of those that are shown.
    pub(super) fn keys_of(&self, pane: Pane) -> Vec<String> {
        let known = &self.snapshot;
        match pane {
            Pane::Stages => known.stages.iter().map(|stage| stage.stage.clone()).collect(),
            Pane::Devices => known.devices.iter().map(|device| format!("{} {}", device.host, device.name)).collect(),
            Pane::Running => self.running().map(|view| view.row.id.clone()).collect(),
            Pane::Failures => self.failures().map(|row| row.id.clone()).collect(),
            Pane::Events => self.events().map(|event| event.event.to_string()).collect(),
        }
    }

    pub(super) fn running(&self) -> impl Iterator<Item = &super::snapshot::RunningView> {
        let words = Words::of(&self.filter);
        let shown = move |view: &&super::snapshot::RunningView| {
            words.fit(&view.row.id, &[&view.row.stage, &view.row.device], &view.row.parameters)
        };
        self.snapshot.running.iter().filter(shown)
    }

    pub(super) fn failures(&self) -> impl Iterator<Item = &crate::store::TrialLine> {
        let words = Words::of(&self.filter);
        self.snapshot.failures.iter().filter(move |row| {
            let message = row.message.as_deref().unwrap_or_default();
            words.fit(&row.id, &[&row.stage, &row.state, message], &row.parameters)
        })
    }

    pub(super) fn events(&self) -> impl Iterator<Item = &crate::store::LogRow> {
        let words = Words::of(&self.filter);
        self.snapshot.events.iter().filter(move |row| {
            let (id, detail) = (row.id.as_deref().unwrap_or_default(), row.detail.as_deref().unwrap_or_default());
            words.fit(id, &[&row.kind, detail], "")
        })
    }

    fn list_keys(&self) -> Vec<String> {
        self.snapshot.list.iter().flatten().map(|row| format!("{} {}", row.stage, row.id)).collect()
    }

    /// The trial that is meant by what is selected, with its state.
    pub(super) fn selected_trial(&self) -> Option<(TrialId, String)> {
        let (id, state) = match self.view() {
            View::Trial { id, .. } => {
                let trial = self.snapshot.trial.as_ref().filter(|trial| trial.id == *id)?;
                return Some((*id, trial.detail.as_ref().ok()?.state.clone()));
            }
            View::List { cursor, .. } => {
                let row = self.snapshot.list.as_ref()?.get(cursor.at)?;
                (row.id.clone(), row.state.clone())
            }
            View::Overview => match self.focus {
                Pane::Running => (self.running().nth(self.cursor(Pane::Running))?.row.id.clone(), "running".to_owned()),
                Pane::Failures => {
                    let row = self.failures().nth(self.cursor(Pane::Failures))?;
                    (row.id.clone(), row.state.clone())
                }
                // What it is in by now is not known here: the trial's own view tells.
                Pane::Events => (self.events().nth(self.cursor(Pane::Events))?.id.clone()?, String::new()),
                Pane::Stages | Pane::Devices => return None,
            },
        };
        Some((id.parse().ok()?, state))
    }

    /// Opens what is selected.
    pub(super) fn open(&mut self) {
        if self.views.len() >= MAX_DEPTH {
            return;
        }
        if *self.view() == View::Overview && self.focus == Pane::Stages {
            let stage = self.snapshot.stages.get(self.cursor(Pane::Stages)).map(|stage| stage.stage.clone());
            self.snapshot.list = None;
            self.views.push(View::List { stage, cursor: Cursor::default() });
        } else if let Some((id, _)) = self.selected_trial()
            && !matches!(self.view(), View::Trial { .. })
        {
            self.snapshot.trial = None;
            self.views.push(View::Trial { id, scroll: 0, chart: 0 });
        }
    }

    /// Moves by so many lines.
    pub(super) fn go(&mut self, by: isize) {
        if let Some(dialog) = &mut self.dialog {
            match dialog {
                Dialog::Help { scroll } => *scroll = scroll.saturating_add_signed(by).min(100),
                Dialog::Sweeps { cursor } => {
                    let keys: Vec<String> = self.snapshot.sweeps.iter().map(|sweep| sweep.sweep.to_string()).collect();
                    cursor.go(cursor.at as isize + by, &keys);
                }
                Dialog::Confirm { .. } => {}
            }
            return;
        }
        let list_keys = self.list_keys();
        match self.views.last_mut() {
            Some(View::List { cursor, .. }) => cursor.go((cursor.at as isize).saturating_add(by), &list_keys),
            Some(View::Trial { scroll, .. }) => *scroll = scroll.saturating_add_signed(by).min(10_000),
            _ => {
                let keys = self.keys_of(self.focus);
                let cursor = &mut self.cursors[self.focus as usize];
                cursor.go((cursor.at as isize).saturating_add(by), &keys);
            }
        }
    }

    /// To the next pane, or the one before, that has something.
    pub(super) fn tab(&mut self, forward: bool) {
        let panes: Vec<Pane> = Pane::ALL
            .into_iter()
            .filter(|pane| *pane != Pane::Failures || !self.snapshot.failures.is_empty())
            .collect();
        let at = panes.iter().position(|pane| *pane == self.focus).unwrap_or(0);
        let step = if forward { 1 } else { panes.len() - 1 };
        self.focus = panes[(at + step) % panes.len()];
    }
}
