//! `http:` and `https:` — hosts that are reached by HTTP: on one's own machines, and on every
//! platform that starts containers for requests.
//!
//! | file | does |
//! |---|---|
//! | `config.rs` | reads the URL |
//! | `invoke.rs` | the driver's side: sends batches to hosts |
//! | `door/` | the front doors of platforms |
//! | `endpoint.rs` | one host, as a driver sees it |
//! | `serve.rs` | the host's side: answers requests |
//! | `requests.rs` | when a connection is of no use any more |
//! | `tls/` | what hosts show and ask for, and whom drivers trust |
//! | `listen.rs` | where a host listens |
//! | `handle.rs` | what each request is answered with |
//! | `body.rs` | bodies of requests, within bounds |
//! | `text.rs` | bodies as text, for platforms that carry no bytes |
//! | `dialect/` | what is different from platform to platform |
//! | `tests.rs` | a driver and hosts that answer as they are told |

#[cfg(feature = "http")]
mod config;
#[cfg(feature = "http")]
mod door;
#[cfg(feature = "http")]
mod endpoint;
#[cfg(feature = "http")]
mod invoke;
mod text;

#[cfg(test)]
#[cfg(feature = "http")]
mod tests;

#[cfg(feature = "serve")]
mod body;
#[cfg(feature = "serve")]
mod dialect;
#[cfg(feature = "serve")]
mod handle;
#[cfg(feature = "serve")]
mod listen;
#[cfg(feature = "serve")]
mod requests;
#[cfg(feature = "serve")]
mod serve;
mod tls;

#[cfg(feature = "serve")]
pub(crate) use self::dialect::SURROUNDINGS;
#[cfg(feature = "http")]
pub(crate) use self::door::Door;
#[cfg(feature = "http")]
pub(crate) use self::endpoint::{Endpoint, Keys};
#[cfg(feature = "http")]
pub(crate) use self::invoke::{Hosts, client, open};
#[cfg(feature = "serve")]
pub use self::tls::Tls;
#[cfg(feature = "http")]
pub(crate) use self::tls::nobody;
#[cfg(feature = "signatures")]
pub(crate) use self::tls::system;

/// Where batches are sent, below a host's URL.
pub(crate) const BATCHES: &str = "/v1/batches";

/// Where a host says what it is.
pub(crate) const HOST: &str = "/v1/host";

/// The header with what lets a driver send batches. Not `Authorization`, which is for the front
/// doors of platforms.
pub(crate) const TOKEN: &str = "samara-token";

/// The header by which an answer is known for a host's own: what stands before hosts answers too.
pub(crate) const OURS: &str = "samara-host";

/// Bytes of a batch that arrive in a second at least: a slow line at home, not a dead one.
pub(crate) const BYTES_PER_SECOND: u64 = 500_000;
