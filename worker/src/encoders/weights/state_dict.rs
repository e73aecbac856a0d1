//! State dicts that `torch.save` wrote: a zip since version 1.6, a row of pickles before.

use std::{collections::BTreeMap, io::Cursor, ops::Range};

use safetensors::Dtype;
use zip::{CompressionMethod, ZipArchive};

use super::pickle::{Id, Pickle, Value};

/// With what the older format begins.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// A file, and where its tensors are in it.
pub(in crate::encoders) struct StateDict {
    bytes: Vec<u8>,
    tensors: BTreeMap<String, Stored>,
}

/// A tensor: values of a storage.
pub(in crate::encoders) struct Stored {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    strides: Vec<usize>,
    /// Values before the first.
    offset: usize,
    storage: Range<usize>,
}

/// A tensor as the pickle describes it.
struct Described {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    strides: Vec<usize>,
    offset: usize,
    key: String,
    /// Values of the storage.
    count: usize,
}

impl StateDict {
    /// Reads the zip format, all its checksums included.
    ///
    /// # Errors
    /// What is wrong.
    pub(super) fn of_zip(bytes: Vec<u8>) -> Result<Self, String> {
        let not_whole = |error: zip::result::ZipError| format!("not whole as a zip: {error}");
        let mut archive = ZipArchive::new(Cursor::new(&bytes[..])).map_err(not_whole)?;
        let mut entries: BTreeMap<String, Range<usize>> = BTreeMap::new();
        for index in 0..archive.len() {
            let mut entry = archive.by_index(index).map_err(not_whole)?;
            let name = entry.name().map_err(not_whole)?.into_owned();
            std::io::copy(&mut entry, &mut std::io::sink())
                .map_err(|error| format!("not whole as a zip: {name}: {error}"))?;
            // PyTorch compresses nothing.
            if entry.compression() == CompressionMethod::Stored
                && let Some(range) = range_of(entry.data_start(), entry.size(), bytes.len())
            {
                entries.insert(name, range);
            }
        }
        let Some((name, range)) = entries.iter().find(|(name, _)| name.ends_with("/data.pkl")) else {
            return Err("not of `torch.save`: no data.pkl in the zip".to_owned());
        };
        let folder = name.trim_end_matches("data.pkl").to_owned();
        if entries.get(&format!("{folder}byteorder")).is_some_and(|order| &bytes[order.clone()] != b"little") {
            return Err("values are not little endian".to_owned());
        }
        let (pickle, _) = Pickle::read(&bytes[range.clone()])?;
        let tensors = tensors(&pickle, |described| {
            let name = format!("{folder}data/{}", described.key);
            entries.get(&name).cloned().ok_or_else(|| format!("{name} is missing"))
        })?;
        Ok(Self { bytes, tensors })
    }

    /// Reads the format before version 1.6: pickles of a magic number, a version, the machine, the state dict, and the storages'
    /// keys; then each storage's number of values, and the values.
    ///
    /// # Errors
    /// What is wrong.
    pub(super) fn of_pickles(bytes: Vec<u8>) -> Result<Self, String> {
        let mut at = 0;
        let mut next = || -> Result<Pickle, String> {
            let (pickle, length) = Pickle::read(&bytes[at..]).map_err(|what| format!("from byte {at}, {what}"))?;
            at += length;
            Ok(pickle)
        };
        let magic = next()?;
        if magic.get(magic.root) != &Value::Long(MAGIC.to_vec()) {
            return Err("a pickle, and not of `torch.save`".to_owned());
        }
        let version = next()?;
        if version.get(version.root) != &Value::Int(1001) {
            return Err("a version of `torch.save` that is not known".to_owned());
        }
        let _machine = next()?;
        let (state, keys) = (next()?, next()?);
        let keys = keys
            .items(keys.root)
            .and_then(|items| items.iter().map(|id| keys.text(*id).map(str::to_owned)).collect::<Option<Vec<_>>>());
        let keys = keys.ok_or("no list of storages")?;
        // Sizes of values are told by the tensors alone.
        let mut sizes: BTreeMap<String, usize> = BTreeMap::new();
        tensors(&state, |described| {
            sizes.insert(described.key.clone(), size_of(described.dtype));
            Ok(0..described.count.saturating_mul(size_of(described.dtype)))
        })?;
        let mut storages: BTreeMap<String, Range<usize>> = BTreeMap::new();
        for key in keys {
            let size = *sizes.get(&key).ok_or_else(|| format!("storage {key} is of no tensor"))?;
            let count = bytes[at..].first_chunk().map(|count| u64::from_le_bytes(*count)).ok_or(CUT)?;
            let length = count.checked_mul(size as u64).ok_or(CUT)?;
            let range = range_of(Some(at as u64 + 8), length, bytes.len()).ok_or(CUT)?;
            at = range.end;
            storages.insert(key, range);
        }
        let tensors = tensors(&state, |described| {
            storages.get(&described.key).cloned().ok_or_else(|| format!("storage {} is missing", described.key))
        })?;
        Ok(Self { bytes, tensors })
    }

