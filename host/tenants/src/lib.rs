//! Who may use a host, and how much: the gate that stands before hosts which know tenants.
//!
//! An operator names tenants in a file, each with its public keys, grants, limits and quotas. Who
//! holds one of a tenant's private keys issues tickets: signed texts that are good for some hours,
//! and may allow less than the tenant may. A host asks the gate with each batch.
//!
//! | module | does |
//! |---|---|
//! | `file` | the tenants' file |
//! | `keys` | public keys from files, and new pairs |
//! | `ticket` | tickets: checked, and issued |
//! | `roster` | what the files say now: they are looked at again while the host runs |
//! | `gate` | [`Tenants`]: batches against grants and quotas |
//! | `account` | what tenants use |
//! | `jobs` | which jobs are under way |
//! | `audit` | the audit log |
//!
//! **Invariant:** no store, no runtime and no engine is known here. What a URL means is a function
//! that the host passes, and time a clock.

mod file;

mod keys;
mod ticket;

mod roster;

mod account;
mod audit;
mod gate;
mod jobs;

#[cfg(test)]
mod narrowing;
#[cfg(test)]
mod testing;

use std::sync::Arc;

pub use crate::gate::Tenants;
pub use crate::keys::{KeyPair, generate_keys};
pub use crate::ticket::{Claims, Narrower, NarrowerObject, issue};

/// The one URL under which an object is known, of all that mean it: what the host's stores say.
/// Errors say what is wrong with the URL.
pub type Canonical = Arc<dyn Fn(&str) -> Result<String, String> + Send + Sync>;
