//! Arguments of `top`.

use clap::Args as ClapArgs;

/// Arguments of `top`.
#[derive(Debug, ClapArgs)]
pub struct Top {
    /// Name of a sweep [default: the one launched last]
    pub sweep: Option<String>,
    /// Print what there is now, and leave; so it does where there is no terminal, and with --json
    #[arg(long)]
    pub once: bool,
}
