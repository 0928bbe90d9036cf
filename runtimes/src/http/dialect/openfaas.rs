//! OpenFaaS, with the host in the watchdog's place ("Workloads": an HTTP server on port 8080 with
//! `/_/health` and `/_/ready`, which every host answers).
//!
//! The gateway asks nobody who calls a function, and gathers small answers. `OPENFAAS_NAME` is what
//! "Function authentication" says that functions are told; where an edition does not set it, `--as
//! openfaas` says it.
//!
//! Timeouts are the function's own variables ("Expanded timeouts"): `exec_timeout`, after which a
//! watchdog ends a call, and `write_timeout`, after which it stops answering. A host keeps to the
//! shorter one, so that a batch goes back before the gateway gives up.

use std::time::Duration;

use super::plain::{CONTAINER, HERE};
use super::{Dialect, Door};
use crate::host::Variables;

/// Variables that bound a call.
const TIMES: [&str; 2] = ["exec_timeout", "write_timeout"];

pub(super) static DIALECT: Dialect =
    Dialect { address: CONTAINER.address, door: Door::Tokens, streams: false, time_max, ..HERE };

fn time_max(variables: &Variables) -> Option<Duration> {
    let said = |name: &&str| variables.get(*name).and_then(|said| time(said));
    TIMES.iter().filter_map(said).filter(|time| !time.is_zero()).min()
}

/// A time as Go writes it, or seconds alone.
fn time(said: &str) -> Option<Duration> {
    if let Ok(seconds) = said.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let (mut rest, mut whole) = (said, Duration::ZERO);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let unit = &rest[digits..];
        let end = unit.find(|c: char| c.is_ascii_digit()).unwrap_or(unit.len());
        let seconds = match &unit[..end] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            _ => return None,
        };
        whole = whole.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
        rest = &unit[end..];
    }
    Some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_a_watchdog_reads_them() {
        for (said, seconds) in [
            ("30", Some(30.0)),
            ("30s", Some(30.0)),
            ("1m30s", Some(90.0)),
            ("1h", Some(3600.0)),
            ("500ms", Some(0.5)),
            ("1.5s", Some(1.5)),
            ("", Some(0.0)),
            ("s", None),
            ("10", Some(10.0)),
            ("10x", None),
            ("1m1", None),
            ("5124095576030431h5124095576030431h", None),
        ] {
            assert_eq!(time(said).map(|time| time.as_secs_f64()), seconds, "{said}");
        }
    }

    #[test]
    fn the_shorter_time_counts() {
        let said = |pairs: &[(&str, &str)]| -> Variables {
            pairs.iter().map(|(name, said)| ((*name).to_owned(), (*said).to_owned())).collect()
        };
        let both = [("exec_timeout", "2m"), ("write_timeout", "65s")];
        assert_eq!(time_max(&said(&both)), Some(Duration::from_secs(65)));
        assert_eq!(time_max(&said(&both[..1])), Some(Duration::from_secs(120)));
        assert_eq!(time_max(&said(&[("exec_timeout", "0s")])), None);
        assert_eq!(time_max(&said(&[])), None);
    }
}
