//! Tables for papers: booktabs, longtable for what does not fit on a page, and turned pages for what is too wide.

use serde_json::Value;

use super::{
    grid::Grid,
    list::List,
    markdown::EMPTY,
    sheet::{self, Shown},
    table::{Body, Table},
};

/// Lines that fit on a page.
const PAGE: usize = 45;

/// Letters that fit beside each other in normal size, and in the least size that can be read; what is wider is turned by a quarter.
const WIDE: usize = 80;
const TURNED: usize = 105;

/// Makes a table as narrow as the page, and leaves one that is narrower as it is.
const SHRINK: &str = "  \\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%\n";

pub(super) fn document(tables: &[Table]) -> String {
    let tabulars: Vec<Tabular> = tables.iter().map(Tabular::new).collect();
    let mut packages = vec!["booktabs"];
    if tabulars.iter().any(|tabular| tabular.long()) {
        packages.push("longtable");
    }
    if tabulars.iter().any(|tabular| tabular.wide() && !tabular.long()) {
        packages.push("graphicx");
    }
    if tabulars.iter().any(|tabular| tabular.turned() && !tabular.long()) {
        packages.push("rotating");
    }
    if tabulars.iter().any(|tabular| tabular.turned() && tabular.long()) {
        packages.push("pdflscape");
    }
    let preamble = format!("% Preamble: \\usepackage{{{}}}\n\n", packages.join(","));
    preamble + &tabulars.iter().map(Tabular::write).collect::<Vec<_>>().join("\n")
}

/// A table in LaTeX's words.
struct Tabular {
    caption: String,
    /// Letters of `tabular`'s argument.
    align: String,
    /// Lines of the header.
    header: Vec<String>,
    /// Lines of the body.
    body: Vec<String>,
    notes: Vec<String>,
    /// Letters of the longest line.
    letters: usize,
}

impl Tabular {
    fn new(table: &Table) -> Self {
        let mut tabular = match &table.body {
            Body::Grid(grid) => Self::grid(grid, &table.title),
            Body::List(list) => Self::list(list, &table.title),
        };
        if let Some(note) = &table.note {
            tabular.notes.insert(0, prose(note));
        }
        tabular
    }

    fn grid(grid: &Grid, title: &str) -> Self {
        let (stub, columns) = (grid.rows.names.len(), grid.columns.keys.len());
        let (value, by) = grid.subject();
        let shown = sheet::shown(grid);
        let mut body = Vec::new();
        for (at, cells) in shown.iter().enumerate() {
            if at > 0 && grid.rows.is_nested() && grid.rows.begins_group(at) {
                body.push("\\addlinespace".to_owned());
            }
            let repeated = grid.rows.repeated(at).min(stub.saturating_sub(1));
            let labels = grid.rows.labels[at].iter().enumerate();
            let labels = labels.map(|(level, label)| if level < repeated { String::new() } else { escape(label) });
            body.push(line(labels.chain(cells.iter().map(measured))));
            if cells.iter().any(Shown::refers) {
                let published = cells.iter().map(published);
                body.push(line((0..stub).map(|_| String::new()).chain(published)));
            }
        }
        if columns == 0 {
            body.push(EMPTY.to_owned() + " \\\\");
        }
        let widths = (0..columns)
            .map(|column| shown.iter().map(|row| row[column].text().chars().count()).max().unwrap_or_default() + 2);
        let labels = grid.rows.labels.iter().map(|labels| labels.iter().map(|label| label.len() + 2).sum::<usize>());
        Self {
            caption: format!("{}. \\texttt{{{}}}{}", escape(title), escape(&value), escape(&by)),
            align: "l".repeat(stub.max(usize::from(columns == 0))) + &"r".repeat(columns),
            header: header(grid),
            body,
            notes: grid.bold().into_iter().chain(grid.legend("second lines")).map(|text| prose(&text)).collect(),
            letters: widths.sum::<usize>() + labels.max().unwrap_or_default(),
        }
    }

