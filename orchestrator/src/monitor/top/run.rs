//! The loop: keys, snapshots, signals and answers come in; a picture goes out. Nothing here waits for the database.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use ratatui::{
    DefaultTerminal,
    crossterm::{
        event::{self, Event},
        execute,
        terminal::{EnterAlternateScreen, enable_raw_mode},
    },
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
};

use super::{
    draw::draw,
    fetch::{Source, Wanted},
    snapshot::Snapshot,
    state::{Action, Command, State},
    theme::Theme,
};

/// How often the database is read.
const PERIOD: Duration = Duration::from_secs(1);
/// Of the time, reading takes at most one part in so many, however large the database is.
const READING_SHARE: u32 = 4;
/// How soon the thread that waits for keys sees that it is over.
const KEY_POLL: Duration = Duration::from_millis(100);
/// Keys that may wait.
const KEYS: usize = 64;

/// Carries out a command, and says in a line what came of it. It is called where it may wait.
pub type Commands = Arc<dyn Fn(Command) -> String + Send + Sync>;

/// Why the screen had to go.
#[derive(Debug, thiserror::Error)]
pub enum TopError {
    /// The terminal cannot be used.
    #[error("the terminal cannot be used: {0}")]
    Terminal(#[from] io::Error),
    /// The part that reads the database has ended, by a bug.
    #[error("reading the database has ended unexpectedly")]
    ReaderEnded,
}

/// Shows a home folder until a user leaves; true: a signal ended it.
///
/// # Errors
/// [`TopError`].
pub async fn run(home: &Path, sweep: Option<&str>, commands: Commands) -> Result<bool, TopError> {
    let mut terminal = ratatui::try_init()?;
    let result = follow(&mut terminal, home, sweep, commands).await;
    // Also when it failed; a panic restores the terminal by the hook that `try_init` has set.
    ratatui::restore();
    result
}

async fn follow(
    terminal: &mut DefaultTerminal,
    home: &Path,
    sweep: Option<&str>,
    commands: Commands,
) -> Result<bool, TopError> {
    let mut state = State::new(&home.display().to_string(), Theme::from_env(), jiff::tz::TimeZone::system());
    state.resized(terminal.size()?.height);
    let over = Arc::new(AtomicBool::new(false));
    let (keys_in, mut keys) = mpsc::channel(KEYS);
    let thread = std::thread::spawn({
        let over = Arc::clone(&over);
        move || read_keys(&keys_in, &over)
    });
    let (wanted, wants) = watch::channel(state.wanted());
    let (snapshots_in, mut snapshots) = mpsc::channel(1);
    let reading = tokio::spawn(read(Source::new(home, sweep), wants, snapshots_in));
    let (answers_in, mut answers) = mpsc::channel(KEYS);
    let mut ends = Ends::new()?;
    let mut continued = signal(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw()))?;
    let result = loop {
        terminal.draw(|frame| draw(frame, &state))?;
        tokio::select! {
            snapshot = snapshots.recv() => match snapshot {
                Some(snapshot) => state.update(snapshot),
                None => break Err(TopError::ReaderEnded),
            },
            Some(answer) = answers.recv() => state.answered(answer),
            () = ends.ended() => break Ok(true),
            _ = continued.recv() => enter(terminal)?,
            event = keys.recv() => match event {
                None => break Ok(true),
                Some(Err(error)) => break Err(error.into()),
                Some(Ok(Event::Resize(_, height))) => state.resized(height),
                Some(Ok(Event::Key(key))) => match state.key(key) {
                    None => {}
                    Some(Action::Quit) => break Ok(false),
                    Some(Action::Redraw) => terminal.clear()?,
                    Some(Action::Suspend) => {
                        ratatui::restore();
                        terminal.show_cursor()?;
                        // The shell waits for the whole group; it stops here until the shell lets it go on.
                        rustix::process::kill_current_process_group(rustix::process::Signal::TSTP).map_err(io::Error::from)?;
                    }
                    Some(Action::Run(command)) => {
                        let (commands, answers) = (Arc::clone(&commands), answers_in.clone());
                        tokio::task::spawn_blocking(move || answers.blocking_send(commands(command)));
                    }
                },
                Some(Ok(_)) => {}
            },
        }
        wanted.send_if_modified(|known| {
            let now = state.wanted();
            let changed = *known != now;
            *known = now;
            changed
        });
    };
    reading.abort();
    over.store(true, Ordering::Relaxed);
    // What is typed from now on is for the shell. On a terminal that is gone, crossterm reads for ever: that thread ends with the process.
    let joined = tokio::task::spawn_blocking(move || thread.join());
    tokio::time::timeout(3 * KEY_POLL, joined).await.ok();
    result
}

/// Takes the screen again, after the shell had it.
fn enter(terminal: &mut DefaultTerminal) -> io::Result<()> {
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen)?;
    terminal.clear()
}

/// Reads snapshots: one a period, and at once when something else is wanted.
async fn read(mut source: Source, mut wants: watch::Receiver<Wanted>, snapshots: mpsc::Sender<Snapshot>) {
    loop {
        let wanted = wants.borrow_and_update().clone();
        let began = Instant::now();
        let snapshot = source.snapshot(&wanted).await;
        let pause = PERIOD.max(began.elapsed() * READING_SHARE);
        if snapshots.send(snapshot).await.is_err() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            changed = wants.changed() => if changed.is_err() { return },
        }
    }
}

/// Waits for keys until it is over.
fn read_keys(keys: &mpsc::Sender<io::Result<Event>>, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        let event = match event::poll(KEY_POLL) {
            Ok(false) => continue,
            Ok(true) => event::read(),
            Err(error) => Err(error),
        };
        let failed = event.is_err();
        if keys.blocking_send(event).is_err() || failed {
            return;
        }
    }
}

/// Signals that end it.
struct Ends {
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Ends {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn ended(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
