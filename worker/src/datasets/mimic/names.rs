//! Names of sections: which of them mean the same. The variants are facts about MIMIC-CXR that MIT-LCP's section parser
//! records (`MIT-LCP/mimic-cxr`, `txt/section_parser.py`).

/// The radiologist's conclusion.
pub const IMPRESSION: &str = "impression";
/// What is seen.
pub const FINDINGS: &str = "findings";
/// What follows the first paragraph of the last section, where there are neither impression nor findings.
pub const LAST_PARAGRAPH: &str = "last_paragraph";
/// What the image was compared with; in reports without any other section it holds the report.
pub const COMPARISON: &str = "comparison";

/// Known headers by the name they get. Misspellings occur between one and eight times each; `ndication` as an impression
/// is in the published table, too.
const KNOWN: [(&str, &[&str]); 14] = [
    (
        IMPRESSION,
        &[
            "impression",
            "conclusion",
            "findings and impression",
            "findings/impression",
            "findings/ impression",
            "ndication",
            "impresson",
            "imprression",
            "imoression",
            "impressoin",
            "imprssion",
            "impresion",
            "imperssion",
            "mpression",
            "impession",
        ],
    ),
    (
        FINDINGS,
        &[
            "findings",
            "chest, two views",
            "finding",
            "findins",
            "findindgs",
            "findgings",
            "findngs",
            "findnings",
            "finidngs",
            "reference findings",
        ],
    ),
    (
        COMPARISON,
        &[
            "comparison",
            "comparisons",
            "reference exam",
            "comparison exam",
            "comparison film",
            "comparision",
            "comparsion",
            "comparrison",
            "comparisions",
        ],
    ),
    ("indication", &["indication", "reason for examination", "reason for exam", "clinical indication", "idication"]),
    ("history", &["history", "clinical history", "clinical information", "patient history", "pfi"]),
    ("examination", &["examination", "exam", "type of examination"]),
    ("recommendations", &["recommendations", "recommendation(s)", "recommendation"]),
    ("wet read", &["wet read", "wetread"]),
    ("preamble", &["preamble"]),
    ("technique", &["technique"]),
    ("notification", &["notification"]),
    ("addendum", &["addendum"]),
    ("date", &["date"]),
    ("comment", &["comment"]),
];

/// A header that is not known gets the first of these names that it contains.
const CONTAINED: [&str; 5] = [IMPRESSION, FINDINGS, "history", COMPARISON, "addendum"];

/// A header that contains one of these is the title of a study, and the findings follow.
const TITLES: [&str; 18] = [
    "chest",
    "portable",
    "pa and lateral",
    "lateral and pa",
    "ap and lateral",
    "lateral and ap",
    "frontal and",
    "two views",
    "frontal view",
    "pa view",
    "ap view",
    "one view",
    "lateral view",
    "bone window",
    "frontal upright",
    "frontal semi-upright",
    "ribs",
    "pa and lat",
];

/// The name under which a section with that header is known.
pub fn normalise(header: &str) -> String {
    let header = header.trim().to_lowercase();
    let known = KNOWN.iter().find(|(_, headers)| headers.contains(&&*header)).map(|(name, _)| *name);
    let contained = || CONTAINED.into_iter().find(|name| header.contains(name));
    let title = || TITLES.iter().any(|title| header.contains(title)).then_some(FINDINGS);
    known.or_else(contained).or_else(title).map_or(header.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_contained_and_titles() {
        for (header, expected) in [
            ("IMPRESSION", IMPRESSION),
            ("IMOPRESSION", "imopression"),
            ("FINDINGS/ IMPRESSION", IMPRESSION),
            ("FINDINGS AND CONCLUSION", FINDINGS),
            ("FINAL ADDENDUM", "addendum"),
            ("REASON FOR EXAM", "indication"),
            ("PORTABLE AP CHEST", FINDINGS),
            ("CHEST HISTORY", "history"),
            ("LEFT RIBS", FINDINGS),
            ("NOTE", "note"),
            (" CLINICAL INFORMATION ", "history"),
        ] {
            assert_eq!(normalise(header), expected, "{header}");
        }
    }
}
