//! Tests of what only files have: the disk, its faults, links, and changes behind our back.

use std::fs;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::time::Duration;

use futures::{FutureExt, StreamExt, TryStreamExt};
use tempfile::TempDir;

use super::*;
use crate::conformance::{self, Exceptions, tests::block_on};
use crate::{Locator, StoreExt, Sums, Tally, Wanted};

fn store() -> (TempDir, FileStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = FileStore::new(dir.path()).unwrap();
    (dir, store)
}

async fn put(store: &FileStore, key: &str, body: &'static str) -> Metadata {
    store.put(key, body.into(), PutOptions::default()).await.unwrap()
}

async fn keys(store: &FileStore, prefix: &str) -> Vec<String> {
    store.list_all(prefix).map_ok(|entry| entry.key).try_collect().await.unwrap()
}

/// Names of all files in a directory, hidden ones too.
fn files(dir: &Path) -> Vec<String> {
    let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(name).collect();
    names.sort();
    names
}

#[test]
fn conforms() {
    let exceptions = Exceptions { forgets_attributes: true, ..Exceptions::default() };
    conformance::tests::run_all_with(&store().1, &exceptions);
}

#[test]
fn agrees_with_the_model() {
    conformance::tests::run_model(&store().1.without_flush());
}

#[test]
fn roots_are_absolute_directories() {
    let url = |root: &str| FileStore::new(root).map(|store| store.to_string());
    assert_eq!(url("/").unwrap(), "file:///");
    assert_eq!(url("/a b//c/./").unwrap(), "file:///a b/c/");
    for root in ["", "a", "./a", "/a/../b"] {
        assert!(matches!(url(root), Err(Error::InvalidUrl { .. })), "{root}");
    }
}

#[test]
fn a_url_of_a_store_below_the_root_names_the_same_object() {
    let (_dir, store) = store();
    block_on(async {
        let written = put(&store, "a/%20 ü", "1").await;
        let location = Locator::default().open(&format!("{store}a/%20 ü")).unwrap();
        assert_eq!(location.store.head(&location.key).await.unwrap(), written);
        assert_eq!(location.store.read(&location.key).await.unwrap(), "1");
    });
}

// === Unfinished objects ===

#[test]
fn unfinished_objects_are_hidden_and_refused() {
    let (dir, store) = store();
    block_on(async {
        let mut writer = store.writer("d/a", PutOptions::default()).await.unwrap();
        writer.write("1".into()).await.unwrap();
        let temporary = files(&dir.path().join("d"));
        assert_eq!(temporary.len(), 1);
        assert!(is_temporary(temporary[0].as_bytes()), "{temporary:?}");
        assert!(keys(&store, "").await.is_empty());
        let key = format!("d/{}", temporary[0]);
        assert!(matches!(store.head(&key).await, Err(Error::InvalidKey { .. })));
        assert!(matches!(store.delete(&key).await, Err(Error::InvalidKey { .. })));
        let put = store.put(&key, "2".into(), PutOptions::default()).await;
        assert!(matches!(put, Err(Error::InvalidKey { .. })));
        drop(writer);
        assert!(files(&dir.path().join("d")).is_empty());
    });
}

#[test]
fn nothing_is_left_behind() {
    let (dir, store) = store();
    block_on(async {
        put(&store, "a", "1").await;
        store.put("a", "2".into(), PutOptions::if_absent()).await.unwrap_err();
        store.put("b", "2".into(), PutOptions::if_absent()).await.unwrap();
        store.copy("a", "b", PutOptions::if_absent()).await.unwrap_err();
        store.copy("a", "c", PutOptions::default()).await.unwrap();
        assert_eq!(files(dir.path()), ["a", "b", "c"]);
    });
}

