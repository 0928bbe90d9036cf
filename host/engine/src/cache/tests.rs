//! Whatever is done to an entry, it is used as it was written or not at all.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use tempfile::TempDir;
use wasmtime::component::Linker;

use super::*;
use crate::config::Config;
use crate::engine::base_config;

/// An engine, its cache, and one entry in it.
struct Place {
    dir: TempDir,
    engine: wasmtime::Engine,
    cache: Cache,
    id: ComponentId,
    entry: PathBuf,
}

fn engine() -> wasmtime::Engine {
    wasmtime::Engine::new(&base_config(&Config::default())).unwrap()
}

/// A component whose function answers `number`.
fn component(number: u32) -> Vec<u8> {
    let text = format!(
        "(component
           (core module $m (func (export \"f\") (result i32) i32.const {number}))
           (core instance $i (instantiate $m))
           (func (export \"f\") (result u32) (canon lift (core func $i \"f\"))))"
    );
    wat::parse_str(text).unwrap()
}

fn call(engine: &wasmtime::Engine, component: &Component) -> u32 {
    let mut store = wasmtime::Store::new(engine, ());
    store.set_epoch_deadline(1);
    let instance = Linker::new(engine).instantiate(&mut store, component).unwrap();
    let function = instance.get_typed_func::<(), (u32,)>(&mut store, "f").unwrap();
    function.call(&mut store, ()).unwrap().0
}

fn key() -> CacheKey {
    CacheKey::new([7; KEY_BYTES])
}

const KEY_BYTES: usize = 32;

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Puts a file in an entry's place as this user's other programs could.
fn put(path: &Path, bytes: &[u8]) {
    if path.exists() {
        fs::remove_file(path).unwrap();
    }
    fs::write(path, bytes).unwrap();
    mode(path, 0o600);
}

impl Place {
    fn new() -> Self {
        Self::with(engine(), &key())
    }

    fn with(engine: wasmtime::Engine, key: &CacheKey) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path(), key, &engine).unwrap();
        let (id, entry) = save(&cache, &engine, dir.path(), 42);
        Self { dir, engine, cache, id, entry }
    }

    fn load(&self) -> Option<u32> {
        self.cache.load(&self.id, &self.engine).map(|loaded| call(&self.engine, &loaded))
    }

    fn whole(&self) -> Vec<u8> {
        fs::read(&self.entry).unwrap()
    }
}

fn save(
    cache: &Cache,
    engine: &wasmtime::Engine,
    root: &Path,
    number: u32,
) -> (ComponentId, PathBuf) {
    let bytes = component(number);
    let id = ComponentId::of(&bytes);
    cache.try_save(&id, &Component::from_binary(engine, &bytes).unwrap()).unwrap();
    let hash = blake3::Hash::from_bytes(engine_hash(engine)).to_hex();
    (id, root.join(&hash[..32]).join(name(&id)))
}

#[test]
fn an_entry_is_private_and_comes_back() {
    let place = Place::new();
    assert_eq!(place.load(), Some(42));
    let bits = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(bits(&place.entry), 0o400);
    assert_eq!(bits(place.entry.parent().unwrap()), 0o700);
    let there = fs::read_dir(place.entry.parent().unwrap()).unwrap().count();
    assert_eq!(there, 1, "nothing unfinished is left");
    assert!(place.cache.load(&ComponentId::of(b"another"), &place.engine).is_none());
    let said = format!("{:?} {:?}", place.cache, key());
    assert!(said.contains("***") && !said.contains("7, 7"), "{said}");
}

#[test]
fn a_flipped_bit_anywhere_is_refused() {
    let place = Place::new();
    let whole = place.whole();
    let last = whole.len() - 1;
    for at in (0..whole.len()).step_by(97).chain([31, 32, last]) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 8);
        put(&place.entry, &damaged);
        assert_eq!(place.load(), None, "byte {at} of {}", whole.len());
    }
    put(&place.entry, &whole);
    assert_eq!(place.load(), Some(42));
}

#[test]
fn cut_and_longer_entries_are_refused() {
    let place = Place::new();
    let whole = place.whole();
    for length in [0, 1, 31, 32, 33, 64, 4096, whole.len() / 2, whole.len() - 1] {
        put(&place.entry, &whole[..length]);
        assert_eq!(place.load(), None, "{length} of {}", whole.len());
    }
    for more in [&b"\0"[..], &[0; 4096], &whole] {
        put(&place.entry, &[&whole, more].concat());
        assert_eq!(place.load(), None);
    }
    // Long enough to be no entry at all, and no more than a number.
    let hole = fs::File::create(&place.entry).unwrap();
    hole.set_len(CODE_BYTES_MAX + 33).unwrap();
    assert_eq!(place.load(), None);
}

#[test]
fn an_entry_or_a_tag_of_another_component_is_refused() {
    let place = Place::new();
    let (other, other_entry) = save(&place.cache, &place.engine, place.dir.path(), 43);
    let (whole, others) = (place.whole(), fs::read(&other_entry).unwrap());
    put(&place.entry, &others);
    assert_eq!(place.load(), None, "swapped");
    put(&place.entry, &[&others[..TAG_BYTES], &whole[TAG_BYTES..]].concat());
    assert_eq!(place.load(), None, "the tag of another");
    put(&place.entry, &[&whole[..TAG_BYTES], &others[TAG_BYTES..]].concat());
    assert_eq!(place.load(), None, "the code of another");
    let loaded = place.cache.load(&other, &place.engine).unwrap();
    assert_eq!(call(&place.engine, &loaded), 43);
}

/// A baseline target stands for a CPU with other features: it changes what wasmtime says code must
/// have been compiled for, as that does.
#[test]
fn code_for_another_engine_version_or_cpu_is_refused() {
    let counting = Config { fuel: true, ..Config::default() };
    let mut foreign_cpu = base_config(&Config::default());
    foreign_cpu.target(&format!("{}-unknown-linux-gnu", std::env::consts::ARCH)).unwrap();
    let mut foreign_version = base_config(&Config::default());
    let version = wasmtime::ModuleVersionStrategy::Custom("47.0.0".to_owned());
    foreign_version.module_version(version).unwrap();
    let engines = [base_config(&counting), foreign_cpu, foreign_version];
    for engine in engines.map(|config| wasmtime::Engine::new(&config).unwrap()) {
        let (place, foreign) = (Place::new(), Place::with(engine, &key()));
        assert_ne!(
            place.entry.parent().unwrap().file_name(),
            foreign.entry.parent().unwrap().file_name()
        );
        put(&place.entry, &foreign.whole());
        assert_eq!(place.load(), None);
    }
}

#[test]
fn code_signed_with_another_key_is_refused() {
    let (place, other) = (Place::new(), Place::with(engine(), &CacheKey::new([8; KEY_BYTES])));
    assert_ne!(place.whole()[..TAG_BYTES], other.whole()[..TAG_BYTES]);
    put(&place.entry, &other.whole());
    assert_eq!(place.load(), None);
    // The operator's key itself signs nothing: what is derived from it does.
    let code = &place.whole()[TAG_BYTES..];
    let plain = Signer::of([7; KEY_BYTES]);
    let (hex, engine) = (place.id.hex(), engine_hash(&place.engine));
    let names: [&[u8]; 2] = [hex.as_bytes(), &engine];
    let tag = plain.sign(&names, code.len() as u64, code).unwrap();
    put(&place.entry, &[tag.as_bytes(), code].concat());
    assert_eq!(place.load(), None);
}

#[test]
fn links_pipes_and_open_files_in_an_entrys_place_are_refused() {
    let place = Place::new();
    let whole = place.whole();
    let elsewhere = place.dir.path().join("elsewhere");
    put(&elsewhere, &whole);
    fs::remove_file(&place.entry).unwrap();
    symlink(&elsewhere, &place.entry).unwrap();
    assert_eq!(place.load(), None, "a symbolic link");
    fs::remove_file(&place.entry).unwrap();
    fs::hard_link(&elsewhere, &place.entry).unwrap();
    assert_eq!(place.load(), None, "a hard link");
    fs::remove_file(&elsewhere).unwrap();
    assert_eq!(place.load(), Some(42), "the last name of a file");
    for bits in [0o620, 0o602, 0o666] {
        mode(&place.entry, bits);
        assert_eq!(place.load(), None, "{bits:o}");
    }
    fs::remove_file(&place.entry).unwrap();
    fs::create_dir(&place.entry).unwrap();
    assert_eq!(place.load(), None, "a directory");
    fs::remove_dir(&place.entry).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&place.entry).status().unwrap();
    assert!(made.success());
    assert_eq!(place.load(), None, "a pipe, which nobody writes to");
}

