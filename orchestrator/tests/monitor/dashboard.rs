//! The Grafana dashboard asks for metrics that there are, with labels that they have.

use std::collections::{BTreeMap, BTreeSet};

use permafrost::monitor::metrics::metrics;
use serde_json::Value;

const DASHBOARD: &str = include_str!("../../../docs/grafana-dashboard.json");
const MANUAL: &str = include_str!("../../../docs/monitoring.md");

/// Names of series in a text, with the text that follows each.
fn names(text: &str) -> Vec<(String, &str)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("permafrost_") {
        let rest = &text[at..];
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        found.push((rest[..end].to_owned(), &rest[end..]));
    }
    found
}

/// Series of a scrape and the labels of each.
fn series(scrape: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut series: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in scrape.lines().filter(|line| !line.starts_with('#')) {
        let (name, labels) = line.split_once('{').unwrap_or((line.split(' ').next().unwrap_or_default(), ""));
        let labels = labels.split("=\"").filter_map(|part| part.rsplit([',', '{']).next());
        series.entry(name.to_owned()).or_default().extend(labels.map(str::to_owned));
    }
    series
}

#[tokio::test]
async fn every_name_in_the_dashboard_and_the_manual_exists() {
    let world = crate::metrics::everything().await;
    let scrape = metrics(&world.reader().await).await.unwrap();
    let series = series(&scrape);
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let mut asked = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().unwrap();
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{expression}");
            for (name, rest) in names(expression) {
                let labels =
                    series.get(&name).unwrap_or_else(|| panic!("{name} of the dashboard is not in the metrics"));
                let filter = rest.strip_prefix('{').and_then(|rest| rest.split('}').next()).unwrap_or_default();
                for label in
                    filter.split(',').filter_map(|filter| filter.split(['=', '!']).next()).filter(|l| !l.is_empty())
                {
                    assert!(labels.contains(label), "{name} has no label {label}");
                }
                asked += 1;
            }
        }
    }
    assert!(asked > 20, "{asked}");
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        for (name, _) in names(variable["definition"].as_str().unwrap_or_default()) {
            assert!(series.contains_key(&name), "{name} of a variable is not in the metrics");
        }
    }
    // The manual lists all there are, and none that are not.
    let told: BTreeSet<String> = names(MANUAL).into_iter().map(|(name, _)| name).collect();
    let there: BTreeSet<String> = series.keys().cloned().collect();
    assert_eq!(told.difference(&there).collect::<Vec<_>>(), Vec::<&String>::new(), "are in the manual alone");
    assert_eq!(there.difference(&told).collect::<Vec<_>>(), Vec::<&String>::new(), "are not in the manual");
}
