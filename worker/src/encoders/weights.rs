//! Reading a model's weights: safetensors, or a state dict of PyTorch. All that is wrong with a file is found in one go.

mod pickle;
mod state_dict;

use std::{collections::HashSet, path::Path};

use candle_core::{DType, Device, Tensor};
use safetensors::{Dtype, SafeTensors};

use self::state_dict::{NO_STATE_DICT, StateDict};
use super::layers::{Linear, Norm};
use crate::error::{Error, Result};

/// Most problems that a message lists.
const LISTED: usize = 12;

/// For a damaged file.
const AGAIN: &str = "get the file again, whole";

/// A file of weights.
pub(super) enum File {
    /// Its bytes.
    SafeTensors(Vec<u8>),
    /// What `torch.save` wrote, of any version.
    PyTorch(StateDict),
}

impl File {
    /// Opens `path`; its first bytes say what it is.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::Input`] for a file of another format or a damaged one.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        Self::of_bytes(bytes, &path.display().to_string())
    }

    /// Of the content of a file that messages call `display`; see [`Self::open`].
    pub(super) fn of_bytes(bytes: Vec<u8>, display: &str) -> Result<Self> {
        // The header of safetensors follows its length of eight bytes. It is asked for first, as a length may look like anything.
        let state = if bytes.get(8) == Some(&b'{') {
            return Ok(Self::SafeTensors(bytes));
        } else if bytes.starts_with(b"PK\x03\x04") {
            StateDict::of_zip(bytes)
        } else if bytes.first() == Some(&0x80) {
            StateDict::of_pickles(bytes)
        } else {
            let cure = "name a file of safetensors, or of `torch.save`, whole".to_owned();
            let what = format!("{display}: neither safetensors nor of `torch.save`");
            return Err(Error::Input { what, cure: Some(cure) });
        };
        state.map(Self::PyTorch).map_err(|what| {
            let cure = if what == NO_STATE_DICT { "save `model.state_dict()` alone with `torch.save`" } else { AGAIN };
            Error::Input { what: format!("{display}: {what}"), cure: Some(cure.to_owned()) }
        })
    }
}

/// Tensors by name, and what was found wrong with them.
pub(super) struct Weights<'a> {
    source: Source<'a>,
    prefix: &'static str,
    device: &'a Device,
    problems: Vec<String>,
    read: HashSet<String>,
}

