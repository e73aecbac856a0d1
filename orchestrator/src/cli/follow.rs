//! Watching a sweep run: progress bars on a terminal, lines elsewhere.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{
    connect::{Coordinator, Life},
    error::CliError,
    ui,
};
use crate::store::{Reader, RunningRow, StageCounts, SweepProgress};

/// How often the database is looked at.
const POLL: Duration = Duration::from_millis(150);
/// How often a line is printed where there is no terminal.
const LINE: Duration = Duration::from_secs(5);
/// A stage that has run for less than this says nothing of the time left.
const ESTIMATE: Duration = Duration::from_secs(5);
/// Steps of a bar for each trial: trials that run count by their share done.
const STEPS: u64 = 1000;

/// How following ended.
pub(super) enum Followed {
    /// Nothing of the sweep is left to run.
    Finished,
    /// The coordinator left before that, because we asked it to.
    Stopped,
    /// The coordinator left before that, for somebody else.
    Left,
    /// A user wants to leave at once.
    Abandoned,
    /// The coordinator was killed.
    Died(String),
}

/// Signals that mean: stop after a checkpoint.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn new() -> Result<Self, CliError> {
        let failed = |source| CliError::Io { action: "handle", path: "signals".into(), source };
        let interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let terminate = signal(SignalKind::terminate()).map_err(failed)?;
        Ok(Self { interrupt, terminate })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Follows a sweep until there is nothing more to see. `quiet`: show nothing, for programs.
///
/// # Errors
/// Of the database, and [`CliError::CoordinatorEnded`].
pub(super) async fn follow(
    reader: &Reader,
    sweep: i64,
    coordinator: &mut Coordinator,
    quiet: bool,
) -> Result<Followed, CliError> {
    let mut stop = Stop::new()?;
    let mut view = View::new(quiet);
    let mut draining = false;
    loop {
        let progress = reader.progress(sweep).await?;
        view.show(&progress);
        if progress.is_finished() {
            view.end();
            return Ok(Followed::Finished);
        }
        let life = coordinator.life();
        if !matches!(life, Ok(Life::Runs)) {
            view.end();
            // It may have left because all was done a moment ago.
            let finished = reader.progress(sweep).await?.is_finished();
            return match life? {
                _ if finished => Ok(Followed::Finished),
                Life::Died(how) => Ok(Followed::Died(how)),
                _ if draining => Ok(Followed::Stopped),
                _ => Ok(Followed::Left),
            };
        }
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            () = stop.asked() => {
                if draining {
                    view.end();
                    return Ok(Followed::Abandoned);
                }
                draining = true;
                view.say("stopping: running trials write a checkpoint; once more to leave at once");
                if let Err(error) = coordinator.drain().await {
                    // It is leaving already, or it is gone: the next look tells.
                    tracing::info!(%error, "the coordinator did not take the request to drain");
                }
            }
        }
    }
}

/// How far one stage is.
#[derive(Clone, Debug, Default, PartialEq)]
struct Stage {
    total: u64,
    done: u64,
    ended: u64,
    running: u64,
    /// Of [`STEPS`] a trial.
    steps: u64,
}

fn stages(progress: &SweepProgress) -> Vec<(String, Stage)> {
    let share = |row: &RunningRow| match row.total_units {
        0 => 0,
        total => (STEPS as i64 * row.done_units / total).clamp(0, STEPS as i64) as u64,
    };
    let stage = |counts: StageCounts| {
        let [total, done, ended, running] =
            [counts.total, counts.done, counts.without_result, counts.running].map(i64::unsigned_abs);
        let running_steps: u64 = progress.running.iter().filter(|row| row.stage == counts.stage).map(share).sum();
        let steps = (done + ended) * STEPS + running_steps;
        (counts.stage, Stage { total, done, ended, running, steps })
    };
    progress.by_stage().into_iter().map(stage).collect()
}

/// A bar, and what is needed to estimate the time left.
struct Bar {
    bar: ProgressBar,
    /// When its first trial was seen running, and how far it was then.
    began: Option<(Instant, u64)>,
}

