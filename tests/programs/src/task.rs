//! The task interface.

use samara_guest::{function, task};

/// Returns the job, the task's number and the attempt's.
#[function]
pub fn identity() -> (String, u64, u32) {
    let it = task::current();
    (it.job, it.index, it.attempt)
}

/// Reports progress in steps.
#[function]
pub fn reports_progress(steps: u64) {
    for done in 0..=steps {
        task::progress(done, steps);
    }
}

/// Logs a line at each level.
#[function]
pub fn logs_at_all_levels() {
    task::error!("an error");
    task::warn!("a warning");
    task::info!("an {}", "information");
    task::debug!("a detail");
    task::trace!("a great detail");
}

/// Logs this many lines of so many bytes each.
#[function]
pub fn logs_lines(count: u64, bytes: usize) {
    for line in 0..count {
        task::info!("{line:>bytes$}");
    }
}

/// Asks whether the task was cancelled until it is, and returns how often it asked.
#[function]
pub fn waits_for_cancellation() -> u64 {
    (1..).find(|_| task::is_cancelled()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use samara_guest::task::Level;
    use samara_guest::testing;

    use super::*;

    #[test]
    fn a_test_sets_and_sees_the_task() {
        testing::set_task(task::Identity { job: "j".to_owned(), index: 7, attempt: 1 });
        assert_eq!(identity(), ("j".to_owned(), 7, 1));
        reports_progress(3);
        assert_eq!(testing::progress(), Some((3, 3)));
        testing::cancel();
        assert_eq!(waits_for_cancellation(), 1);
    }

    #[test]
    fn lines_are_logged_at_their_level() {
        logs_at_all_levels();
        let log = testing::log();
        assert_eq!(log.len(), 5);
        assert_eq!(log[2], (Level::Info, "an information".to_owned()));
        logs_lines(2, 10);
        assert_eq!(testing::log()[1].1.len(), 10);
    }
}
