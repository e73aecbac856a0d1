//! The hidden verb `coordinator`, which `launch` starts as a process of its own.

use super::{
    args::{Coordinator, Global},
    error::CliError,
};
use crate::coordinator::{self, Settings};

/// Coordinates until nothing is left to do.
pub(super) async fn run(global: &Global, args: Coordinator) -> Result<(), CliError> {
    let settings = Settings {
        home: global.home.clone(),
        port: args.port,
        devices: args.machine.devices,
        threads: args.machine.threads.map(usize::from),
        wheel_dir: args.machine.wheel_dir,
        sample: args.sampling.interval(),
        timing: args.intervals.timing(),
    };
    coordinator::run(settings).await?;
    Ok(())
}
