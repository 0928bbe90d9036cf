//! What an engine is made with.

use std::path::PathBuf;
use std::sync::Arc;

use samara_core::{Clock, Secrets, SystemClock};

use crate::cache::CacheKey;
use crate::compile::Compile;

/// What an engine is made with. [`Config::default`] keeps nothing on disk.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Tasks that may run at the same moment; more wait for each other, but for a few of nested
    /// jobs. Default 64. With the pooling allocator each costs about 6 GiB of address space (not
    /// memory).
    pub instances_max: u32,
    /// Memories of tasks that have ended which stay mapped as large as they were, without their pages
    /// but the first, for the next task of the same component. Fewer take less of what the kernel may
    /// count, and make tasks slower that have more than a little memory. Default as many as there may
    /// be instances.
    pub kept_max: Option<u32>,
    /// Directory for compiled code, private to this user; none compiles anew in every process.
    /// Default none. It takes a key too, without which nothing is kept.
    pub cache_dir: Option<PathBuf>,
    /// The operator's key, which authenticates compiled code. Who has it can have this engine run
    /// any code. Default none.
    pub cache_key: Option<CacheKey>,
    /// Without an operator's key, a file with one that is this user's: it is made, private, if it is
    /// not there. It must not lie in the directory whose content it authenticates. That serves one
    /// user's own machine, on which whoever can read the file can do all that the user can; a host
    /// of several tenants has an operator's key. Default none.
    pub cache_key_file: Option<PathBuf>,
    /// Who compiles instead of this process, so that hostile components are bounded in time and
    /// memory. Default none.
    pub compiler: Option<Arc<dyn Compile>>,
    /// Whether to try the pooling allocator; without it a fresh instance costs several times as
    /// much. Where the machine does not allow its reservation, the engine does without. Default
    /// true.
    pub pooling: bool,
    /// Whether to count the instructions of each task, for
    /// [`Stats::fuel`](samara_core::Stats::fuel). Counted, not limited. It slows guests that
    /// compute, and takes compiled code of its own. Default false.
    pub fuel: bool,
    /// What knows the secrets that jobs name; none knows none. Default none.
    pub secrets: Option<Arc<dyn Secrets>>,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            instances_max: 64,
            kept_max: None,
            cache_dir: None,
            cache_key: None,
            cache_key_file: None,
            compiler: None,
            pooling: true,
            fuel: false,
            secrets: None,
            clock: Arc::new(SystemClock::new()),
        }
    }
}
