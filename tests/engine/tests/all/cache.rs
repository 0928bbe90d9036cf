//! Compiled code that somebody tampered with is refused, and the work is done all the same; and
//! components that are compiled elsewhere.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use samara_core::{Error, ErrorKind, Outcome, Report};
use samara_engine::{CacheKey, Compile, Config, precompile};
use tempfile::TempDir;

use crate::common::{Worker, arguments, value_of};

/// A cache with one entry, of the guests under test.
struct Place {
    dir: TempDir,
    entry: PathBuf,
    whole: Vec<u8>,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        assert!(!works(&dir, |_| ()), "nothing was there");
        let entry = find(&dir.path().join("compiled"));
        let whole = fs::read(&entry).unwrap();
        Self { dir, entry, whole }
    }

    /// Replaces the entry.
    fn put(&self, bytes: &[u8]) {
        fs::remove_file(&self.entry).unwrap();
        fs::write(&self.entry, bytes).unwrap();
        mode(&self.entry, 0o600);
    }

    /// Whether the entry is used. Work is done in any case.
    fn is_used(&self) -> bool {
        works(&self.dir, |_| ())
    }
}

/// Runs a task with a worker of its own, whose cache is in `dir`; whether compiled code was there.
fn works(dir: &TempDir, change: impl FnOnce(&mut Config)) -> bool {
    let worker = Worker::with(|config| {
        config.cache_dir = Some(dir.path().join("compiled"));
        config.cache_key_file = Some(dir.path().join("key"));
        config.pooling = false;
        change(config);
    });
    let cached = worker.handler.prepare(worker.component, &worker.store).unwrap();
    assert_eq!(worker.call::<i64>("add", arguments((20, 22))), 42);
    cached
}

