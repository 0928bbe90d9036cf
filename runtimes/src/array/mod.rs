//! Array: N workers that a platform starts alike, each with an index. They find in a manifest in the
//! job's store which batches are whose, run their share, and end.
//!
//! | file | does |
//! |---|---|
//! | `manifest.rs` | which batches there are, and whose they are |
//! | `dialect.rs` | by what each platform says the index |
//! | `serve.rs` | the host's side: runs a share |

#[cfg(feature = "serve")]
mod dialect;
mod manifest;
#[cfg(feature = "serve")]
mod serve;

#[cfg(feature = "serve")]
pub(crate) use self::dialect::SURROUNDINGS;
#[cfg(feature = "slurm")]
pub(crate) use self::manifest::Manifest;

/// The variable that names the manifest.
pub(crate) const MANIFEST: &str = "SAMARA_HOST_ARRAY";

/// The variable with the manifest's hash.
pub(crate) const HASH: &str = "SAMARA_HOST_ARRAY_HASH";

/// The variable with the ticket of whom the batches are of.
pub(crate) const TICKET: &str = "SAMARA_HOST_ARRAY_TICKET";
