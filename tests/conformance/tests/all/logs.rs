//! What a task says while it runs.

use samara_core::{Level, LogLine};
use samara_wit::value::ArgumentWriter;

use crate::common::report;

fn log(
    function: &str,
    arguments: impl FnOnce(&mut ArgumentWriter),
    count: u64,
) -> (Vec<LogLine>, u64) {
    let mut writer = ArgumentWriter::new(count);
    arguments(&mut writer);
    let report = report(function, writer.finish(), None);
    assert!(report.outcome.is_success(), "{:?}", report.outcome);
    (report.log, report.log_dropped)
}

#[test]
fn printed_lines_are_lines_of_the_log() {
    let (lines, dropped) = log(
        "prints",
        |writer| {
            writer.push(&Some("to the output")).unwrap();
            writer.push(&Some("to the error")).unwrap();
        },
        2,
    );
    let line = |level, message: &str| LogLine { level, message: message.to_owned() };
    assert_eq!(lines, [line(Level::Info, "to the output"), line(Level::Warn, "to the error")]);
    assert_eq!(dropped, 0);
}

#[test]
fn a_task_logs_at_every_level() {
    let (lines, _) = log("logs_at_all_levels", |_| {}, 0);
    let levels: Vec<Level> = lines.iter().map(|line| line.level).collect();
    assert_eq!(levels, [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace]);
}

#[test]
fn lines_past_the_limit_are_dropped_and_counted() {
    let (lines, dropped) = log("prints_lines", |writer| writer.push(&200_000_u64).unwrap(), 1);
    let kept: usize = lines.iter().map(|line| line.message.len()).sum();
    assert!(kept <= 1 << 20, "{kept} bytes of text");
    assert_eq!(lines.len() as u64 + dropped, 200_000);
    assert!(dropped > 0 && lines[0].message == "line 0 of 200000");
}

#[test]
fn a_task_reports_its_progress() {
    let mut writer = ArgumentWriter::new(1);
    writer.push(&10_u64).unwrap();
    let report = report("reports_progress", writer.finish(), None);
    assert_eq!(report.stats.progress, (10, 10));
}
