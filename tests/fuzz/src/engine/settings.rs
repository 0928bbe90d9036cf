//! What the environment says: how long, with which seed. This is the one place that asks it.

use std::path::PathBuf;
use std::time::Duration;

/// How long a target gets, beside its corpus, where nothing is said: all of them together are not to
/// hold up whoever runs the tests.
const TIME: Duration = Duration::from_secs(1);

/// How targets are run.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// How long each gets, beside its corpus: `SAMARA_FUZZ_SECONDS`.
    pub time: Duration,
    /// What the changes begin with, so that a run can be had again: `SAMARA_FUZZ_SEED`.
    pub seed: Option<u64>,
    /// The one input to be taken, and nothing else: `SAMARA_FUZZ_INPUT`.
    pub input: Option<PathBuf>,
    /// Whether what came to something new is kept in the stored corpus: `SAMARA_FUZZ_KEEP=1`.
    pub keep: bool,
}

// === impl Settings ===

impl Settings {
    /// What the environment says.
    ///
    /// # Panics
    ///
    /// Where a number is none.
    #[allow(clippy::disallowed_methods, reason = "the edge of this program")]
    pub fn from_env() -> Self {
        let said = |name: &str| std::env::var(name).ok().filter(|said| !said.is_empty());
        let number = |name: &str| {
            said(name).map(|said| {
                let number = said.parse::<u64>();
                number.unwrap_or_else(|_| panic!("{name} is `{said}`, and should be a number"))
            })
        };
        Self {
            time: number("SAMARA_FUZZ_SECONDS").map_or(TIME, Duration::from_secs),
            seed: number("SAMARA_FUZZ_SEED"),
            input: said("SAMARA_FUZZ_INPUT").map(PathBuf::from),
            keep: said("SAMARA_FUZZ_KEEP").is_some(),
        }
    }
}
