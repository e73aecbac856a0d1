//! Arguments of `serve`.

use std::net::IpAddr;

use clap::Args as ClapArgs;

/// Arguments of `serve`.
#[derive(Debug, ClapArgs)]
pub struct Serve {
    /// Port; 0 takes any that is free
    #[arg(long, value_name = "PORT", default_value_t = 8421)]
    pub port: u16,
    /// Address to listen on; beyond this machine, a token is required
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub host: IpAddr,
    /// Require the token on this machine, too: where other users can log in
    #[arg(long)]
    pub token: bool,
    /// Open the page in a browser
    #[arg(long)]
    pub open: bool,
}