#[test]
fn directories_of_others_and_links_to_directories_are_refused() {
    let place = Place::new();
    let open = |root: &Path| Cache::open(root, &key(), &place.engine);
    let below = place.entry.parent().unwrap();
    for dir in [place.dir.path(), below] {
        for bits in [0o720, 0o702, 0o777] {
            mode(dir, bits);
            let error = open(place.dir.path()).unwrap_err();
            assert!(error.to_string().contains("can be written by others"), "{error}");
        }
        mode(dir, 0o700);
    }
    let apart = tempfile::tempdir().unwrap();
    let link = apart.path().join("link");
    symlink(place.dir.path(), &link).unwrap();
    let error = open(&link).unwrap_err();
    assert!(error.to_string().contains("a link"), "{error}");
    assert!(open(&PathBuf::from(format!("{}/", link.display()))).is_err(), "by a slash neither");
    fs::rename(below, apart.path().join("moved")).unwrap();
    symlink(apart.path().join("moved"), below).unwrap();
    assert!(open(place.dir.path()).is_err(), "a link below it");
    // What was opened before still is the directory that was checked.
    assert_eq!(place.load(), Some(42));
}

#[test]
fn code_stays_as_it_was_when_its_file_changes() {
    let place = Place::new();
    let whole = place.whole();
    let loaded = place.cache.load(&place.id, &place.engine).unwrap();
    mode(&place.entry, 0o600);
    fs::write(&place.entry, vec![0; whole.len()]).unwrap();
    assert_eq!(call(&place.engine, &loaded), 42);
    fs::write(&place.entry, b"").unwrap();
    assert_eq!(call(&place.engine, &loaded), 42);
    assert_eq!(place.load(), None);
}

