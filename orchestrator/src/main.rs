//! The program. All of it is in the library.

/// Training and encoders work in buffers of megabytes, which this allocator keeps for the next step.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    permafrost::cli::main()
}
