//! A bar on a terminal.

#[cfg(feature = "progress")]
use indicatif::{ProgressBar, ProgressStyle};

/// A job's progress bar, or nothing.
#[derive(Debug, Default, Clone)]
pub(crate) struct Progress {
    #[cfg(feature = "progress")]
    bar: Option<ProgressBar>,
}

// === impl Progress ===

impl Progress {
    /// A bar of `tasks` steps on standard error.
    #[cfg(feature = "progress")]
    pub(crate) fn bar(function: &str, tasks: u64) -> Self {
        let style = ProgressStyle::with_template(
            "{msg:>12} [{bar:32}] {pos}/{len} tasks  {elapsed} (left {eta})",
        );
        let bar = ProgressBar::new(tasks).with_message(function.to_owned());
        let bar = match style {
            Ok(style) => bar.with_style(style.progress_chars("=> ")),
            Err(_) => bar,
        };
        Self { bar: Some(bar) }
    }

    /// Without the feature there is no bar.
    #[cfg(not(feature = "progress"))]
    pub(crate) fn bar(_function: &str, _tasks: u64) -> Self {
        Self {}
    }

    pub(crate) fn step(&self) {
        #[cfg(feature = "progress")]
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    pub(crate) fn finish(&self) {
        #[cfg(feature = "progress")]
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
