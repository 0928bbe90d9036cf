//! Compiled code on disk: used when whole, rebuilt when damaged, never run otherwise.

use std::fs;
use std::path::{Path, PathBuf};

use samara::Executor;
use samara_programs::values;

use crate::common::{builder, programs, wait};

fn executor(dir: &Path) -> Executor {
    builder().cache_dir(Some(dir.to_owned())).build().unwrap()
}

fn works(dir: &Path) {
    assert_eq!(wait(executor(dir).call(programs(), values::add, (20, 22))).unwrap(), 42);
}

fn find(dir: &Path) -> PathBuf {
    let engine =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).find(|p| p.is_dir()).unwrap();
    let files = fs::read_dir(engine).unwrap().map(|e| e.unwrap().path());
    files.into_iter().find(|p| p.extension().is_some_and(|e| e == "cwasm")).unwrap()
}

/// Entries are for reading only, so one is replaced rather than written to.
fn put(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_second_process_maps_what_the_first_compiled() {
    let dir = tempfile::tempdir().unwrap();
    works(dir.path());
    let code = find(dir.path());
    let first = fs::metadata(&code).unwrap().modified().unwrap();
    works(dir.path());
    assert_eq!(fs::metadata(&code).unwrap().modified().unwrap(), first, "it was not rebuilt");
}

#[test]
fn a_damaged_entry_is_rebuilt_never_run() {
    let dir = tempfile::tempdir().unwrap();
    works(dir.path());
    let code = find(dir.path());
    let whole = fs::read(&code).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let foreign = b"\x7fELF and then some".to_vec();
    for damage in [flipped, whole[..whole.len() / 2].to_vec(), Vec::new(), foreign] {
        put(&code, &damage);
        works(dir.path());
        assert_eq!(fs::read(&code).unwrap().len(), whole.len(), "it was rebuilt");
    }
}

#[test]
fn a_directory_that_others_can_write_is_not_used() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let shared = dir.path().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o777)).unwrap();
    works(&shared);
    let kept = fs::read_dir(&shared)
        .unwrap()
        .flatten()
        .any(|entry| entry.path().is_dir() && fs::read_dir(entry.path()).unwrap().next().is_some());
    assert!(!kept, "compiled code was kept where anybody can replace it");
}

#[test]
fn a_cache_that_cannot_be_written_only_costs_time() {
    let file = tempfile::NamedTempFile::new().unwrap();
    works(&file.path().join("below-a-file"));
}

/// Set in a process whose address space is too small for the pool.
const SMALL_PROCESS: &str = "SAMARA_TEST_SMALL_PROCESS";

#[test]
fn a_machine_without_room_for_the_pool_runs_tasks_all_the_same() {
    if std::env::var_os(SMALL_PROCESS).is_some() {
        let io = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let engine =
            samara_engine::Engine::new(&samara_engine::Config::default(), io.handle().clone());
        assert!(!engine.unwrap().is_pooling(), "the pool does not fit");
        let dir = tempfile::tempdir().unwrap();
        works(dir.path());
        return;
    }
    // Built before, so that the small process need not run a compiler.
    let _ = programs();
    let name = "cache::a_machine_without_room_for_the_pool_runs_tasks_all_the_same";
    let script = format!("ulimit -v {} && exec \"$0\" --exact {name} --nocapture", 24 << 20);
    let output = std::process::Command::new("sh")
        .args(["-c", &script])
        .arg(std::env::current_exe().unwrap())
        .env(SMALL_PROCESS, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
fn an_entry_of_another_component_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    works(dir.path());
    let code = find(dir.path());
    // The same behaviour under another name: a custom section, of no content, at the end.
    let mut bytes = programs().bytes().to_vec();
    bytes.extend([0, 2, 1, b'x']);
    let other = samara::Component::from_bytes(bytes);
    let hex = other.id().to_string();
    let other_code = code.with_file_name(format!("{}.cwasm", hex.trim_start_matches("b3:")));
    fs::copy(&code, &other_code).unwrap();
    let sum = wait(executor(dir.path()).call(&other, values::add, (20, 22)));
    assert_eq!(sum.unwrap(), 42);
    assert_ne!(fs::read(&code).unwrap(), fs::read(&other_code).unwrap(), "it was rebuilt");
}
