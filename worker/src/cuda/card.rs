//! A CUDA card.

use std::{
    collections::HashMap,
    ffi::c_void,
    fmt::Debug,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cudarc::{
    cublas::{result as blas, sys as blas_sys},
    driver::{CudaContext, CudaFunction, CudaGraph, CudaModule, CudaStream, DriverError, result as driver, sys},
    nvrtc::Ptx,
};

use super::{
    error::{CudaError, Result},
    stream::{Argument, Gemm, Kind, Memory, Operand, Replay, Stream},
};

/// Each `kernels/*.cu` as PTX, with its name.
const MODULES: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/kernels.rs"));

/// Memory for cuBLAS. Its own would be allocated in the middle of recorded work. NVIDIA recommends 32 MiB for Hopper.
const WORKSPACE: usize = 32 << 20;

/// One card, with a stream of its own in its primary context, which candle shares. To be used by one thread at a time.
///
/// Kernels are loaded at the first use, and compiled then by the driver unless that did it before.
pub struct Card {
    /// Dropped first: it works on the stream.
    blas: Mutex<Handle>,
    stream: Arc<CudaStream>,
    context: Arc<CudaContext>,
    pool: Option<Pool>,
    workspace: u64,
    loaded: Mutex<Loaded>,
    name: String,
}

/// The device's pool of memory.
#[derive(Clone, Copy)]
struct Pool(sys::CUmemoryPool);

// SAFETY: the driver's functions on pools may be called from any thread.
unsafe impl Send for Pool {}
// SAFETY: as above.
unsafe impl Sync for Pool {}

/// A handle of cuBLAS. cudarc's own panics when it cannot be destroyed, which is so after any failure of the device.
struct Handle(blas_sys::cublasHandle_t);

// SAFETY: a handle may be used by any thread, one at a time; a mutex sees to that.
unsafe impl Send for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: nobody uses it any more. After an error there is nothing left to do.
        let _ = unsafe { blas::destroy_handle(self.0) };
    }
}

#[derive(Default)]
struct Loaded {
    modules: Vec<Arc<CudaModule>>,
    functions: HashMap<&'static str, CudaFunction>,
}

impl Debug for Card {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Card").field("name", &self.name).finish_non_exhaustive()
    }
}