#[test]
#[cfg(target_os = "linux")]
fn a_checked_copy_cannot_be_written_to() {
    use std::io::Write;
    let place = Place::new();
    let file = fs::File::open(&place.entry).unwrap();
    let Sealed::Memory { memory, path, length } = Sealed::copy(&file, 100).unwrap() else {
        panic!("this machine seals no memory")
    };
    assert_eq!(length, 100);
    let errors = [
        (&memory).write_all(b"x").unwrap_err(),
        memory.set_len(99).unwrap_err(),
        memory.set_len(101).unwrap_err(),
        fs::File::options().write(true).open(path).and_then(|mut f| f.write_all(b"x")).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
    }
    assert!(Sealed::copy(&file, u64::MAX).is_err(), "a file that became shorter");
}

#[test]
fn a_key_is_made_once_and_private() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys").join("compiled");
    let made = std::thread::scope(|scope| {
        let make = || CacheKey::read_or_make(&path).unwrap();
        let makers: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
        makers.into_iter().map(|maker| maker.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(made.iter().all(|key| *key == made[0]));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    for length in [0, 31, 33] {
        put(&path, &vec![0; length]);
        let key = CacheKey::read_or_make(&path).unwrap();
        assert_ne!(key, made[0], "a new one where {length} bytes are");
        assert_eq!(key, CacheKey::read_or_make(&path).unwrap());
    }
}

#[test]
fn a_key_that_others_can_reach_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    let key = CacheKey::read_or_make(&path).unwrap();
    for bits in [0o640, 0o604, 0o620, 0o602] {
        mode(&path, bits);
        assert!(CacheKey::read_or_make(&path).is_err(), "{bits:o}");
    }
    mode(&path, 0o600);
    fs::hard_link(&path, dir.path().join("link")).unwrap();
    assert!(CacheKey::read_or_make(&path).is_err(), "a second name");
    fs::remove_file(dir.path().join("link")).unwrap();
    assert_eq!(CacheKey::read_or_make(&path).unwrap(), key);
    symlink(&path, dir.path().join("link")).unwrap();
    assert!(CacheKey::read_or_make(&dir.path().join("link")).is_err(), "a link");
    mode(dir.path(), 0o777);
    assert!(CacheKey::read_or_make(&path).is_err(), "a directory that others can write to");
}

#[test]
fn an_operators_key_is_bytes_or_digits() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    for text in
        [&b"\x07".repeat(32)[..], &b"07".repeat(32), format!("{}\n", "07".repeat(32)).as_bytes()]
    {
        put(&path, text);
        assert_eq!(CacheKey::read(&path).unwrap(), key());
    }
    // As systems that hand out secrets do it.
    let link = dir.path().join("link");
    symlink(&path, &link).unwrap();
    mode(&path, 0o440);
    assert_eq!(CacheKey::read(&link).unwrap(), key());
    for bits in [0o644, 0o620] {
        mode(&path, bits);
        assert!(CacheKey::read(&path).is_err(), "{bits:o}");
    }
    for text in [&b""[..], &[7; 31], &[7; 33], &b"xy".repeat(32), &b"07".repeat(33), &[b' '; 67]] {
        put(&path, text);
        let error = CacheKey::read(&path).unwrap_err().to_string();
        assert!(error.contains("no key of 32 bytes"), "{error}");
    }
    assert!(CacheKey::read(dir.path()).is_err() && CacheKey::read(&dir.path().join("no")).is_err());
}
