//! One NVIDIA card through NVML.

use std::time::Duration;

use nvml_wrapper::{
    Device, EventSet, Nvml,
    bitmasks::event::EventTypes,
    enum_wrappers::device::{Clock, EccCounter, MemoryError, TemperatureSensor},
    enums::{device::UsedGpuMemory, event::XidError},
    error::NvmlError,
};
use tracing::debug;

use super::{nvml, throttle};
use crate::protocol::{Sample, SampledDevice};

/// How long NVML may wait for an error to be reported, in milliseconds: none that is there already is missed.
const EVENT_WAIT_MS: u32 = 1;
/// Errors that are taken at once.
const MAX_EVENTS: usize = 16;
/// The number that stands for an error whose number the driver does not tell.
const UNKNOWN_XID: u64 = 999;

/// A card that is there.
pub(super) struct CardSource<'nvml> {
    device: Device<'nvml>,
    /// Tells of critical errors; none: this driver cannot.
    errors: Option<EventSet<'nvml>>,
    /// Energy since the driver was loaded, in millijoules, when it was sampled last.
    energy_mj: Option<u64>,
    /// As the driver describes it.
    pub(super) info: SampledDevice,
}

impl<'nvml> CardSource<'nvml> {
    /// Finds the card that CUDA counts as `ordinal`.
    ///
    /// # Errors
    /// NVML's, when there is no such card. What else it cannot tell is left out.
    pub(super) fn open(nvml: &'nvml Nvml, ordinal: usize, uuid: Option<&str>) -> Result<Self, NvmlError> {
        let device = nvml::find(nvml, ordinal, uuid)?;
        let info = SampledDevice {
            uuid: device.uuid().unwrap_or_default(),
            model: device.name().unwrap_or_default(),
            memory_bytes: device.memory_info().map_or(0, |memory| memory.total),
            power_limit_w: device.enforced_power_limit().ok().map(from_thousandths),
            driver: nvml.sys_driver_version().ok(),
        };
        let errors = nvml
            .create_event_set()
            .and_then(|set| device.register_events(EventTypes::CRITICAL_XID_ERROR, set).map_err(|error| error.error));
        let errors = errors.inspect_err(|error| debug!(%error, "no critical errors will be told of this card")).ok();
        Ok(Self { device, errors, energy_mj: None, info })
    }

    /// A sample over the time `span`; 0: the first, or one after a gap.
    ///
    /// # Errors
    /// When the driver does not reach the card any more. A value that it cannot tell is no error.
    pub(super) fn sample(&mut self, span: Duration) -> Result<Sample, NvmlError> {
        let device = &self.device;
        let memory = told(device.memory_info())?;
        let power_w = told(device.power_usage())?.map(from_thousandths);
        let energy_mj = told(device.total_energy_consumption())?;
        let before = std::mem::replace(&mut self.energy_mj, energy_mj);
        let counted_j = energy_mj.zip(before).map(|(now, before)| now.saturating_sub(before) as f64 / 1e3);
        let throttle = told(device.current_throttle_reasons())?;
        let processes = told(device.running_compute_processes())?;
        let ecc = |kind| told(device.total_ecc_errors(kind, EccCounter::Volatile));
        let clock = |kind| told(device.clock_info(kind)).map(|clock| clock.map(f64::from));
        Ok(Sample {
            utilisation: told(device.utilization_rates())?.map(|rates| f64::from(rates.gpu.min(100)) / 100.0),
            memory_used_bytes: memory.map(|memory| memory.used),
            own_memory_bytes: processes.as_ref().and_then(|processes| {
                let used = processes.iter().map(|process| match process.used_gpu_memory {
                    UsedGpuMemory::Used(bytes) => (process.pid, Some(bytes)),
                    UsedGpuMemory::Unavailable => (process.pid, None),
                });
                own_memory(&used.collect::<Vec<_>>(), std::process::id())
            }),
            power_w,
            // Cards before Volta do not count their energy.
            energy_j: counted_j.or_else(|| power_w.map(|watts| watts * span.as_secs_f64())).filter(|_| !span.is_zero()),
            temperature_c: told(device.temperature(TemperatureSensor::Gpu))?.map(f64::from),
            sm_clock_mhz: clock(Clock::SM)?,
            memory_clock_mhz: clock(Clock::Memory)?,
            throttle: throttle.and_then(throttle::names),
            ecc_corrected: ecc(MemoryError::Corrected)?,
            ecc_uncorrected: ecc(MemoryError::Uncorrected)?,
            processes: processes.map(|processes| processes.len() as u32),
            ..Sample::default()
        })
    }

    /// Numbers of the critical errors since the last call.
    ///
    /// # Errors
    /// When the driver does not reach the card any more.
    pub(super) fn errors(&self) -> Result<Vec<u64>, NvmlError> {
        let Some(set) = &self.errors else { return Ok(Vec::new()) };
        let mut numbers = Vec::new();
        while numbers.len() < MAX_EVENTS {
            match set.wait(EVENT_WAIT_MS) {
                Ok(event) => numbers.push(match event.event_data {
                    Some(XidError::Value(number)) => number,
                    Some(XidError::Unknown) | None => UNKNOWN_XID,
                }),
                Err(error) if is_lost(&error) => return Err(error),
                Err(_) => break,
            }
        }
        Ok(numbers)
    }
}

fn from_thousandths(value: u32) -> f64 {
    f64::from(value) / 1e3
}

/// A value, or none where this card or driver cannot tell it.
fn told<T>(value: Result<T, NvmlError>) -> Result<Option<T>, NvmlError> {
    match value {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_lost(&error) => Err(error),
        Err(_) => Ok(None),
    }
}

/// Whether the driver does not reach the card any more, whatever it is asked.
fn is_lost(error: &NvmlError) -> bool {
    matches!(
        error,
        NvmlError::GpuLost
            | NvmlError::ResetRequired
            | NvmlError::Uninitialized
            | NvmlError::DriverNotLoaded
            | NvmlError::LibRmVersionMismatch
    )
}

/// Memory that this process uses, of processes with their ids and memory.
///
/// In a container process ids are others than the driver's. A card's only process is then this one, because a worker is asked of the card
/// that it drives; where there are several, it is not known which.
fn own_memory(processes: &[(u32, Option<u64>)], own: u32) -> Option<u64> {
    match processes.iter().find(|(pid, _)| *pid == own) {
        Some((_, bytes)) => *bytes,
        None => match processes {
            [(_, bytes)] => *bytes,
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_memory_is_not_that_of_others() {
        assert_eq!(own_memory(&[(7, Some(70)), (8, Some(80))], 8), Some(80));
        assert_eq!(own_memory(&[(7, Some(70)), (8, None)], 8), None);
        assert_eq!(own_memory(&[(7, Some(70)), (8, Some(80))], 1), None);
        // In a container: the only one must be this one.
        assert_eq!(own_memory(&[(4711, Some(70))], 1), Some(70));
        assert_eq!(own_memory(&[], 1), None);
    }
}
