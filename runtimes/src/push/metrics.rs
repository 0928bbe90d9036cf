//! Counts of what a host did, as Prometheus reads them.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use samara_core::wire::HostInfo;
use samara_core::{Outcome, Reports, Stats};

/// What tasks came to, as labels.
const OUTCOMES: [&str; 5] = ["success", "failed", "trapped", "limit_exceeded", "platform"];

/// Counts since the start.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    outcomes: [AtomicU64; OUTCOMES.len()],
    refused: AtomicU64,
    wall_us: AtomicU64,
    cpu_us: AtomicU64,
    bytes_read: AtomicU64,
}

// === impl Metrics ===

impl Metrics {
    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn ended(&self, reports: &Reports) {
        match reports {
            Reports::Each(reports) => {
                for report in reports {
                    let outcome = match report.outcome {
                        Outcome::Success(_) => 0,
                        Outcome::Failed(_) => 1,
                        Outcome::Trapped(_) => 2,
                        Outcome::LimitExceeded(_) => 3,
                        _ => 4,
                    };
                    self.outcomes[outcome].fetch_add(1, Ordering::Relaxed);
                    self.used(&report.stats);
                }
            }
            Reports::Shared(shared) => {
                self.outcomes[0].fetch_add(shared.indices.len() as u64, Ordering::Relaxed);
                self.used(&shared.stats);
            }
        }
    }

    fn used(&self, stats: &Stats) {
        let micros =
            |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.wall_us.fetch_add(micros(stats.wall), Ordering::Relaxed);
        self.cpu_us.fetch_add(micros(stats.cpu), Ordering::Relaxed);
        self.bytes_read.fetch_add(stats.bytes_read, Ordering::Relaxed);
    }

    /// All of it, in the text format 0.0.4.
    pub(super) fn text(&self, info: &HostInfo, in_flight: usize) -> String {
        let seconds = |us: &AtomicU64| us.load(Ordering::Relaxed) as f64 / 1e6;
        let mut text = String::new();
        let mut head = |name: &str, kind: &str, help: &str, rows: &[(String, String)]| {
            // Writing to a string does not fail.
            let _written = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (labels, value) in rows {
                let _written = writeln!(text, "{name}{labels} {value}");
            }
        };
        let one = |value: String| [(String::new(), value)];
        let outcomes = OUTCOMES.iter().zip(&self.outcomes).map(|(name, count)| {
            (format!("{{outcome=\"{name}\"}}"), count.load(Ordering::Relaxed).to_string())
        });
        head(
            "samara_tasks_total",
            "counter",
            "Attempts that ended.",
            &outcomes.collect::<Vec<_>>(),
        );
        let refused = self.refused.load(Ordering::Relaxed).to_string();
        head("samara_batches_refused_total", "counter", "Batches not taken.", &one(refused));
        let wall = seconds(&self.wall_us).to_string();
        head("samara_task_seconds_total", "counter", "Time in tasks.", &one(wall));
        let cpu = seconds(&self.cpu_us).to_string();
        head("samara_task_cpu_seconds_total", "counter", "Processor time in tasks.", &one(cpu));
        let read = self.bytes_read.load(Ordering::Relaxed).to_string();
        head(
            "samara_partition_read_bytes_total",
            "counter",
            "Bytes read of partitions.",
            &one(read),
        );
        head("samara_batches_in_flight", "gauge", "Batches taken.", &one(in_flight.to_string()));
        head("samara_slots", "gauge", "Tasks at the same moment.", &one(info.slots.to_string()));
        let draining = u8::from(info.draining).to_string();
        head("samara_draining", "gauge", "Whether no more is taken.", &one(draining));
        let version = [(format!("{{version=\"{}\"}}", info.version), "1".to_owned())];
        head("samara_host_info", "gauge", "The program.", &version);
        text
    }
}
