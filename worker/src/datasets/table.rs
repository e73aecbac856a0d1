//! Tables of any size, read row by row: CSV, tab-separated, or JSON lines; plain or gzip; UTF-8 or Latin-1.

use std::{
    borrow::Cow,
    collections::BTreeSet,
    fs::File,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use serde_json::Value;

use super::text;
use crate::error::{Error, Result};

/// Longest line of a JSON lines file, in bytes.
const MAX_LINE_BYTES: u64 = 16 << 20;

/// Most different keys of a JSON lines file that are remembered for a suggestion.
const MAX_KEYS: usize = 1000;

/// One row: what stands in the wanted columns, in the order in which they were wanted.
pub struct Row<'a> {
    /// Line of the file on which the row begins, from 1. After empty lines of a CSV file, the first of them.
    pub line: u64,
    /// Values without surrounding white space; empty where there is none. Line ends in those of a CSV file are `\n`.
    pub cells: Vec<Cow<'a, str>>,
}

/// What to do with each row; what is wrong with it when it fails.
pub type Each<'a> = &'a mut dyn FnMut(&Row<'_>) -> Result<(), String>;

/// Reads the table at `path` and passes on the `wanted` columns of each row. How many rows there were.
///
/// `.jsonl` and `.ndjson` files are JSON lines: objects of strings, numbers and booleans, `null` or absent for none.
/// Others are CSV, `.tsv` with tabs. All may be gzip, whatever their name.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, [`Error::Input`] with file and line for a malformed row, a column that is
/// missing or there twice, or a row that `each` refuses.
pub fn read(path: &Path, wanted: &[&str], each: Each<'_>) -> Result<usize> {
    let mut file = BufReader::with_capacity(1 << 16, File::open(path).map_err(Error::io("read", path))?);
    let gzip = file.fill_buf().map_err(Error::io("read", path))?.starts_with(&[0x1f, 0x8b]);
    let reader: Box<dyn BufRead> =
        if gzip { Box::new(BufReader::new(MultiGzDecoder::new(file))) } else { Box::new(file) };
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let table = Table { path, wanted };
    if name.ends_with(".jsonl") || name.ends_with(".ndjson") {
        table.json_lines(reader, each)
    } else {
        table.csv(reader, if name.ends_with(".tsv") { b'\t' } else { b',' }, each)
    }
}

/// The file `name` in `folder`, with `.gz` or plain.
///
/// # Errors
/// [`Error::Input`] that names the folder and the file.
pub fn find(folder: &Path, name: &str) -> Result<PathBuf> {
    let candidates = [folder.join(format!("{name}.gz")), folder.join(name)];
    candidates.into_iter().find(|path| path.is_file()).ok_or_else(|| Error::Input {
        what: format!("{}: neither `{name}.gz` nor `{name}` is there", folder.display()),
        cure: Some("download it into that folder, or name another folder".to_owned()),
    })
}

/// A table and the columns that are wanted of it.
struct Table<'a> {
    path: &'a Path,
    wanted: &'a [&'a str],
}

