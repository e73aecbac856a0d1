//! Which files an encoder is made of.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Encoders of one architecture, whose files have the same names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// A BERT.
    Bert,
    /// A DINOv2.
    Dinov2,
    /// torchxrayvision's ResNet-AE.
    ResNetAe,
}

impl Family {
    /// The name in messages, with its article.
    pub const fn article(self) -> &'static str {
        match self {
            Self::Bert => "a BERT",
            Self::Dinov2 => "a DINOv2",
            Self::ResNetAe => "a ResNet-AE",
        }
    }

    /// Names of the files. Of each entry the first that is there is read; one that ends with an empty name may be missing.
    pub const fn files(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Bert => &[
                &["config.json", "bert_config.json"],
                &["model.safetensors", "pytorch_model.bin"],
                &["tokenizer.json", "vocab.txt"],
                &["tokenizer_config.json", ""],
            ],
            Self::Dinov2 => &[&["config.json"], &["model.safetensors", "pytorch_model.bin"]],
            Self::ResNetAe => &[&["nihpcrsnamimic_ch-resnet101-2-ae-test2-elastic-e250.pt", "model.safetensors"]],
        }
    }

    /// The files at `location`, a folder, or the one file where an encoder has only one.
    ///
    /// # Errors
    /// What is missing, each as `this or that`.
    pub fn find(self, location: &Path) -> Result<Vec<PathBuf>, Vec<String>> {
        if self.files().len() == 1 && location.is_file() {
            return Ok(vec![location.to_owned()]);
        }
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for names in self.files() {
            match names.iter().map(|name| location.join(name)).find(|path| path.is_file()) {
                Some(path) => found.push(path),
                None if names.ends_with(&[""]) => {}
                None => missing.push(names.join(" or ")),
            }
        }
        if missing.is_empty() { Ok(found) } else { Err(missing) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_or_named() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str| std::fs::write(folder.path().join(name), name).unwrap();
        put("bert_config.json");
        put("vocab.txt");
        let missing = Family::Bert.find(folder.path()).unwrap_err();
        assert_eq!(missing, ["model.safetensors or pytorch_model.bin"]);
        put("pytorch_model.bin");
        put("config.json");
        let names = |family: Family, at: &Path| -> Vec<String> {
            let found = family.find(at).unwrap();
            found.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names(Family::Bert, folder.path()), ["config.json", "pytorch_model.bin", "vocab.txt"]);
        put("tokenizer_config.json");
        assert_eq!(names(Family::Bert, folder.path()).len(), 4);
        assert_eq!(names(Family::ResNetAe, &folder.path().join("vocab.txt")), ["vocab.txt"]);
        assert!(Family::Dinov2.find(&folder.path().join("vocab.txt")).is_err());
    }
}