    fn list(list: &List, title: &str) -> Self {
        let texts = sheet::texts(list);
        let value = |column: usize, text: &str| match text.strip_prefix('-') {
            Some(number) if list.is_number(column) => format!("$-${}", escape(number)),
            _ => escape(text),
        };
        // A column that says nothing takes room that the page has not.
        let silent = |column: &usize| {
            let silent = ["state", "reference", "p_wilcoxon", "p_wilcoxon_holm"];
            let name = list.columns[*column].name.as_str();
            let values = || list.rows.iter().map(|row| &row[*column]);
            silent.contains(&name) && (values().all(Value::is_null) || values().all(|value| value == "done"))
        };
        let kept: Vec<usize> = (0..list.columns.len()).filter(|column| !silent(column)).collect();
        let widths = kept.iter().map(|column| {
            let longest = texts.iter().map(|row| row[*column].chars().count()).max().unwrap_or_default();
            longest.max(list.heading(*column).len()) + 2
        });
        Self {
            caption: prose(title),
            align: kept.iter().map(|column| if list.is_number(*column) { 'r' } else { 'l' }).collect(),
            header: vec![line(kept.iter().map(|column| escape(list.heading(*column))))],
            body: texts.iter().map(|row| line(kept.iter().map(|at| value(*at, &row[*at])))).collect(),
            notes: Vec::new(),
            letters: widths.sum(),
        }
    }

    fn long(&self) -> bool {
        self.body.len() > PAGE
    }

    fn wide(&self) -> bool {
        self.letters > WIDE
    }

    fn turned(&self) -> bool {
        self.letters > TURNED
    }

    fn write(&self) -> String {
        if self.align.is_empty() {
            return "% no rows\n".to_owned();
        }
        if self.long() { self.write_long() } else { self.write_float() }
    }

    fn write_float(&self) -> String {
        let (kind, place) = if self.turned() { ("sidewaystable", "") } else { ("table", "[htbp]") };
        let mut out = format!("\\begin{{{kind}}}{place}\n  \\centering\n");
        if !self.caption.is_empty() {
            out += &format!("  \\caption{{{}}}\n", self.caption);
        }
        let (before, after) = if self.wide() { (SHRINK, "}") } else { ("", "") };
        out += &format!("{before}  \\begin{{tabular}}{{{}}}\n    \\toprule\n", self.align);
        out += &indented(&self.header);
        out += "    \\midrule\n";
        out += &indented(&self.body);
        out += &format!("    \\bottomrule\n  \\end{{tabular}}{after}\n");
        if !self.notes.is_empty() {
            out += "\n  \\smallskip\n";
            out += &format!("  \\parbox{{\\linewidth}}{{\\footnotesize {}}}\n", self.notes.join("\\\\\n    "));
        }
        out + &format!("\\end{{{kind}}}\n")
    }

    /// Over several pages, with the header on each.
    fn write_long(&self) -> String {
        let size = if self.wide() { "\\scriptsize\\setlength{\\tabcolsep}{3pt}" } else { "\\small" };
        let mut out = format!("{{{size}\n\\begin{{longtable}}{{{}}}\n", self.align);
        if !self.caption.is_empty() {
            out += &format!("    \\caption{{{}}}\\\\\n", self.caption);
        }
        let header = format!("    \\toprule\n{}    \\midrule\n", indented(&self.header));
        out += &format!("{header}    \\endfirsthead\n{header}    \\endhead\n    \\bottomrule\n    \\endfoot\n");
        out += &indented(&self.body);
        out += "\\end{longtable}}\n";
        if !self.notes.is_empty() {
            out += &format!("{{\\footnotesize\\noindent {}\\par}}\n", self.notes.join("\\\\\n"));
        }
        if self.turned() { format!("\\begin{{landscape}}\n{out}\\end{{landscape}}\n") } else { out }
    }
}

