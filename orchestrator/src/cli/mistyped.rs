//! What is wrong with the arguments, for programs.

use clap::error::ErrorKind;
use serde_json::{Value, json};

use super::error::exit;

/// What to do where clap does not know better.
const CURE: &str = "`permafrost --help` lists verbs and options";

/// An error of the arguments as JSON: all that clap says of it but the usage, with possible values and tips as its cure.
pub(super) fn as_json(error: &clap::Error) -> Value {
    let (message, cure) = match error.kind() {
        // Clap prints the whole help, or a list with verbs that are hidden.
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            ("a verb is missing".to_owned(), CURE.to_owned())
        }
        _ => told(&error.render().to_string()),
    };
    json!({"error": {"message": message, "cure": cure, "code": exit::USAGE}})
}

fn told(text: &str) -> (String, String) {
    let text = text.trim_start_matches("error: ");
    let ends = ["\nUsage:", "\nFor more information"];
    let end = ends.iter().filter_map(|end| text.find(end)).min().unwrap_or(text.len());
    let (mut message, mut cures) = (String::new(), Vec::new());
    for line in text[..end].lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(tip) = line.strip_prefix("tip: ") {
            cures.push(tip.to_owned());
        } else if line.starts_with("[possible values: ") {
            cures.push(line.trim_matches(['[', ']']).to_owned());
        } else {
            match message.chars().last() {
                None => {}
                Some(':') => message.push(' '),
                Some(_) => message.push_str(", "),
            }
            message.push_str(line);
        }
    }
    (message, if cures.is_empty() { CURE.to_owned() } else { cures.join("; ") })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Args;

    fn error(arguments: &[&str]) -> (String, String) {
        let value = as_json(&Args::try_parse_from([&["permafrost"], arguments].concat()).unwrap_err());
        let text = |key: &str| value["error"][key].as_str().unwrap().to_owned();
        (text("message"), text("cure"))
    }

    #[test]
    fn programs_are_told_the_point() {
        assert_eq!(error(&["diff", "a"]).0, "the following required arguments were not provided: <B>");
        assert_eq!(error(&["diff"]).0, "the following required arguments were not provided: <A>, <B>");
        let (message, cure) = error(&["figure", "nosuch"]);
        assert_eq!(message, "invalid value 'nosuch' for '<KIND>'");
        assert_eq!(cure, "possible values: params, tsne, curves, fractions");
        let (message, cure) = error(&["statsu"]);
        assert_eq!(message, "unrecognized subcommand 'statsu'");
        assert!(cure.contains("'status'"), "{cure}");
        let (message, cure) = error(&["results", "--table", "1", "--trials", "--compare", "seed"]);
        assert!(message.starts_with("the argument '--table <N>' cannot be used with"), "{message}");
        assert_eq!(cure, CURE);
        for none in [&[][..], &["--json"], &["data", "--json"]] {
            assert_eq!(error(none), ("a verb is missing".to_owned(), CURE.to_owned()), "{none:?}");
        }
        assert!(error(&["history", "--data", "1"]).0.contains("at least 4 digits"));
    }
}
