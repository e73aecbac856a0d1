//! A PyTorch process beside a benchmark, that does the same work on request.

use std::{
    error::Error,
    ffi::OsStr,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A Python program that first says its name, and then for each line of input works once and says how many seconds it took.
pub struct Torch {
    pub name: String,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Torch {
    pub fn start<S: AsRef<OsStr>>(python: &str, script: &str, arguments: impl IntoIterator<Item = S>) -> Result<Self> {
        let mut child =
            Command::new(python).arg(script).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take().ok_or("no standard input")?;
        let output = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        let mut torch = Self { name: String::new(), child, input, output };
        torch.name = torch.line()?;
        Ok(torch)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err("the PyTorch script ended early".into());
        }
        Ok(line.trim().to_owned())
    }

    pub fn seconds(&mut self) -> Result<f64> {
        writeln!(self.input, "step")?;
        Ok(self.line()?.parse()?)
    }
}

impl Drop for Torch {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn median(seconds: &mut [f64]) -> f64 {
    seconds.sort_by(f64::total_cmp);
    f64::midpoint(seconds[(seconds.len() - 1) / 2], seconds[seconds.len() / 2])
}
