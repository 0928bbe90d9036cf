//! What functions log and what the driver warns of, as plain lines on standard error.

use std::fmt::Debug;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::globals::Verbosity;
use crate::report;

/// Target under which the driver passes on what functions log.
const GUEST: &str = "samara::guest";

/// Prints events as lines.
struct Lines;

/// An event's fields, taken apart.
#[derive(Debug, Default)]
struct Line {
    message: String,
    task: Option<u64>,
    /// The level that the function chose; the event's own is the driver's.
    level: Option<String>,
}

/// Starts to print: warnings, or all that our own crates say where the person wants more.
pub(crate) fn start(verbosity: Verbosity) {
    let level = match verbosity {
        Verbosity { quiet: true, .. } => return,
        Verbosity { verbose: true, .. } => LevelFilter::DEBUG,
        Verbosity { .. } => LevelFilter::WARN,
    };
    let ours = Targets::new().with_target("samara", level);
    let subscriber = tracing_subscriber::registry().with(Lines.with_filter(ours));
    // Fails only where one is set already, and this is the first.
    drop(tracing::subscriber::set_global_default(subscriber));
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        let is_guest = event.metadata().target() == GUEST;
        report::say(format_args!("{}", line.text(is_guest, *event.metadata().level())));
    }
}

// === impl Line ===

impl Line {
    fn text(&self, is_guest: bool, level: Level) -> String {
        let task = self.task.map(|task| format!("task {task}: ")).unwrap_or_default();
        match (&self.level, is_guest) {
            (Some(chosen), true) => {
                format!("{task}{}: {}", chosen.to_lowercase(), self.message)
            }
            _ if level == Level::WARN => format!("warning: {task}{}", self.message),
            _ => format!("{}: {task}{}", level.as_str().to_lowercase(), self.message),
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
            _ => {}
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
        };
        assert_eq!(line(Some("Info")).text(true, Level::DEBUG), "task 3: info: hot");
        assert_eq!(line(None).text(false, Level::WARN), "warning: task 3: hot");
        assert_eq!(line(None).text(false, Level::ERROR), "error: task 3: hot");
    }
}
