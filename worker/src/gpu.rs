//! NVIDIA cards through NVML, the driver's own library. No driver means no cards, not a failure.

use nvml_wrapper::{Nvml, error::NvmlError};

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

/// The cards of this machine, in NVML's order.
///
/// # Errors
/// When there is no driver, or it does not answer.
pub fn cards() -> Result<Vec<Card>, NvmlError> {
    let nvml = Nvml::init()?;
    let driver = nvml.sys_driver_version()?;
    (0..nvml.device_count()?)
        .map(|index| {
            let device = nvml.device_by_index(index)?;
            let memory = device.memory_info()?;
            Ok(Card {
                model: device.name()?,
                memory_bytes: memory.total,
                free_bytes: memory.free,
                driver: driver.clone(),
            })
        })
        .collect()
}
