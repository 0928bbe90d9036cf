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
    /// A bar of `tasks` steps on standard error, or a count where their number is not known.
    #[cfg(feature = "progress")]
    pub(crate) fn bar(function: &str, tasks: Option<u64>) -> Self {
        let style = ProgressStyle::with_template(match tasks {
            Some(_) => "{msg:>12} [{bar:32}] {pos}/{len} tasks  {elapsed} (left {eta})",
            None => "{msg:>12} {spinner} {pos} tasks  {elapsed}",
        });
        let bar = match tasks {
            Some(tasks) => ProgressBar::new(tasks),
            None => ProgressBar::new_spinner(),
        };
        let bar = bar.with_message(function.to_owned());
        let bar = match style {
            Ok(style) => bar.with_style(style.progress_chars("=> ")),
            Err(_) => bar,
        };
        Self { bar: Some(bar) }
    }

    /// Without the feature there is no bar.
    #[cfg(not(feature = "progress"))]
    pub(crate) fn bar(_function: &str, _tasks: Option<u64>) -> Self {
        Self {}
    }

    #[cfg_attr(not(feature = "progress"), allow(unused_variables, reason = "no bar"))]
    pub(crate) fn advance(&self, tasks: u64) {
        #[cfg(feature = "progress")]
        if let Some(bar) = &self.bar {
            bar.inc(tasks);
        }
    }

    pub(crate) fn finish(&self) {
        #[cfg(feature = "progress")]
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
