//! An object as a value: what a function returns in place of its bytes.

use serde::{Deserialize, Serialize};

/// One version of an object in a store that the job's driver can reach.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ObjectRef {
    /// The object's URL.
    pub url: String,
    /// Its size in bytes.
    pub size: u64,
    /// Identifies the version.
    pub etag: String,
}
