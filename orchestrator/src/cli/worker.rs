//! `permafrost worker`.

use std::{
    io::{self, Read},
    path::Path,
};

use permafrost_worker::{
    agent::{self, AgentError, Endpoint},
    device::Device,
};

use super::{
    args::{Global, Worker},
    connect,
    error::{CliError, exit},
};
use crate::monitor::process::is_alive;

/// Whether there is a coordinator to work for.
///
/// # Errors
/// [`CliError::NoCoordinator`]; others when its files cannot be read.
pub(super) fn checked(home: &Path) -> Result<(), CliError> {
    let nobody = || CliError::NoCoordinator(home.to_owned());
    match Endpoint::read(home) {
        // One that was killed leaves its address.
        Ok(endpoint) if is_alive(endpoint.pid) => Ok(()),
        Ok(_) => Err(nobody()),
        Err(AgentError::NoEndpoint { source, .. })
            if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            Err(nobody())
        }
        Err(error) => Err(error.into()),
    }
}

/// Runs a worker until the coordinator lets it go.
pub(super) async fn run(global: &Global, args: Worker) -> Result<(), CliError> {
    if args.exit_with_parent {
        std::thread::spawn(exit_with_parent);
    }
    let device = Device::open(&args.device, args.threads.map(usize::from))?;
    let wheel_dir = args.wheel_dir.as_deref().map(connect::folder).transpose()?;
    let sample = args.sampling.interval();
    agent::run(agent::Options { home: global.home.clone(), device, wheel_dir, sample }).await?;
    Ok(())
}

/// The other end of standard input is held by whoever started this process: when it closes, that one is gone, however it
/// went, and so is the right to the leases.
fn exit_with_parent() {
    let mut buffer = [0; 64];
    while std::io::stdin().read(&mut buffer).is_ok_and(|count| count > 0) {}
    std::process::exit(i32::from(exit::COORDINATOR));
}
