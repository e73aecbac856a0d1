//! Diagnostics: what is wrong with a sweep file, where, and what to do about it.

use std::{fmt, path::Path};

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceSpan};

/// Everything that is wrong with a sweep file. Print it with miette: `eprintln!("{:?}", miette::Report::new(errors))`.
#[derive(Debug)]
pub struct SweepErrors {
    source: NamedSource<String>,
    /// What is wrong, in the order of the file; never empty.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong with a sweep file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What, in lowercase.
    pub message: String,
    /// Stable name of the kind of problem, such as `sweep::unknown_key`.
    pub code: &'static str,
    /// Where: byte offsets into the file and a few words; the first is the main one. Empty when the file could not be read.
    pub labels: Vec<(SourceSpan, String)>,
    /// What to do about it.
    pub help: Option<String>,
}

impl SweepErrors {
    /// Errors of the file `name` with text `source`.
    pub(super) fn new(name: &Path, source: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.labels.first().map_or(0, |(span, _)| span.offset()));
        Self { source: NamedSource::new(name.display().to_string(), source.to_owned()).with_language("yaml"), problems }
    }

    /// The file cannot be read.
    pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        let help = match error.kind() {
            std::io::ErrorKind::NotFound => "check the path; sweeps that come with the program are in sweeps/",
            _ => "check the path and its permissions",
        };
        let message = format!("cannot read {}: {error}", path.display());
        let problem = Problem { message, code: "sweep::unreadable", labels: Vec::new(), help: Some(help.to_owned()) };
        Self::new(path, "", vec![problem])
    }

    /// The text that the spans of the problems refer to.
    pub fn text(&self) -> &str {
        self.source.inner()
    }
}

impl fmt::Display for SweepErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.len() {
            1 => write!(f, "{} is not a valid sweep file", self.source.name()),
            n => write!(f, "{} is not a valid sweep file: {n} problems", self.source.name()),
        }
    }
}

impl std::error::Error for SweepErrors {}

impl Diagnostic for SweepErrors {
    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        Some(&self.source)
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.problems.iter().map(|problem| problem as &dyn Diagnostic)))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.code))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let labels = self.labels.iter().enumerate().map(|(i, (span, text))| {
            let text = Some(text.clone());
            if i == 0 {
                LabeledSpan::new_primary_with_span(text, *span)
            } else {
                LabeledSpan::new_with_span(text, *span)
            }
        });
        Some(Box::new(labels))
    }
}
