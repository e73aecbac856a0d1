//! One report of the Indiana University collection: an XML file.

use std::collections::BTreeMap;

use quick_xml::{
    Reader, XmlVersion,
    escape::resolve_predefined_entity,
    events::{BytesStart, Event},
};

/// What is read from one report.
#[derive(Debug, Default, PartialEq)]
pub struct Parsed {
    /// Such as `CXR1`.
    pub id: String,
    /// May be empty.
    pub findings: String,
    /// May be empty.
    pub impression: String,
    /// Major MeSH terms with their qualifiers, such as `Cardiomegaly/mild`.
    pub mesh: Vec<String>,
    /// Image ids and their visual words by descriptor.
    pub images: Vec<(String, BTreeMap<String, String>)>,
}

/// Reads one report.
///
/// # Errors
/// What is malformed or missing, and at which byte.
pub fn parse(xml: &str) -> Result<Parsed, String> {
    let mut reader = Reader::from_str(xml);
    let mut parsed = Parsed::default();
    let mut open: Vec<String> = Vec::new();
    let mut section = None;
    let mut text = String::new();
    loop {
        let event = reader.read_event().map_err(|error| format!("byte {}: {error}", reader.error_position()))?;
        match event {
            Event::Start(start) => {
                begin(&start, &mut parsed, &mut section)?;
                open.push(start.name().as_ref().to_owned());
                text.clear();
            }
            Event::Empty(start) => begin(&start, &mut parsed, &mut section)?,
            Event::Text(part) => text.push_str(&part.xml10_content()),
            Event::CData(part) => text.push_str(&part.xml10_content()),
            Event::GeneralRef(reference) => match reference.resolve_char_ref() {
                Ok(Some(c)) => text.push(c),
                Ok(None) => text.push_str(
                    resolve_predefined_entity(&reference)
                        .ok_or_else(|| format!("unknown entity `&{};`", &*reference))?,
                ),
                Err(error) => return Err(error.to_string()),
            },
            Event::End(_) => {
                end(&open, section.as_deref(), text.trim(), &mut parsed);
                open.pop();
                text.clear();
            }
            Event::Eof => break,
            _ => {}
        }
    }
    if let Some(name) = open.last() {
        return Err(format!("ends inside <{name}>"));
    }
    if parsed.id.is_empty() {
        return Err("no <uId id=\"...\">".to_owned());
    }
    Ok(parsed)
}

/// An element begins.
fn begin(start: &BytesStart<'_>, parsed: &mut Parsed, section: &mut Option<String>) -> Result<(), String> {
    let attribute = |name: &str| -> Result<Option<String>, String> {
        let found = start.try_get_attribute(name).map_err(|error| error.to_string())?;
        let value = found.map(|found| found.normalized_value(XmlVersion::Implicit1_0).map(|value| value.into_owned()));
        value.transpose().map_err(|error| error.to_string())
    };
    match start.name().as_ref() {
        "uId" => parsed.id = attribute("id")?.unwrap_or_default(),
        "AbstractText" => *section = attribute("Label")?,
        "parentImage" => {
            let id = attribute("id")?.filter(|id| !id.is_empty()).ok_or("a <parentImage> without an id")?;
            parsed.images.push((id, BTreeMap::new()));
        }
        _ => {}
    }
    Ok(())
}

/// The innermost of the `open` elements ends; `text` is what stood in it.
fn end(open: &[String], section: Option<&str>, text: &str, parsed: &mut Parsed) {
    let parent = open.len().checked_sub(2).map_or("", |at| open[at].as_str());
    match (parent, open.last().map_or("", String::as_str), section) {
        (_, "AbstractText", Some("FINDINGS")) => parsed.findings = text.to_owned(),
        (_, "AbstractText", Some("IMPRESSION")) => parsed.impression = text.to_owned(),
        ("MeSH", "major", _) => parsed.mesh.push(text.to_owned()),
        ("globalImageFeatures", descriptor, _) => {
            if let Some((_, words)) = parsed.images.last_mut() {
                words.insert(descriptor.to_owned(), text.to_owned());
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"<?xml version="1.0" encoding="utf-8"?>
        <eCitation><uId id="CXR7"/><Abstract>
        <AbstractText Label="INDICATION">Pain</AbstractText>
        <AbstractText Label="FINDINGS">Size &lt; 2 cm &amp; round &#45; ok.</AbstractText>
        <AbstractText Label="IMPRESSION"/></Abstract>
        <MeSH><major>normal</major><automatic>heart</automatic></MeSH>
        <parentImage id="CXR7_a"><globalImageFeatures><CEDD>f2p0k1</CEDD><FCTH>f4p0k2</FCTH></globalImageFeatures></parentImage>
        </eCitation>"#;

    #[test]
    fn a_report_is_read() {
        let parsed = parse(REPORT).unwrap();
        assert_eq!(parsed.id, "CXR7");
        assert_eq!(parsed.findings, "Size < 2 cm & round - ok.");
        assert_eq!(parsed.impression, "");
        assert_eq!(parsed.mesh, ["normal"]);
        let words = [("CEDD", "f2p0k1"), ("FCTH", "f4p0k2")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(parsed.images, [("CXR7_a".to_owned(), BTreeMap::from(words))]);
    }

    #[test]
    fn malformed_reports_are_refused() {
        let cut = REPORT.split("<MeSH>").next().unwrap();
        for (xml, expected) in [
            (cut, "ends inside"),
            (&REPORT[..REPORT.len() - 40], "tag not closed"),
            ("<a><b></a>", "byte"),
            ("<a/>", "uId"),
            ("<a><uId id='x'/>&nope;</a>", "nope"),
            ("<a><uId id='x'/><parentImage/></a>", "without an id"),
        ] {
            let error = parse(xml).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
