//! What lines say, that none is lost, and what strangers can add.

use samara_core::Usage;
use serde_json::Value;

use super::*;
use crate::testing::{HandClock, batch};

struct Log {
    directory: tempfile::TempDir,
    clock: Arc<HandClock>,
}

impl Log {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), clock: Arc::default() }
    }

    fn open(&self) -> Audit {
        let place = AuditPlace::Path(self.directory.path().join("audit"));
        Audit::open(&place, Arc::clone(&self.clock) as Arc<dyn Clock>).unwrap()
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("audit")).unwrap()
    }

    fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

const ACME: Who<'_> = Who { tenant: "acme", ticket: Some("ticket-1"), way: "http" };

#[test]
fn lines_say_what_is_known() {
    let log = Log::new();
    let audit = log.open();
    audit.job(ACME, &batch(1));
    let usage = Usage { cpu: Duration::from_micros(1_500), bytes: 7 };
    let tally = Tally { succeeded: 1, failed: 2, lost: 3, usage };
    audit.ended(ACME, &Of::batch(&batch(1)), &tally);
    audit.stranger("http", Kind::NoTicket, "no ticket");
    let component = batch(1).component;
    let expected = [
        format!(
            r#"{{"time":"2027-01-15T08:00:00.000Z","event":"job","way":"http","tenant":"acme","ticket":"ticket-1","job":"00000000010000000000000000","component":"{component}","function":"count"}}"#
        ),
        format!(
            r#"{{"time":"2027-01-15T08:00:00.000Z","event":"ended","way":"http","tenant":"acme","ticket":"ticket-1","job":"00000000010000000000000000","component":"{component}","function":"count","succeeded":1,"failed":2,"lost":3,"cpu_ms":1,"bytes":7}}"#
        ),
        r#"{"time":"2027-01-15T08:00:00.000Z","event":"refused","way":"http","kind":"no-ticket","reason":"no ticket"}"#
            .to_owned(),
    ];
    assert_eq!(log.text().lines().collect::<Vec<_>>(), expected);
}

#[test]
fn texts_of_others_stay_in_their_line_and_are_cut() {
    let log = Log::new();
    let mut batch = batch(1);
    batch.function = "f\"\n{\"event\":\"job\"}\u{1b}[31m".to_owned() + &"x".repeat(100_000);
    log.open().refused(ACME, Some(&batch), "to write s3://name:password@bucket/x");
    let lines = log.lines();
    assert_eq!(lines.len(), 1);
    assert!(log.text().len() < 1_000 && !log.text().contains(['\u{1b}', '\t']));
    assert_eq!(lines[0]["reason"], "to write s3://***@bucket/x");
}

/// How many refusals the lines stand for, of a tenant or of strangers.
fn counted(lines: &[Value], tenant: Option<&str>) -> u64 {
    let is_of = |line: &&Value| line["tenant"].as_str() == tenant;
    let count = |line: &Value| match line["event"].as_str().unwrap() {
        "refused" => line["times"].as_u64().unwrap_or(1),
        "left-out" => line["left_out"].as_u64().unwrap(),
        _ => 0,
    };
    lines.iter().filter(is_of).map(count).sum()
}

#[test]
fn refusals_that_are_alike_are_one_line_and_how_many_more_there_were() {
    let log = Log::new();
    let audit = log.open();
    for _ in 0..1_000 {
        audit.refused(ACME, None, "not granted");
        audit.stranger("http", Kind::NoTicket, "no ticket");
    }
    audit.refused(ACME, Some(&batch(1)), "not granted");
    audit.refused(Who { tenant: "beta", ..ACME }, None, "not granted");
    // The first of each is there at once, whoever else is refused.
    assert_eq!(log.lines().len(), 4, "{}", log.text());
    log.clock.advance(windows::WINDOW);
    audit.stranger("http", Kind::NoTicket, "no ticket");
    let lines = log.lines();
    let times = |n: usize| (&lines[n]["tenant"], &lines[n]["reason"], &lines[n]["times"]);
    assert_eq!(lines.len(), 7, "{}", log.text());
    assert_eq!(times(4), (&Value::Null, &"no ticket".into(), &999.into()));
    assert_eq!(times(5), (&"acme".into(), &"not granted".into(), &999.into()));
    assert_eq!(times(6), (&Value::Null, &"no ticket".into(), &Value::Null));
    assert_eq!(lines[5]["ticket"], "ticket-1", "all that was alike is said again");
    // What is gathered at the end is said at the end.
    audit.stranger("http", Kind::NoTicket, "no ticket");
    drop(audit);
    assert_eq!(log.lines()[7]["times"], 1);
    assert_eq!(counted(&log.lines(), None), 1_002);
}

#[test]
fn what_was_turned_away_is_counted_beside_what_was_refused_by_each_way() {
    let log = Log::new();
    let audit = log.open();
    for way in ["http", "lambda"] {
        for _ in 0..100 {
            audit.turned_away(Who { way, ..ACME }, Some(&batch(1)), "busy");
            audit.stranger(way, Kind::NoTicket, "none");
        }
        audit.turned_away(Who { way, ..ACME }, None, "busy: too many bodies");
    }
    audit.close();
    let lines = log.lines();
    assert_eq!(lines.len(), 2 * 5, "{}", log.text());
    for way in ["http", "lambda"] {
        let of = |event: &str| {
            let of = |line: &&Value| line["way"] == way && line["event"] == event;
            lines.iter().filter(of).map(|line| line["times"].as_u64().unwrap_or(1)).sum::<u64>()
        };
        assert_eq!((of("turned-away"), of("refused")), (101, 100), "{way}");
    }
    let busy = &lines[0];
    assert_eq!((&busy["tenant"], &busy["reason"]), (&"acme".into(), &"busy".into()));
    assert_eq!(busy["job"], batch(1).job.to_string());
}

