//! NVIDIA cards through NVML, the driver's own library. No driver means no cards, not a failure.

use std::ffi::{OsStr, OsString};

use nvml_wrapper::{Device, Nvml, error::NvmlError};

/// Environment variable that names the library, where it is not `libnvidia-ml.so.1` on the loader's path.
pub const LIBRARY: &str = "PERMAFROST_NVML";

/// A card, as `nvidia-smi` would list it.
#[derive(Clone, Debug, PartialEq)]
pub struct Card {
    /// Model name.
    pub model: String,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Free memory in bytes.
    pub free_bytes: u64,
    /// Driver version.
    pub driver: String,
}

/// The library of the environment; none: the one on the loader's path.
pub(super) fn library() -> Option<OsString> {
    std::env::var_os(LIBRARY).filter(|name| !name.is_empty())
}

/// Opens the library.
pub(super) fn open(library: Option<&OsStr>) -> Result<Nvml, NvmlError> {
    match library {
        Some(path) => Nvml::builder().lib_path(path).init(),
        None => Nvml::init(),
    }
}

/// The cards of this machine, in NVML's order.
///
/// # Errors
/// When there is no driver, or it does not answer.
pub fn cards() -> Result<Vec<Card>, NvmlError> {
    let nvml = open(library().as_deref())?;
    (0..nvml.device_count()?).map(|index| card(&nvml, &nvml.device_by_index(index)?)).collect()
}

/// The card that CUDA counts as `ordinal`; see [`find`].
///
/// # Errors
/// When there is no driver, or no such card.
pub(crate) fn card_of(ordinal: usize, uuid: Option<&str>) -> Result<Card, NvmlError> {
    let nvml = open(library().as_deref())?;
    card(&nvml, &find(&nvml, ordinal, uuid)?)
}

fn card(nvml: &Nvml, device: &Device<'_>) -> Result<Card, NvmlError> {
    let memory = device.memory_info()?;
    Ok(Card {
        model: device.name()?,
        memory_bytes: memory.total,
        free_bytes: memory.free,
        driver: nvml.sys_driver_version()?,
    })
}

/// The card that CUDA counts as `ordinal`.
///
/// NVML counts all cards of the machine, in the order of the bus. CUDA counts those of `CUDA_VISIBLE_DEVICES`, by default the fastest
/// first. So the card is found by the UUID that CUDA says it has. Where CUDA cannot say, by the entry of `CUDA_VISIBLE_DEVICES`, a
/// number or the beginning of a UUID; and without that variable by the number alone.
///
/// # Errors
/// [`NvmlError::NotFound`], or the driver's own.
pub(super) fn find<'nvml>(nvml: &'nvml Nvml, ordinal: usize, uuid: Option<&str>) -> Result<Device<'nvml>, NvmlError> {
    let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    match uuid.map_or_else(|| entry(ordinal, visible.as_deref()), |uuid| Some(Entry::Uuid(uuid.to_owned()))) {
        Some(Entry::Index(index)) => nvml.device_by_index(index),
        Some(Entry::Uuid(uuid)) => by_uuid(nvml, &uuid),
        None => Err(NvmlError::NotFound),
    }
}

fn by_uuid<'nvml>(nvml: &'nvml Nvml, uuid: &str) -> Result<Device<'nvml>, NvmlError> {
    // CUDA does not say whether its device is a whole card or a part of one; a user may abbreviate.
    let bare = uuid.strip_prefix("GPU-").or_else(|| uuid.strip_prefix("MIG-")).unwrap_or(uuid);
    for name in [uuid.to_owned(), format!("GPU-{bare}"), format!("MIG-{bare}")] {
        if let Ok(device) = nvml.device_by_uuid(name) {
            return Ok(device);
        }
    }
    for index in 0..nvml.device_count()? {
        let device = nvml.device_by_index(index)?;
        if device.uuid()?.starts_with(uuid) {
            return Ok(device);
        }
    }
    Err(NvmlError::NotFound)
}

/// An entry of `CUDA_VISIBLE_DEVICES`.
#[derive(Debug, PartialEq)]
enum Entry {
    Index(u32),
    Uuid(String),
}

/// The `ordinal`th entry; without the variable, that number. CUDA sees nothing from the first entry on that is not valid.
fn entry(ordinal: usize, visible: Option<&str>) -> Option<Entry> {
    let Some(visible) = visible else { return u32::try_from(ordinal).ok().map(Entry::Index) };
    let entries = visible.split(',').map(str::trim);
    let valid = entries.map_while(|entry| match entry.parse::<i64>() {
        Ok(index) => u32::try_from(index).ok().map(Entry::Index),
        Err(_) if entry.starts_with("GPU-") || entry.starts_with("MIG-") => Some(Entry::Uuid(entry.to_owned())),
        Err(_) => None,
    });
    valid.into_iter().nth(ordinal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_cuda() {
        let uuid = |text: &str| Some(Entry::Uuid(text.to_owned()));
        assert_eq!(entry(1, None), Some(Entry::Index(1)));
        assert_eq!(entry(0, Some("3,1")), Some(Entry::Index(3)));
        assert_eq!(entry(1, Some("3, GPU-5a2f")), uuid("GPU-5a2f"));
        assert_eq!(entry(0, Some("MIG-77aa")), uuid("MIG-77aa"));
        for (ordinal, visible) in [(0, ""), (1, "2"), (1, "0,-1,2"), (2, "0,-1,2"), (0, "cpu")] {
            assert_eq!(entry(ordinal, Some(visible)), None, "{ordinal} of `{visible}`");
        }
    }
}
