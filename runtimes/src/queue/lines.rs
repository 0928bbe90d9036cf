//! Lines of the log of which strangers could cause any number: some in a while, and how many more there
//! were. Else who may publish could fill the disk of each host.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::sleep;

/// How long lines are counted together, from the first on.
const WINDOW: Duration = Duration::from_secs(10);

/// Lines in that time at most, beside the one that says how many more there were: enough to see what
/// goes on, and less than a kilobyte a second where it does not end.
const LINES_MAX: u64 = 20;

/// Characters of a line at most: it may name what a stranger named.
const CHARS_MAX: usize = 400;

/// Writes lines, or counts them.
pub(super) struct Lines(Arc<Shared>);

struct Shared {
    /// Lines since the window began; 0 where there is none.
    count: AtomicU64,
    write: Box<dyn Fn(&str) + Send + Sync>,
}

/// A while in which lines are counted. It is over when this is dropped, also where the host ends.
struct Window(Arc<Shared>);

// === impl Lines ===

impl Lines {
    pub(super) fn new(write: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared { count: AtomicU64::new(0), write: Box::new(write) }))
    }

    /// Writes a line, if not too many were written lately.
    pub(super) fn say(&self, line: &str) {
        let before = self.0.count.fetch_add(1, Ordering::SeqCst);
        if before == 0 {
            let window = Window(Arc::clone(&self.0));
            tokio::spawn(async move {
                sleep(WINDOW).await;
                drop(window);
            });
        }
        if before < LINES_MAX {
            (self.0.write)(&shown(line));
        }
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("count", &self.0.count).finish_non_exhaustive()
    }
}

// === impl Window ===

impl Drop for Window {
    fn drop(&mut self) {
        let count = self.0.count.swap(0, Ordering::SeqCst);
        if let more @ 1.. = count.saturating_sub(LINES_MAX) {
            (self.0.write)(&format!(
                "{more} more messages were refused, or went back, for such reasons"
            ));
        }
    }
}

/// A line without what disturbs logs, and not long.
fn shown(line: &str) -> String {
    let own = |c: char| if c.is_control() { c.escape_default().collect() } else { String::from(c) };
    let mut chars = line.chars();
    let mut shown: String = chars.by_ref().take(CHARS_MAX).map(own).collect();
    if chars.next().is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;

    /// Lines, and what they wrote.
    fn lines() -> (Lines, Arc<Mutex<Vec<String>>>) {
        let written = Arc::<Mutex<Vec<String>>>::default();
        let to = Arc::clone(&written);
        let lines = Lines::new(move |line| {
            to.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned());
        });
        (lines, written)
    }

    #[tokio::test(start_paused = true)]
    async fn lines_that_strangers_cause_are_bounded_and_the_others_counted() {
        let (lines, written) = lines();
        let take = || std::mem::take(&mut *written.lock().unwrap());
        for round in 0..3 {
            (0..1000).for_each(|n| lines.say(&format!("no message: {n}")));
            let first = take();
            assert_eq!(first.len() as u64, LINES_MAX, "{round}");
            assert_eq!(first[0], "no message: 0");
            sleep(WINDOW * 2).await;
            assert_eq!(take(), ["980 more messages were refused, or went back, for such reasons"]);
        }
        // What is not too much is written whole, and nothing beside it.
        (0..LINES_MAX).for_each(|_| lines.say("one"));
        sleep(WINDOW * 2).await;
        assert_eq!(take().len() as u64, LINES_MAX);
    }

    #[test]
    fn what_was_counted_is_said_where_the_host_ends_before() {
        let (lines, written) = lines();
        let host = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        host.block_on(async { (0..=LINES_MAX).for_each(|_| lines.say("one")) });
        drop(host);
        assert!(written.lock().unwrap().last().unwrap().starts_with("1 more message"));
    }

    #[tokio::test]
    async fn lines_are_cut_and_stay_one_line() {
        let (lines, written) = lines();
        lines.say(&format!("a\nb\u{1b}[31m{}", "é".repeat(100_000)));
        let line = written.lock().unwrap()[0].clone();
        assert!(line.starts_with("a\\nb\\u{1b}[31mé") && line.ends_with("é…"), "{line}");
        assert!(line.chars().count() < CHARS_MAX + 20 && !line.contains('\n'), "{line}");
    }
}
