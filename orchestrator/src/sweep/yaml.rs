//! YAML as a tree that remembers where everything stands, in bytes.

use std::collections::HashMap;

use miette::SourceSpan;
use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::error::Problem;

/// Levels of nesting. A sweep file has six.
const MAX_DEPTH: usize = 32;
/// Nodes in all, aliases expanded. The largest honest file is far below.
const MAX_NODES: usize = 200_000;

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) span: SourceSpan,
}

/// A value, typed by YAML 1.2's core schema.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key with its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: SourceSpan,
    pub(super) node: Node,
}

impl Node {
    /// What it is, for people.
    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Int(_) => "a whole number",
            Value::Float(_) => "a floating-point number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// Scalars and lists of them as JSON; nothing for a mapping or a number that JSON cannot hold.
    pub(super) fn json(&self) -> Option<serde_json::Value> {
        Some(match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Int(value) => (*value).into(),
            Value::Float(value) => serde_json::Number::from_f64(*value)?.into(),
            Value::Text(value) => value.clone().into(),
            Value::List(items) => serde_json::Value::Array(items.iter().map(Self::json).collect::<Option<_>>()?),
            Value::Map(_) => return None,
        })
    }
}

/// Reads one document.
pub(super) fn parse(text: &str) -> Result<Node, Problem> {
    // The parser counts characters, diagnostics count bytes.
    let mut offsets: Vec<usize> = text.char_indices().map(|(offset, _)| offset).collect();
    offsets.push(text.len());
    let mut reader = Reader { parser: Parser::new_from_str(text), offsets, anchors: HashMap::new(), nodes: 0 };
    let mut document = None;
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => break,
            (Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing, _) => {}
            (event, span) => {
                if document.is_some() {
                    return Err(problem(
                        span,
                        "a second document begins here",
                        Some("a sweep file is one document: remove the `---`"),
                    ));
                }
                document = Some(reader.node(event, span, 0)?);
            }
        }
    }
    document.ok_or_else(|| {
        problem(SourceSpan::from(0..0), "the file is empty", Some("see sweeps/quickstart.yaml for an example"))
    })
}

fn problem(span: SourceSpan, message: &str, help: Option<&str>) -> Problem {
    Problem {
        message: message.to_owned(),
        code: "sweep::yaml",
        labels: vec![(span, "here".to_owned())],
        help: help.map(str::to_owned),
    }
}

struct Reader<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    offsets: Vec<usize>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, SourceSpan), Problem> {
        match self.parser.next() {
            None => Ok((Event::StreamEnd, SourceSpan::from(0..0))),
            Some(Ok((event, span))) => Ok((event, self.bytes(span))),
            Some(Err(error)) => {
                let at = self.offset(error.marker().index());
                let help = if error.info().contains("tab") {
                    Some("YAML is indented with spaces, not with tabs")
                } else {
                    None
                };
                Err(problem(SourceSpan::from(at..at), &format!("not valid YAML: {}", error.info()), help))
            }
        }
    }

    fn offset(&self, index: usize) -> usize {
        self.offsets[index.min(self.offsets.len() - 1)]
    }

    fn bytes(&self, span: Span) -> SourceSpan {
        let start = self.offset(span.start.index());
        SourceSpan::from(start..self.offset(span.end.index()).max(start))
    }

    fn node(&mut self, event: Event<'a>, span: SourceSpan, depth: usize) -> Result<Node, Problem> {
        self.nodes += 1;
        if depth > MAX_DEPTH {
            return Err(problem(span, "nested too deeply", None));
        }
        if self.nodes > MAX_NODES {
            return Err(problem(span, &format!("more than {MAX_NODES} values, aliases expanded"), None));
        }
        let (node, anchor) = match event {
            Event::Alias(anchor) => {
                let found = self.anchors.get(&anchor).cloned();
                let node = found.ok_or_else(|| problem(span, "an alias to what is not finished yet", None))?;
                self.nodes += count(&node);
                (Node { span, ..node }, 0)
            }
            Event::Scalar(text, style, anchor, _) => (Node { value: scalar(&text, style), span }, anchor),
            Event::SequenceStart(anchor, _) => (self.list(span, depth)?, anchor),
            Event::MappingStart(anchor, _) => (self.map(span, depth)?, anchor),
            _ => return Err(problem(span, "something else was expected", None)),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, start: SourceSpan, depth: usize) -> Result<Node, Problem> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                return Ok(Node { value: Value::List(items), span: join(start, span) });
            }
            items.push(self.node(event, span, depth + 1)?);
        }
    }

    fn map(&mut self, start: SourceSpan, depth: usize) -> Result<Node, Problem> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (event, key_span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                return Ok(Node { value: Value::Map(entries), span: join(start, key_span) });
            }
            let Event::Scalar(key, ..) = event else {
                return Err(problem(key_span, "a key must be a plain text", None));
            };
            let key = key.into_owned();
            if key == "<<" {
                return Err(problem(key_span, "merge keys are not supported", Some("write the keys out")));
            }
            if let Some(first) = entries.iter().find(|entry| entry.key == key) {
                return Err(Problem {
                    message: format!("key `{key}` is there twice"),
                    code: "sweep::duplicate_key",
                    labels: vec![(key_span, "again here".to_owned()), (first.key_span, "first here".to_owned())],
                    help: Some("remove one of them".to_owned()),
                });
            }
            let (event, span) = self.next()?;
            let node = self.node(event, span, depth + 1)?;
            entries.push(Entry { key, key_span, node });
        }
    }
}

fn count(node: &Node) -> usize {
    1 + match &node.value {
        Value::List(items) => items.iter().map(count).sum(),
        Value::Map(entries) => entries.iter().map(|entry| count(&entry.node)).sum(),
        _ => 0,
    }
}

fn join(start: SourceSpan, end: SourceSpan) -> SourceSpan {
    SourceSpan::from(start.offset()..(end.offset() + end.len()).max(start.offset()))
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::Text(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => number(text).unwrap_or_else(|| Value::Text(text.to_owned())),
    }
}

fn number(text: &str) -> Option<Value> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(text.parse().map_or_else(|_| Value::Float(text.parse().unwrap_or(f64::INFINITY)), Value::Int));
    }
    let float = digits.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    float.then(|| text.parse().ok().map(Value::Float)).flatten()
}
