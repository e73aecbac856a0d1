//! A PyTorch process beside a benchmark, that does the same work on request. Its scripts are part of the program.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::error::{Error, Result};

/// A script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    /// `tests/bench/adaptor_step_torch.py`.
    Adaptor,
    /// `tests/bench/heads_torch.py`.
    Heads,
}

impl Script {
    const fn text(self) -> &'static str {
        match self {
            Self::Adaptor => include_str!("../../../tests/bench/adaptor_step_torch.py"),
            Self::Heads => include_str!("../../../tests/bench/heads_torch.py"),
        }
    }
}

/// A running script.
pub struct Torch {
    /// As it calls itself, such as `torch 2.9.1 lean`.
    pub name: String,
    /// Its losses on given inputs, when those were given.
    pub losses: Vec<f32>,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    errors: Scratch,
    _script: Scratch,
    _check: Option<Scratch>,
}

impl Torch {
    /// Starts it. With `check`, values it shall train on, it first says the losses it comes to.
    ///
    /// # Errors
    /// When Python cannot be started, or the script ends.
    pub fn start(python: &Path, script: Script, arguments: &[String], check: Option<&[f32]>) -> Result<Self> {
        let file = Scratch::new("py")?;
        file.write(script.text().as_bytes())?;
        let errors = Scratch::new("log")?;
        let mut command = Command::new(python);
        command.arg(&file.path).args(arguments);
        let given = match check {
            None => None,
            Some(values) => {
                let file = Scratch::new("f32")?;
                let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                file.write(&bytes)?;
                command.arg("--check").arg(&file.path);
                Some(file)
            }
        };
        let log = File::create(&errors.path).map_err(Error::io("write", &errors.path))?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().map_err(|source| Error::Resources {
            what: format!("cannot run {}: {source}", python.display()),
            cure: Some("`--torch` wants a Python that has PyTorch, such as `--torch python3`".to_owned()),
        })?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::input("the PyTorch script has no standard input and output"));
        };
        let output = BufReader::new(output);
        let (name, losses) = (String::new(), vec![]);
        let mut torch = Self { name, losses, child, input, output, errors, _script: file, _check: given };
        torch.name = torch.line()?;
        if check.is_some() {
            let line = torch.line()?;
            torch.losses = serde_json::from_str(&line).map_err(|_| Error::input(format!("no losses: {line}")))?;
        }
        Ok(torch)
    }

    /// Seconds of so many steps.
    ///
    /// # Errors
    /// When the script has ended.
    pub fn run(&mut self, steps: u32) -> Result<f64> {
        let asked = writeln!(self.input, "{steps}").and_then(|()| self.input.flush());
        // What the script says about it is worth more than that it has ended.
        let line = self.line()?;
        asked.map_err(Error::io("write", Path::new("the PyTorch script")))?;
        line.parse().map_err(|_| Error::input(format!("no seconds: {line}")))
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        let read = self.output.read_line(&mut line).map_err(Error::io("read", Path::new("the PyTorch script")))?;
        if read > 0 {
            return Ok(line.trim().to_owned());
        }
        let log = std::fs::read(&self.errors.path).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let last = log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").trim();
        Err(Error::Resources {
            what: format!("the PyTorch yardstick ended: {last}"),
            cure: Some("check that the Python of `--torch` has PyTorch, for this device".to_owned()),
        })
    }
}

impl Drop for Torch {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file that goes with its value.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// A new, empty file, which nobody else can have put there.
    fn new(extension: &str) -> Result<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let folder = std::env::temp_dir();
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("permafrost-bench-{}-{number}.{extension}", std::process::id());
            let path = folder.join(name);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(_) => return Ok(Self { path }),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::io("create", &path)(error)),
            }
        }
    }

    fn write(&self, bytes: &[u8]) -> Result<()> {
        std::fs::write(&self.path, bytes).map_err(Error::io("write", &self.path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left to the system.
        let _ = std::fs::remove_file(&self.path);
    }
}
