//! Arguments of `serve`.

use std::net::{IpAddr, Ipv4Addr};

use clap::Args as ClapArgs;

/// Arguments of `serve`.
#[derive(Debug, ClapArgs)]
pub struct Serve {
    /// Port; 0 takes any that is free
    #[arg(long, value_name = "PORT", default_value_t = 8421)]
    pub port: u16,
    /// Address to listen on; beyond this machine, a token is required
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1", value_parser = host)]
    pub host: IpAddr,
    /// Require the token on this machine, too: where other users can log in
    #[arg(long)]
    pub token: bool,
    /// Open the page in a browser
    #[arg(long)]
    pub open: bool,
}

/// An address, or the name that all know.
fn host(text: &str) -> Result<IpAddr, String> {
    if text.eq_ignore_ascii_case("localhost") {
        return Ok(Ipv4Addr::LOCALHOST.into());
    }
    text.parse().map_err(|_| "an address of this machine, such as 127.0.0.1, or localhost".to_owned())
}