    /// The tensor of this name.
    pub(super) fn get(&self, name: &str) -> Option<&Stored> {
        self.tensors.get(name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Values of a tensor, row by row, as little-endian bytes.
    pub(super) fn values(&self, tensor: &Stored) -> Vec<u8> {
        let (size, storage) = (size_of(tensor.dtype), &self.bytes[tensor.storage.clone()]);
        let count: usize = tensor.shape.iter().product();
        if is_contiguous(&tensor.shape, &tensor.strides) {
            return storage[tensor.offset * size..][..count * size].to_vec();
        }
        let mut values = Vec::with_capacity(count * size);
        let mut index = vec![0; tensor.shape.len()];
        for _ in 0..count {
            let at: usize = index.iter().zip(&tensor.strides).map(|(i, stride)| i * stride).sum();
            values.extend_from_slice(&storage[(tensor.offset + at) * size..][..size]);
            for (i, length) in index.iter_mut().zip(&tensor.shape).rev() {
                *i += 1;
                if *i < *length {
                    break;
                }
                *i = 0;
            }
        }
        values
    }
}

const CUT: &str = "the file ends before its values do";

/// Bytes from `start` on, if a file of `total` bytes has them.
fn range_of(start: Option<u64>, length: u64, total: usize) -> Option<Range<usize>> {
    let start = usize::try_from(start?).ok()?;
    let end = start.checked_add(usize::try_from(length).ok()?)?;
    (end <= total).then_some(start..end)
}

/// All tensors of a state dict; `locate` finds the bytes of a storage. Each is checked to lie within it.
fn tensors(
    pickle: &Pickle,
    mut locate: impl FnMut(&Described) -> Result<Range<usize>, String>,
) -> Result<BTreeMap<String, Stored>, String> {
    let Value::Dict(pairs) = pickle.get(pickle.root) else {
        return Err(NO_STATE_DICT.to_owned());
    };
    let mut tensors = BTreeMap::new();
    for (key, value) in pairs {
        let (Some(name), Value::Call(function, arguments)) = (pickle.text(*key), pickle.get(*value)) else { continue };
        let is_tensor = match pickle.get(*function) {
            Value::Global(module, name) => module == "torch._utils" && name.starts_with("_rebuild_tensor"),
            _ => false,
        };
        if !is_tensor {
            continue;
        }
        let described = describe(pickle, name, *arguments).map_err(|what| format!("`{name}`: {what}"))?;
        let storage = locate(&described)?;
        let size = size_of(described.dtype);
        if storage.len() != described.count.saturating_mul(size) || !described.fits() {
            return Err(format!("`{name}` does not fit into its values"));
        }
        let Described { name, dtype, shape, strides, offset, .. } = described;
        tensors.insert(name, Stored { dtype, shape, strides, offset, storage });
    }
    if tensors.is_empty() { Err(NO_STATE_DICT.to_owned()) } else { Ok(tensors) }
}

/// Says so: there is a cure of its own.
pub(super) const NO_STATE_DICT: &str = "no tensors by name, so no plain state dict";

fn describe(pickle: &Pickle, name: &str, arguments: Id) -> Result<Described, String> {
    let arguments = pickle.items(arguments).unwrap_or_default();
    let [storage, offset, shape, strides, ..] = arguments else { return Err("not described".to_owned()) };
    let Value::Persistent(storage) = pickle.get(*storage) else { return Err("no storage".to_owned()) };
    let storage = pickle.items(*storage).unwrap_or_default();
    let [_, class, key, _, count, view @ ..] = storage else {
        return Err("a storage that is not described".to_owned());
    };
    if view.iter().any(|id| pickle.get(*id) != &Value::Other) {
        return Err("a storage within another".to_owned());
    }
    let dtype = match pickle.get(*class) {
        Value::Global(_, class) => type_of(class).ok_or_else(|| format!("values of `{class}`"))?,
        _ => return Err("a storage of no type".to_owned()),
    };
    let numbers = || {
        Some((
            pickle.text(*key)?,
            pickle.count(*count)?,
            pickle.count(*offset)?,
            pickle.counts(*shape)?,
            pickle.counts(*strides)?,
        ))
    };
    let (key, count, offset, shape, strides) = numbers().ok_or("sizes that are none")?;
    Ok(Described { name: name.to_owned(), dtype, shape, strides, offset, key: key.to_owned(), count })
}

impl Described {
    /// Whether all its values are in its storage.
    fn fits(&self) -> bool {
        if self.shape.len() != self.strides.len() || self.shape.contains(&0) {
            return self.shape.len() == self.strides.len() && self.offset <= self.count;
        }
        let mut steps = self.shape.iter().zip(&self.strides);
        let last =
            steps.try_fold(self.offset, |sum, (length, stride)| sum.checked_add((length - 1).checked_mul(*stride)?));
        last.is_some_and(|last| last < self.count)
    }
}

fn is_contiguous(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1;
    shape.iter().zip(strides).rev().all(|(length, stride)| {
        let fits = *length == 1 || *stride == expected;
        expected *= length;
        fits
    })
}

fn type_of(class: &str) -> Option<Dtype> {
    Some(match class {
        "FloatStorage" => Dtype::F32,
        "HalfStorage" => Dtype::F16,
        "BFloat16Storage" => Dtype::BF16,
        "DoubleStorage" => Dtype::F64,
        "LongStorage" => Dtype::I64,
        "IntStorage" => Dtype::I32,
        "ShortStorage" => Dtype::I16,
        "CharStorage" => Dtype::I8,
        "ByteStorage" => Dtype::U8,
        "BoolStorage" => Dtype::BOOL,
        _ => return None,
    })
}

/// Bytes of a value.
fn size_of(dtype: Dtype) -> usize {
    dtype.bitsize() / 8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> Vec<u8> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/encoders/pickles");
        std::fs::read(folder.join(name)).unwrap()
    }

    /// What the script put into both files.
    fn check(state: &StateDict) {
        assert_eq!(state.names().collect::<Vec<_>>(), ["count", "half", "rows", "shared", "turned"]);
        let values = |name: &str| -> Vec<f32> {
            let bytes = state.values(state.get(name).unwrap());
            bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
        };
        assert_eq!(values("rows"), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(values("turned"), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0], "a view with other strides");
        assert_eq!(values("shared"), [3.0, 4.0, 5.0], "a part of another tensor's values");
        assert_eq!(state.get("turned").unwrap().shape, [3, 2]);
        let half = state.get("half").unwrap();
        assert_eq!((half.dtype, state.values(half)), (Dtype::F16, vec![0x00, 0x3e]));
        let count = state.get("count").unwrap();
        assert_eq!(
            (count.dtype, &count.shape[..], state.values(count)),
            (Dtype::I64, &[][..], 7_i64.to_le_bytes().into())
        );
    }

    #[test]
    fn both_formats_give_the_same_tensors() {
        check(&StateDict::of_zip(fixture("new.bin")).unwrap());
        check(&StateDict::of_pickles(fixture("old.bin")).unwrap());
    }

    #[test]
    fn a_file_that_is_cut_anywhere_is_refused() {
        let old = fixture("old.bin");
        for end in 0..old.len() {
            assert!(StateDict::of_pickles(old[..end].to_vec()).is_err(), "{end} of {}", old.len());
        }
        let new = fixture("new.bin");
        for end in (0..new.len()).step_by(7) {
            assert!(StateDict::of_zip(new[..end].to_vec()).is_err(), "{end} of {}", new.len());
        }
    }

    /// Whatever a byte becomes: an error or other values, and no panic.
    #[test]
    fn a_changed_byte_does_no_harm() {
        let old = fixture("old.bin");
        for at in 0..old.len() {
            for change in [1, 0x80, 0xff] {
                let mut bytes = old.clone();
                bytes[at] ^= change;
                if let Ok(state) = StateDict::of_pickles(bytes) {
                    for name in state.names() {
                        let tensor = state.get(name).unwrap();
                        // A stride of 0 repeats values; so may be as many as one likes, which nobody asks for.
                        if tensor.shape.iter().product::<usize>() < 1 << 16 {
                            state.values(tensor);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_no_state_dict_says_so() {
        let text = |result: Result<StateDict, String>| result.map(|_| ()).unwrap_err();
        assert!(text(StateDict::of_pickles(b"\x80\x02}q\x00.".to_vec())).contains("not of `torch.save`"));
        assert_eq!(text(StateDict::of_zip(fixture("model.bin"))), NO_STATE_DICT);
    }
}
