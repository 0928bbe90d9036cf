//! What one task may use.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What one task may use. Every limit has a default; none can be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Limits {
    /// Sum of all the task's linear memories and tables, in bytes. Default 1 GiB; at most 4 GiB,
    /// which is what a 32-bit component can address.
    pub memory_bytes: u64,
    /// Wall-clock time from start to end. Default 15 minutes, the longest that AWS Lambda allows.
    pub time: Duration,
    /// Size of the encoded output in bytes. Default 64 MiB: a larger result belongs in an object.
    pub output_bytes: u64,
    /// Sum of the captured log lines in bytes. Default 1 MiB; later lines are dropped and counted.
    pub log_bytes: u64,
    /// Time on a processor. Default as `time`: a task that computes all the while is ended by either.
    pub cpu: Duration,
    /// Operations on stores. Default 1,000,000.
    pub storage_operations: u64,
    /// Bytes read from and written to stores, the partition among them. Default 1 TiB.
    pub storage_bytes: u64,
    /// Requests by HTTP. Default 10,000.
    pub http_requests: u64,
    /// Bytes from and to servers by HTTP. Default 1 TiB.
    pub http_bytes: u64,
    /// Memory of the host that is held for what the guest writes to objects, until it is stored, and
    /// for its requests by HTTP, until their answers are dropped. Default 256 MiB.
    pub buffer_bytes: u64,
    /// Bytes that one call into the host may pass. Default 64 MiB; larger objects are read and
    /// written in pieces.
    pub host_call_bytes: u64,
}

// === impl Limits ===

impl Limits {
    /// The smaller one of each.
    #[must_use]
    pub fn at_most(self, most: &Self) -> Self {
        Self {
            memory_bytes: self.memory_bytes.min(most.memory_bytes),
            time: self.time.min(most.time),
            output_bytes: self.output_bytes.min(most.output_bytes),
            log_bytes: self.log_bytes.min(most.log_bytes),
            cpu: self.cpu.min(most.cpu),
            storage_operations: self.storage_operations.min(most.storage_operations),
            storage_bytes: self.storage_bytes.min(most.storage_bytes),
            http_requests: self.http_requests.min(most.http_requests),
            http_bytes: self.http_bytes.min(most.http_bytes),
            buffer_bytes: self.buffer_bytes.min(most.buffer_bytes),
            host_call_bytes: self.host_call_bytes.min(most.host_call_bytes),
        }
    }

    /// What a 32-bit component can address.
    pub const MEMORY_BYTES_MAX: u64 = 4 << 30;

    /// Checks the limits against each other and against what can be enforced.
    ///
    /// # Errors
    ///
    /// Names the limit that makes no sense and the range it must lie in.
    pub fn check(&self) -> Result<(), crate::Error> {
        let refuse = |text: String| Err(crate::Error::new(crate::ErrorKind::Invalid, text));
        if !(64 << 10..=Self::MEMORY_BYTES_MAX).contains(&self.memory_bytes) {
            return refuse(format!(
                "limit memory_bytes = {} must lie between 64 KiB (one page) and 4 GiB",
                self.memory_bytes
            ));
        }
        if self.time.is_zero() || self.cpu.is_zero() {
            return refuse("limits time and cpu must be longer than zero".to_owned());
        }
        if self.output_bytes == 0 || self.host_call_bytes == 0 {
            return refuse("limits output_bytes and host_call_bytes must be over zero".to_owned());
        }
        Ok(())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 1 << 30,
            time: Duration::from_mins(15),
            output_bytes: 64 << 20,
            log_bytes: 1 << 20,
            cpu: Duration::from_mins(15),
            storage_operations: 1_000_000,
            storage_bytes: 1 << 40,
            http_requests: 10_000,
            http_bytes: 1 << 40,
            buffer_bytes: 256 << 20,
            host_call_bytes: 64 << 20,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_pass_their_own_check() {
        assert_eq!(Limits::default().check(), Ok(()));
    }

    #[test]
    fn limits_that_make_no_sense_are_named() {
        let cases = [
            (Limits { memory_bytes: 5 << 30, ..Limits::default() }, "memory_bytes"),
            (Limits { memory_bytes: 1, ..Limits::default() }, "memory_bytes"),
            (Limits { time: Duration::ZERO, ..Limits::default() }, "time"),
            (Limits { output_bytes: 0, ..Limits::default() }, "output_bytes"),
        ];
        for (limits, name) in cases {
            let error = limits.check().unwrap_err();
            assert!(error.message.contains(name), "{error}");
        }
    }
}
