//! `webdav://host:port/path`: files of a WebDAV server.
//!
//! - Objects of unknown length and more than 8 MiB go up in one stream (`Transfer-Encoding: chunked`),
//!   under another name beside their own (`.samara-half-…`), to which they are moved when they are
//!   whole. Who reads one that is replaced so may find none for a moment: servers, Apache among
//!   them, remove what is there before they move. A writer that is given up removes what it wrote;
//!   what a process that dies leaves, if the server keeps it, no listing shows and no key names.
//! - Objects in one piece go up under their own names: whether a server shows one that is half way
//!   up is the server's. Apache shows nothing.
//! - Copies of objects that large are the server's (`COPY`), to such a name and then moved, as servers
//!   write copies in place; where it has none the bytes pass through here.
//! - There are no conditional writes, no attributes and no presigned URLs.
//! - Directories are made as needed and stay when they are empty; listings by directories show them
//!   then. A name is a directory or an object, never both.
//! - The server's files are not named in ways that XML cannot say: keys have no control characters.

use std::sync::Arc;

use opendal_service_webdav::Webdav;

use crate::dal::{self, Identity, Layout, Pieces, Plan, Puts};
use crate::http::{self, Streamed};
use crate::key::encoded;
use crate::{Opening, Row, Setting, Store};

/// The row of `webdav:`.
pub(crate) const ROW: Row = Row {
    scheme: "webdav",
    open,
    settings: SETTINGS,
    remote: true,
    program: None,
    doc: "files of a WebDAV server: webdav://host:port/path",
};

const SCHEME: Setting = Setting {
    name: "scheme",
    variable: None,
    secret: false,
    doc: "`http` or `https`; the default is `https`, and `http` for this machine",
};
const USER: Setting =
    Setting { name: "user", variable: None, secret: false, doc: "as whom to log in" };
const PASSWORD: Setting =
    Setting { name: "password", variable: None, secret: true, doc: "the password to log in with" };
const TOKEN: Setting =
    Setting { name: "token", variable: None, secret: true, doc: "a bearer token, in their place" };

const SETTINGS: &[Setting] = &[SCHEME, USER, PASSWORD, TOKEN];

const PLAN: Plan = Plan {
    identity: Identity::Etag,
    layout: Layout::Tree,
    pieces: Pieces::Stream,
    says: dal::NONE,
    attributes: None,
    staged: false,
    copies: true,
    at_once: None,
    fault,
};

/// Where bodies are streamed to.
struct Server {
    client: reqwest::Client,
    endpoint: String,
    log_in: LogIn,
}

/// As whom.
enum LogIn {
    None,
    Password(String, String),
    Token(String),
}

fn open(opening: &Opening<'_>) -> Result<Arc<dyn Store>, String> {
    let (authority, options) = (opening.authority, opening.options);
    if authority.is_empty() {
        return Err("the host is missing: `webdav://host:port/path`".to_owned());
    }
    if authority.contains('@') {
        return Err("a user and a password stand in settings, not in the URL".to_owned());
    }
    let scheme = match options.get(SCHEME.name) {
        None if is_here(authority) => "http",
        None => "https",
        Some(scheme @ ("http" | "https")) => scheme,
        Some(other) => {
            return Err(format!("`scheme` is `{other}`, and should be `http` or `https`"));
        }
    };
    let endpoint = format!("{scheme}://{authority}");
    let mut builder = Webdav::default().endpoint(&endpoint);
    let mut log_in = LogIn::None;
    if let Some(user) = options.get(USER.name) {
        let password = options.get(PASSWORD.name).unwrap_or_default();
        builder = builder.username(user).password(password);
        log_in = LogIn::Password(user.to_owned(), password.to_owned());
    }
    if let Some(token) = options.get(TOKEN.name) {
        builder = builder.token(token);
        log_in = LogIn::Token(token.to_owned());
    }
    let client = http::client()?;
    dal::open_putting(opening, PLAN, builder, Server { client, endpoint, log_in })
}

// === impl Server ===

impl Puts for Server {
    fn begin(&self, location: &str, key: &str) -> Streamed {
        let put = self.client.put(format!("{}/{}", self.endpoint, encoded(key)));
        let put = match &self.log_in {
            LogIn::None => put,
            LogIn::Password(user, password) => put.basic_auth(user, Some(password)),
            LogIn::Token(token) => put.bearer_auth(token),
        };
        let location = location.to_owned();
        Streamed::begin(|body| async move {
            put.body(body).send().await.map_err(|error| http::unanswered(&location, error))
        })
    }
}

/// Whether the server is on this machine, where nobody listens in between.
fn is_here(authority: &str) -> bool {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|a| a.is_loopback())
}

fn fault(key: &str) -> Option<&'static str> {
    match key {
        _ if key.chars().any(|c| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}')) => {
            Some("WebDAV has no control characters in names")
        }
        _ if key.split('/').any(|segment| segment.len() > 255) => {
            Some("servers of files take segments of up to 255 bytes")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_sent_in_the_clear_on_this_machine_alone() {
        for host in ["localhost", "127.0.0.1:80", "[::1]:80", "127.9.9.9"] {
            assert!(is_here(host), "{host}");
        }
        for host in ["example.org", "10.0.0.1:80", "localhost.example.org", "1127.0.0.1"] {
            assert!(!is_here(host), "{host}");
        }
    }
}
