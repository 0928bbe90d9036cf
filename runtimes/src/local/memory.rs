//! How much memory the machine, or the container, lets this process have.

use std::path::Path;

/// What is not the tasks': the process's own, and the engine's.
const OWN_BYTES: u64 = 64 << 20;

/// What a task has at least. Where there is less, nothing would run, and trying is better.
const TASK_BYTES_MIN: u64 = 64 << 20;

/// Where the limit stands, by control groups of version 2 and 1. In a container these are its own.
const LIMITS: [&str; 2] =
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/// How much one task may have at most: all that there is, if no other needs some. A task that took
/// more would end the process, and with it all others.
pub(super) fn task_memory_max() -> Option<u64> {
    LIMITS.iter().find_map(|path| of(Path::new(path)))
}

fn of(path: &Path) -> Option<u64> {
    let said = std::fs::read_to_string(path).ok()?;
    // Version 2 says `max` where there is none, and version 1 a number that no machine has.
    let bytes = said.trim().parse::<u64>().ok().filter(|bytes| *bytes < 1 << 60)?;
    Some(bytes.saturating_sub(OWN_BYTES).max(TASK_BYTES_MIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_where_there_are_some() {
        let directory = std::env::temp_dir().join(format!("samara-memory-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("memory.max");
        for (said, wanted) in [
            ("max\n", None),
            ("9223372036854771712\n", None),
            ("1073741824\n", Some((1 << 30) - OWN_BYTES)),
            ("1000\n", Some(TASK_BYTES_MIN)),
            ("", None),
        ] {
            std::fs::write(&path, said).unwrap();
            assert_eq!(of(&path), wanted, "{said:?}");
        }
        std::fs::remove_dir_all(&directory).unwrap();
        assert_eq!(of(&path), None);
    }
}
