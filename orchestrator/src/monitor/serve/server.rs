//! The server's life.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use tokio::net::TcpListener;

use super::{
    access::{self, Access},
    error::ServeError,
    live, router,
    site::Site,
};

/// How to serve.
#[derive(Clone)]
pub struct Settings {
    /// The home folder.
    pub home: PathBuf,
    /// Where to listen.
    pub address: SocketAddr,
    /// Ask for the token on the loopback interface, too.
    pub require_token: bool,
}

/// A server that listens.
pub struct Server {
    listener: TcpListener,
    site: Arc<Site>,
    address: SocketAddr,
}

impl Server {
    /// Listens. Beyond the loopback interface a token is required; it is made here when there is none.
    ///
    /// # Errors
    /// [`ServeError`] when the port or the token cannot be had.
    pub async fn bind(settings: Settings) -> Result<Self, ServeError> {
        let Settings { home, address, require_token } = settings;
        let loopback = address.ip().is_loopback();
        let token = if loopback && !require_token { None } else { Some(access::token(&home)?) };
        let failed = |reason| ServeError::Listen { address, reason };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let site = Arc::new(Site::new(home, Access { loopback, token }));
        Ok(Self { listener, site, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What to open in a browser of this machine, with the token where one is required.
    pub fn url(&self) -> String {
        let mut shown = self.address;
        if shown.ip().is_unspecified() {
            shown.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        self.url_on(&shown.to_string())
    }

    /// What to open on other machines, by the name of this one; none where it listens on one address alone, which [`Self::url`] has.
    pub fn url_elsewhere(&self) -> Option<String> {
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        (self.address.ip().is_unspecified() && !name.is_empty())
            .then(|| self.url_on(&format!("{name}:{}", self.address.port())))
    }

    fn url_on(&self, place: &str) -> String {
        let token = self.site.access.token.as_ref();
        let token = token.map(|token| format!("?token={}", access::percent_encoded(token))).unwrap_or_default();
        format!("http://{place}/{token}")
    }

    /// Serves until the process ends.
    ///
    /// # Errors
    /// [`ServeError::Ended`].
    pub async fn run(self) -> Result<(), ServeError> {
        let follower = tokio::spawn(live::follow(Arc::clone(&self.site)));
        let served = axum::serve(self.listener, router::router(self.site)).await;
        follower.abort();
        served.map_err(ServeError::Ended)
    }
}
