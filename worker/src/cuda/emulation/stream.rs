//! [`Stream`] on the processor.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{
    library::{self, Kernels},
    memory::Pieces,
    product,
};
use crate::cuda::{Argument, CudaError, Gemm, Memory, Replay, Result, Stream};

/// An emulated device with memory of its own.
#[derive(Clone, Debug)]
pub(crate) struct Emulation {
    kernels: &'static Kernels,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    pieces: Pieces,
    recording: Option<Vec<Command>>,
    /// Kernels and products that were run; also the seed of the next one's order of threads.
    launches: u64,
}

/// Work that can be recorded.
#[derive(Clone, Debug)]
enum Command {
    Launch { kernel: &'static str, grid: [u32; 3], block: [u32; 3], values: Vec<u64> },
    Gemm(Gemm),
    Copy { from: u64, to: u64, bytes: usize },
    Zero { at: u64, bytes: usize },
}

impl Emulation {
    /// A device with plenty of memory; none where there is no C++ compiler, which is said on standard error.
    pub(crate) fn open() -> Option<Arc<dyn Stream>> {
        Some(Arc::new(Self::with_memory(8 << 30)?))
    }

    /// A device with `total` bytes of memory; none where there is no C++ compiler.
    pub(crate) fn with_memory(total: usize) -> Option<Self> {
        let state = State { pieces: Pieces::new(total), recording: None, launches: 0 };
        Some(Self { kernels: library::kernels()?, state: Arc::new(Mutex::new(state)) })
    }

    /// Kernels and matrix products that were run.
    pub(crate) fn launches(&self) -> u64 {
        self.state().launches
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Memory in which nothing is recorded at the moment.
    fn idle(&self, call: &'static str) -> Result<MutexGuard<'_, State>> {
        let state = self.state();
        match state.recording {
            None => Ok(state),
            Some(_) => Err(CudaError::Call { call, what: "not while work is recorded".to_owned() }),
        }
    }

    /// # Safety
    /// What the command reads and writes is allocated.
    unsafe fn give(&self, command: Command) -> Result<()> {
        let mut state = self.state();
        if let Some(recording) = &mut state.recording {
            recording.push(command);
            return Ok(());
        }
        // SAFETY: the caller's word.
        unsafe { self.run(&mut state, &command) };
        Ok(())
    }

    /// # Safety
    /// What the command reads and writes is allocated.
    unsafe fn run(&self, state: &mut State, command: &Command) {
        // SAFETY: the caller's word; ranges are checked where they are known.
        match command {
            Command::Launch { kernel, grid, block, values } => unsafe {
                self.kernels.launch(kernel, *grid, *block, values, state.launches + 1);
                state.launches += 1;
            },
            Command::Gemm(gemm) => unsafe {
                let Gemm { m, n, k, batch, a, b, c, .. } = *gemm;
                state.pieces.check(a.address, product::span(a, m, k, batch));
                state.pieces.check(b.address, product::span(b, k, n, batch));
                state.pieces.check(c.address, product::span(c, m, n, batch));
                product::gemm(gemm);
                state.launches += 1;
            },
            Command::Copy { from, to, bytes } => unsafe {
                state.pieces.check(*from, *bytes);
                state.pieces.check(*to, *bytes);
                std::ptr::copy_nonoverlapping(*from as *const u8, *to as *mut u8, *bytes);
            },
            Command::Zero { at, bytes } => unsafe {
                state.pieces.check(*at, *bytes);
                (*at as *mut u8).write_bytes(0, *bytes);
            },
        }
    }
}

impl Stream for Emulation {
    fn name(&self) -> String {
        "emulated CUDA card".to_owned()
    }

    fn memory(&self) -> Result<Memory> {
        Ok(self.state().pieces.memory())
    }

    fn allocate(&self, bytes: usize) -> Result<u64> {
        self.idle("allocate")?.pieces.allocate(bytes)
    }

    unsafe fn free(&self, address: u64, bytes: usize) {
        self.state().pieces.free(address, bytes);
    }

    unsafe fn upload(&self, to: u64, from: &[u8]) -> Result<()> {
        let state = self.idle("upload")?;
        state.pieces.check(to, from.len());
        // SAFETY: the range was checked.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to as *mut u8, from.len()) };
        Ok(())
    }

    unsafe fn download(&self, from: u64, to: &mut [u8]) -> Result<()> {
        let state = self.idle("download")?;
        state.pieces.check_all();
        state.pieces.check(from, to.len());
        // SAFETY: the range was checked.
        unsafe { std::ptr::copy_nonoverlapping(from as *const u8, to.as_mut_ptr(), to.len()) };
        Ok(())
    }

    unsafe fn copy(&self, from: u64, to: u64, bytes: usize) -> Result<()> {
        // SAFETY: the caller's word.
        unsafe { self.give(Command::Copy { from, to, bytes }) }
    }

    unsafe fn zero(&self, at: u64, bytes: usize) -> Result<()> {
        // SAFETY: the caller's word.
        unsafe { self.give(Command::Zero { at, bytes }) }
    }

    unsafe fn launch(
        &self,
        kernel: &'static str,
        grid: [u32; 3],
        block: [u32; 3],
        arguments: &[Argument],
    ) -> Result<()> {
        let count = self.kernels.arguments(kernel).ok_or_else(|| CudaError::NoKernel(kernel.to_owned()))?;
        assert_eq!(arguments.len(), count, "arguments of `{kernel}`");
        for argument in arguments {
            if let Argument::Pointer(address) = argument
                && *address != 0
            {
                self.state().pieces.check(*address, 0);
            }
        }
        let values = arguments.iter().map(|argument| argument.bits()).collect();
        // SAFETY: the caller's word.
        unsafe { self.give(Command::Launch { kernel, grid, block, values }) }
    }

    unsafe fn gemm(&self, gemm: &Gemm) -> Result<()> {
        // SAFETY: the caller's word.
        unsafe { self.give(Command::Gemm(*gemm)) }
    }

    fn synchronise(&self) -> Result<()> {
        self.idle("synchronise")?.pieces.check_all();
        Ok(())
    }

    fn record(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<Option<Box<dyn Replay>>> {
        self.idle("record")?.recording = Some(Vec::new());
        let result = work();
        let commands = self.state().recording.take().unwrap_or_default();
        result?;
        Ok(Some(Box::new(Recorded { stream: self.clone(), commands })))
    }
}

struct Recorded {
    stream: Emulation,
    commands: Vec<Command>,
}

impl Replay for Recorded {
    unsafe fn replay(&self) -> Result<()> {
        let mut state = self.stream.idle("replay")?;
        for command in &self.commands {
            // SAFETY: the caller's word.
            unsafe { self.stream.run(&mut state, command) };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cuda::Buffer;

    #[test]
    fn memory_is_counted_and_limited() {
        let Some(device) = Emulation::with_memory(1000) else { return };
        let stream: Arc<dyn Stream> = Arc::new(device);
        let first = Buffer::<f32>::zeros(&stream, 200).unwrap();
        let refused = Buffer::<f32>::zeros(&stream, 100).unwrap_err();
        assert_eq!(refused, CudaError::OutOfMemory { bytes: 400, free: 200 });
        drop(first);
        assert_eq!(Buffer::from_slice(&stream, &[1.0_f32, 2.0]).unwrap().download().unwrap(), [1.0, 2.0]);
    }
}
