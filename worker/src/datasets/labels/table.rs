//! Lines of fields, numbered. None of the label files quotes fields or has comments.

use std::{
    fmt::Display,
    io::{BufRead, Read},
};

use crate::error::{Error, Result};

/// Longest line in bytes; the longest real one, of SIIM-ACR, has some eight thousand.
const MAX_LINE: usize = 1 << 20;

/// One line of a label file.
pub(super) struct Line<'a, const N: usize> {
    /// Its fields, as they stand there.
    pub fields: [&'a str; N],
    /// Counts from 1.
    pub number: usize,
}

/// Calls `each` for every line of `input`, split at `separator` into `N` fields. `name` is the file's in messages.
///
/// # Errors
/// [`Error::Input`] that names the line: it cannot be read, is too long, is no UTF-8, has another number of fields, or
/// `each` says what is wrong with it.
pub(super) fn lines<const N: usize>(
    mut input: impl BufRead,
    name: &str,
    separator: char,
    mut each: impl FnMut(&Line<'_, N>) -> Result<(), String>,
) -> Result<()> {
    let mut text = String::new();
    for number in 1_usize.. {
        text.clear();
        let mut bounded = input.by_ref().take(MAX_LINE as u64);
        match bounded.read_line(&mut text).map_err(|error| at(name, number, error))? {
            0 => break,
            MAX_LINE if !text.ends_with('\n') => return Err(at(name, number, format!("longer than {MAX_LINE} bytes"))),
            _ => {}
        }
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        let fields: Vec<&str> = line.split(separator).collect();
        let found = fields.len();
        let fields = <[&str; N]>::try_from(fields)
            .map_err(|_| at(name, number, format!("{found} fields, expected are {N} between `{separator}`")))?;
        each(&Line { fields, number }).map_err(|what| at(name, number, what))?;
    }
    Ok(())
}

/// The error for a line.
pub(super) fn at(name: &str, number: usize, what: impl Display) -> Error {
    Error::input(format!("{name}, line {number}: {what}"))
}

/// Checks that `field` is not empty and has no white space around it.
pub(super) fn filled<'a>(what: &str, field: &'a str) -> Result<&'a str, String> {
    if field.is_empty() || field.trim() != field {
        return Err(format!("the {what} `{field}` is empty or has white space around it"));
    }
    Ok(field)
}

/// The error for a file that has no line but, at most, a header.
pub(super) fn empty(name: &str) -> Error {
    Error::input(format!("{name} has no labels"))
}
