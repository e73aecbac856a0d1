//! Keys.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{
    format,
    state::{Action, Command, Cursor, Dialog, MAX_FILTER, State, View},
};

/// Further than any list is long.
const FAR: isize = 1 << 30;

impl State {
    /// A key was pressed.
    pub fn key(&mut self, event: KeyEvent) -> Option<Action> {
        if event.kind == KeyEventKind::Release {
            return None;
        }
        if event.modifiers.contains(KeyModifiers::CONTROL) {
            return match event.code {
                KeyCode::Char('c') => Some(Action::Quit),
                KeyCode::Char('z') => Some(Action::Suspend),
                KeyCode::Char('l') => Some(Action::Redraw),
                KeyCode::Char('f') => self.moved(self.page()),
                KeyCode::Char('b') => self.moved(-self.page()),
                KeyCode::Char('u') if self.typing => {
                    self.filter.clear();
                    None
                }
                _ => None,
            };
        }
        if self.typing {
            self.type_filter(event.code);
            return None;
        }
        if matches!(self.dialog, Some(Dialog::Confirm { .. })) {
            return self.confirm(event.code);
        }
        match event.code {
            KeyCode::Up | KeyCode::Char('k') => self.moved(-1),
            KeyCode::Down | KeyCode::Char('j') => self.moved(1),
            KeyCode::PageUp => self.moved(-self.page()),
            KeyCode::PageDown | KeyCode::Char(' ') => self.moved(self.page()),
            KeyCode::Home | KeyCode::Char('g') => self.moved(-FAR),
            KeyCode::End | KeyCode::Char('G') => self.moved(FAR),
            KeyCode::Esc | KeyCode::Backspace | KeyCode::Left | KeyCode::Char('h') => {
                self.back();
                None
            }
            KeyCode::Enter | KeyCode::Right | KeyCode::Char('l') => {
                self.enter();
                None
            }
            KeyCode::Char('q') if self.dialog.is_some() => {
                self.dialog = None;
                None
            }
            KeyCode::Char('q') => Some(Action::Quit),
            _ if self.dialog.is_some() => None,
            KeyCode::Tab => {
                self.tab(true);
                None
            }
            KeyCode::BackTab => {
                self.tab(false);
                None
            }
            KeyCode::Char(c) => {
                self.letter(c);
                None
            }
            _ => None,
        }
    }

    fn letter(&mut self, c: char) {
        match c {
            '?' => self.dialog = Some(Dialog::Help { scroll: 0 }),
            's' if self.snapshot.sweeps.is_empty() => self.say("there is no sweep to choose from yet"),
            's' => {
                let shown = self.snapshot.sweep.as_ref().map(|sweep| sweep.sweep);
                let at = self.snapshot.sweeps.iter().position(|sweep| Some(sweep.sweep) == shown).unwrap_or(0);
                self.dialog = Some(Dialog::Sweeps { cursor: Cursor::default() });
                self.go(at as isize);
            }
            '/' if !matches!(self.view(), View::Trial { .. }) => self.typing = true,
            'm' => {
                if let Some(View::Trial { chart, .. }) = self.views.last_mut() {
                    *chart += 1;
                }
            }
            'r' => self.ask_trial(true),
            'c' => self.ask_trial(false),
            'R' => self.ask_sweep(true),
            'C' => self.ask_sweep(false),
            'D' => match self.snapshot.coordinator {
                Some(_) => {
                    let text = "Let running trials write a checkpoint, then end coordinator and workers?";
                    self.dialog = Some(Dialog::Confirm { command: Command::Drain, text: text.to_owned() });
                }
                None => self.say("no coordinator runs: there is nothing to drain"),
            },
            _ => {}
        }
    }

    fn moved(&mut self, by: isize) -> Option<Action> {
        self.go(by);
        None
    }

    fn page(&self) -> isize {
        (self.height / 2).max(1) as isize
    }

    fn say(&mut self, text: &str) {
        self.answered(text.to_owned());
    }

    fn type_filter(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => {
                self.typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace if self.filter.pop().is_none() => self.typing = false,
            KeyCode::Char(c) if self.filter.chars().count() < MAX_FILTER => self.filter.push(c),
            KeyCode::Up => self.go(-1),
            KeyCode::Down => self.go(1),
            _ => {}
        }
    }

    fn confirm(&mut self, code: KeyCode) -> Option<Action> {
        match code {
            KeyCode::Char('y' | 'Y') | KeyCode::Enter => match self.dialog.take() {
                Some(Dialog::Confirm { command, .. }) => {
                    self.working = true;
                    Some(Action::Run(command))
                }
                _ => None,
            },
            KeyCode::Char('n' | 'N' | 'q') | KeyCode::Esc => {
                self.dialog = None;
                None
            }
            _ => None,
        }
    }

    fn back(&mut self) {
        if self.dialog.take().is_some() {
        } else if self.views.len() > 1 {
            self.views.pop();
        } else {
            self.filter.clear();
        }
    }

    fn enter(&mut self) {
        match self.dialog.take() {
            Some(Dialog::Sweeps { cursor }) => {
                self.chosen = self.snapshot.sweeps.get(cursor.at).map(|sweep| sweep.sweep);
                self.views.truncate(1);
                self.filter.clear();
            }
            Some(_) => {}
            None => self.open(),
        }
    }

    fn ask_trial(&mut self, retry: bool) {
        let Some((id, state)) = self.selected_trial() else {
            self.say(if retry {
                "select a trial to run again; R: all that have no result"
            } else {
                "select a trial to cancel; C: the whole sweep"
            });
            return;
        };
        let ended = matches!(state.as_str(), "done" | "failed" | "diverged" | "pruned" | "cancelled");
        let name = id.short();
        let (command, text) = match (retry, ended) {
            (true, false) if !state.is_empty() => {
                return self.say(&format!("trial {name} is {state}: it has not ended"));
            }
            (false, true) => return self.say(&format!("trial {name} has ended: it is {state}")),
            (true, _) if state == "done" => {
                (Command::Retry(id), format!("Trial {name} is done. Run it again, and replace its result?"))
            }
            (true, _) => {
                (Command::Retry(id), format!("Run trial {name} again, with those of its inputs that have no result?"))
            }
            (false, _) => {
                (Command::Cancel(id), format!("Cancel trial {name}? Launching its sweep again takes that back."))
            }
        };
        self.dialog = Some(Dialog::Confirm { command, text });
    }

    fn ask_sweep(&mut self, retry: bool) {
        let Some(sweep) = self.snapshot.sweep.clone() else { return self.say("there is no sweep") };
        let all = self.snapshot.all();
        let (without, left) = (all.without_result, all.waiting + all.ready + all.running);
        let (command, text) = match (retry, without, left) {
            (true, 0, _) => return self.say("every trial that has ended has a result"),
            (false, _, 0) => return self.say("every trial of this sweep has ended"),
            (true, ..) => (
                Command::RetryAll(sweep.sweep),
                format!("Run {} of {} without a result again?", format::counted(without, "trial"), sweep.name),
            ),
            (false, ..) => (
                Command::CancelAll(sweep.sweep),
                format!(
                    "Cancel {} of {} that {} not ended? Launching it again takes that back.",
                    format::counted(left, "trial"),
                    sweep.name,
                    if left == 1 { "has" } else { "have" }
                ),
            ),
        };
        self.dialog = Some(Dialog::Confirm { command, text });
    }
}
