//! The kernels, compiled by the system's C++ compiler when first needed.

use std::{
    ffi::{OsStr, c_void},
    io::Write,
    path::PathBuf,
    process::Command,
    sync::{Mutex, OnceLock, PoisonError},
};

use libloading::Library;

/// Calls a kernel with arguments behind pointers.
type Call = unsafe extern "C" fn(*mut *mut c_void);
type Launch = unsafe extern "C" fn(Call, *const u32, *const u32, *mut *mut c_void, u64) -> i32;

/// The kernels of `kernels/*.cu` for the processor.
#[derive(Debug)]
pub(super) struct Kernels {
    library: Library,
    /// The runtime has one set of fibers.
    running: Mutex<()>,
}

/// The kernels; none without a C++ compiler, which is said on standard error.
pub(super) fn kernels() -> Option<&'static Kernels> {
    static KERNELS: OnceLock<Option<Kernels>> = OnceLock::new();
    KERNELS.get_or_init(compile).as_ref()
}

fn compile() -> Option<Kernels> {
    if !cfg!(target_os = "linux") {
        writeln!(std::io::stderr().lock(), "skipped: CUDA kernels are emulated on Linux alone").unwrap();
        return None;
    }
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/cuda");
    let mut units: Vec<PathBuf> =
        std::fs::read_dir(source.join("kernels")).unwrap().map(|entry| entry.unwrap().path()).collect();
    units.retain(|path| path.extension() == Some(OsStr::new("cu")));
    units.sort();
    units.push(source.join("emulation/emulation.cpp"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kernels.so");
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    let mut command = Command::new(&compiler);
    command.args(["-std=c++17", "-O1", "-shared", "-fPIC", "-Wall", "-Wno-unknown-pragmas", "-ffp-contract=off"]);
    command.args(["-U_FORTIFY_SOURCE", "-DPERMAFROST_EMULATION"]);
    command.arg("-I").arg(source.join("emulation")).arg("-I").arg(source.join("kernels"));
    command.arg("-o").arg(&file).args(["-x", "c++"]).args(units);
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => {
            let stderr = &mut std::io::stderr().lock();
            writeln!(stderr, "skipped: no C++ compiler to emulate CUDA kernels with ({compiler:?}: {error})").unwrap();
            return None;
        }
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // SAFETY: the library has no initialisers but those of plain data.
    let library = unsafe { Library::new(&file) }.unwrap();
    Some(Kernels { library, running: Mutex::new(()) })
}

impl Kernels {
    /// Number of arguments of a kernel.
    pub(super) fn arguments(&self, kernel: &str) -> Option<usize> {
        type Count = unsafe extern "C" fn() -> u32;
        // SAFETY: the macro `KERNEL` defines the function with this type.
        unsafe { self.library.get::<Count>(format!("{kernel}_count\0").as_bytes()).ok().map(|count| count() as usize) }
    }

    /// Runs a kernel. `seed` orders its threads.
    ///
    /// # Safety
    /// The arguments are those that the kernel declares.
    pub(super) unsafe fn launch(&self, kernel: &str, grid: [u32; 3], block: [u32; 3], values: &[u64], seed: u64) {
        let mut values = values.to_vec();
        let mut pointers: Vec<*mut c_void> = values.iter_mut().map(|value| std::ptr::from_mut(value).cast()).collect();
        let _running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: both functions have these types in `emulation.h` and `emulation.cpp`.
        let code = unsafe {
            let call = *self.library.get::<Call>(format!("{kernel}_call\0").as_bytes()).unwrap();
            let launch = *self.library.get::<Launch>(b"emulation_launch\0").unwrap();
            launch(call, grid.as_ptr(), block.as_ptr(), pointers.as_mut_ptr(), seed)
        };
        assert_eq!(
            code, 0,
            "`{kernel}`: 1 is a barrier that not all threads reach, 2 a grid {grid:?} or block {block:?}"
        );
    }
}
