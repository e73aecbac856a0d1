//! Devices: the CPU, or one CUDA card.

#[cfg(feature = "cuda")]
use std::sync::{Mutex, PoisonError};
use std::{collections::BTreeMap, sync::Arc};

use crate::{
    cuda::{AdaptorArray, Arithmetic, Stream, heads::HeadSizes},
    error::{Error, Result},
    model::{AdaptorShape, Dims, HeadShape, WIDTH},
    monitor,
    protocol::{DeviceInfo, SampledDevice},
    task::Kind,
    train::sizing,
};

/// Where trials run.
#[derive(Clone, Debug)]
pub enum Device {
    /// The processor; members of an array run side by side, one a thread.
    Cpu {
        /// Threads used for computing.
        threads: usize,
    },
    /// One CUDA card; the members of an array are one batched model.
    Cuda {
        /// Number of the card, as CUDA counts.
        ordinal: usize,
        /// Candle's handle of it.
        candle: candle_core::Device,
    },
}

impl Device {
    /// Opens `cpu`, `cuda` or `cuda:N`. `threads` is for the CPU; none takes all the cores this process may use.
    ///
    /// # Errors
    /// [`Error::Resources`] when CUDA is asked for and not there: there is no silent fallback.
    pub fn open(name: &str, threads: Option<usize>) -> Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        match name.split_once(':').map_or((name, "0"), |(kind, number)| (kind, number)) {
            ("cpu", "0") => Ok(Self::Cpu { threads: threads.unwrap_or(cores).max(1) }),
            ("cuda", number) => {
                let ordinal = number.parse().map_err(|_| unknown(name))?;
                let candle = candle_core::Device::new_cuda(ordinal).map_err(|error| Error::Resources {
                    what: format!("device {name} cannot be opened: {error}"),
                    cure: Some(if cfg!(feature = "cuda") {
                        "check `nvidia-smi`, or use `--device cpu`".to_owned()
                    } else {
                        "this program was built without CUDA: build with `--features cuda`, or use `--device cpu`"
                            .to_owned()
                    }),
                })?;
                Ok(Self::Cuda { ordinal, candle })
            }
            _ => Err(unknown(name)),
        }
    }

    /// Candle's handle.
    pub fn candle(&self) -> candle_core::Device {
        match self {
            Self::Cpu { .. } => candle_core::Device::Cpu,
            Self::Cuda { candle, .. } => candle.clone(),
        }
    }

    /// The queue of work on this card; none: it is the processor.
    ///
    /// # Errors
    /// [`Error::Resources`] when the card cannot be used.
    pub(crate) fn stream(&self) -> Result<Option<Arc<dyn Stream>>> {
        match self {
            Self::Cpu { .. } => Ok(None),
            #[cfg(test)]
            Self::Cuda { .. } if emulated::get().is_some() => Ok(emulated::get()),
            Self::Cuda { ordinal, .. } => open_card(*ordinal).map(Some),
        }
    }

    /// Threads for work on the processor.
    pub fn threads(&self) -> usize {
        match self {
            Self::Cpu { threads } => *threads,
            Self::Cuda { .. } => std::thread::available_parallelism().map_or(1, usize::from),
        }
    }

    /// Most members of an array of each kind that are worth leasing at once.
    ///
    /// On a card these are as many of the paper's sizes as its free memory has room for, up to a bound that keeps a worker from holding
    /// what others could take. How many of a lease are trained at once is decided when their shapes are known and measured
    /// (`train/sizing.rs`).
    pub fn capacity(&self) -> BTreeMap<Kind, usize> {
        let threads = self.threads();
        Kind::ALL
            .into_iter()
            .map(|kind| {
                let members = match (self, kind) {
                    (_, Kind::Fetch | Kind::Prepare) => 1,
                    (_, Kind::Embed) => 8,
                    (Self::Cpu { .. }, Kind::Pretrain) => threads,
                    (Self::Cuda { .. }, Kind::Pretrain) => self.room(MOST_ADAPTORS, adaptors_bytes),
                    (Self::Cpu { .. }, Kind::Classify) => threads * 16,
                    (Self::Cuda { .. }, Kind::Classify) => self.room(MOST_HEADS, heads_bytes),
                    // On the host, whatever the device; side by side, one a core.
                    (_, Kind::Project) => threads,
                    (_, Kind::Noop) => 64,
                };
                (kind, members)
            })
            .collect()
    }

    /// Members, at most `most`, that the card's free memory has room for when so many take `bytes`; 1 where that is not known.
    fn room(&self, most: usize, bytes: impl Fn(usize) -> usize) -> usize {
        let memory = self.stream().ok().flatten().and_then(|stream| stream.memory().ok());
        memory.map_or(1, |memory| sizing::fits(most, memory.free, bytes))
    }

    /// As recorded with every attempt.
    pub fn info(&self) -> DeviceInfo {
        match self {
            Self::Cpu { threads } => DeviceInfo {
                name: "cpu".to_owned(),
                model: processor_model(),
                threads: *threads,
                memory_bytes: memory_bytes(),
            },
            Self::Cuda { ordinal, .. } => {
                let card = self.card();
                DeviceInfo {
                    name: format!("cuda:{ordinal}"),
                    model: card.as_ref().map_or_else(|| "unknown".to_owned(), |card| card.model.clone()),
                    threads: self.threads(),
                    memory_bytes: card.map_or(0, |card| card.memory_bytes),
                }
            }
        }
    }
}

