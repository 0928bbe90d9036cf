//! One request: checked against the grants, sent, and counted.

use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use reqwest::Url;
use samara_core::HttpGrant;
use samara_store::resolver::Resolver;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::client::Clients;
use crate::budget::{Held, Served};

/// How long a server may take to begin with its answer, unless the guest says less.
const FIRST_BYTE_TIME: Duration = Duration::from_mins(10);

/// A request that may be sent, and what sends it.
pub(super) struct Prepared {
    client: reqwest::Client,
    url: Url,
    head: http::request::Parts,
    body: WasiBody,
}

/// Why a request is not sent: for the guest, and in words.
pub(super) struct Refused {
    pub(super) error: Error,
    pub(super) why: String,
}

/// A body whose bytes are counted as they flow, and which ends where there are too many.
struct Counted<B> {
    body: B,
    served: Served,
    /// What the host holds for it.
    _held: Option<Held>,
}

/// Finds the client for a request, if some grant allows it.
pub(super) fn prepare(
    request: http::Request<WasiBody>,
    grants: &[HttpGrant],
    clients: &Clients,
) -> Result<Prepared, Refused> {
    let (head, body) = request.into_parts();
    // What is checked is what is connected to: the same text, read by the same code.
    let url = Url::parse(&head.uri.to_string()).map_err(|error| Refused {
        error: Error::HttpRequestUriInvalid,
        why: format!("{} is no URL: {error}", head.uri),
    })?;
    let denied = |error| {
        let place = url.origin().ascii_serialization();
        Refused { error, why: format!("no grant of this job lets it ask {place}") }
    };
    let private = match permission(&url, grants) {
        Permission::None => return Err(denied(Error::HttpRequestDenied)),
        Permission::Prohibited => return Err(denied(Error::DestinationIpProhibited)),
        Permission::Public => false,
        Permission::Private => true,
    };
    let client = clients.get(private).map_err(|why| Refused {
        error: Error::ConfigurationError,
        why: format!("this host has no client for HTTP: {why}"),
    })?;
    Ok(Prepared { client: client.clone(), url, head, body })
}

/// What the grants say of a request.
#[derive(Debug, PartialEq, Eq)]
enum Permission {
    None,
    /// The server is granted by a name, and the address is not one that names may lead to.
    Prohibited,
    Public,
    Private,
}

fn permission(url: &Url, grants: &[HttpGrant]) -> Permission {
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Permission::None;
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Permission::None;
    }
    let secure = url.scheme() == "https";
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let mut granted = grants.iter().filter(|grant| grant.allows(secure, host, port)).peekable();
    if granted.peek().is_none() {
        return Permission::None;
    }
    match host.parse::<IpAddr>() {
        // No name is resolved: the address itself is granted.
        Ok(address) => match granted.any(|grant| grant.allows_address(address)) {
            true => Permission::Private,
            false => Permission::Prohibited,
        },
        Err(_) => match granted.any(HttpGrant::is_private) {
            true => Permission::Private,
            false => Permission::Public,
        },
    }
}

// === impl Prepared ===

impl Prepared {
    /// Sends it, and waits for the head of the answer, which holds `held` until it is dropped.
    pub(super) fn send(
        self,
        options: RequestOptions,
        served: Served,
        held: Option<Held>,
    ) -> impl Future<Output = Result<http::Response<WasiBody>, Error>> + Send {
        let Self { client, url, head, body } = self;
        let body = Counted { body, served: served.clone(), _held: None };
        let mut request = client.request(head.method, url).headers(head.headers);
        if body.size_hint().exact() != Some(0) {
            request = request.body(reqwest::Body::wrap_stream(body.into_data_stream()));
        }
        let time = options.first_byte_timeout.unwrap_or(FIRST_BYTE_TIME).min(FIRST_BYTE_TIME);
        async move {
            let sent = tokio::time::timeout(time, request.send()).await;
            let answer = sent.map_err(|_| Error::HttpResponseTimeout)?.map_err(|e| error(&e))?;
            let answer = http::Response::from(answer);
            Ok(answer.map(|body| {
                let body = body.map_err(|failed| error(&failed));
                Counted { body, served, _held: held }.boxed_unsync()
            }))
        }
    }
}

/// What a failure is called in `wasi:http`.
fn error(failed: &reqwest::Error) -> Error {
    if Resolver::has_refused(failed) {
        return Error::DestinationIpProhibited;
    }
    match failed {
        _ if failed.is_timeout() => Error::ConnectionTimeout,
        _ if failed.is_connect() => Error::ConnectionRefused,
        _ if failed.is_body() || failed.is_decode() => Error::HttpResponseIncomplete,
        _ => Error::HttpProtocolError,
    }
}

// === impl Counted ===

impl<B: Body<Data = Bytes, Error = Error> + Unpin> Body for Counted<B> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(bytes) = frame.data_ref()
            && !self.served.add(bytes.len())
        {
            return Poll::Ready(Some(Err(Error::HttpResponseBodySize(None))));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permission_of(url: &str, grants: &[&str]) -> Permission {
        let grants: Vec<HttpGrant> = grants.iter().map(|grant| grant.parse().unwrap()).collect();
        permission(&Url::parse(url).unwrap(), &grants)
    }

    #[test]
    fn what_is_not_granted_is_not_sent() {
        for url in [
            "https://example.com/",
            "http://api.example.com/",
            "https://api.example.com:8443/",
            "https://api.example.com.evil.org/",
            "https://api.example.com@evil.org/",
            "https://user@api.example.com/",
            "https://169.254.169.254/",
            "https://2852039166/",
            "https://0xa9fea9fe/",
            "https://[::ffff:a9fe:a9fe]/",
        ] {
            let permission = permission_of(url, &["https://api.example.com"]);
            assert_eq!(permission, Permission::None, "{url}");
        }
    }

    #[test]
    fn other_spellings_of_a_granted_name_are_the_same_name() {
        for url in [
            "https://api.example.com/x?y",
            "https://API.EXAMPLE.COM:443/",
            "https://api%2eexample.com/",
        ] {
            let permission = permission_of(url, &["https://api.example.com"]);
            assert_eq!(permission, Permission::Public, "{url}");
        }
    }

    #[test]
    fn addresses_are_granted_one_by_one() {
        let metadata = "http://169.254.169.254/";
        assert_eq!(permission_of(metadata, &["http://169.254.169.254"]), Permission::Private);
        assert_eq!(permission_of(metadata, &["http://169.254.169.253"]), Permission::None);
        assert_eq!(
            permission_of("http://2852039166/", &["http://169.254.169.254"]),
            Permission::Private
        );
        assert_eq!(permission_of("http://a.b/", &["http://a.b private"]), Permission::Private);
        assert_eq!(permission_of("http://a.b/", &["http://a.b"]), Permission::Public);
    }
}