impl Table<'_> {
    fn wrong(&self, line: u64, what: impl std::fmt::Display) -> Error {
        Error::input(format!("{}, line {line}: {what}", self.path.display()))
    }

    fn missing(&self, column: &str, known: &[&str]) -> Error {
        Error::Input {
            what: format!("{}: there is no column `{column}`", self.path.display()),
            cure: Some(suggestion(column, known)),
        }
    }

    fn csv(&self, reader: impl BufRead, delimiter: u8, each: Each<'_>) -> Result<usize> {
        let reader = UnixLines { reader, after_return: false };
        let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(reader);
        let header = reader.byte_headers().map_err(|error| self.csv_error(error))?.clone();
        let header: Vec<Cow<'_, str>> = header.iter().map(|name| trimmed(text::decode(name).0)).collect();
        let names: Vec<&str> = header.iter().map(|name| &**name).collect();
        let columns: Vec<usize> = self.wanted.iter().map(|name| self.column(name, &names)).collect::<Result<_>>()?;
        let mut record = csv::ByteRecord::new();
        let mut rows = 0;
        while reader.read_byte_record(&mut record).map_err(|error| self.csv_error(error))? {
            let line = record.position().map_or(0, csv::Position::line);
            // A record is one text: it is UTF-8 as a whole or Latin-1 as a whole.
            let latin1 = std::str::from_utf8(record.as_slice()).is_err();
            let cells = columns.iter().map(|&column| {
                let bytes = record.get(column).unwrap_or_default();
                trimmed(if latin1 { text::latin1(bytes).into() } else { text::decode(bytes).0 })
            });
            each(&Row { line, cells: cells.collect() }).map_err(|what| self.wrong(line, what))?;
            rows += 1;
        }
        Ok(rows)
    }

    fn csv_error(&self, error: csv::Error) -> Error {
        let line = error.position().map_or(0, csv::Position::line);
        match error.into_kind() {
            csv::ErrorKind::Io(source) => Error::Io { action: "read", path: self.path.to_owned(), source },
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                self.wrong(line, format!("{len} fields, the header has {expected_len}"))
            }
            kind => self.wrong(line, format!("{kind:?}")),
        }
    }

    /// Position of the column `name` in the header.
    fn column(&self, name: &str, header: &[&str]) -> Result<usize> {
        let mut found = header.iter().enumerate().filter(|(_, column)| **column == name);
        let Some((first, _)) = found.next() else { return Err(self.missing(name, header)) };
        match found.next() {
            Some(_) => Err(self.wrong(1, format!("the column `{name}` is there twice"))),
            None => Ok(first),
        }
    }

    fn json_lines(&self, mut reader: impl BufRead, each: Each<'_>) -> Result<usize> {
        let mut keys: BTreeSet<String> = BTreeSet::new();
        let mut seen = vec![false; self.wanted.len()];
        let (mut line, mut rows) = (0, 0);
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let mut limited = (&mut reader).take(MAX_LINE_BYTES + 1);
            if limited.read_until(b'\n', &mut bytes).map_err(Error::io("read", self.path))? == 0 {
                break;
            }
            line += 1;
            if bytes.len() as u64 > MAX_LINE_BYTES {
                return Err(self.wrong(line, format!("longer than {MAX_LINE_BYTES} bytes")));
            }
            let (content, _) = text::decode(&bytes);
            if content.trim().is_empty() {
                continue;
            }
            let value: Value = serde_json::from_str(&content).map_err(|error| self.wrong(line, error))?;
            let Value::Object(object) = value else { return Err(self.wrong(line, "not a JSON object")) };
            for key in object.keys() {
                if keys.len() < MAX_KEYS && !keys.contains(key) {
                    keys.insert(key.clone());
                }
            }
            let mut cells = Vec::with_capacity(self.wanted.len());
            for (name, seen) in self.wanted.iter().zip(&mut seen) {
                let value = object.get(*name);
                *seen |= value.is_some();
                cells.push(cell(name, value).map_err(|what| self.wrong(line, what))?);
            }
            each(&Row { line, cells }).map_err(|what| self.wrong(line, what))?;
            rows += 1;
        }
        match seen.iter().position(|seen| !seen) {
            Some(column) => {
                let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
                Err(self.missing(self.wanted[column], &keys))
            }
            None => Ok(rows),
        }
    }
}

/// Passes on `\n` for each of `\r\n`, `\r` and `\n`. (The parser's line numbers are behind by one after `\r\n`.)
struct UnixLines<R> {
    reader: R,
    after_return: bool,
}

impl<R: BufRead> Read for UnixLines<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        loop {
            let available = self.reader.fill_buf()?;
            let used = available.len().min(out.len());
            let mut written = 0;
            for &byte in &available[..used] {
                if byte != b'\n' || !self.after_return {
                    out[written] = if byte == b'\r' { b'\n' } else { byte };
                    written += 1;
                }
                self.after_return = byte == b'\r';
            }
            self.reader.consume(used);
            // Zero would mean the end, so a lone `\n` after `\r` reads on.
            if written > 0 || used == 0 {
                return Ok(written);
            }
        }
    }
}

/// A JSON value as a cell.
fn cell<'a>(name: &str, value: Option<&'a Value>) -> Result<Cow<'a, str>, String> {
    match value {
        None | Some(Value::Null) => Ok(Cow::Borrowed("")),
        Some(Value::String(text)) => Ok(Cow::Borrowed(text.trim())),
        Some(Value::Bool(value)) => Ok(Cow::Borrowed(if *value { "true" } else { "false" })),
        Some(Value::Number(number)) => Ok(Cow::Owned(number.to_string())),
        Some(Value::Array(_) | Value::Object(_)) => Err(format!("`{name}` is neither text, number nor boolean")),
    }
}

