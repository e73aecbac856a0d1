//! Who may read, and what a browser may do with it.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    net::IpAddr,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, percent_decode_str, utf8_percent_encode};
use uuid::Uuid;

use super::{
    error::{Refusal, ServeError},
    site::Site,
};

/// Scripts, styles and data from here alone; nothing inline, nobody frames it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];
/// How long a browser stays logged in, in seconds.
const COOKIE_SECONDS: u32 = 30 * 86_400;

/// Where the token of the page lies: in the home folder, apart from the coordinator's, which may do more than read.
pub fn token_file(home: &Path) -> PathBuf {
    home.join("serve.token")
}

/// Who may read.
#[derive(Clone, Debug)]
pub(super) struct Access {
    /// Only names of this machine are answered: a page elsewhere whose name is made to point here is not.
    pub(super) loopback: bool,
    pub(super) token: Option<String>,
}

/// The token of the home folder; made when there is none.
///
/// # Errors
/// When it cannot be read or written, or others can read it.
pub(super) fn token(home: &Path) -> Result<String, ServeError> {
    let path = token_file(home);
    let failed = |reason| ServeError::Token { path: path.clone(), reason };
    match fs::metadata(&path) {
        Ok(found) if found.mode() & 0o077 != 0 => Err(ServeError::TokenIsPublic(path)),
        Ok(_) => {
            let token = fs::read_to_string(&path).map_err(failed)?.trim().to_owned();
            let empty = || io::Error::new(io::ErrorKind::InvalidData, "it is too short");
            if token.len() < 32 { Err(failed(empty())) } else { Ok(token) }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(home).map_err(failed)?;
            let token = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
            writeln!(file, "{token}").map_err(failed)?;
            Ok(token)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Puts headers on every response.
pub(super) async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache"));
    response
}

/// Lets through who may read.
pub(super) async fn check(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    if site.access.loopback && !host(headers).is_some_and(is_this_machine) {
        let message = "this server answers to localhost, 127.0.0.1 and [::1] only";
        return Refusal::new(
            StatusCode::MISDIRECTED_REQUEST,
            message,
            "use one of these names, or start it with --host",
        )
        .into_response();
    }
    if !is_same_origin(headers) {
        let message = "another site sent this request";
        return Refusal::new(StatusCode::FORBIDDEN, message, "open the page itself").into_response();
    }
    let Some(token) = &site.access.token else { return next.run(request).await };
    if let Some(given) = query_token(request.uri()) {
        if equal(&given, token) {
            return logged_in(request.uri(), token);
        }
    } else if bearer(headers).is_some_and(|given| equal(given, token))
        || cookies(headers, &cookie_name(token)).any(|value| equal(value, &cookie_value(token)))
    {
        return next.run(request).await;
    }
    login(request.uri())
}

fn host(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::HOST)?.to_str().ok()
}

/// Whether a `Host` header names this machine; the port may be another, that of an SSH tunnel.
fn is_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether our own page sent a request, or a user did, or a program that is no browser. A link elsewhere that leads here is a user's.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(origin) = text("origin") {
        let ours = host(headers).is_some_and(|host| origin.strip_prefix("http://") == Some(host));
        return ours;
    }
    match text("sec-fetch-site") {
        None | Some("same-origin" | "none") => true,
        Some(_) => text("sec-fetch-mode") == Some("navigate") && text("sec-fetch-dest") == Some("document"),
    }
}

/// Comparing digests takes the same time wherever the texts differ.
fn equal(given: &str, token: &str) -> bool {
    blake3::hash(given.as_bytes()) == blake3::hash(token.as_bytes())
}

/// What a cookie holds: not the token itself.
fn cookie_value(token: &str) -> String {
    blake3::Hash::from_bytes(blake3::derive_key("permafrost serve cookie", token.as_bytes())).to_hex().to_string()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// Browsers keep cookies by host, not by port: servers of several home folders on one host have each its own.
fn cookie_name(token: &str) -> String {
    let name = blake3::derive_key("permafrost serve cookie name", token.as_bytes());
    format!("permafrost-{}", &blake3::Hash::from_bytes(name).to_hex()[..12])
}

fn cookies<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    let all = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|text| text.split(';')).filter_map(move |pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

fn query_token(uri: &Uri) -> Option<String> {
    let value = uri.query()?.split('&').find_map(|pair| pair.strip_prefix("token="))?;
    // A `+` stays one: a token may have it, but no space.
    Some(percent_decode_str(value).decode_utf8_lossy().trim().to_owned())
}

/// A token as an address holds it: somebody may have written their own into the file.
pub(super) fn percent_encoded(token: &str) -> PercentEncode<'_> {
    const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(token, PLAIN)
}