fn find(dir: &Path) -> PathBuf {
    let children = |dir: &Path| fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files = children(dir).flat_map(|engine| children(&engine));
    files.find(|path| path.extension().is_some_and(|extension| extension == "cwasm")).unwrap()
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn whatever_is_done_to_an_entry_the_work_is_done() {
    let place = Place::new();
    assert!(place.is_used());
    let whole = &place.whole;
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for damaged in [&flipped[..], &whole[..whole.len() / 2], &[&whole[..], b"x"].concat(), b""] {
        place.put(damaged);
        assert!(!place.is_used());
        assert!(place.is_used(), "it was made again");
    }
    let elsewhere = place.dir.path().join("elsewhere");
    fs::rename(&place.entry, &elsewhere).unwrap();
    symlink(&elsewhere, &place.entry).unwrap();
    assert!(!place.is_used(), "a link");
    mode(&place.entry, 0o602);
    assert!(!place.is_used(), "a file that others can write to");
    mode(&place.dir.path().join("compiled"), 0o777);
    assert!(!place.is_used() && !place.is_used(), "a directory that others can write to");
}

#[test]
fn an_entry_made_with_another_key_is_not_used() {
    let place = Place::new();
    let key = place.dir.path().join("key");
    fs::write(&key, [7; 32]).unwrap();
    assert!(!place.is_used());
    assert!(place.is_used(), "it was made again");
    // A key that others can read authenticates nothing, and none is none.
    mode(&key, 0o644);
    assert!(!place.is_used());
    assert!(!works(&place.dir, |config| config.cache_key_file = None));
    // The operator's key counts before a user's.
    let operators = |config: &mut Config| config.cache_key = Some(CacheKey::new([9; 32]));
    assert!(!works(&place.dir, operators));
    assert!(works(&place.dir, operators));
    fs::remove_file(&key).unwrap();
    assert!(!place.is_used(), "a key of the user's own, made anew");
}

#[test]
fn code_for_other_settings_is_not_found_and_not_taken() {
    let place = Place::new();
    let counting = |config: &mut Config| config.fuel = true;
    assert!(!works(&place.dir, counting));
    assert!(works(&place.dir, counting));
    let engines = fs::read_dir(place.dir.path().join("compiled")).unwrap();
    let other =
        engines.map(|entry| entry.unwrap().path()).find(|dir| !place.entry.starts_with(dir));
    let foreign = fs::read(other.unwrap().join(place.entry.file_name().unwrap())).unwrap();
    place.put(&foreign);
    assert!(!place.is_used());
}

/// Compiles here, as another process would, and changes what that answers.
#[derive(Debug)]
struct Elsewhere {
    change: fn(&mut Vec<u8>),
    fuel: bool,
    compiled: AtomicU64,
}

impl Elsewhere {
    fn new(change: fn(&mut Vec<u8>)) -> Arc<Self> {
        Arc::new(Self { change, fuel: false, compiled: AtomicU64::new(0) })
    }
}

impl Compile for Elsewhere {
    fn compile(&self, component: &[u8]) -> Result<Vec<u8>, Error> {
        self.compiled.fetch_add(1, Ordering::Relaxed);
        let mut config = Config::default();
        config.fuel = self.fuel;
        let mut answer = precompile(&config, component)?;
        (self.change)(&mut answer);
        Ok(answer)
    }
}

/// What a task comes to whose component was compiled elsewhere.
fn ran(elsewhere: &Arc<Elsewhere>, pooling: bool) -> Report {
    let worker = Worker::with(|config| {
        config.cache_dir = None;
        config.compiler = Some(Arc::clone(elsewhere) as _);
        config.pooling = pooling;
    });
    worker.one("add", arguments((20, 22)))
}

#[test]
fn code_that_was_compiled_elsewhere_runs_with_and_without_a_pool() {
    let elsewhere = Elsewhere::new(|_| ());
    for (pooling, compiled) in [(true, 1), (false, 2)] {
        assert_eq!(value_of::<i64>(&ran(&elsewhere, pooling)), 42);
        assert_eq!(elsewhere.compiled.load(Ordering::Relaxed), compiled);
    }
}

#[test]
fn strange_answers_of_a_process_for_compiling_are_refused() {
    let fuel = Elsewhere { change: |_| (), fuel: true, compiled: AtomicU64::new(0) };
    let strange: [(Arc<Elsewhere>, &str); 6] = [
        (Arc::new(fuel), "other settings"),
        (Elsewhere::new(|answer| answer[0] ^= 1), "other settings"),
        (Elsewhere::new(|answer| answer.truncate(35)), "is cut"),
        (Elsewhere::new(|answer| answer.truncate(answer.len() - 1)), "length"),
        (Elsewhere::new(|answer| answer.push(0)), "length"),
        (Elsewhere::new(Vec::clear), "is cut"),
    ];
    for (elsewhere, wanted) in strange {
        match ran(&elsewhere, false).outcome {
            Outcome::Platform(error) => {
                assert_eq!(error.kind, ErrorKind::Internal, "{error}");
                assert!(error.message.contains(wanted), "{error}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn too_many_functions_are_refused_before_any_is_compiled() {
    // A module of 600,000 functions that do nothing, each of two bytes.
    let count = [0xc0, 0xcf, 0x24];
    let section = |id: u8, content: &[u8]| {
        let mut length = content.len();
        let mut section = vec![id];
        while length > 0x7f {
            section.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
            length >>= 7;
        }
        section.push(u8::try_from(length).unwrap());
        [&section, content].concat()
    };
    let types = section(1, &[1, 0x60, 0, 0]);
    let functions = section(3, &[&count[..], &[0; 600_000]].concat());
    let code = section(10, &[&count[..], &[2, 0, 0x0b].repeat(600_000)].concat());
    let module = [&b"\0asm\x01\0\0\0"[..], &types, &functions, &code].concat();
    let component = [&b"\0asm\x0d\0\x01\0"[..], &section(1, &module)].concat();
    let io = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let engine = samara_engine::Engine::new(&Config::default(), io.handle().clone()).unwrap();
    let error = engine.prepare(&component).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Component);
    assert!(error.message.contains("600000 functions"), "{error}");
}
