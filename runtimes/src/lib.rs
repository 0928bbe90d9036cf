//! Where tasks run: one folder per runtime, one row per runtime in [`RUNTIMES`], nothing else.
//!
//! **Invariant:** no runtime knows the engine: where tasks run in this process, it is handed a
//! [`TaskHandler`]. No crate outside names a runtime: they are reached by URL through [`open`].

pub mod local;

use std::sync::Arc;

use samara_core::{Clock, Error, ErrorKind, Runtime, SystemClock, TaskHandler};

/// What a runtime is opened with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Context {
    /// Runs tasks in this process, for the runtimes that do so.
    pub handler: Option<Arc<dyn TaskHandler>>,
    /// Tasks that run at the same moment; none leaves it to the runtime.
    pub slots: Option<usize>,
    /// Tells how long things take.
    pub clock: Arc<dyn Clock>,
}

/// A kind of runtime.
#[derive(Debug)]
pub struct Row {
    /// The scheme of its URLs.
    pub scheme: &'static str,
    /// What it is, in a line.
    pub doc: &'static str,
    open: Open,
}

/// Opens a runtime by its URL.
type Open = fn(&str, &Context) -> Result<Arc<dyn Runtime>, Error>;

/// Every runtime there is.
pub const RUNTIMES: &[Row] =
    &[Row { scheme: "local", doc: "this process, one thread per slot", open: local::open }];

// === impl Context ===

impl Default for Context {
    fn default() -> Self {
        Self { handler: None, slots: None, clock: Arc::new(SystemClock::new()) }
    }
}

/// Opens the runtime that `url` names.
///
/// # Errors
///
/// [`ErrorKind::Invalid`] where no runtime has that scheme, or the URL is malformed.
pub fn open(url: &str, context: &Context) -> Result<Arc<dyn Runtime>, Error> {
    let scheme = url.split_once(':').map_or(url, |(scheme, _)| scheme);
    match RUNTIMES.iter().find(|row| row.scheme == scheme) {
        Some(row) => (row.open)(url, context),
        None => {
            let known: Vec<String> =
                RUNTIMES.iter().map(|row| format!("{}:", row.scheme)).collect();
            Err(Error::new(
                ErrorKind::Invalid,
                format!("`{url}` names no runtime; there are: {}", known.join(", ")),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_scheme_lists_the_known_ones() {
        let error = open("lambada://x", &Context::default()).unwrap_err();
        assert!(error.message.contains("local:"), "{error}");
    }
}
