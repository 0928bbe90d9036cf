//! What an engine is made with.

use std::path::PathBuf;
use std::sync::Arc;

use samara_core::{Clock, SystemClock};

/// What an engine is made with. [`Config::default`] keeps nothing on disk.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Tasks that may run at the same moment; more wait for each other, but for a few of nested
    /// jobs. Default 64. With the pooling allocator each costs about 6 GiB of address space (not
    /// memory).
    pub instances_max: u32,
    /// Directory for compiled code, private to this user; none compiles anew in every process.
    /// Default none.
    pub cache_dir: Option<PathBuf>,
    /// Whether to try the pooling allocator; without it a fresh instance costs several times as
    /// much. Where the machine does not allow its reservation, the engine does without. Default
    /// true.
    pub pooling: bool,
    /// Whether to count the instructions of each task, for
    /// [`Stats::fuel`](samara_core::Stats::fuel). Counted, not limited. It slows guests that
    /// compute, and takes compiled code of its own. Default false.
    pub fuel: bool,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            instances_max: 64,
            cache_dir: None,
            pooling: true,
            fuel: false,
            clock: Arc::new(SystemClock::new()),
        }
    }
}
