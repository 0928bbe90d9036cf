//! Requests that follow redirects, each of which is looked at first: a server of the public network
//! does not send anybody on into a private one, and none to where clouds answer with the machine's
//! credentials. Whoever grants a server's objects grants no more than that.

use std::net::IpAddr;

use reqwest::header::{ACCEPT_ENCODING, LOCATION, RANGE};
use reqwest::{Client, Method, Response, Url};
use samara_core::http_grant::{Network, network};

use super::answer::unanswered;
use super::client;
use super::resolver::Resolver;
use crate::{Error, Result};

/// Redirects of one request. Mirrors send a client on once or twice.
const REDIRECTS_MAX: usize = 10;

/// What sends requests.
pub(super) struct Clients {
    /// To the server that a URL names, wherever it is, and to those of its network.
    named: Client,
    /// To servers of the public network alone.
    public: Client,
}

/// What is asked of a server.
pub(super) struct Asked<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) range: Option<String>,
    /// How errors name the object.
    pub(super) location: &'a str,
}

// === impl Clients ===

impl Clients {
    pub(super) fn new() -> std::result::Result<Self, String> {
        let client = |private| {
            let builder = client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .dns_resolver(std::sync::Arc::new(Resolver::new(private)));
            client::built(builder)
        };
        Ok(Self { named: client(true)?, public: client(false)? })
    }

    /// Asks, and asks those that the servers send it on to.
    pub(super) async fn send(&self, asked: Asked<'_>) -> Result<Response> {
        let Asked { method, mut url, range, location } = asked;
        let mut private = true;
        for _ in 0..=REDIRECTS_MAX {
            let client = if private { &self.named } else { &self.public };
            let mut request = client.request(method.clone(), url.clone());
            request = request.header(ACCEPT_ENCODING, "identity");
            if let Some(range) = &range {
                request = request.header(RANGE, range);
            }
            let response = request.send().await.map_err(|error| failed(location, error))?;
            let Some(next) = target(location, &response)? else { return Ok(response) };
            private = private && !response.remote_addr().is_some_and(|at| is_public(at.ip()));
            if !allows(private, &next) {
                return Err(denied(location, &next.origin().ascii_serialization()));
            }
            url = next;
        }
        let reason = format!("it is redirected more than {REDIRECTS_MAX} times");
        Err(Error::generic(location, reason))
    }
}

fn is_public(address: IpAddr) -> bool {
    network(address) == Network::Public
}

/// Whether a redirect may lead there. What a name means is looked at when it is connected to.
fn allows(private: bool, next: &Url) -> bool {
    address(next).is_none_or(|address| Resolver::new(private).allows(address))
}

/// Where an answer sends a client on to.
fn target(location: &str, response: &Response) -> Result<Option<Url>> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(next) = response.headers().get(LOCATION) else { return Ok(None) };
    let next = next.to_str().ok().and_then(|next| response.url().join(next).ok());
    match next.filter(|next| matches!(next.scheme(), "http" | "https") && next.has_host()) {
        Some(next) => Ok(Some(next)),
        None => Err(Error::generic(location, "it is redirected to what is no URL of HTTP")),
    }
}

/// The address that stands in a URL itself.
fn address(url: &Url) -> Option<IpAddr> {
    let host = url.host_str()?;
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).parse().ok()
}

fn failed(location: &str, error: reqwest::Error) -> Error {
    let refuses = Resolver::has_refused(&error);
    let place = error.url().map(|url| url.origin().ascii_serialization());
    match place.filter(|_| refuses) {
        Some(place) => denied(location, &place),
        None => unanswered(location, error),
    }
}

fn denied(location: &str, place: &str) -> Error {
    let source = format!(
        "it leads to {place}, which is not asked: a name or a server of the public network may not \
         lead to private addresses, and none to addresses where clouds keep credentials"
    );
    Error::PermissionDenied {
        location: location.to_owned(),
        operation: None,
        source: source.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_urls_are_seen_in_every_spelling() {
        for url in ["http://169.254.169.254/x", "http://2852039166/", "http://0xa9fea9fe/"] {
            assert_eq!(address(&url.parse().unwrap()), Some([169, 254, 169, 254].into()), "{url}");
        }
        assert!(address(&"http://[fd00:ec2::254]/".parse().unwrap()).is_some());
        assert_eq!(address(&"http://example.com/".parse().unwrap()), None);
    }

    #[test]
    fn a_redirect_leads_nowhere_that_is_more_private() {
        let allows = |private, url: &str| allows(private, &url.parse().unwrap());
        for private in [false, true] {
            assert!(allows(private, "https://93.184.216.34/x"));
            assert!(allows(private, "https://mirror.example/x"));
            assert!(!allows(private, "http://169.254.169.254/latest"));
            assert!(!allows(private, "http://[::ffff:169.254.169.254]/latest"));
            assert!(!allows(private, "http://100.100.100.200/latest"));
            assert_eq!(allows(private, "http://10.0.0.1/x"), private);
            assert_eq!(allows(private, "http://[::1]:8080/x"), private);
        }
    }
}