enum Source<'a> {
    SafeTensors(SafeTensors<'a>),
    PyTorch(&'a StateDict),
}

impl<'a> Weights<'a> {
    /// Of a file. Tensors go to `device`.
    ///
    /// # Errors
    /// What is wrong with the file as a whole.
    pub(super) fn new(file: &'a File, device: &'a Device) -> Result<Self, String> {
        match file {
            File::SafeTensors(bytes) => {
                let tensors = SafeTensors::deserialize(bytes);
                let tensors = tensors.map_err(|error| format!("not whole as safetensors: {error}"))?;
                Ok(Self::of(Source::SafeTensors(tensors), device))
            }
            File::PyTorch(tensors) => Ok(Self::of(Source::PyTorch(tensors), device)),
        }
    }

    fn of(source: Source<'a>, device: &'a Device) -> Self {
        Self { source, prefix: "", device, problems: Vec::new(), read: HashSet::new() }
    }

    /// If some name begins with `prefix` and then `first`, all names that are asked for begin with `prefix`.
    pub(super) fn with_prefix(mut self, prefix: &'static str, first: &str) -> Self {
        let start = format!("{prefix}{first}");
        if self.names().iter().any(|name| name.starts_with(&start)) {
            self.prefix = prefix;
        }
        self
    }

    /// All names, in order.
    fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = match &self.source {
            Source::SafeTensors(tensors) => tensors.names(),
            Source::PyTorch(tensors) => tensors.names().collect(),
        };
        names.sort_unstable();
        names
    }

    /// Whether there is a tensor of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.shape_and_type(&format!("{}{name}", self.prefix)).is_some()
    }

    /// Whether nothing wrong was found so far. If not, tensors may have other shapes than was asked for.
    pub(super) fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    /// Notes something else that is wrong.
    pub(super) fn refuse(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// Notes all tensors that nobody asked for, but those that `known` knows by their names without prefix.
    pub(super) fn refuse_others(&mut self, known: impl Fn(&str) -> bool) {
        let others: Vec<String> = self
            .names()
            .into_iter()
            .filter(|name| !self.read.contains(*name) && !known(name.strip_prefix(self.prefix).unwrap_or(name)))
            .map(|name| format!("`{name}` is not expected"))
            .collect();
        self.problems.extend(others);
    }

    /// Gives `model`, made of these weights.
    ///
    /// # Errors
    /// Everything that is wrong with the file.
    pub(super) fn finish<T>(self, model: candle_core::Result<T>) -> Result<T, String> {
        if self.problems.is_empty() {
            return model.map_err(|error| error.to_string());
        }
        let more = self.problems.len().saturating_sub(LISTED);
        let listed = self.problems.into_iter().take(LISTED).collect::<Vec<_>>().join("; ");
        Err(if more == 0 { listed } else { format!("{listed}; and {more} more") })
    }

    /// The linear layer of `name.weight`, [to, from], and `name.bias`, [to].
    pub(super) fn linear(&mut self, name: &str, from: usize, to: usize) -> candle_core::Result<Linear> {
        let (weight, bias) = self.weight_and_bias(name, from, to)?;
        Linear::new(weight, bias)
    }

    /// `name.weight`, [to, from], and `name.bias`, [to].
    pub(super) fn weight_and_bias(
        &mut self,
        name: &str,
        from: usize,
        to: usize,
    ) -> candle_core::Result<(Tensor, Tensor)> {
        let weight = self.tensor(&[&format!("{name}.weight")], &[to, from])?;
        Ok((weight, self.tensor(&[&format!("{name}.bias")], &[to])?))
    }

    /// The linear layers `query`, `key` and `value` below `name` as one.
    pub(super) fn query_key_value(&mut self, name: &str, width: usize) -> candle_core::Result<Linear> {
        let mut part = |part| self.weight_and_bias(&format!("{name}.{part}"), width, width);
        let parts = [part("query")?, part("key")?, part("value")?];
        let [(weight, bias), ..] = &parts;
        if !self.is_sound() {
            return Linear::new(weight.clone(), bias.clone());
        }
        let weights = parts.each_ref().map(|(weight, _)| weight);
        let biases = parts.each_ref().map(|(_, bias)| bias);
        Linear::new(Tensor::cat(&weights, 0)?, Tensor::cat(&biases, 0)?)
    }

    /// `name.weight` and `name.bias`, [width]; older files call them `gamma` and `beta`.
    pub(super) fn norm(&mut self, name: &str, width: usize, eps: f64) -> candle_core::Result<Norm> {
        Ok(Norm {
            weight: self.tensor(&[&format!("{name}.weight"), &format!("{name}.gamma")], &[width])?,
            bias: self.tensor(&[&format!("{name}.bias"), &format!("{name}.beta")], &[width])?,
            eps: eps as f32,
        })
    }

    /// The tensor of one of these names, as f32. What is wrong with it is noted, and something is returned so that all that
    /// is wrong with the file is found in one go.
    pub(super) fn tensor(&mut self, names: &[&str], shape: &[usize]) -> candle_core::Result<Tensor> {
        match self.find(names, shape)? {
            Ok(tensor) => Ok(tensor),
            Err(problem) => {
                self.problems.push(problem);
                Tensor::zeros(1, DType::F32, self.device)
            }
        }
    }

    fn find(&mut self, names: &[&str], shape: &[usize]) -> candle_core::Result<Result<Tensor, String>> {
        let found = names.iter().find_map(|name| {
            let name = format!("{}{name}", self.prefix);
            Some((self.shape_and_type(&name)?, name))
        });
        let Some(((found, dtype), name)) = found else {
            return Ok(Err(format!("`{}{}` is missing", self.prefix, names.join("` or `"))));
        };
        self.read.insert(name.clone());
        // Before anything is read: a shape that a file names may need any memory.
        if found != shape {
            return Ok(Err(format!("`{name}` is {found:?}, not {shape:?}")));
        }
        let dtype = match dtype {
            Ok(dtype) => dtype,
            Err(other) => return Ok(Err(format!("`{name}` is of type {other:?}"))),
        };
        let tensor = match self.values(&name, dtype, shape) {
            Ok(tensor) => tensor.to_dtype(DType::F32)?,
            Err(error) => return Ok(Err(format!("`{name}` cannot be read: {error}"))),
        };
        let bad = tensor.flatten_all()?.to_vec1::<f32>()?.iter().filter(|value| !value.is_finite()).count();
        if bad > 0 {
            return Ok(Err(format!("`{name}` has {bad} values that are not finite")));
        }
        Ok(Ok(tensor.to_device(self.device)?))
    }

    /// Shape and type of the tensor of this full name, if there is one; the type as candle's, where that has it.
    fn shape_and_type(&self, name: &str) -> Option<(Vec<usize>, Result<DType, Dtype>)> {
        let (shape, dtype) = match &self.source {
            Source::SafeTensors(tensors) => {
                let view = tensors.tensor(name).ok()?;
                (view.shape().to_vec(), view.dtype())
            }
            Source::PyTorch(tensors) => {
                let tensor = tensors.get(name)?;
                (tensor.shape.clone(), tensor.dtype)
            }
        };
        let dtype = match dtype {
            Dtype::F32 => Ok(DType::F32),
            Dtype::F16 => Ok(DType::F16),
            Dtype::BF16 => Ok(DType::BF16),
            Dtype::F64 => Ok(DType::F64),
            other => Err(other),
        };
        Some((shape, dtype))
    }

    fn values(&self, name: &str, dtype: DType, shape: &[usize]) -> candle_core::Result<Tensor> {
        match &self.source {
            Source::SafeTensors(tensors) => {
                let view = tensors.tensor(name).map_err(candle_core::Error::wrap)?;
                Tensor::from_raw_buffer(view.data(), dtype, shape, &Device::Cpu)
            }
            Source::PyTorch(tensors) => match tensors.get(name) {
                Some(tensor) => Tensor::from_raw_buffer(&tensors.values(tensor), dtype, shape, &Device::Cpu),
                None => candle_core::bail!("it is gone"),
            },
        }
    }
}