fn trimmed(cell: Cow<'_, str>) -> Cow<'_, str> {
    match cell {
        Cow::Borrowed(cell) => Cow::Borrowed(cell.trim()),
        Cow::Owned(cell) => Cow::Owned(cell.trim().to_owned()),
    }
}

/// The nearest of `known`, or all of them.
pub fn suggestion(name: &str, known: &[&str]) -> String {
    let near = known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(&name.to_lowercase(), &candidate.to_lowercase()), candidate))
        .min()
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().max(name.len()) / 4);
    match near {
        Some((_, candidate)) => format!("did you mean `{candidate}`?"),
        None if known.is_empty() => "there is none to choose from".to_owned(),
        None => format!("use one of: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write};

    use proptest::prelude::*;

    use super::*;

    fn rows(name: &str, content: &[u8], wanted: &[&str]) -> Result<Vec<(u64, Vec<String>)>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        let mut rows = Vec::new();
        let count = read(&path, wanted, &mut |row| {
            rows.push((row.line, row.cells.iter().map(ToString::to_string).collect()));
            Ok(())
        })?;
        assert_eq!(count, rows.len());
        Ok(rows)
    }

    fn row(line: u64, cells: &[&str]) -> (u64, Vec<String>) {
        (line, cells.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn quotes_line_ends_gzip_and_latin1() {
        let csv = b"\xef\xbb\xbfid,note,x\r\na,\"said \"\"fine\"\",\r\nthen left\", 1 \r\nb,caf\xe9,2\r\n";
        let expected = vec![row(2, &["1", "a", "said \"fine\",\nthen left"]), row(4, &["2", "b", "caf\u{e9}"])];
        assert_eq!(rows("t.csv", csv, &["x", "id", "note"]).unwrap(), expected);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(csv).unwrap();
        let gzip = gzip.finish().unwrap();
        // Known by its content, not by its name.
        assert_eq!(rows("t.csv.gz", &gzip, &["x", "id", "note"]).unwrap(), expected);
        assert_eq!(rows("t.csv", &gzip, &["x", "id", "note"]).unwrap(), expected);
        assert_eq!(rows("t.tsv", b"id\tx\na\t1,5\n", &["x"]).unwrap(), [row(2, &["1,5"])]);
    }

    #[test]
    fn json_lines_of_plain_values() {
        let json = b"{\"id\": 7, \"ok\": true, \"note\": \" a \\\"b\\\" \"}\r\n\n{\"id\": \"x\", \"ok\": null}\n";
        let expected = [row(1, &["7", "true", "a \"b\""]), row(3, &["x", "", ""])];
        assert_eq!(rows("t.jsonl", json, &["id", "ok", "note"]).unwrap(), expected);
    }

    #[test]
    fn errors_name_file_line_and_cure() {
        let error = |name: &str, content: &str, wanted: &[&str]| {
            let error = rows(name, content.as_bytes(), wanted).unwrap_err();
            (error.to_string(), error.cure().unwrap_or_default())
        };
        let (what, cure) = error("t.csv", "id,imgae\na,b\n", &["image"]);
        assert!(what.ends_with("t.csv: there is no column `image`"), "{what}");
        assert_eq!(cure, "did you mean `imgae`?");
        let (_, cure) = error("t.csv", "id,text\na,b\n", &["patient"]);
        assert_eq!(cure, "use one of: id, text");
        let (_, cure) = error("t.jsonl", "{\"Image\": 1}\n", &["image"]);
        assert_eq!(cure, "did you mean `Image`?");
        for (name, content, expected) in [
            ("t.csv", "id,x\na,1\nb\n", "t.csv, line 3: 1 fields, the header has 2"),
            ("t.csv", "id,id\na,1\n", "t.csv, line 1: the column `id` is there twice"),
            ("t.jsonl", "{\"id\": 1}\n{\"id\": \n", "t.jsonl, line 2: EOF"),
            ("t.jsonl", "{\"id\": [1]}\n", "t.jsonl, line 1: `id` is neither"),
            ("t.jsonl", "[1]\n", "t.jsonl, line 1: not a JSON object"),
        ] {
            let (what, _) = error(name, content, &["id"]);
            assert!(what.contains(expected), "{what}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), name in "t\\.(csv|tsv|jsonl)") {
            rows(&name, &bytes, &["id"]).ok();
            rows(&name, &[b"id,\"x\"\n".as_slice(), &bytes].concat(), &["id", "x"]).ok();
        }
    }
}
