//! A resolver that looks at what names mean before anything is connected to: the very addresses
//! that passed are the ones that are connected to. Who owns a name can change what it means from
//! one moment to the next.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use samara_core::http_grant::{Network, network};

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 16;

/// Resolves names to addresses that may be connected to, by HTTP clients of `reqwest`. Addresses at
/// which clouds answer with a machine's credentials are never among them. An address that stands in
/// a URL itself is not resolved, and so not looked at here.
#[derive(Clone)]
pub struct Resolver {
    private: bool,
    look_up: LookUp,
}

/// What a name means, at the moment when it is asked.
pub type LookUp = Arc<dyn Fn(String) -> Found + Send + Sync>;

/// The addresses of a name, without ports.
pub type Found = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

// === impl Resolver ===

impl Resolver {
    /// By the machine's own resolver; with `private`, to addresses of the machine and its network
    /// too.
    pub fn new(private: bool) -> Self {
        Self::with(private, Arc::new(system))
    }

    /// By another resolver than the machine's.
    pub fn with(private: bool, look_up: LookUp) -> Self {
        Self { private, look_up }
    }

    /// Whether an address may be connected to.
    pub fn allows(&self, address: IpAddr) -> bool {
        match network(address) {
            Network::Public => true,
            Network::Private => self.private,
            Network::Reserved => false,
        }
    }

    /// Whether a request failed because its name has no address that may be connected to.
    pub fn has_refused(error: &(dyn std::error::Error + 'static)) -> bool {
        let mut causes = std::iter::successors(Some(error), |error| error.source());
        let io = |cause: &(dyn std::error::Error + 'static)| {
            Some(cause.downcast_ref::<io::Error>()?.kind())
        };
        causes.any(|cause| io(cause) == Some(io::ErrorKind::PermissionDenied))
    }
}

/// What the machine's own resolver says.
fn system(name: String) -> Found {
    Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) })
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let found = (resolver.look_up)(name.as_str().to_owned()).await?;
            let found = found.into_iter().take(ADDRESSES_MAX);
            let allowed: Vec<SocketAddr> =
                found.filter(|found| resolver.allows(found.ip())).collect();
            match allowed.is_empty() {
                true => Err(Box::new(refused(name.as_str())) as _),
                false => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

/// The error where a name means no address that may be connected to.
fn refused(name: &str) -> io::Error {
    let text = format!("{name} has no address that may be connected to");
    io::Error::new(io::ErrorKind::PermissionDenied, text)
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("private", &self.private).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::tests::block_on;

    #[test]
    fn names_of_this_machine_are_reached_where_it_was_granted() {
        let resolve = |private| {
            let name = "localhost".parse::<Name>().unwrap();
            block_on(Resolver::new(private).resolve(name)).map(Iterator::count)
        };
        assert!(resolve(true).unwrap() > 0);
        let error = resolve(false).unwrap_err();
        assert!(Resolver::has_refused(&*error), "{error}");
    }
}