impl Bar {
    fn show(&mut self, stage: &Stage) {
        self.bar.set_position(stage.steps);
        if stage.running > 0 && self.began.is_none() {
            self.began = Some((Instant::now(), stage.steps));
        }
        let mut text = format!("{}/{}", stage.done, stage.total);
        if stage.ended > 0 {
            text += &format!(", {} without a result", stage.ended);
        }
        if stage.running > 0 {
            text += &format!(", {} running", stage.running);
        }
        let all = stage.total * STEPS;
        if let Some((began, from)) = self.began
            && stage.steps < all
            && stage.steps > from
            && began.elapsed() >= ESTIMATE
        {
            let left = began.elapsed().as_secs_f64() * (all - stage.steps) as f64 / (stage.steps - from) as f64;
            text += &format!(", about {} left", ui::duration((left * 1000.0) as i64));
        }
        self.bar.set_message(text);
    }
}

/// What the user sees.
struct View {
    quiet: bool,
    bars: Option<MultiProgress>,
    shown: Vec<(String, Bar)>,
    began: Instant,
    last_line: Option<Instant>,
    last: Vec<(String, Stage)>,
}

impl View {
    fn new(quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal() && !quiet;
        let bars = terminal.then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10)));
        Self { quiet, bars, shown: Vec::new(), began: Instant::now(), last_line: None, last: Vec::new() }
    }

    fn show(&mut self, progress: &SweepProgress) {
        let stages = stages(progress);
        if let Some(bars) = &self.bars {
            if self.shown.is_empty() {
                let width = stages.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
                self.shown = stages.iter().map(|(name, stage)| (name.clone(), bar(bars, name, width, stage))).collect();
            }
            for (name, stage) in &stages {
                if let Some((_, bar)) = self.shown.iter_mut().find(|(shown, _)| shown == name) {
                    bar.show(stage);
                }
            }
        } else if !self.quiet {
            self.lines(&stages);
        }
        self.last = stages;
    }

    /// A line when a stage is complete, and every few seconds.
    fn lines(&mut self, stages: &[(String, Stage)]) {
        let late = self.last_line.is_none_or(|last| last.elapsed() >= LINE);
        let complete = |stage: &Stage| stage.done + stage.ended == stage.total;
        let completed = stages.iter().zip(&self.last).any(|((_, now), (_, before))| complete(now) && !complete(before));
        if (late || completed) && stages != self.last.as_slice() {
            let parts: Vec<String> =
                stages.iter().map(|(name, stage)| format!("{name} {}/{}", stage.done, stage.total)).collect();
            ui::say(format_args!(
                "[{:>7}] {}",
                ui::duration(self.began.elapsed().as_millis() as i64),
                parts.join("  ")
            ));
            self.last_line = Some(Instant::now());
        }
    }

    fn say(&self, text: &str) {
        match &self.bars {
            Some(bars) => {
                bars.println(text).ok();
            }
            None if self.quiet => {}
            None => ui::say(text),
        }
    }

    /// Leaves the bars as they are.
    fn end(&mut self) {
        for (_, bar) in &self.shown {
            bar.bar.abandon();
        }
    }
}

fn bar(bars: &MultiProgress, name: &str, width: usize, stage: &Stage) -> Bar {
    let style =
        ProgressStyle::with_template("{prefix} {bar:30} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(stage.total * STEPS).with_style(style.progress_chars("━╸─"));
    let bar = bars.add(bar.with_prefix(format!("{name:>width$}")));
    Bar { bar, began: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StageRow;

    #[test]
    fn trials_that_run_count_by_their_share() {
        let row =
            |state: &str, trials| StageRow { stage: "pretrain".to_owned(), state: state.to_owned(), trials, reused: 0 };
        let running = RunningRow {
            stage: "pretrain".to_owned(),
            id: "0".repeat(64),
            attempt: 1,
            done_units: 30,
            total_units: 40,
            started: 0,
            device: "cpu".to_owned(),
            host: "here".to_owned(),
        };
        let progress = SweepProgress {
            stages: vec![row("done", 2), row("running", 1), row("failed", 1), row("waiting", 4)],
            running: vec![running],
        };
        let expected = Stage { total: 8, done: 2, ended: 1, running: 1, steps: 3 * STEPS + 750 };
        assert_eq!(stages(&progress), [("pretrain".to_owned(), expected)]);
    }
}