/// A line for each level of the columns: outer values span their group.
fn header(grid: &Grid) -> Vec<String> {
    let stub = grid.rows.names.len();
    let headings: Vec<Vec<String>> = (0..grid.columns.keys.len()).map(|column| grid.heading(column)).collect();
    let levels = headings.first().map_or(0, Vec::len);
    let mut lines = Vec::new();
    for level in 0..levels.saturating_sub(1) {
        let mut cells: Vec<String> = vec![String::new(); stub];
        let mut rules = String::new();
        let mut start = 0;
        while start < headings.len() {
            let same = |column: &usize| headings[*column][..=level] == headings[start][..=level];
            let end = (start..headings.len()).take_while(same).count() + start;
            cells.push(format!("\\multicolumn{{{}}}{{c}}{{{}}}", end - start, escape(&headings[start][level])));
            rules += &format!("\\cmidrule(lr){{{}-{}}}", stub + start + 1, stub + end);
            start = end;
        }
        lines.push(line(cells.into_iter()));
        lines.push(rules);
    }
    let inner = headings.iter().map(|heading| heading.last().map(|text| escape(text)).unwrap_or_default());
    lines.push(line(grid.rows.names.iter().map(|name| escape(name)).chain(inner)));
    lines
}

/// With minus signs in place of hyphens before numbers.
fn signed(text: &str) -> String {
    let mut before = ' ';
    let signs = text.chars().map(|letter| {
        let sign = letter == '-' && matches!(before, ' ' | '[');
        before = letter;
        if sign { '−' } else { letter }
    });
    signs.collect()
}

fn measured(shown: &Shown) -> String {
    let text = escape(&signed(&shown.text()));
    if shown.best { format!("\\textbf{{{text}}}") } else { text }
}

fn published(shown: &Shown) -> String {
    let parts = [shown.reference.as_ref(), shown.difference.as_ref()];
    let parts: Vec<String> = parts.into_iter().flatten().map(|part| part.replace('-', "$-$")).collect();
    if parts.is_empty() { String::new() } else { format!("{{\\footnotesize {}}}", parts.join(" ")) }
}

fn line(cells: impl Iterator<Item = String>) -> String {
    cells.collect::<Vec<_>>().join(" & ") + " \\\\"
}

fn indented(lines: &[String]) -> String {
    lines.iter().map(|line| format!("    {line}\n")).collect()
}

/// Text that shows as it is, but for what stands between backticks, which is code.
fn prose(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    // One that is not closed is a backtick.
    if parts.len().is_multiple_of(2) {
        return escape(text);
    }
    let part =
        |(at, part): (usize, &&str)| if at % 2 == 1 { format!("\\texttt{{{}}}", escape(part)) } else { escape(part) };
    parts.iter().enumerate().map(part).collect()
}

/// Text that shows as it is.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => out.extend(['\\', letter]),
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            '\\' => out.push_str("\\textbackslash{}"),
            '<' => out.push_str("\\textless{}"),
            '>' => out.push_str("\\textgreater{}"),
            '|' => out.push_str("\\textbar{}"),
            // At the start of a line LaTeX takes a bracket for an option of the line before.
            '[' => out.push_str("{[}"),
            '*' => out.push_str("{*}"),
            '±' => out.push_str("$\\pm$"),
            '×' => out.push_str("$\\times$"),
            '≤' => out.push_str("$\\leq$"),
            '≈' => out.push_str("$\\approx$"),
            '≥' => out.push_str("$\\geq$"),
            '−' => out.push_str("$-$"),
            '–' => out.push_str("--"),
            other if other.is_control() => out.push(' '),
            other => out.push(other),
        }
    }
    // A thin space belongs before a per cent sign.
    out.replace(" \\%", "\\,\\%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_numbers_have_minus_signs() {
        let written = |text: &str| escape(&signed(text));
        assert_eq!(written("-0.012 ± 0.003"), "$-$0.012 $\\pm$ 0.003");
        assert_eq!(written("0.1 [-0.2, -1e-4]"), "0.1 {[}$-$0.2, $-$1e-4]");
        assert_eq!(written("–"), "--");
    }
}
