//! Sections of a MIMIC-CXR report, found as MIT-LCP's published scripts find them (`MIT-LCP/mimic-cxr` on GitHub,
//! `txt/section_parser.py` and `txt/create_section_files.py`).
//!
//! A header is a line that begins with one space and then has nothing but capitals and ` ()/,-` up to a colon with white
//! space after it. The line on which a section begins is never searched for another header.

use super::names::{self, FINDINGS, IMPRESSION, LAST_PARAGRAPH};

/// What ends a paragraph: an empty line, in these reports one space.
const PARAGRAPH: &str = "\n \n";

/// One section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Its normalised name, such as `findings`.
    pub name: String,
    /// What stands in it, with its white space.
    pub text: String,
}

/// The sections of a report, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sections(pub Vec<Section>);

impl Sections {
    /// Cuts `report` into sections. Line ends of any kind count as newlines.
    pub fn parse(report: &str) -> Self {
        let report = unix_lines(report);
        let mut sections = cut(&report);
        // An empty one is a title, or a doubled header.
        sections.retain(|section| !is_conclusion(section) || !strip(&section.text).is_empty());
        let mut sections = Self(sections);
        if !sections.0.iter().any(is_conclusion) {
            sections.split_last_paragraph();
        }
        sections
    }

    /// The last section of that name, without surrounding white space.
    pub fn last(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|section| section.name == name).map(|section| strip(&section.text))
    }

    /// A report without impression and findings: what follows the first paragraph of its last section is
    /// `last_paragraph`.
    fn split_last_paragraph(&mut self) {
        let Some(last) = self.0.last_mut() else { return };
        let Some((first, rest)) = last.text.split_once(PARAGRAPH) else { return };
        let (first, rest) = (first.to_owned(), rest.to_owned());
        last.text = first;
        self.0.push(Section { name: LAST_PARAGRAPH.to_owned(), text: rest });
    }
}

/// `report` with `\n` for all of `\r\n`, `\r` and `\n`.
pub fn unix_lines(report: &str) -> String {
    report.replace("\r\n", "\n").replace('\r', "\n")
}

fn is_conclusion(section: &Section) -> bool {
    section.name == IMPRESSION || section.name == FINDINGS
}

fn cut(report: &str) -> Vec<Section> {
    let section = |name: &str, text: &str| Section { name: names::normalise(name), text: text.to_owned() };
    let Some(mut header) = Header::find(report, 0) else { return vec![section("full report", report)] };
    let mut sections = vec![section("preamble", &report[..header.name])];
    loop {
        let skipped = report[header.text..].find('\n').unwrap_or(0);
        let next = Header::find(report, header.text + skipped);
        let end = next.map_or(report.len(), |next| next.start);
        let name = report[header.name..].split(':').next().unwrap_or_default();
        sections.push(section(name, &report[header.text..end]));
        match next {
            Some(next) => header = next,
            None => return sections,
        }
    }
}

/// Where a header stands, in bytes.
#[derive(Clone, Copy)]
struct Header {
    /// The newline before it.
    start: usize,
    /// Its name, up to the next colon.
    name: usize,
    /// What follows the colon and one character of white space.
    text: usize,
}

impl Header {
    /// The first one from byte `from` on.
    fn find(report: &str, from: usize) -> Option<Self> {
        let mut at = from;
        loop {
            let start = at + report[at..].find("\n ")?;
            let name = start + 2;
            let length = report[name..].find(|c| !in_name(c))?;
            let mut rest = report[name + length..].chars();
            if length > 0
                && rest.next() == Some(':')
                && let Some(space) = rest.next().filter(|c| is_space(*c))
            {
                return Some(Self { start, name, text: name + length + 1 + space.len_utf8() });
            }
            at = start + 1;
        }
    }
}

fn in_name(c: char) -> bool {
    c.is_ascii_uppercase() || " ()/,-".contains(c)
}

/// White space as Python sees it: Unicode's, and four separators.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// `text` without surrounding white space.
pub fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(report: &str) -> Vec<String> {
        Sections::parse(report).0.into_iter().map(|section| section.name).collect()
    }

    #[test]
    fn headers_are_lines_of_capitals() {
        let report = "                FINAL REPORT\n INDICATION:  ___F with cough\n \n FINDINGS: \n \n Clear lungs.\n \n \
                      IMPRESSION: NO CHANGE: really.\n";
        let sections = Sections::parse(report);
        assert_eq!(names(report), ["preamble", "indication", "findings", "impression"]);
        assert_eq!(sections.last("findings"), Some("Clear lungs."));
        assert_eq!(sections.last("impression"), Some("NO CHANGE: really."));
        // No space before it, small letters, no white space after the colon.
        assert_eq!(names("X\nFINDINGS: a\n Findings: b\n FINDINGS:c\n"), ["full report"]);
    }

    #[test]
    fn empty_conclusions_go_and_the_last_of_a_name_counts() {
        let report = "R\n CHEST, PA LATERAL:\n \n INDICATION: pain\n \n FINDINGS: one\n FINDINGS: two\n";
        assert_eq!(names(report), ["preamble", "indication", "findings", "findings"]);
        assert_eq!(Sections::parse(report).last("findings"), Some("two"));
    }

    #[test]
    fn without_conclusion_the_last_section_gives_its_later_paragraphs() {
        let report = "R\n COMPARISON: None.\n \n First seen.\n \n Then this.\n";
        let sections = Sections::parse(report);
        assert_eq!(names(report), ["preamble", "comparison", "last_paragraph"]);
        assert_eq!(sections.last("comparison"), Some("None."));
        assert_eq!(sections.last("last_paragraph"), Some("First seen.\n \n Then this."));
        assert_eq!(names("all in one"), ["full report"]);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_none_is_invented(
            report in "\\PC{0,60}|([ \\n\\r:A-C(]|\n FINDINGS: |\n \n|\u{e9}|\u{1c}){0,40}",
        ) {
            let sections = Sections::parse(&report);
            let unix = unix_lines(&report);
            prop_assert!(sections.0.iter().all(|section| unix.contains(&section.text)));
            prop_assert_eq!(sections, Sections::parse(&unix));
        }
    }
}
