//! TLS: what hosts show and ask for, and whom drivers trust.
//!
//! | file | does |
//! |---|---|
//! | `pem.rs` | reads certificates and keys of files that settings name |
//! | `host.rs` | the host's side: takes files up, also when they change, and opens connections |
//! | `driver.rs` | the driver's side: whom it trusts, and what it shows |
//! | `fault.rs` | what is wrong where TLS came to nothing, and the way out |

#[cfg(feature = "http")]
mod driver;
#[cfg(feature = "http")]
mod fault;
#[cfg(feature = "serve")]
mod host;
mod pem;

use std::sync::Arc;

use rustls::SupportedProtocolVersion;
use rustls::crypto::{CryptoProvider, ring};
use rustls::version::{TLS12, TLS13};

#[cfg(feature = "signatures")]
pub(crate) use self::driver::system;
#[cfg(feature = "http")]
pub(crate) use self::driver::{nobody, of_drivers, when_needed};
#[cfg(feature = "http")]
pub(super) use self::fault::fault;
#[cfg(feature = "serve")]
pub use self::host::Tls;

/// What is spoken, the best first. rustls has nothing older.
const VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// The one that is linked, whatever the process has for its default.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The protocols within, as a handshake names them.
const HTTP_1: &[u8] = b"http/1.1";
#[cfg(feature = "serve")]
const HTTP_2: &[u8] = b"h2";
