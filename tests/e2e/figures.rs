//! Every figure of a small sweep, on the real program.

use std::path::Path;

use crate::support::{World, killing::FAST, synthetic, training_sweep};

/// The synthetic sweep with a projection, and every kind of figure.
fn sweep(world: &World) -> String {
    let (reports, bert) = synthetic::wheels(world.folder.path());
    let project = "  project:\n    from: pretrain\n    parameters:\n      label: {value: normal}\n      perplexity: {value: 8}\n      \
                   iterations: {value: 60}\n";
    let figures = "figures:\n  - {kind: params, filter: {label: normal}}\n  - {kind: tsne, width_mm: 85}\n  - {kind: curves, stage: pretrain}\n  \
                   - {kind: fractions, theme: dark, name: shares}\n";
    let text = training_sweep(&reports, &bert);
    let (before, after) = text.split_once("report:").unwrap();
    format!("{before}{project}report:{after}{figures}")
}

fn is_picture(path: &Path) {
    let bytes = std::fs::read(path).unwrap();
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("svg") => {
            let text = String::from_utf8(bytes).unwrap();
            assert!(
                text.starts_with("<svg ") && text.ends_with("</svg>\n") && text.contains("<desc>"),
                "{}",
                path.display()
            );
            assert!(text.contains("</text>") && !text.contains("NaN"), "{}", path.display());
        }
        Some("png") => {
            let mut reader = png::Decoder::new(std::io::Cursor::new(&bytes)).read_info().unwrap();
            // 300 pixels an inch, in pixels a metre.
            assert_eq!(reader.info().pixel_dims.map(|dims| dims.xppu), Some(11_811), "{}", path.display());
            let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
            reader.next_frame(&mut pixels).unwrap();
            let first: [u8; 3] = [pixels[0], pixels[1], pixels[2]];
            assert!(pixels.chunks_exact(3).any(|pixel| pixel != first), "{} is empty", path.display());
        }
        _ => assert!(String::from_utf8(bytes).unwrap().lines().count() > 1, "{} is empty", path.display()),
    }
}

#[test]
fn a_sweep_draws_its_figures_and_the_verb_draws_others() {
    let world = World::new();
    let text = sweep(&world);
    world.write("sweep.yaml", &text);
    let mut launch = vec!["launch", "sweep.yaml", "--wheel-dir", ".", "--threads", "2"];
    launch.extend(FAST);
    let (_, stderr) = world.expect(0, &launch);
    let folder = world.home().join("figures/synthetic");
    assert!(stderr.contains("params, tsne, curves, shares"), "{stderr}");
    let mut before = Vec::new();
    for name in ["params", "tsne", "curves", "shares"] {
        for form in ["svg", "png", "csv"] {
            let path = folder.join(format!("{name}.{form}"));
            is_picture(&path);
            before.push((path.clone(), std::fs::read(path).unwrap()));
        }
    }
    // A projection has what the Adaptor makes of its images.
    assert!(
        world.number("SELECT count(*) FROM leaderboard WHERE stage = 'project' AND metric = 'silhouette_after'") > 0
    );

    // Drawn again, to the last byte.
    world.wait_until_quiet();
    world.expect(0, &launch);
    for (path, bytes) in before {
        assert!(std::fs::read(&path).unwrap() == bytes, "{} is another file now", path.display());
    }

    for (kind, more) in
        [("fig2", "label=normal"), ("fig3", "label=normal"), ("curves", "label=normal"), ("fractions", "label=normal")]
    {
        let names = [
            "figure",
            kind,
            "--filter",
            more,
            "--output",
            "out.svg",
            "--output",
            "out.png",
            "--width-mm",
            "85",
            "--theme",
            "dark",
        ];
        world.expect(0, &names);
        is_picture(&world.folder.path().join("out.svg"));
        is_picture(&world.folder.path().join("out.png"));
        let (stdout, _) = world.expect(0, &["figure", kind, "--filter", more, "--json"]);
        let value: serde_json::Value = serde_json::from_str(&stdout).unwrap();
        assert!(!value["data"].as_array().unwrap().is_empty(), "{stdout}");
    }

    for (arguments, code, said) in [
        (&["figure", "fractions", "--output", "x.pdf"][..], 1, ".svg, .png, .csv or .json"),
        (&["figure", "tsne", "--stage", "classify"], 1, "name another `--stage`"),
        (&["figure", "fractions", "--metric", "kappa"], 1, "no result `kappa`"),
        (&["figure", "fractions", "--filter", "colour=red"], 1, "no parameter `colour`"),
        (&["figure", "fractions", "nowhere"], 1, "nowhere"),
        (&["figure", "fractions", "--width-mm", "3"], 2, "must be a number from 60 to 400"),
        (&["figure", "pie"], 2, "possible values"),
        (&["figure", "tsne", "--metric", "auroc"], 2, "no use for --metric"),
        (&["figure", "fractions", "--reference", "rsna"], 2, "no use for --reference"),
        (&["figure", "params", "--reference", "rsna", "--filter", "label=normal"], 2, "name the sweep"),
        (
            &["figure", "params", "synthetic", "--reference", "rsna", "--filter", "label=normal"],
            1,
            "the trials are about `normal` of open-i",
        ),
    ] {
        let (_, stderr) = world.expect(code, arguments);
        assert!(stderr.contains(said), "{stderr}");
    }
}

#[test]
fn the_papers_numbers_need_no_database() {
    let world = World::new();
    world.expect(0, &["figure", "params", "--reference", "rsna", "--output", "paper.svg", "--output", "paper.csv"]);
    is_picture(&world.folder.path().join("paper.svg"));
    let table = std::fs::read_to_string(world.folder.path().join("paper.csv")).unwrap();
    assert_eq!(table.lines().count(), 1 + 3 * 9, "{table}");
    // The metric is the paper's on that collection.
    world.expect(0, &["figure", "params", "--reference", "covidx", "--output", "paper.svg"]);
    let text = std::fs::read_to_string(world.folder.path().join("paper.svg")).unwrap();
    assert!(text.contains("Accuracy on COVIDx [%]") && !text.contains("AUROC"), "{text}");
    let (_, stderr) = world.expect(1, &["figure", "params"]);
    assert!(stderr.contains("results.sqlite"), "{stderr}");
}
