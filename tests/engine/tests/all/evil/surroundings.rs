//! Guests that look for what is around them.

use samara_evil::Loot;

use super::host::Host;
use crate::common::arguments;

pub(super) fn reads_environment(host: &Host) {
    let found: Vec<String> = host.one("reads_all_there_is", arguments(())).value();
    assert_eq!(found, Vec::<String>::new());
}

pub(super) fn reads_files(host: &Host) {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path().join("here");
    std::fs::write(&here, "not for guests").unwrap();
    let mut paths: Vec<String> = [
        "/etc/passwd",
        "/proc/self/environ",
        "/proc/self/mem",
        "/dev/stdin",
        "/dev/zero",
        "Cargo.toml",
        "../Cargo.toml",
        "/../../etc/passwd",
        "./../../../../../../etc/passwd",
        "/",
        ".",
        "..",
        "",
    ]
    .map(str::to_owned)
    .to_vec();
    paths.extend([here.display().to_string(), directory.path().join("new").display().to_string()]);
    let loot: Vec<Loot> = host.one("reads_paths", arguments((&paths,))).value();
    for (at, loot) in loot.iter().enumerate() {
        let made_nothing = *loot == Loot::Got("()".to_owned()) && at % 5 == 4;
        let nothing = matches!(loot, Loot::Nothing(_)) || made_nothing;
        assert!(nothing, "{}: {loot:?}", paths[at / 5]);
    }
    assert_eq!(std::fs::read_to_string(&here).unwrap(), "not for guests");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing was made");
}

pub(super) fn looks_at_clocks(host: &Host) {
    let (step, since): (u64, u64) = host.one("measures_clocks", arguments(())).value();
    assert!(step.is_multiple_of(1_000_000), "{step} ns");
    assert!(since < 60_000_000_000, "the clock began with the task, not with the machine: {since}");
}