fn failed(call: &'static str) -> impl FnOnce(DriverError) -> CudaError {
    // The text of an error asks the driver, which may be what failed.
    move |error| CudaError::Call { call, what: format!("{:?}", error.0) }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Card {
    /// Opens card `ordinal`, as CUDA counts.
    ///
    /// # Errors
    /// When there is no such card, or its driver does not answer.
    pub fn open(ordinal: usize) -> Result<Arc<dyn Stream>> {
        let context = CudaContext::new(ordinal).map_err(failed("cuDevicePrimaryCtxRetain"))?;
        // SAFETY: of this `CudaContext`, which nobody else has, exactly one stream is used.
        unsafe { context.disable_event_tracking() };
        let stream = context.new_stream().map_err(failed("cuStreamCreate"))?;
        let name = context.name().map_err(failed("cuDeviceGetName"))?;
        let pool = if context.has_async_alloc() { Some(pool_of(&context)?) } else { None };
        let handle = Handle(blas::create_handle().map_err(CudaError::call("cublasCreate"))?);
        // SAFETY: both were just made.
        unsafe { blas::set_stream(handle.0, stream.cu_stream().cast()) }.map_err(CudaError::call("cublasSetStream"))?;
        let mut card =
            Self { blas: Mutex::new(handle), stream, context, pool, workspace: 0, loaded: Mutex::default(), name };
        card.workspace = card.allocate(WORKSPACE)?;
        let handle = lock(&card.blas).0;
        // SAFETY: the handle lives, and the workspace is freed after it (see `drop`).
        let status = unsafe { blas_sys::cublasSetWorkspace_v2(handle, card.workspace as *mut c_void, WORKSPACE) };
        status.result().map_err(CudaError::call("cublasSetWorkspace"))?;
        Ok(Arc::new(card))
    }

    fn bind(&self) -> Result<()> {
        self.context.bind_to_thread().map_err(failed("earlier work"))
    }

    /// A kernel, by its name in whichever module it is.
    fn function(&self, kernel: &'static str) -> Result<CudaFunction> {
        let mut loaded = lock(&self.loaded);
        if loaded.modules.is_empty() {
            for (_, ptx) in MODULES {
                let module = self.context.load_module(Ptx::from_src(*ptx)).map_err(failed("cuModuleLoadData"))?;
                loaded.modules.push(module);
            }
        }
        if let Some(function) = loaded.functions.get(kernel) {
            return Ok(function.clone());
        }
        for module in &loaded.modules {
            match module.load_function(kernel) {
                Ok(function) => {
                    loaded.functions.insert(kernel, function.clone());
                    return Ok(function);
                }
                Err(DriverError(sys::CUresult::CUDA_ERROR_NOT_FOUND)) => {}
                Err(error) => return Err(failed("cuModuleGetFunction")(error)),
            }
        }
        Err(CudaError::NoKernel(kernel.to_owned()))
    }

    fn try_allocate(&self, bytes: usize) -> std::result::Result<u64, DriverError> {
        // SAFETY: the stream lives; what is in the memory is nobody's assumption.
        unsafe {
            match self.pool {
                Some(_) => driver::malloc_async(self.stream.cu_stream(), bytes),
                None => driver::malloc_sync(bytes),
            }
        }
    }
}

/// The device's pool, told to keep what is freed: else each wait might give memory back to the system.
fn pool_of(context: &CudaContext) -> Result<Pool> {
    // SAFETY: the device exists, and the attribute is a `cuuint64_t`.
    unsafe {
        let pool =
            driver::device::get_default_mem_pool(context.cu_device()).map_err(failed("cuDeviceGetDefaultMemPool"))?;
        let mut threshold = u64::MAX;
        let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        driver::mem_pool::set_attribute(pool, attribute, std::ptr::from_mut(&mut threshold).cast())
            .map_err(failed("cuMemPoolSetAttribute"))?;
        Ok(Pool(pool))
    }
}

impl Stream for Card {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn memory(&self) -> Result<Memory> {
        let (mut free, total) = self.context.mem_get_info().map_err(failed("cuMemGetInfo"))?;
        if let Some(Pool(pool)) = self.pool {
            let read = |attribute| {
                let mut bytes = 0_u64;
                // SAFETY: the pool is the device's, and the attribute a `cuuint64_t`.
                unsafe { driver::mem_pool::get_attribute(pool, attribute, std::ptr::from_mut(&mut bytes).cast()) }
                    .map_err(failed("cuMemPoolGetAttribute"))?;
                Ok::<_, CudaError>(bytes as usize)
            };
            let reserved = read(sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT)?;
            let used = read(sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT)?;
            // What the pool keeps is free for us.
            free += reserved.saturating_sub(used);
        }
        Ok(Memory { free, total })
    }

    fn allocate(&self, bytes: usize) -> Result<u64> {
        self.bind()?;
        let first = self.try_allocate(bytes);
        let Err(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY)) = first else {
            return first.map_err(failed("cuMemAlloc"));
        };
        // Pieces that the pool keeps may be too small each: they go back to the system for a second try.
        self.synchronise()?;
        if let Some(Pool(pool)) = self.pool {
            // SAFETY: the pool is the device's.
            unsafe { driver::mem_pool::trim_to(pool, 0) }.map_err(failed("cuMemPoolTrimTo"))?;
        }
        match self.try_allocate(bytes) {
            Err(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => {
                Err(CudaError::OutOfMemory { bytes, free: self.memory()?.free })
            }
            second => second.map_err(failed("cuMemAlloc")),
        }
    }

    unsafe fn free(&self, address: u64, _: usize) {
        self.context.record_err(self.context.bind_to_thread());
        // SAFETY: the caller's word. Errors show in a later call.
        let result = unsafe {
            match self.pool {
                Some(_) => driver::free_async(address, self.stream.cu_stream()),
                None => self.stream.synchronize().and_then(|()| driver::free_sync(address)),
            }
        };
        self.context.record_err(result);
    }

    unsafe fn upload(&self, to: u64, from: &[u8]) -> Result<()> {
        self.bind()?;
        // SAFETY: the caller's word; waiting below keeps `from` borrowed until it was read.
        unsafe { driver::memcpy_htod_async(to, from, self.stream.cu_stream()) }.map_err(failed("cuMemcpyHtoD"))?;
        self.synchronise()
    }

    unsafe fn download(&self, from: u64, to: &mut [u8]) -> Result<()> {
        self.bind()?;
        // SAFETY: the caller's word; waiting below keeps `to` borrowed until it was written.
        unsafe { driver::memcpy_dtoh_async(to, from, self.stream.cu_stream()) }.map_err(failed("cuMemcpyDtoH"))?;
        self.synchronise()
    }

    unsafe fn copy(&self, from: u64, to: u64, bytes: usize) -> Result<()> {
        self.bind()?;
        // SAFETY: the caller's word.
        unsafe { driver::memcpy_dtod_async(to, from, bytes, self.stream.cu_stream()) }.map_err(failed("cuMemcpyDtoD"))
    }

    unsafe fn zero(&self, at: u64, bytes: usize) -> Result<()> {
        self.bind()?;
        // SAFETY: the caller's word.
        unsafe { driver::memset_d8_async(at, 0, bytes, self.stream.cu_stream()) }.map_err(failed("cuMemsetD8"))
    }

    unsafe fn launch(
        &self,
        kernel: &'static str,
        grid: [u32; 3],
        block: [u32; 3],
        arguments: &[Argument],
    ) -> Result<()> {
        self.bind()?;
        let function = self.function(kernel)?;
        let mut values: Vec<u64> = arguments.iter().map(|argument| argument.bits()).collect();
        let mut pointers: Vec<*mut c_void> = values.iter_mut().map(|value| std::ptr::from_mut(value).cast()).collect();
        let (grid, block) = (<(u32, u32, u32)>::from(grid), <(u32, u32, u32)>::from(block));
        // SAFETY: the caller's word. The driver copies as many bytes of each argument as the kernel declares; those lie at
        // the lowest address of each value.
        unsafe { driver::launch_kernel(function.cu_function(), grid, block, 0, self.stream.cu_stream(), &mut pointers) }
            .map_err(failed(kernel))
    }

    unsafe fn gemm(&self, gemm: &Gemm) -> Result<()> {
        self.bind()?;
        let Gemm { m, n, k, batch, a, b, c, alpha, beta, tf32 } = *gemm;
        let compute = match (a.kind, tf32) {
            (Kind::F32, true) => blas_sys::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32,
            _ => blas_sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
        };
        let handle = lock(&self.blas);
        // cuBLAS has columns where we have rows: it is given c^T = b^T a^T, which it sees without moving anything.
        // SAFETY: the caller's word about memory; the handle lives, and the factors are read before the return.
        unsafe {
            blas::gemm_strided_batched_ex(
                handle.0,
                operation(b),
                operation(a),
                size(n)?,
                size(m)?,
                size(k)?,
                std::ptr::from_ref(&alpha).cast(),
                b.address as *const c_void,
                kind(b),
                size(b.row)?,
                b.stride as i64,
                a.address as *const c_void,
                kind(a),
                size(a.row)?,
                a.stride as i64,
                std::ptr::from_ref(&beta).cast(),
                c.address as *mut c_void,
                kind(c),
                size(c.row)?,
                c.stride as i64,
                size(batch)?,
                compute,
                blas_sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
        }
        .map_err(CudaError::call("cublasGemmStridedBatchedEx"))
    }

    fn synchronise(&self) -> Result<()> {
        self.stream.synchronize().map_err(failed("cuStreamSynchronize"))
    }

    fn record(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<Option<Box<dyn Replay>>> {
        // Calls of other threads, such as candle's allocations, are none of this recording's.
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        self.stream.begin_capture(mode).map_err(failed("cuStreamBeginCapture"))?;
        let result = work();
        // Also after an error: else the stream would record for ever.
        let graph = self.stream.end_capture(sys::CUgraphInstantiate_flags(0));
        result?;
        let graph = graph.map_err(failed("cuStreamEndCapture"))?;
        Ok(graph.map(|graph| Box::new(Recorded(graph)) as Box<dyn Replay>))
    }
}

impl Drop for Card {
    fn drop(&mut self) {
        let handle = lock(&self.blas).0;
        if self.workspace != 0 {
            // SAFETY: the handle lives, and goes back to memory of its own before the workspace is freed behind all work.
            unsafe {
                let _ = blas_sys::cublasSetWorkspace_v2(handle, std::ptr::null_mut(), 0);
                self.free(self.workspace, WORKSPACE);
            }
        }
    }
}

struct Recorded(CudaGraph);

impl Replay for Recorded {
    unsafe fn replay(&self) -> Result<()> {
        self.0.launch().map_err(failed("cuGraphLaunch"))
    }
}

fn size(value: usize) -> Result<i32> {
    i32::try_from(value).map_err(|_| CudaError::Sizes(format!("a matrix of {value} is too large for cuBLAS")))
}

fn kind(operand: Operand) -> blas_sys::cudaDataType {
    match operand.kind {
        Kind::F32 => blas_sys::cudaDataType::CUDA_R_32F,
        Kind::Bf16 => blas_sys::cudaDataType::CUDA_R_16BF,
    }
}

fn operation(operand: Operand) -> blas_sys::cublasOperation_t {
    if operand.transposed { blas_sys::cublasOperation_t::CUBLAS_OP_T } else { blas_sys::cublasOperation_t::CUBLAS_OP_N }
}

/// The first card; none where there is none, which is said on standard error.
#[cfg(test)]
pub(super) fn for_tests() -> Option<Arc<dyn Stream>> {
    use std::io::Write;
    Card::open(0).inspect_err(|error| writeln!(std::io::stderr().lock(), "skipped on a card: {error}").unwrap()).ok()
}