#[test]
fn strangers_choose_their_words_but_not_how_many_lines_they_have() {
    let log = Log::new();
    let audit = log.open();
    for n in 0..5_000 {
        audit.stranger("http", Kind::Key, &format!("the ticket is signed with a key `{n}`"));
        audit.stranger("http", Kind::Tenant, &format!("the ticket is of `{n}`"));
        audit.stranger("http", Kind::NoTicket, "none");
    }
    audit.close();
    let lines = log.lines();
    assert_eq!(lines.len(), 6, "{}", log.text());
    assert!(lines[0]["reason"].as_str().unwrap().contains("`0`"), "what one said is there");
    for line in &lines[3..] {
        let is_none = line["kind"] == "no-ticket";
        assert_eq!((line["reason"].is_string(), &line["times"]), (is_none, &4_999.into()));
    }
}

#[test]
fn different_refusals_of_a_tenant_are_written_each_up_to_a_bound_that_is_said() {
    let log = Log::new();
    let audit = log.open();
    let (most, more) = (windows::DIFFERENT_MAX as u64, 100);
    for _ in 0..2 {
        for n in 0..most + more {
            audit.refused(ACME, Some(&batch(n)), "not granted");
        }
    }
    audit.refused(Who { tenant: "beta", ..ACME }, None, "not granted");
    let lines = log.lines();
    assert_eq!(lines.len() as u64, most + 1);
    assert_eq!(lines.last().unwrap()["tenant"], "beta", "it has room of its own");
    drop(audit);
    let lines = log.lines();
    assert_eq!(lines.last().unwrap()["left_out"], 2 * more);
    assert_eq!(counted(&lines, Some("acme")), 2 * (most + more));
}

#[test]
fn what_was_gathered_is_written_when_its_time_is_over_without_another() {
    let log = Log::new();
    let place = AuditPlace::Path(log.directory.path().join("audit"));
    let clock = Arc::new(samara_core::SystemClock::new());
    let audit = Audit::open(&place, Arc::clone(&clock) as Arc<dyn Clock>).unwrap();
    for round in 1..=2 {
        for _ in 0..3 {
            audit.refused(ACME, None, "not granted");
        }
        let before = clock.monotonic();
        while log.lines().len() < 2 * round {
            assert!(clock.monotonic() - before < Duration::from_secs(60), "{}", log.text());
            thread::sleep(Duration::from_millis(10));
        }
    }
    assert_eq!(counted(&log.lines(), Some("acme")), 6, "{}", log.text());
}

#[test]
fn a_host_that_is_killed_loses_counts_of_a_quarter_of_a_second_at_most() {
    let log = Log::new();
    let audit = log.open();
    let step = Duration::from_millis(10);
    for _ in 0..200 {
        audit.refused(ACME, None, "not granted");
        audit.stranger("http", Kind::NoTicket, "none");
        log.clock.advance(step);
    }
    // As a process that is killed: nothing is closed.
    std::mem::forget(audit);
    let lost = u64::try_from(Duration::from_millis(250).as_millis() / step.as_millis()).unwrap();
    for tenant in [Some("acme"), None] {
        let counted = counted(&log.lines(), tenant);
        assert!((200 - lost..=200).contains(&counted), "{counted}");
    }
}

#[test]
fn a_log_that_was_closed_gathers_nothing_and_loses_nothing() {
    let log = Log::new();
    let audit = log.open();
    for _ in 0..3 {
        audit.stranger("http", Kind::NoJwt, "no ticket");
    }
    audit.close();
    for _ in 0..3 {
        audit.stranger("http", Kind::NoJwt, "no ticket");
    }
    // As a process that ends: nothing is dropped.
    std::mem::forget(audit);
    assert_eq!((log.lines().len(), counted(&log.lines(), None)), (5, 6), "{}", log.text());
}

#[test]
fn all_lines_are_there_and_whole_under_load() {
    let log = Log::new();
    // Two hosts that share a file, with threads each.
    let audits = [log.open(), log.open()];
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let audit = &audits[thread % 2];
            scope.spawn(move || {
                for n in 0..500 {
                    audit.job(ACME, &batch(thread as u64 * 1_000 + n));
                }
            });
        }
    });
    let mut jobs: Vec<String> = log.lines().iter().map(|line| line["job"].to_string()).collect();
    jobs.sort_unstable();
    jobs.dedup();
    assert_eq!(jobs.len(), 4_000);
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_holds_nothing_up() {
    let place = AuditPlace::Path("/dev/full".into());
    let audit = Audit::open(&place, Arc::new(HandClock::default())).unwrap();
    audit.job(ACME, &batch(1));
    audit.refused(ACME, None, "no ticket");
}

#[test]
fn what_a_crash_cut_stays_in_a_line_of_its_own() {
    let log = Log::new();
    std::fs::write(log.directory.path().join("audit"), "{\"time\":\"20").unwrap();
    log.open().job(ACME, &batch(1));
    log.open().job(ACME, &batch(2));
    let text = log.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[1..].iter().all(|line| serde_json::from_str::<Value>(line).is_ok()));
}