#[test]
fn an_interrupted_writer_is_of_no_more_use_and_leaves_nothing() {
    let (dir, store) = store();
    let one_thread = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build();
    one_thread.unwrap().block_on(async {
        let mut writer = store.writer("a", PutOptions::default()).await.unwrap();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let busy = tokio::task::spawn_blocking(move || held.recv());
        let mut write = || writer.write(vec![1; 2 << 20].into()).now_or_never();
        let taken = (0..10).take_while(|_| matches!(write(), Some(Ok(())))).count();
        assert_eq!(taken, 3, "the only thread is busy, and yet all was taken");
        drop(release);
        busy.await.unwrap().unwrap_err();
        let error = writer.finish().await.unwrap_err();
        assert!(matches!(error, Error::Generic { .. }), "{error:?}");
    });
    assert!(files(dir.path()).is_empty());
}

/// Writes objects until the process is killed.
fn write_for_ever(here: &Path) {
    let store = FileStore::new(here.join("store")).unwrap();
    block_on(async {
        for n in 0_u64.. {
            let body = Bytes::from(vec![u8::try_from(n % 251).unwrap(); 1 << 20]);
            let options = match n % 2 {
                0 => PutOptions::default(),
                _ => PutOptions::if_absent(),
            };
            let _ = store.put(&format!("{}", n % 20), body, options).await;
        }
    });
}

#[test]
fn a_killed_process_leaves_no_half_object() {
    // This test is also the process that it kills, where it finds itself told so.
    let here = Path::new(".").canonicalize().unwrap();
    if here.join("written until killed").exists() {
        return write_for_ever(&here);
    }
    let (dir, _) = store();
    fs::write(dir.path().join("written until killed"), "").unwrap();
    let written = dir.path().join("store");
    let store = FileStore::new(&written).unwrap();
    let mut seen = 0;
    let last = 8;
    for round in 0..=last {
        let _ = fs::remove_dir_all(&written);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "file::tests::a_killed_process_leaves_no_half_object"])
            .current_dir(dir.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // The last one is seen to have written a whole object, however slow the machine is.
        let started = || match round == last {
            true => fs::exists(written.join("0")).unwrap(),
            false => fs::read_dir(&written).is_ok_and(|mut files| files.next().is_some()),
        };
        for _ in 0..6_000 {
            if started() {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(7 * (round % last)));
        child.kill().unwrap();
        child.wait().unwrap();
        block_on(async {
            for key in keys(&store, "").await {
                let body = store.read(&key).await.unwrap();
                assert_eq!(body.len(), 1 << 20, "half an object");
                assert!(body.iter().all(|byte| *byte == body[0]), "a mixed object");
                seen += 1;
            }
        });
    }
    assert!(seen > 0, "the process wrote nothing: it proved nothing");
}

// === Faults of the disk ===

/// A file system of its own, unmounted at the end.
struct Mount(TempDir);

