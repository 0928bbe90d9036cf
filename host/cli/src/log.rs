//! What functions log and what the driver warns of, as plain lines on standard error.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::globals::Verbosity;
use crate::report;

/// Target under which the driver passes on what functions log.
const GUEST: &str = "samara::guest";

/// Lines from one place in the code that are printed unless the person wants all: a store that
/// is away has each task say so.
const LIKE_MAX: u64 = 10;

/// Prints events as lines.
#[derive(Default)]
struct Lines {
    /// Whether all are printed.
    all: bool,
    /// How many came from each place in the code.
    seen: Mutex<BTreeMap<(&'static str, u32), u64>>,
}

/// An event's fields, taken apart.
#[derive(Debug, Default)]
struct Line {
    message: String,
    task: Option<u64>,
    /// The level that the function chose; the event's own is the driver's.
    level: Option<String>,
    /// What else it says, such as the object that it is about.
    details: Vec<String>,
}

/// Starts to print: warnings, or all that our own crates say where the person wants more.
pub(crate) fn start(verbosity: Verbosity) {
    let level = match verbosity {
        Verbosity { quiet: true, .. } => return,
        Verbosity { verbose: true, .. } => LevelFilter::DEBUG,
        Verbosity { .. } => LevelFilter::WARN,
    };
    let ours = Targets::new().with_target("samara", level);
    let lines = Lines { all: verbosity.verbose, ..Lines::default() };
    let subscriber = tracing_subscriber::registry().with(lines.with_filter(ours));
    // Fails only where one is set already, and this is the first.
    drop(tracing::subscriber::set_global_default(subscriber));
}

// === impl Lines ===

impl Lines {
    /// How many lines came from the same place before.
    fn like(&self, metadata: &'static Metadata<'static>) -> u64 {
        let place = (metadata.file().unwrap_or_default(), metadata.line().unwrap_or_default());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let count = seen.entry(place).or_default();
        *count += 1;
        *count - 1
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        let is_guest = event.metadata().target() == GUEST;
        let text = line.text(is_guest, *event.metadata().level());
        match if self.all { 0 } else { self.like(event.metadata()) } {
            ..LIKE_MAX => report::say(format_args!("{text}")),
            LIKE_MAX => report::say(format_args!("{text}\n(and more of this kind; -v says all)")),
            _ => {}
        }
    }
}

// === impl Line ===

impl Line {
    fn text(&self, is_guest: bool, level: Level) -> String {
        let task = self.task.map(|task| format!("task {task}: ")).unwrap_or_default();
        let details = match self.details.is_empty() {
            true => String::new(),
            false => format!(" ({})", self.details.join(", ")),
        };
        match (&self.level, is_guest) {
            (Some(chosen), true) => {
                format!("{task}{}: {}", chosen.to_lowercase(), self.message)
            }
            _ if level == Level::WARN => format!("warning: {task}{}{details}", self.message),
            _ => format!("{}: {task}{}{details}", level.as_str().to_lowercase(), self.message),
        }
    }
}

impl Visit for Line {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "task" {
            self.task = Some(value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "level" => self.level = Some(format!("{value:?}")),
            // The id of a job is long, and a person at the command line has the one.
            "job" => {}
            name => self.details.push(format!("{name}: {value:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_who_speaks() {
        let line = |level: Option<&str>| Line {
            message: "hot".to_owned(),
            task: Some(3),
            level: level.map(str::to_owned),
            details: Vec::new(),
        };
        assert_eq!(line(Some("Info")).text(true, Level::DEBUG), "task 3: info: hot");
        assert_eq!(line(None).text(false, Level::WARN), "warning: task 3: hot");
        assert_eq!(line(None).text(false, Level::ERROR), "error: task 3: hot");
        let mut about = line(None);
        about.details = vec!["path: /a".to_owned(), "error: full".to_owned()];
        let text = about.text(false, Level::WARN);
        assert_eq!(text, "warning: task 3: hot (path: /a, error: full)");
    }
}
