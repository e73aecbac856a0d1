//! With the feature `cuda`: compiles the kernels of `src/cuda/kernels/*.cu` to PTX, which the card's driver compiles further.
//!
//! Read from the environment, like candle's build: `NVCC`, or else the toolkit in `CUDA_HOME`, `CUDA_PATH`, `CUDA_ROOT` or
//! `CUDA_TOOLKIT_ROOT_DIR`, or else `nvcc` on the `PATH`; and `CUDA_COMPUTE_CAP`, such as 90. PTX runs on cards of that
//! capability and of all later ones.

use std::{
    env,
    error::Error,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Capability without `CUDA_COMPUTE_CAP`: the first that converts to bf16 by itself.
const CAPABILITY: &str = "80";
const FOLDERS: [&str; 4] = ["CUDA_HOME", "CUDA_PATH", "CUDA_ROOT", "CUDA_TOOLKIT_ROOT_DIR"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return Ok(());
    }
    for name in FOLDERS.into_iter().chain(["NVCC", "CUDA_COMPUTE_CAP"]) {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let folder = Path::new("src/cuda/kernels");
    println!("cargo::rerun-if-changed={}", folder.display());
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut sources: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_, Box<dyn Error>>>()?;
    sources.retain(|path| path.extension().is_some_and(|extension| extension == "cu"));
    sources.sort();
    let mut modules = String::from("[\n");
    for source in &sources {
        let name = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let ptx = out.join(format!("{name}.ptx"));
        compile(source, &ptx)?;
        writeln!(modules, "    ({name:?}, include_str!({:?})),", ptx.display().to_string())?;
    }
    modules.push_str("]\n");
    fs::write(out.join("kernels.rs"), modules)?;
    Ok(())
}

fn compile(source: &Path, ptx: &Path) -> Result<(), Box<dyn Error>> {
    let capability = env::var("CUDA_COMPUTE_CAP").unwrap_or_else(|_| CAPABILITY.to_owned());
    // "90a" and "9.0" are the same PTX to us.
    let capability: String = capability.chars().filter(char::is_ascii_digit).collect();
    let nvcc = nvcc();
    let mut command = Command::new(&nvcc);
    command.args(["--ptx", "-O3", "-std=c++17", "-arch"]).arg(format!("compute_{capability}"));
    command.arg("-o").arg(ptx).arg(source);
    let output = command.output().map_err(|error| {
        format!("cannot start {}: {error}; install the CUDA toolkit, or set CUDA_HOME or NVCC", nvcc.display())
    })?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{} failed on {}:\n{text}", nvcc.display(), source.display()).into());
    }
    Ok(())
}

fn nvcc() -> PathBuf {
    if let Some(nvcc) = env::var_os("NVCC") {
        return nvcc.into();
    }
    let folders = FOLDERS.into_iter().filter_map(env::var_os).map(PathBuf::from);
    let found = folders.map(|folder| folder.join("bin/nvcc")).find(|path| path.exists());
    found.unwrap_or_else(|| {
        // Where the toolkit installs itself, which is not always on the PATH.
        let usual = PathBuf::from("/usr/local/cuda/bin/nvcc");
        let on_path =
            env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|folder| folder.join("nvcc").exists()));
        if on_path || !usual.exists() { "nvcc".into() } else { usual }
    })
}