impl Mount {
    /// `None`, and a word to the reader, where this machine does not let us mount.
    fn new(options: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(dir.path())
            .output();
        match mount {
            Ok(output) if output.status.success() => Some(Self(dir)),
            Ok(output) => {
                println!("skipped: {}", String::from_utf8_lossy(&output.stderr));
                None
            }
            Err(error) => {
                println!("skipped: mount: {error}");
                None
            }
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_is_named_and_loses_nothing() {
    let Some(mount) = Mount::new("size=64k") else { return };
    let store = FileStore::new(mount.0.path()).unwrap();
    let assert_full = |result: Result<Metadata>, key: &str| {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::OutOfSpace { .. }), "{error:?}");
        assert_eq!(error.location(), format!("{store}{key}"));
    };
    block_on(async {
        put(&store, "a", "before").await;
        let big = Bytes::from(vec![1; 100 << 10]);
        assert_full(store.put("a", big.clone(), PutOptions::default()).await, "a");
        assert_full(store.put("b", big.clone(), PutOptions::if_absent()).await, "b");

        let mut writer = store.writer("a", PutOptions::default()).await.unwrap();
        writer.write(big.slice(..40 << 10)).await.unwrap();
        writer.write(big.slice(..40 << 10)).await.unwrap();
        assert_full(writer.finish().await, "a");

        let mut writer = store.writer("a", PutOptions::default()).await.unwrap();
        // Other threads write: it is known some pieces later.
        let mut written = Ok(());
        for _ in 0..10 {
            written = written.and(writer.write(vec![1; 2 << 20].into()).await);
        }
        let error = written.unwrap_err();
        assert!(matches!(error, Error::OutOfSpace { .. }), "{error:?}");
        let error = writer.write("after a failure".into()).await.unwrap_err();
        assert!(matches!(error, Error::Generic { .. }), "{error:?}");
        writer.finish().await.unwrap_err();

        store.put("c", big.slice(..40 << 10), PutOptions::default()).await.unwrap();
        assert_full(store.copy("c", "d", PutOptions::default()).await, "d");
        assert_eq!(store.read("a").await.unwrap(), "before");
        assert_eq!(files(mount.0.path()), ["a", "c"]);
    });
}

#[test]
fn a_store_that_cannot_be_written_says_so() {
    let Some(mount) = Mount::new("ro") else { return };
    let store = FileStore::new(mount.0.path()).unwrap();
    block_on(async {
        for key in ["a", "d/a"] {
            let error = store.put(key, "1".into(), PutOptions::default()).await.unwrap_err();
            assert!(matches!(error, Error::PermissionDenied { .. }), "{error:?}");
            assert_eq!(error.to_string(), format!("{store}{key}: permission denied"));
        }
        let error = store.writer("a", PutOptions::default()).await.unwrap_err();
        assert!(matches!(error, Error::PermissionDenied { .. }), "{error:?}");
    });
}

// === Files and directories in each other's place ===

#[test]
fn a_file_in_the_place_of_a_directory_is_named() {
    let (dir, store) = store();
    block_on(async {
        put(&store, "a", "1").await;
        for key in ["a/b", "a/b/c"] {
            for options in [PutOptions::default(), PutOptions::if_absent()] {
                let error = store.put(key, "2".into(), options).await.unwrap_err();
                let text = format!("{store}{key}: invalid name: a part of its path is a file");
                assert_eq!(error.to_string(), text);
            }
        }
        assert_eq!(files(dir.path()), ["a"]);
    });
}

#[test]
fn a_directory_is_no_object_and_not_replaced_by_one() {
    let (dir, store) = store();
    fs::create_dir(dir.path().join("empty")).unwrap();
    block_on(async {
        put(&store, "d/a", "1").await;
        for key in ["d", "empty"] {
            let error = store.head(key).await.unwrap_err();
            assert!(error.to_string().ends_with("(looked for an object; that is a directory)"));
            for options in [PutOptions::default(), PutOptions::if_absent()] {
                let error = store.put(key, "2".into(), options).await.unwrap_err();
                assert!(error.to_string().ends_with("it is the name of a directory"), "{error}");
            }
            store.delete(key).await.unwrap();
        }
        assert_eq!(keys(&store, "").await, ["d/a"]);
        assert_eq!(files(dir.path()), ["d", "empty"]);
    });
}

#[test]
fn a_name_too_long_for_the_file_system_is_named() {
    let (_dir, store) = store();
    block_on(async {
        let key = "x".repeat(256);
        let error = store.put(&key, "1".into(), PutOptions::default()).await.unwrap_err();
        assert!(error.to_string().ends_with("too long for the file system"), "{error}");
        assert!(matches!(store.head(&key).await, Err(Error::InvalidKey { .. })));
        put(&store, &"x".repeat(255), "1").await;
    });
}

#[test]
fn only_regular_files_are_objects() {
    let (dir, store) = store();
    let pipe = Command::new("mkfifo").arg(dir.path().join("pipe")).status();
    if !pipe.is_ok_and(|status| status.success()) {
        println!("skipped: mkfifo failed");
        return;
    }
    block_on(async {
        let error = store.read("pipe").await.unwrap_err(); // and does not wait for a writer
        assert!(error.to_string().contains("no regular file"), "{error}");
        assert!(keys(&store, "").await.is_empty());
    });
}

// === Changes behind our back ===

/// Changes a file in place, at a later time than before by any clock.
fn change(path: &Path, content: &[u8]) {
    std::thread::sleep(Duration::from_millis(20));
    fs::write(path, content).unwrap();
}

#[test]
fn a_changed_object_does_not_match() {
    let (dir, store) = store();
    block_on(async {
        let old = put(&store, "a", "0123").await.etag;
        change(&dir.path().join("a"), b"4567");
        let read = store.read_range("a", 0..2, Some(&old)).await;
        assert!(matches!(read, Err(Error::Precondition { .. })), "{read:?}");
        let new = store.head("a").await.unwrap().etag;
        assert_eq!(store.read_range("a", 0..2, Some(&new)).await.unwrap(), "45");
    });
}

#[test]
fn a_change_while_reading_ends_the_read() {
    let (dir, store) = store();
    let path = dir.path().join("a");
    let size = 20 << 20;
    type Change = fn(&Path);
    let changes: [Change; 3] = [
        |path| change(path, &vec![2; 20 << 20]),
        |path| change(path, b"short"),
        |path| change(path, &vec![2; 21 << 20]),
    ];
    for make_change in changes {
        fs::write(&path, vec![1; size]).unwrap();
        block_on(async {
            let mut object = store.get("a", GetOptions::default()).await.unwrap();
            object.body.next().await.unwrap().unwrap();
            make_change(&path);
            let error = object.body.try_for_each(|_| async { Ok(()) }).await.unwrap_err();
            let text = format!("{store}a: the object changed while it was read");
            assert_eq!(error.to_string(), text);
        });
    }
}

#[test]
fn a_replaced_object_is_read_to_its_end() {
    let (_dir, store) = store();
    block_on(async {
        store.put("a", vec![1; 20 << 20].into(), PutOptions::default()).await.unwrap();
        let object = store.get("a", GetOptions::default()).await.unwrap();
        put(&store, "a", "new").await;
        let pieces: Vec<_> = object.body.try_collect().await.unwrap();
        assert_eq!(pieces.iter().map(Bytes::len).sum::<usize>(), 20 << 20);
        store.delete("a").await.unwrap();
    });
}

// === Links ===

#[test]
fn links_are_followed_but_not_in_circles() {
    let (dir, store) = store();
    let (elsewhere, _) = self::store();
    fs::write(elsewhere.path().join("far"), "away").unwrap();
    block_on(async {
        put(&store, "d/a", "1").await;
        let link = |to: &Path, name: &str| symlink(to, dir.path().join(name)).unwrap();
        link(Path::new("a"), "d/same");
        link(elsewhere.path(), "out");
        link(dir.path(), "d/loop");
        link(Path::new("."), "d/self");
        link(Path::new("nowhere"), "dangling");
        link(Path::new("itself"), "itself");
        assert_eq!(keys(&store, "").await, ["d/a", "d/same", "out/far"]);
        assert_eq!(keys(&store, "d/").await, ["d/a", "d/same"]);
        assert_eq!(keys(&store, "out/").await, ["out/far"]);
        assert_eq!(store.read("out/far").await.unwrap(), "away");

        put(&store, "d/same", "2").await;
        assert_eq!(store.read("d/a").await.unwrap(), "1", "the link was replaced, not its target");
        store.delete("out").await.unwrap();
        assert!(elsewhere.path().join("far").exists(), "what a link points to is not deleted");
    });
}

// === Listings ===

/// What a listing passes over, by its name.
fn passed_over(store: &FileStore, prefix: &str, options: &ListOptions) -> (usize, Vec<PathBuf>) {
    let (page, nameless) = walk::Walk::new(&store.0, prefix, options).page().unwrap();
    (page.entries.len(), nameless)
}

#[test]
fn a_name_that_is_not_utf8_is_passed_over_and_said() {
    let (dir, store) = store();
    let file = dir.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
    let directory = dir.path().join(std::ffi::OsStr::from_bytes(b"a/\xff"));
    fs::write(&file, "1").unwrap();
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("b"), "1").unwrap();
    block_on(async {
        put(&store, "a/b", "1").await;
        put(&store, "z", "1").await;
        assert_eq!(keys(&store, "").await, ["a/b", "z"]);
        let all = ListOptions::default();
        let (listed, said) = passed_over(&store, "", &all);
        assert_eq!((listed, said.len()), (2, 2), "{said:?}");
        assert!(said[0].starts_with(&directory) && said[1] == file, "{said:?}");
        assert_eq!(format!("{:?}", file.file_name().unwrap()), r#""caf\xE9""#, "as it is said");
        assert_eq!(passed_over(&store, "z", &all).1.len(), 0, "out of the prefix");
        // Page by page each is said once.
        let pages = [all.clone().limit(1), all.limit(1).after("a/b")];
        let said = pages.map(|options| passed_over(&store, "", &options).1.len());
        assert_eq!(said, [0, 2], "each once, by the page that it lies in");
        store.delete("a/b").await.unwrap();
    });
    assert!(file.exists() && directory.join("b").exists(), "what has no key is not removed");
}

#[test]
fn a_missing_root_is_empty_and_made_when_written() {
    let (dir, _) = store();
    let store = FileStore::new(dir.path().join("x/y")).unwrap();
    block_on(async {
        assert!(keys(&store, "").await.is_empty());
        assert!(!store.exists("a").await.unwrap());
        store.delete("a").await.unwrap();
        put(&store, "a", "1").await;
        assert_eq!(keys(&store, "").await, ["a"]);
    });
}

/// A page reads only the directories that it is in.
#[test]
fn a_page_reads_only_the_directories_it_is_in() {
    let (dir, store) = store();
    let told = dir.path().join("b");
    block_on(async {
        for key in ["a/1", "b/1", "c/1", "c/d/1"] {
            put(&store, key, "1").await;
        }
        // A name that is not UTF-8 is said by every listing that looks at it.
        fs::write(told.join(std::ffi::OsStr::from_bytes(b"0\xff")), "").unwrap();
        let list = |prefix, options: &ListOptions| {
            let (entries, said) = passed_over(&store, prefix, options);
            (entries, said.len())
        };
        let all = ListOptions::default();
        assert_eq!(list("", &all), (4, 1));
        assert_eq!(list("", &all.clone().after("b\u{10ffff}")), (2, 0));
        assert_eq!(list("c", &all), (2, 0));
        assert_eq!(list("", &all.clone().slashes(0)), (0, 0));
        assert_eq!(list("", &all.limit(1)), (1, 0), "it lies in the next page");
    });
}

#[test]
fn ten_thousand_objects_are_one_page() {
    let (dir, store) = store();
    for directory in 0..10 {
        let path = dir.path().join(format!("{directory}"));
        fs::create_dir(&path).unwrap();
        for file in 0..1_000 {
            fs::write(path.join(format!("{file:03}")), "").unwrap();
        }
    }
    block_on(async {
        let page = store.list("", ListOptions::default()).await.unwrap();
        assert_eq!((page.entries.len(), page.next), (10_000, None));
        assert!(page.entries.is_sorted_by(|a, b| a.key < b.key));
    });
}

/// Counts bytes.
struct Counting(usize);

impl Tally for Counting {
    fn add(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }

    fn sums(self: Box<Self>) -> Sums {
        Sums { length: self.0, ..Sums::default() }
    }
}

#[test]
fn what_comes_in_one_piece_has_its_checksums_where_some_are_wanted() {
    let (dir, store) = store();
    fs::write(dir.path().join("a"), vec![7; 9 << 20]).unwrap();
    let wanted = || Some(Wanted::new(|| Box::new(Counting(0))));
    let get = |range: Range<u64>, sums| {
        let options = GetOptions { range: Some(range), if_match: None, sums };
        block_on(store.get("a", options)).unwrap()
    };
    let sums = get(5..(8 << 20) + 5, wanted()).sums;
    assert_eq!(sums, Some(Sums { length: 8 << 20, ..Sums::default() }));
    assert_eq!(get(0..9 << 20, wanted()).sums, None, "it comes in pieces");
    assert_eq!(get(0..1, None).sums, None);
}
