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
use crate::{
    monitor::estimate::{Durations, TimeLeft, time_left},
    store::{Reader, StageCounts, StoreError, SweepProgress},
};

/// How often the database is looked at ...
const POLL: Duration = Duration::from_millis(150);
/// ... but of the time, looking takes at most one part in so many, however large the sweep is.
const LOOKING_SHARE: u32 = 20;
/// How often a line is printed where there is no terminal.
const LINE: Duration = Duration::from_secs(5);
/// How often the time left is estimated.
const ESTIMATE: Duration = Duration::from_secs(2);
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
    let mut forecast = Forecast::default();
    let mut draining = false;
    loop {
        let looked = Instant::now();
        let progress = reader.progress(sweep).await?;
        if !quiet {
            view.show(progress.by_stage(), forecast.of(reader, &progress).await?);
        }
        let pause = POLL.max(looked.elapsed() * LOOKING_SHARE);
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
            () = tokio::time::sleep(pause) => {}
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

/// The time left, estimated now and then.
#[derive(Default)]
struct Forecast {
    durations: Durations,
    last: Option<(Instant, TimeLeft)>,
}

impl Forecast {
    async fn of(&mut self, reader: &Reader, progress: &SweepProgress) -> Result<TimeLeft, StoreError> {
        if let Some((_, left)) = self.last.filter(|(at, _)| at.elapsed() < ESTIMATE) {
            return Ok(left);
        }
        let now = jiff::Timestamp::now().as_millisecond();
        let workers = reader.workers().await?.iter().filter(|worker| worker.is_here(now)).count();
        let left = time_left(progress, self.durations.get(reader).await?, workers, now);
        self.last = Some((Instant::now(), left));
        Ok(left)
    }
}

/// How far the bar of a stage is, in [`STEPS`] a trial.
fn steps(stage: &StageCounts) -> u64 {
    ((stage.share * stage.total as f64 + stage.without_result as f64) * STEPS as f64).round() as u64
}

/// All stages as one. Its line ends with the time left, for which there must be room: what runs is told by the stages.
fn in_all(stages: &[StageCounts]) -> StageCounts {
    StageCounts { running: 0, blocked: 0, ..StageCounts::of_all(stages) }
}

/// What is said beside a bar.
fn words(stage: &StageCounts, left: TimeLeft) -> String {
    let mut text = format!("{}/{}", stage.done, stage.total);
    for (count, what) in
        [(stage.without_result, "without a result"), (stage.blocked, "blocked"), (stage.running, "running")]
    {
        if count > 0 {
            text += &format!(", {count} {what}");
        }
    }
    left.words().map(|left| text.clone() + ", " + &left).unwrap_or(text)
}

/// What the user sees.
struct View {
    bars: Option<MultiProgress>,
    /// A bar a stage, and one for all.
    shown: Vec<ProgressBar>,
    quiet: bool,
    began: Instant,
    last_line: Option<Instant>,
    last: Vec<StageCounts>,
}

impl View {
    fn new(quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal() && !quiet;
        let bars = terminal.then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10)));
        Self { bars, shown: Vec::new(), quiet, began: Instant::now(), last_line: None, last: Vec::new() }
    }

    fn show(&mut self, stages: Vec<StageCounts>, left: TimeLeft) {
        if let Some(bars) = &self.bars {
            let all = in_all(&stages);
            let lines: Vec<&StageCounts> = stages.iter().chain([&all]).collect();
            if self.shown.is_empty() {
                let width = lines.iter().map(|stage| stage.stage.len()).max().unwrap_or(0);
                self.shown = lines.iter().map(|stage| bar(bars, stage, width)).collect();
            }
            // A sweep's stages never change.
            for (at, (stage, bar)) in lines.iter().zip(&self.shown).enumerate() {
                bar.set_position(steps(stage));
                bar.set_message(words(stage, if at == stages.len() { left } else { TimeLeft::default() }));
            }
        } else {
            self.lines(&stages, left);
        }
        self.last = stages;
    }

    /// A line when a stage is complete, and every few seconds.
    fn lines(&mut self, stages: &[StageCounts], left: TimeLeft) {
        let late = self.last_line.is_none_or(|last| last.elapsed() >= LINE);
        let complete = |stage: &StageCounts| stage.done + stage.without_result == stage.total;
        let completed = stages.iter().zip(&self.last).any(|(now, before)| complete(now) && !complete(before));
        if (late || completed) && stages != self.last.as_slice() {
            let mut parts: Vec<String> =
                stages.iter().map(|stage| format!("{} {}/{}", stage.stage, stage.done, stage.total)).collect();
            parts.extend(left.words().map(|left| format!("({left})")));
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
        for bar in &self.shown {
            bar.abandon();
        }
    }
}

fn bar(bars: &MultiProgress, stage: &StageCounts, width: usize) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{prefix} {bar:30} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(stage.total.unsigned_abs() * STEPS).with_style(style.progress_chars("━╸─"));
    bars.add(bar.with_prefix(format!("{:>width$}", stage.stage)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_counts_what_runs_by_its_share_and_what_ended_as_done() {
        let stage = |name: &str, done, running, without_result, share| StageCounts {
            stage: name.to_owned(),
            total: 8,
            done,
            running,
            without_result,
            share,
            ..StageCounts::default()
        };
        // Of eight trials two are done, one has failed, and one is three quarters done.
        let stages = [stage("pretrain", 2, 1, 1, 2.75 / 8.0), stage("classify", 0, 0, 0, 0.0)];
        assert_eq!(steps(&stages[0]), 3 * STEPS + 750);
        assert_eq!(words(&stages[0], TimeLeft::default()), "2/8, 1 without a result, 1 running");
        let all = in_all(&stages);
        assert_eq!((all.total, steps(&all)), (16, 3 * STEPS + 750));
        let left = TimeLeft { ms: Some(125_000), at_least: true };
        assert_eq!(words(&all, left), "2/16, 1 without a result, at least 2 min left");
    }
}