/// Sets the cookie and goes on to the same address without the token.
fn logged_in(uri: &Uri, token: &str) -> Response {
    let rest: Vec<&str> = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.starts_with("token=") && !pair.is_empty())
        .collect();
    // A path that begins with two slashes would be another host.
    let path = format!("/{}", uri.path().trim_start_matches('/'));
    let target = if rest.is_empty() { path } else { format!("{path}?{}", rest.join("&")) };
    let (name, value) = (cookie_name(token), cookie_value(token));
    // Not `Strict`: a link in a chat or a mail would ask who is logged in for the token again, and one with the token would show the form
    // that asks for it. With `Lax` other sites can only lead here, and whatever is answered only reads.
    let cookie = format!("{name}={value}; HttpOnly; SameSite=Lax; Path=/; Max-Age={COOKIE_SECONDS}");
    (StatusCode::SEE_OTHER, [(header::LOCATION, target), (header::SET_COOKIE, cookie)]).into_response()
}

/// Asks for the token: a page for people, JSON for programs.
fn login(uri: &Uri) -> Response {
    let wanted =
        "the token is in the file `serve.token` of the home folder; `permafrost serve` prints the whole address";
    if uri.path().starts_with("/api/") || uri.path() == "/metrics" {
        return Refusal::new(StatusCode::UNAUTHORIZED, "a token is required", wanted).into_response();
    }
    if let Some(asset) = super::assets::public(uri.path()) {
        return asset.into_response();
    }
    let page = include_str!("../../../assets/login.html");
    (StatusCode::UNAUTHORIZED, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_its_own() {
        for host in ["localhost", "LOCALHOST:8421", "127.0.0.1:9", "127.0.0.1", "[::1]:8421", "127.8.8.8"] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example:8421", "192.168.0.7", "[::2]:1", "", "127.0.0.1.nip.io"] {
            assert!(!is_this_machine(host), "{host}");
        }
    }

    #[test]
    fn other_sites_are_told_apart() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            let pairs =
                pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            pairs.collect::<HeaderMap>()
        };
        let host = ("host", "localhost:8421");
        assert!(is_same_origin(&headers(&[host])));
        assert!(is_same_origin(&headers(&[host, ("origin", "http://localhost:8421")])));
        assert!(!is_same_origin(&headers(&[host, ("origin", "http://localhost:1")])));
        assert!(!is_same_origin(&headers(&[host, ("origin", "null")])));
        assert!(!is_same_origin(&headers(&[host, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")])));
        let link =
            [host, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
        assert!(is_same_origin(&headers(&link)));
    }

    #[test]
    fn a_token_is_made_once_and_kept_secret() {
        let home = tempfile::tempdir().unwrap();
        let made = token(home.path()).unwrap();
        assert_eq!((made.len(), token(home.path()).unwrap()), (64, made));
        assert_eq!(fs::metadata(token_file(home.path())).unwrap().mode() & 0o777, 0o600);
        let public = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        fs::set_permissions(token_file(home.path()), public).unwrap();
        assert!(matches!(token(home.path()), Err(ServeError::TokenIsPublic(_))));
    }

    #[test]
    fn a_login_leads_to_the_same_page_of_this_server() {
        let go = |uri: &str| {
            let response = logged_in(&uri.parse().unwrap(), "t");
            response.headers()[header::LOCATION].to_str().unwrap().to_owned()
        };
        assert_eq!(go("/grid?sweep=1&token=t&row=text"), "/grid?sweep=1&row=text");
        assert_eq!(go("//evil.example/?token=t"), "/evil.example/");
    }

    #[test]
    fn a_token_may_be_written_with_per_cent_signs() {
        let given = |query: &str| query_token(&format!("/?{query}").parse().unwrap());
        assert_eq!(given("row=text&token=a%2Bb%2fc%3D%3D").as_deref(), Some("a+b/c=="));
        assert_eq!(given("token=a+b/c==").as_deref(), Some("a+b/c=="));
        assert_eq!(given("token=100%&x=%41").as_deref(), Some("100%"));
        assert_eq!(given("token=%+5%zz%2").as_deref(), Some("%+5%zz%2"));
        assert_eq!(given("sweep=1"), None);
        let odd = "a+b/c==&d#e%41";
        assert_eq!(given(&format!("token={}", percent_encoded(odd))).as_deref(), Some(odd));
    }

    #[test]
    fn servers_of_one_host_have_cookies_of_their_own() {
        assert_ne!(cookie_name("a"), cookie_name("b"));
        let both = format!("{}=x; {}=y", cookie_name("a"), cookie_name("b"));
        let headers = HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(&both).unwrap())]);
        assert_eq!(cookies(&headers, &cookie_name("b")).collect::<Vec<_>>(), ["y"]);
    }
}
