//! `--isolate tenant`: each tenant's tasks run in a process of the tenant's own, which has given up
//! what it does not need before it is told anything of a guest's.
//!
//! The host itself keeps all that is trusted: tickets, grants, quotas, audit, keys, secrets. A process
//! is this program again, so that there is no second one to deploy.
//!
//! | file | does |
//! |---|---|
//! | `launch.rs` | starts processes, and answers what they ask |
//! | `plan.rs` | what a tenant's process is told and given, by its grants |
//! | `child.rs` | the process |
//! | `restrict.rs` | what it gives up |
//! | `calls.rs` | and which system calls |
//! | `memory.rs` | how much memory it may have |
//! | `probe.rs` | what this machine has for that: found out by a process that tries |

#[cfg(target_os = "linux")]
mod calls;
#[cfg(target_os = "linux")]
pub(crate) mod child;
#[cfg(target_os = "linux")]
mod launch;
#[cfg(target_os = "linux")]
mod memory;
#[cfg(target_os = "linux")]
mod plan;
#[cfg(target_os = "linux")]
mod probe;
#[cfg(target_os = "linux")]
mod restrict;

#[cfg(target_os = "linux")]
pub(crate) use self::launch::runtime;
#[cfg(target_os = "linux")]
pub(crate) use self::probe::check;

use std::time::Duration;

/// How long a process without work is kept: long against the pauses of a driver, short against what
/// its memory is worth.
const IDLE_MAX: Duration = Duration::from_mins(1);

/// What a process is told to have at most is at least that: its threads, and a task that does nothing.
const MEMORY_BYTES_MIN: u64 = 32 << 20;

/// How each tenant has a process of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Isolation {
    /// Whether nothing runs where the machine lacks a protection.
    pub(crate) strict: bool,
    /// How long a process without work is kept.
    pub(crate) idle_max: Duration,
    /// Bytes that each process may have beyond those with which it begins; otherwise as many as its
    /// tenant's limits and quotas ask for.
    pub(crate) memory_max: Option<u64>,
}

// === impl Isolation ===

impl Isolation {
    /// Reads `none`, or `tenant` with `strict`, `idle=TIME` and `memory=SIZE` behind commas.
    pub(crate) fn parse(said: &str) -> Result<Option<Self>, String> {
        let wanted = || "should be none, tenant, or tenant with strict, idle=TIME and memory=SIZE behind commas";
        let mut parts = said.split(',').map(str::trim);
        match parts.next() {
            Some("none") if said == "none" => return Ok(None),
            Some("tenant") if cfg!(target_os = "linux") => {}
            Some("tenant") => return Err("needs Linux".to_owned()),
            _ => return Err(wanted().to_owned()),
        }
        let mut isolation = Self { strict: false, idle_max: IDLE_MAX, memory_max: None };
        for part in parts {
            match part.split_once('=') {
                None if part == "strict" => isolation.strict = true,
                Some(("idle", time)) => {
                    let time = humantime::parse_duration(time);
                    isolation.idle_max =
                        time.map_err(|_| "has an idle= that is no time, such as 60s".to_owned())?;
                }
                Some(("memory", size)) => {
                    let size = samara_core::units::parse_size(size).map(u64::from);
                    let enough = size.and_then(|size| match size >= MEMORY_BYTES_MIN {
                        true => Ok(size),
                        false => Err("it is less than 32MiB, with which nothing runs".to_owned()),
                    });
                    isolation.memory_max = Some(
                        enough.map_err(|why| format!("has a memory= that is no size: {why}"))?,
                    );
                }
                _ => return Err(wanted().to_owned()),
            }
        }
        Ok(Some(isolation))
    }
}

/// Where there is no such thing; [`Isolation::parse`] has refused it.
#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use std::process::ExitCode;
    use std::sync::Arc;

    use samara_core::Runtime;
    use samara_core::link::Protection;
    use samara_tenants::Tenants;

    use super::Isolation;
    use crate::service::Failed;
    use crate::settings::Settings;

    pub(crate) fn runtime(
        _: &Settings,
        _: Isolation,
        _: &Arc<Tenants>,
        _: &tokio::runtime::Handle,
    ) -> Result<Arc<dyn Runtime>, Failed> {
        Err(Failed::Settings("SAMARA_HOST_ISOLATE needs Linux".to_owned()))
    }

    pub(crate) fn check(_: &Settings, _: Isolation) -> Result<Vec<Protection>, String> {
        Err("SAMARA_HOST_ISOLATE needs Linux".to_owned())
    }

    pub(crate) mod child {
        pub(crate) fn run() -> super::ExitCode {
            super::ExitCode::FAILURE
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) use self::elsewhere::{check, child, runtime};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn isolation_is_read_or_refused() {
        let isolation = |strict, seconds| {
            let idle_max = Duration::from_secs(seconds);
            Ok(Some(Isolation { strict, idle_max, memory_max: None }))
        };
        assert_eq!(Isolation::parse("none"), Ok(None));
        assert_eq!(Isolation::parse("tenant"), isolation(false, 60));
        assert_eq!(Isolation::parse("tenant,strict"), isolation(true, 60));
        assert_eq!(Isolation::parse("tenant, idle=5s, strict"), isolation(true, 5));
        for said in ["", "tenants", "strict", "none,strict", "tenant,", "tenant,loose"] {
            assert!(Isolation::parse(said).unwrap_err().contains("should be"), "{said}");
        }
        assert!(Isolation::parse("tenant,idle=soon").unwrap_err().contains("60s"));
        let bounded = Isolation::parse("tenant,memory=2GiB").unwrap().unwrap();
        assert_eq!(bounded.memory_max, Some(2 << 30));
        for (said, named) in [("much", "8MiB"), ("0", "at least"), ("31MiB", "32MiB")] {
            let why = Isolation::parse(&format!("tenant,memory={said}")).unwrap_err();
            assert!(why.contains("memory=") && why.contains(named), "{why}");
        }
    }
}
