//! Where progress goes: the terminal, nowhere, or a callback.

use std::fmt;
use std::io::{self, Write as _};
use std::sync::Arc;

/// What happens to progress messages and to the compiler's own output.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Output {
    /// Both go to standard error, the compiler's with its colours and progress bar.
    #[default]
    Stderr,
    /// Neither is shown; the errors of a failed build are part of [`Error`](crate::Error).
    Quiet,
    /// Every line is handed to the function, for a program that draws its own progress.
    Lines(Arc<dyn Fn(&str) + Send + Sync>),
}

impl Output {
    /// Output to a function, one line at a time.
    ///
    /// ```
    /// let output = samara_build::Output::lines(|line| eprintln!("| {line}"));
    /// ```
    pub fn lines(line: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self::Lines(Arc::new(line))
    }

    /// Says one line.
    pub(crate) fn say(&self, line: &str) {
        match self {
            // A closed standard error must not stop a build.
            Self::Stderr => drop(writeln!(io::stderr().lock(), "{line}")),
            Self::Quiet => {}
            Self::Lines(function) => function(line),
        }
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stderr => "Stderr",
            Self::Quiet => "Quiet",
            Self::Lines(_) => "Lines(..)",
        })
    }
}