impl Device {
    /// The card, as its driver describes it; none: it is the processor, or the driver does not say.
    pub fn card(&self) -> Option<monitor::Card> {
        match self {
            Self::Cpu { .. } => None,
            Self::Cuda { ordinal, .. } => monitor::card_of(*ordinal, card_uuid(*ordinal).as_deref()).ok(),
        }
    }

    /// What there is to sample of it.
    pub fn subject(&self) -> monitor::Subject {
        match self {
            Self::Cpu { threads } => monitor::Subject::Processor {
                threads: *threads,
                info: SampledDevice {
                    model: processor_model(),
                    memory_bytes: memory_bytes(),
                    ..SampledDevice::default()
                },
            },
            Self::Cuda { ordinal, .. } => {
                monitor::Subject::Card { ordinal: *ordinal, uuid: card_uuid(*ordinal), library: None }
            }
        }
    }
}

/// Adaptors and heads that a worker leases at once for a card, at most.
const MOST_ADAPTORS: usize = 64;
const MOST_HEADS: usize = 1024;

/// Bytes that Adaptors of the paper's sizes take in training (sections 2.1 and 3.1).
fn adaptors_bytes(members: usize) -> usize {
    let dims = Dims::from(AdaptorShape { image_width: WIDTH, text_width: WIDTH });
    AdaptorArray::bytes_needed(&vec![dims; members], 1024, 1024, Arithmetic::F32).unwrap_or(usize::MAX)
}

/// The same of heads (sections 2.3 and 3.2), for the larger of the paper's collections.
fn heads_bytes(members: usize) -> usize {
    let shape = HeadShape { width: WIDTH, hidden: 512, classes: 1 };
    let sizes = HeadSizes { shape, binary: true, dropout: 0.1, batch: 512, train: 24_104, evaluated: 6_026, steps: 64 };
    sizes.bytes_needed(members)
}

/// The cards that this process has opened, so that it uses one stream each.
#[cfg(feature = "cuda")]
fn open_card(ordinal: usize) -> Result<Arc<dyn Stream>> {
    static CARDS: Mutex<BTreeMap<usize, Arc<dyn Stream>>> = Mutex::new(BTreeMap::new());
    let mut cards = CARDS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(card) = cards.get(&ordinal) {
        return Ok(Arc::clone(card));
    }
    let card = crate::cuda::Card::open(ordinal)?;
    cards.insert(ordinal, Arc::clone(&card));
    Ok(card)
}

#[cfg(not(feature = "cuda"))]
fn open_card(ordinal: usize) -> Result<Arc<dyn Stream>> {
    Err(Error::Resources {
        what: format!("device cuda:{ordinal} cannot be used: this program was built without CUDA"),
        cure: Some("build with `--features cuda`, or use `--device cpu`".to_owned()),
    })
}

/// The UUID of the card that CUDA counts so, without the prefix that says whether it is a whole card.
#[cfg(feature = "cuda")]
fn card_uuid(ordinal: usize) -> Option<String> {
    use cudarc::driver::result::{device, init};
    init().ok()?;
    let card = device::get(i32::try_from(ordinal).ok()?).ok()?;
    let bytes = device::get_uuid(card).ok()?.bytes;
    Some(uuid::Uuid::from_bytes(bytes.map(|byte| byte.to_ne_bytes()[0])).hyphenated().to_string())
}

#[cfg(not(feature = "cuda"))]
const fn card_uuid(_: usize) -> Option<String> {
    None
}

/// A card that is none, for tests of what is done on cards.
#[cfg(test)]
pub(crate) mod emulated {
    use std::{cell::RefCell, sync::Arc};

    use crate::cuda::Stream;

    thread_local! {
        static STREAM: RefCell<Option<Arc<dyn Stream>>> = const { RefCell::new(None) };
    }

    /// Runs `work`, to which every card of this thread is `stream`.
    pub(crate) fn with<T>(stream: &Arc<dyn Stream>, work: impl FnOnce() -> T) -> T {
        let before = STREAM.replace(Some(Arc::clone(stream)));
        let result = work();
        STREAM.set(before);
        result
    }

    pub(super) fn get() -> Option<Arc<dyn Stream>> {
        STREAM.with_borrow(Option::clone)
    }
}

fn unknown(name: &str) -> Error {
    Error::Input { what: format!("unknown device `{name}`"), cure: Some("use cpu, cuda or cuda:N".to_owned()) }
}

/// The processor's name, from `/proc/cpuinfo` where there is one.
fn processor_model() -> String {
    std::fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        })
        .unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// Memory of this machine in bytes, from `/proc/meminfo`; 0 where that is not known.
fn memory_bytes() -> u64 {
    std::fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        })
        .map_or(0, |kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert!(matches!(Device::open("cpu", Some(3)).unwrap(), Device::Cpu { threads: 3 }));
        for name in ["gpu", "cpu:1", "cuda:x", ""] {
            assert!(Device::open(name, None).is_err(), "{name}");
        }
    }

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn cuda_is_never_replaced_by_the_cpu() {
        let error = Device::open("cuda", None).unwrap_err();
        assert!(error.cure().unwrap().contains("--features cuda"), "{error}");
    }
}
