//! Objects that are files of this machine, and what happens to a job when they change.

use std::fs;
use std::path::Path;

use samara::{Cause, Objects};
use samara_programs::input;

use crate::common::{executor, programs, put, results, values, wait};

fn counts(objects: impl Into<Objects>) -> Vec<u64> {
    values(wait(executor().map(programs(), input::count_lines, objects.into())))
}

fn text(dir: &Path, name: &str, lines: usize) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "line\n".repeat(lines)).unwrap();
}

#[test]
fn a_path_a_url_a_directory_and_a_pattern_find_objects_in_order() {
    let dir = tempfile::tempdir().unwrap();
    for (name, lines) in [("b.txt", 2), ("a.txt", 1), ("sub/c.txt", 3), ("d.log", 4)] {
        text(dir.path(), name, lines);
    }
    let at = |name: &str| format!("{}{name}", dir.path().display());
    assert_eq!(counts(at("/b.txt")), [2]);
    assert_eq!(counts(format!("file://{}", at("/b.txt"))), [2]);
    assert_eq!(counts(dir.path()), [1, 2, 4, 3], "in the order of their names");
    assert_eq!(counts(at("/*.txt")), [1, 2]);
    assert_eq!(counts(at("/**/*.txt")), [1, 2, 3]);
    assert_eq!(counts(Objects::at(at("/d.log")).and(at("/a.txt"))), [4, 1]);
}

#[test]
fn paths_that_are_not_plain_ascii_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let names = ["with space", "ünïcode", "日本語.txt", "🦀", "100%25#?&=+", "a*b", "[x]", "it's"];
    for (lines, name) in names.iter().enumerate() {
        text(dir.path(), name, lines + 1);
    }
    for (lines, name) in names.iter().enumerate() {
        let path = dir.path().join(name);
        assert_eq!(counts(path.as_path()), [lines as u64 + 1], "{name}");
    }
}

#[test]
fn ten_thousand_objects_are_one_job() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..10_000 {
        fs::write(dir.path().join(format!("{n:05}")), "x\n".repeat(n % 3)).unwrap();
    }
    let counts = counts(dir.path());
    assert_eq!(counts.len(), 10_000);
    assert!(counts.iter().enumerate().all(|(n, lines)| *lines == n as u64 % 3));
}

#[test]
fn an_object_that_changes_mid_job_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("changing");
    fs::write(&path, "old\n".repeat(100)).unwrap();
    let objects = Objects::at(path.to_str().unwrap());
    let partitions = wait(executor().plan(&objects)).unwrap();
    assert_eq!(partitions.len(), 1);
    // Planned by hand, so that the change certainly comes between the plan and the task.
    fs::write(&path, "new!\n".repeat(100)).unwrap();
    let cause = run_planned(partitions.get(0).unwrap());
    match cause {
        Cause::Platform(error) => {
            assert_eq!(error.kind, samara_core::ErrorKind::Changed);
            assert!(error.message.contains("changing"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_object_that_is_gone_is_a_platform_failure_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gone");
    fs::write(&path, "x\n").unwrap();
    let partition =
        wait(executor().plan(&Objects::at(path.to_str().unwrap()))).unwrap().get(0).unwrap();
    fs::remove_file(&path).unwrap();
    match run_planned(partition) {
        Cause::Platform(error) => {
            assert_eq!(error.kind, samara_core::ErrorKind::NotFound);
            assert!(error.message.contains("gone"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

/// Runs `count_lines` on a partition that was planned before.
fn run_planned(partition: samara_core::Partition) -> Cause {
    match crate::common::report("count_lines", vec![0x80], Some(partition)).outcome {
        samara_core::Outcome::Platform(error) => Cause::Platform(error),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_store_that_cannot_be_written_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let below = format!("{}/store", file.path().display());
    put("mem://objects/any", "x\n");
    let executor = crate::common::builder().store(&below).build().unwrap();
    let job = wait(executor.map(programs(), input::count_lines, "mem://objects/any"));
    let error = job.unwrap_err().to_string();
    assert!(error.contains(&below[1..]), "{error}");
}

#[test]
fn a_full_disk_is_a_platform_failure_that_names_the_place() {
    let dir = tempfile::tempdir().unwrap();
    let mount = |arguments: &[&str]| {
        let status = std::process::Command::new("mount").args(arguments).arg(dir.path()).output();
        status.is_ok_and(|output| output.status.success())
    };
    if !mount(&["-t", "tmpfs", "-o", "size=2m", "tmpfs"]) {
        println!("skipped: a file system of 2 MiB cannot be mounted here");
        return;
    }
    let place = dir.path().to_str().unwrap();
    let builder = crate::common::builder().store(place).grant(place, samara::Access::ReadWrite);
    let executor = builder.build().unwrap();
    let sizes = [10, 8 << 20, 1 << 10];
    let ended = results(wait(executor.map(programs(), samara_programs::ends::output_of, sizes)));
    // A function that passes on what its store said is not to blame either.
    let piece = samara_guest::Bytes::from(vec![7_u8; 1 << 20]);
    let arguments = (format!("{place}/large"), piece, 8, true);
    let passed_on =
        wait(executor.call(programs(), samara_programs::store::write_pieces, arguments));
    let unmounted = std::process::Command::new("umount").arg(dir.path()).status();
    assert!(unmounted.unwrap().success());
    assert!(ended[0].is_ok() && ended[2].is_ok(), "one full disk hides no other result");
    match &ended[1].as_ref().unwrap_err().cause {
        Cause::Platform(error) => {
            assert_eq!(error.retry, samara_core::Retry::Never);
            assert!(error.message.contains("space"), "{error}");
            assert!(error.message.contains(dir.path().to_str().unwrap()), "{error}");
        }
        other => panic!("{other:?}"),
    }
    let passed_on = crate::common::task_error(passed_on);
    assert!(matches!(passed_on.cause, Cause::Platform(_)), "{passed_on:?}");
}
