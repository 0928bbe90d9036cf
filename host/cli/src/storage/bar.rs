//! How far a copy is, where somebody looks.

use std::io::{self, IsTerminal};
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::globals::Globals;

/// Bytes that have passed, of all. Clones are the same bar.
#[derive(Debug, Clone)]
pub(super) struct Bar(Arc<Shown>);

/// Ends with the last of them.
#[derive(Debug)]
struct Shown(ProgressBar);

// === impl Bar ===

impl Bar {
    /// A bar on a terminal; nothing elsewhere, and where it is not wanted.
    pub(super) fn new(bytes: u64, globals: &Globals) -> Self {
        let is_shown = io::stderr().is_terminal() && !globals.json && !globals.verbosity.quiet;
        let target = match is_shown {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let style = ProgressStyle::with_template(
            "{bar:30} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left",
        );
        let bar = ProgressBar::with_draw_target(Some(bytes), target);
        Self::of(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }

    /// More is to come than was known.
    pub(super) fn expect(&self, bytes: u64) {
        self.0.0.inc_length(bytes);
    }

    /// How much is to come in all, as far as it is known.
    #[cfg(test)]
    pub(super) fn total(&self) -> u64 {
        self.0.0.length().unwrap_or_default()
    }

    /// A bar that nobody sees.
    #[cfg(test)]
    pub(super) fn hidden() -> Self {
        Self::of(ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden()))
    }

    fn of(bar: ProgressBar) -> Self {
        Self(Arc::new(Shown(bar)))
    }

    pub(super) fn passed(&self, bytes: u64) {
        self.0.0.inc(bytes);
    }

    /// Says something beside the bar.
    pub(super) fn say(&self, text: &str) {
        self.0.0.suspend(|| crate::report::say(format_args!("{text}")));
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
