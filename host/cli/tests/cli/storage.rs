//! Objects by the command: listed, piped, copied, and removed no further than was named.

use expect_test::{Expect, expect};

use crate::{Ended, Place};

/// A place with some files.
fn place() -> Place {
    let place = Place::new();
    for (name, text) in [
        ("data/a.txt", "alpha"),
        ("data/b.txt", "beta"),
        ("data/b/deep.txt", "deep"),
        ("data/b/deeper/x.csv", "x"),
        ("database/c.txt", "c"),
    ] {
        place.file(name, text);
    }
    place
}

/// The names of all files, sorted.
fn files(place: &Place) -> Vec<String> {
    fn walk(dir: &std::path::Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => walk(&path, found),
                false => found.push(path.to_str().unwrap().to_owned()),
            }
        }
    }
    let root = place.path("");
    let mut found = Vec::new();
    walk(&root, &mut found);
    let names = found.iter().map(|path| path[root.to_str().unwrap().len()..].to_owned());
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    names
}

fn storage(place: &Place, arguments: &[&str]) -> Ended {
    place.samara(&[&["storage"], arguments].concat())
}

/// What goes wrong: exit code and standard error.
#[track_caller]
fn wrong(place: &Place, arguments: &[&str], expected: &Expect) {
    let before = files(place);
    let ended = storage(place, arguments);
    assert_eq!(ended.stdout, "", "{ended:?}");
    let code = ended.code.map_or_else(String::new, |code| code.to_string());
    expected.assert_eq(&format!("exit {code}\n{}", place.steady(&ended.stderr)));
    assert_eq!(files(place), before, "nothing was touched");
}

/// Sizes and names of a listing, without times.
fn listed(place: &Place, arguments: &[&str]) -> Vec<String> {
    let text = place.steady(&storage(place, arguments).ok());
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let (size, time, url) = (words.next(), words.next(), words.next());
        assert!(time.is_some_and(|time| time == "-" || time.ends_with('Z')), "{line}");
        format!("{} {}", size.unwrap(), url.unwrap().replace("file://[DIR]/", ""))
    };
    text.lines().map(line).collect()
}

#[test]
fn places_are_listed_one_level_or_all() {
    let place = place();
    assert_eq!(listed(&place, &["ls"]), ["- data/", "- database/"]);
    let below = ["5 data/a.txt", "4 data/b.txt", "- data/b/"];
    assert_eq!(listed(&place, &["ls", "data"]), below);
    let all = ["5 data/a.txt", "4 data/b.txt", "4 data/b/deep.txt", "1 data/b/deeper/x.csv"];
    assert_eq!(listed(&place, &["ls", "-r", "data"]), all);
    assert_eq!(listed(&place, &["ls", "data/**/*.csv", "database/c.txt"]).len(), 2);
    let json = storage(&place, &["ls", "--json", "data"]).ok();
    let first: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!(first["size"], 5, "{json}");
    assert!(json.lines().last().unwrap().starts_with("{\"directory\":"), "{json}");
    let stat = storage(&place, &["stat", "data/a.txt"]).ok();
    assert!(stat.contains("size      5 B (5 bytes)"), "{stat}");
}

#[test]
fn objects_pass_through_pipes_whatever_their_size() {
    let place = place();
    let text = "0123456789abcdef".repeat(200_000);
    let put = place.samara_with(&text, &["storage", "put", "-", "big", "-q"]);
    assert_eq!((put.code, put.stderr.as_str()), (Some(0), ""), "{put:?}");
    assert!(storage(&place, &["get", "big", "-"]).ok() == text);
    let empty = place.samara_with("", &["storage", "put", "-", "empty"]);
    assert_eq!(empty.stderr, "copied 1 object, 0 B\n");
    assert_eq!(storage(&place, &["cp", "empty", "-"]).ok(), "");
}

#[test]
fn copies_keep_their_names_below_a_directory() {
    let place = place();
    let copied = storage(&place, &["cp", "-r", "data", "to"]);
    assert_eq!(copied.stderr, "copied 4 objects, 14 B\n");
    storage(&place, &["cp", "data/**/*.txt", "globbed"]).ok();
    storage(&place, &["cp", "data/a.txt", "database/c.txt", "two/"]).ok();
    storage(&place, &["get", "data/b/deep.txt"]).ok();
    storage(&place, &["put", "data/a.txt", "renamed"]).ok();
    let new: Vec<String> =
        files(&place).into_iter().filter(|name| !name.starts_with("data")).collect();
    let wanted = [
        "deep.txt",
        "globbed/a.txt",
        "globbed/b.txt",
        "globbed/b/deep.txt",
        "renamed",
        "to/a.txt",
        "to/b.txt",
        "to/b/deep.txt",
        "to/b/deeper/x.csv",
        "two/a.txt",
        "two/c.txt",
    ];
    assert_eq!(new, wanted);
    let json = storage(&place, &["cp", "--json", "data/a.txt", "to"]).ok();
    assert_eq!(json, "{\"bytes\":5,\"copied\":1}\n");
}

#[test]
fn what_cannot_be_copied_is_refused_before_anything_is() {
    let place = place();
    wrong(
        &place,
        &["cp", "data", "to"],
        &expect![[r#"
        exit 2
        error: data: no object is called so, but objects lie below it; to copy all of them: --recursive
    "#]],
    );
    wrong(
        &place,
        &["cp", "data/a.txt", "data/a.txt"],
        &expect![[r#"
        exit 2
        error: file://[DIR]/data/a.txt would be copied onto itself
    "#]],
    );
    wrong(
        &place,
        &["cp", "none", "to"],
        &expect![[r#"
        exit 3
        error: file://[DIR]/none: not found (looked for an object, or objects below it)
    "#]],
    );
    wrong(
        &place,
        &["cp", "-r", "data", "database/../data", "to"],
        &expect![[r#"
        exit 2
        error: file://[DIR]/data/a.txt and file://[DIR]/data/a.txt would both become file://[DIR]/to/a.txt; copy them one by one
    "#]],
    );
    wrong(
        &place,
        &["cp", "data/a.txt", "data/b.txt", "-"],
        &expect![[r#"
        exit 2
        error: `-` goes with one source and one target
    "#]],
    );
    wrong(
        &place,
        &["cp", "--if-absent", "data/a.txt", "data/b.txt"],
        &expect![[r#"
        exit 3
        error: cannot copy file://[DIR]/data/a.txt to file://[DIR]/data/b.txt
          caused by: file://[DIR]/data/b.txt: exists already
    "#]],
    );
}

#[test]
fn what_is_not_there_is_named_with_what_was_looked_for() {
    let place = place();
    wrong(
        &place,
        &["get", "nfs://bucket/key"],
        &expect![[r#"
            exit 2
            error: `nfs://bucket/key`: no store for `nfs:` in this build (known: …)
        "#]],
    );
    wrong(
        &place,
        &["stat", "data"],
        &expect![[r#"
        exit 3
        error: file://[DIR]/data: not found (looked for an object; that is a directory)
    "#]],
    );
    wrong(
        &place,
        &["ls", "none"],
        &expect![[r#"
        exit 3
        error: file://[DIR]/none: not found (looked for an object, or objects below it)
    "#]],
    );
}

#[test]
fn no_more_is_removed_than_was_named() {
    let place = place();
    wrong(
        &place,
        &["rm", "data"],
        &expect![[r#"
        exit 2
        error: file://[DIR]/data: no object is called so, but objects lie below it; to remove all of them: --recursive
    "#]],
    );
    wrong(
        &place,
        &["rm", "data/*.txt"],
        &expect![[r#"
        exit 2
        error: data/*.txt: 2 objects match this pattern; to remove all of them: --recursive; to see them: samara storage ls
    "#]],
    );
    // The last is looked at before the first is gone.
    wrong(
        &place,
        &["rm", "data/a.txt", "data/none"],
        &expect![[r#"
        exit 3
        error: file://[DIR]/data/none: not found (looked for an object, or objects below it)
    "#]],
    );
    wrong(
        &place,
        &["rm", "-r", "file:///"],
        &expect![[r#"
            exit 2
            error: file:/// is a whole store; name what is to be removed, if it is all: file:///**
        "#]],
    );
    let planned = storage(&place, &["rm", "-r", "--dry-run", "data/b", "data/a*"]).ok();
    expect![[r#"
        file://[DIR]/data/b/deep.txt
        file://[DIR]/data/b/deeper/x.csv
        file://[DIR]/data/a.txt
    "#]]
    .assert_eq(&place.steady(&planned));
    assert_eq!(files(&place).len(), 5);

    assert_eq!(storage(&place, &["rm", "data/a*"]).stderr, "removed 1 object\n");
    // `data/b` does not stand for `data/b.txt`, nor `data` for `database`.
    assert_eq!(storage(&place, &["rm", "-r", "data/b"]).stderr, "removed 2 objects\n");
    assert_eq!(files(&place), ["data/b.txt", "database/c.txt"]);
    assert_eq!(storage(&place, &["rm", "--json", "-r", "data"]).ok(), "{\"removed\":1}\n");
    assert_eq!(files(&place), ["database/c.txt"]);
}

#[test]
fn what_is_moved_is_there_once_and_nothing_is_lost() {
    let place = place();
    place.file("chain/a", "first").file("chain/sub/a", "second");
    // Copies are made side by side, and the sources removed after them: `chain/sub/a` would be gone.
    wrong(
        &place,
        &["mv", "-r", "chain", "chain/sub"],
        &expect![[r#"
            exit 2
            error: file://[DIR]/chain/a would become file://[DIR]/chain/sub/a, which would become file://[DIR]/chain/sub/sub/a itself; take them one by one, or by way of a place that is not among the sources
        "#]],
    );
    wrong(
        &place,
        &["cp", "-r", "chain", "chain/sub"],
        &expect![[r#"
            exit 2
            error: file://[DIR]/chain/a would become file://[DIR]/chain/sub/a, which would become file://[DIR]/chain/sub/sub/a itself; take them one by one, or by way of a place that is not among the sources
        "#]],
    );
    assert_eq!(storage(&place, &["cp", "chain/sub/a", "-"]).ok(), "second");
    wrong(
        &place,
        &["mv", "data/a.txt", "-"],
        &expect![[r#"
            exit 2
            error: a pipe is not moved; `-` is for get, put and cp
        "#]],
    );
    wrong(
        &place,
        &["mv", "--if-absent", "data/a.txt", "data/b.txt"],
        &expect![[r#"
            exit 3
            error: cannot copy file://[DIR]/data/a.txt to file://[DIR]/data/b.txt
              caused by: file://[DIR]/data/b.txt: exists already
        "#]],
    );
    let moved = storage(&place, &["mv", "data/a.txt", "renamed"]);
    assert_eq!(moved.stderr, "moved 1 object, 5 B\n");
    assert_eq!(
        storage(&place, &["mv", "--json", "data/b.txt", "to/"]).ok(),
        "{\"bytes\":4,\"moved\":1}\n"
    );
    assert_eq!(
        storage(&place, &["mv", "-r", "data", "chain", "all"]).stderr,
        "moved 4 objects, 16 B\n"
    );
    let wanted = [
        "all/a",
        "all/b/deep.txt",
        "all/b/deeper/x.csv",
        "all/sub/a",
        "database/c.txt",
        "renamed",
        "to/b.txt",
    ];
    assert_eq!(files(&place), wanted);
    assert_eq!(storage(&place, &["cp", "all/sub/a", "-"]).ok(), "second");
}

#[test]
fn a_place_is_made_like_another_and_never_emptied_by_a_slip() {
    let place = place();
    let synced = |arguments: &[&str]| storage(&place, &[&["sync"], arguments].concat()).stderr;
    let all = "copied 4 objects, 14 B; 0 were the same; removed 0\n";
    assert_eq!(synced(&["data", "mirror"]), all);
    assert_eq!(synced(&["data", "mirror"]), "copied 0 objects, 0 B; 4 were the same; removed 0\n");
    wrong(
        &place,
        &["sync", "--delete", "dada", "mirror"],
        &expect![[r#"
            exit 2
            error: file://[DIR]/dada/ has no object, so that --delete would remove all that file://[DIR]/mirror/ has; is it the right source? To remove them: samara storage rm --recursive file://[DIR]/mirror/
        "#]],
    );
    wrong(
        &place,
        &["sync", "data", "data/b"],
        &expect![[r#"
            exit 2
            error: file://[DIR]/data/ and file://[DIR]/data/b/: one is a part of the other
        "#]],
    );
    place.file("data/b.txt", "longer");
    std::fs::remove_file(place.path("data/a.txt")).unwrap();
    let planned = storage(&place, &["sync", "--dry-run", "--delete", "data", "mirror"]).ok();
    expect![[r#"
        remove file://[DIR]/mirror/a.txt
        copy file://[DIR]/data/b.txt -> file://[DIR]/mirror/b.txt
    "#]]
    .assert_eq(&place.steady(&planned));
    assert_eq!(storage(&place, &["cp", "mirror/b.txt", "-"]).ok(), "beta");
    let copied = "copied 1 object, 6 B; 2 were the same; removed 0\n";
    assert_eq!(synced(&["data", "mirror"]), copied, "nothing goes unless it is said");
    let removed = "copied 0 objects, 0 B; 3 were the same; removed 1\n";
    assert_eq!(synced(&["--delete", "data", "mirror"]), removed);
    let mirror: Vec<String> =
        files(&place).into_iter().filter(|name| name.starts_with("mirror")).collect();
    assert_eq!(mirror, ["mirror/b.txt", "mirror/b/deep.txt", "mirror/b/deeper/x.csv"]);
}

#[test]
fn what_a_store_does_not_have_is_refused_by_name() {
    let place = place();
    wrong(
        &place,
        &["presign", "data/a.txt"],
        &expect![[r#"
        exit 3
        error: file://[DIR]/data/a.txt: the store cannot do this (presign): no presigned URLs
    "#]],
    );
    let late = storage(&place, &["presign", "--expires", "200h", "data/a.txt"]);
    assert_eq!(late.code, Some(2), "{late:?}");
    assert!(late.stderr.contains("at most 7 days"), "{late:?}");
    wrong(
        &place,
        &["mb", "mem://bucket"],
        &expect![[r#"
        exit 3
        error: mem://bucket/: the store cannot do this (create bucket): there is no bucket
    "#]],
    );
    wrong(
        &place,
        &["rb", "mem://bucket/key"],
        &expect![[r#"
        exit 3
        error: mem://bucket/key: the store cannot do this (remove bucket): a bucket's URL ends with its name: `s3://bucket`
    "#]],
    );
}

#[test]
fn nothing_behind_a_link_is_removed_with_what_was_named() {
    let place = place();
    place.file("precious/x.txt", "not to be had again");
    std::os::unix::fs::symlink(place.path("precious"), place.path("data/link")).unwrap();
    for what in [&["-r", "data"][..], &["-r", "--dry-run", "data"], &["-r", "da*/**"]] {
        let refused = storage(&place, &[&["rm"], what].concat());
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""), "{refused:?}");
        assert!(refused.stderr.contains("data/link is a link"), "{refused:?}");
    }
    storage(&place, &["cp", "-r", "database", "mirror"]).ok();
    std::os::unix::fs::symlink(place.path("precious"), place.path("mirror/link")).unwrap();
    let refused = storage(&place, &["sync", "--delete", "database", "mirror"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert_eq!(files(&place).len(), 5 + 1 + 2 + 1, "nothing was removed: {:?}", files(&place));
    // What was named goes, whatever leads there.
    assert_eq!(storage(&place, &["rm", "-r", "data/link"]).stderr, "removed 1 object\n");
    assert_eq!(storage(&place, &["rm", "-r", "data"]).stderr, "removed 4 objects\n");
}

#[test]
fn names_that_are_not_utf8_stay_and_are_said() {
    use std::os::unix::ffi::OsStrExt;
    let place = place();
    let nameless = place.path("data").join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
    std::fs::write(&nameless, "1").unwrap();
    let told = |arguments: &[&str], said: &str| {
        let ended = storage(&place, arguments);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let warning = "warning: passed over: its name is not UTF-8, so no URL names it (path: ";
        assert!(ended.stderr.contains(warning), "{ended:?}");
        assert!(ended.stderr.contains(r#"data/caf\xE9")"#), "{ended:?}");
        assert!(ended.stdout.contains(said) && nameless.exists(), "{ended:?}");
        ended.stderr
    };
    told(&["ls", "data"], "b.txt");
    told(&["sync", "data", "copy", "--delete"], "");
    let names = ["copy/a.txt", "copy/b.txt", "copy/b/deep.txt", "copy/b/deeper/x.csv"];
    assert!(names.iter().all(|name| place.path(name).exists()));
    // The other way: what the source cannot have, the target keeps.
    std::fs::remove_file(place.path("copy/b.txt")).unwrap();
    told(&["sync", "copy", "data", "--delete"], "");
    assert!(!place.path("data/b.txt").exists());
    told(&["mv", "-r", "data", "moved"], "");
    assert!(place.path("moved/a.txt").exists() && !place.path("data/a.txt").exists());
    place.file("data/a.txt", "again");
    let said = told(&["rm", "-r", "data"], "");
    assert!(said.contains("removed 1 object\n"), "{said}");
}

#[test]
fn a_sync_of_what_is_not_there_is_no_success() {
    let place = place();
    wrong(
        &place,
        &["sync", "dada", "mirror"],
        &expect![[r#"
            exit 3
            error: file://[DIR]/dada: not found (looked for objects below it)
        "#]],
    );
    wrong(
        &place,
        &["sync", "data/a.txt", "mirror"],
        &expect![[r#"
            exit 2
            error: file://[DIR]/data/a.txt is an object, and sync takes what lies below a place; copy it: samara storage cp file://[DIR]/data/a.txt file://[DIR]/mirror/
        "#]],
    );
    let planned = storage(&place, &["sync", "--dry-run", "--json", "database", "mirror"]).ok();
    let step: serde_json::Value = serde_json::from_str(&planned).unwrap();
    assert!(step["copy"].as_str().unwrap().ends_with("/database/c.txt"), "{planned}");
    assert!(step["to"].as_str().unwrap().ends_with("/mirror/c.txt"), "{planned}");
}

#[test]
fn a_name_says_nothing_to_the_terminal() {
    let place = Place::new();
    place.file("odd/a\u{1b}[2Jb\nc.txt", "x");
    let listed = storage(&place, &["ls", "odd"]).ok();
    assert_eq!(listed.lines().count(), 1, "{listed:?}");
    assert!(listed.ends_with("/odd/a\\u{1b}[2Jb\\nc.txt\n"), "{listed:?}");
    let json = storage(&place, &["ls", "--json", "odd"]).ok();
    let found: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(found["url"].as_str().unwrap().ends_with("/odd/a\u{1b}[2Jb\nc.txt"), "{json}");
}

#[test]
fn nothing_is_moved_to_where_it_would_be_gone() {
    let place = place();
    wrong(
        &place,
        &["mv", "data/a.txt", "mem://x/a"],
        &expect![[r#"
            exit 2
            error: mem://x/a is the memory of this process, which ends with the command: nothing would be left of what it writes there
        "#]],
    );
    for to_memory in [
        &["cp", "-r", "data", "mem://x/"][..],
        &["put", "-", "mem://x/a"],
        &["sync", "data", "mem://x"],
    ] {
        let refused = storage(&place, to_memory);
        assert!(refused.code == Some(2) && refused.stderr.contains("memory"), "{refused:?}");
    }
}

#[test]
fn what_is_read_by_http_is_no_target_and_others_are_named() {
    let place = place();
    // Nobody listens there, and nobody is asked.
    let url = "http://127.0.0.1:9/x?signature=00ff";
    wrong(
        &place,
        &["put", "data/a.txt", url],
        &expect![[r#"
            exit 2
            error: `http:` and `https:` are for reading, and the target is there; give one in a store that takes writes: a path, or a URL of file:, s3:, gs:, az:, sftp: or webdav:
        "#]],
    );
    for to_http in [&["cp", "-r", "data", url][..], &["put", "-", url], &["mv", "data/a.txt", url]]
    {
        let refused = storage(&place, to_http);
        assert!(refused.code == Some(2) && refused.stderr.contains("for reading"), "{refused:?}");
    }
}

#[test]
fn objects_are_left_out_and_taken_by_their_names() {
    let place = place();
    let new = |place: &Place| -> Vec<String> {
        files(place).into_iter().filter(|name| !name.starts_with("data")).collect()
    };
    storage(&place, &["cp", "-r", "data", "texts", "--exclude", "*", "--include", "*.txt"]).ok();
    assert_eq!(new(&place), ["texts/a.txt", "texts/b.txt", "texts/b/deep.txt"]);
    let synced = storage(&place, &["sync", "data", "texts", "--delete", "--exclude", "b/**"]);
    assert_eq!(synced.stderr, "copied 0 objects, 0 B; 2 were the same; removed 0\n");
    assert_eq!(new(&place).len(), 3, "what is left out is not removed either");
    storage(&place, &["mv", "-r", "texts", "moved", "--exclude", "b.txt"]).ok();
    assert_eq!(new(&place), ["moved/a.txt", "moved/b/deep.txt", "texts/b.txt"]);
    wrong(
        &place,
        &["cp", "-r", "data", "to", "--exclude", "[a"],
        &expect![[r#"
            exit 2
            error: invalid value '[a' for '--exclude <PATTERN>': a `[` in the pattern is not closed

            For more information, try '--help'.
        "#]],
    );
}

#[test]
fn what_would_be_copied_or_moved_is_shown_and_not_done() {
    let place = place();
    let before = files(&place);
    let planned = storage(&place, &["cp", "-r", "--dry-run", "data/b", "to"]).ok();
    expect![[r#"
        copy file://[DIR]/data/b/deep.txt -> file://[DIR]/to/deep.txt
        copy file://[DIR]/data/b/deeper/x.csv -> file://[DIR]/to/deeper/x.csv
    "#]]
    .assert_eq(&place.steady(&planned));
    let args = ["mv", "--dry-run", "--json", "--no-clobber", "data/a.txt", "data/b.txt", "data/b/"];
    let planned = storage(&place, &args).ok();
    expect![[r#"
        {"bytes":5,"move":"file://[DIR]/data/a.txt","to":"file://[DIR]/data/b/a.txt"}
        {"bytes":4,"move":"file://[DIR]/data/b.txt","to":"file://[DIR]/data/b/b.txt"}
    "#]]
    .assert_eq(&place.steady(&planned));
    let planned =
        storage(&place, &["put", "--dry-run", "--no-clobber", "data/a.txt", "data/b.txt"]);
    assert_eq!(planned.ok(), "", "one is there already");
    assert_eq!(files(&place), before);
    wrong(
        &place,
        &["cp", "--dry-run", "data/a.txt", "-"],
        &expect![[r#"
            exit 2
            error: `-` goes without --dry-run, --no-clobber, --exclude and --include; to fail where an object exists: --if-absent
        "#]],
    );
}

#[test]
fn what_exists_is_passed_over_where_that_is_said() {
    let place = place();
    storage(&place, &["cp", "data/a.txt", "to/"]).ok();
    place.file("data/a.txt", "another").file("data/b.txt", "changed");
    let copied = storage(&place, &["cp", "-r", "--no-clobber", "data", "to"]);
    assert_eq!(copied.stderr, "copied 3 objects, 12 B; 1 there already\n");
    assert_eq!(storage(&place, &["cp", "to/a.txt", "-"]).ok(), "alpha");
    let moved = storage(&place, &["mv", "--json", "--no-clobber", "data/a.txt", "to"]).ok();
    assert_eq!(moved, "{\"bytes\":0,\"moved\":0,\"there\":1}\n");
    assert_eq!(storage(&place, &["cp", "data/a.txt", "-"]).ok(), "another", "it was not moved");
}

/// A large object holds up one of those that are copied at once, and not the others.
#[test]
fn no_copy_waits_for_a_large_one_before_it() {
    let place = Place::new();
    for n in 0..20 {
        place.file(&format!("in/{n:02}"), "x");
    }
    let large = std::fs::File::create(place.path("in/00")).unwrap();
    large.set_len(256 << 20).unwrap();
    let order = |ended: &Ended| -> Vec<String> {
        let copies = ended.stderr.lines().filter_map(|line| line.split_once(" -> "));
        copies.map(|(from, _)| from.rsplit('/').next().unwrap().to_owned()).collect()
    };
    let copied = storage(&place, &["cp", "-v", "-r", "-j", "2", "in", "out"]);
    let copied = order(&copied);
    assert_eq!((copied.len(), copied.last().map(String::as_str)), (20, Some("00")), "{copied:?}");
    let synced = storage(&place, &["sync", "-v", "-j", "2", "in", "synced"]);
    let synced = order(&synced);
    assert_eq!((synced.len(), synced.last().map(String::as_str)), (20, Some("00")), "{synced:?}");
}

#[test]
fn a_sync_by_sizes_does_not_ask_for_times() {
    let place = place();
    storage(&place, &["sync", "data", "mirror"]).ok();
    let meta = std::fs::metadata(place.path("data/a.txt")).unwrap();
    let later = meta.modified().unwrap() + std::time::Duration::from_secs(9);
    let file = std::fs::File::options().append(true).open(place.path("data/a.txt")).unwrap();
    file.set_modified(later).unwrap();
    let synced = |arguments: &[&str]| storage(&place, &[&["sync"], arguments].concat()).stderr;
    let same = "copied 0 objects, 0 B; 4 were the same; removed 0\n";
    assert_eq!(synced(&["--size-only", "data", "mirror"]), same);
    let one = "copied 1 object, 5 B; 3 were the same; removed 0\n";
    assert_eq!(synced(&["data", "mirror"]), one);
}

#[test]
fn listings_close_with_their_sum_and_say_sizes_for_people() {
    let place = place();
    place.file("data/large", vec![0; 3 << 19]);
    let listed = storage(&place, &["ls", "-r", "-H", "--summarize", "data"]).ok();
    let lines: Vec<&str> = listed.lines().map(str::trim_start).collect();
    assert!(lines[4].starts_with("1.50 MiB  "), "{listed}");
    assert_eq!(lines[5], "1.50 MiB  5 objects");
    let json = storage(&place, &["ls", "--json", "--summarize", "data/*.txt"]).ok();
    assert_eq!(json.lines().last(), Some("{\"bytes\":9,\"objects\":2}"));
    let stat = storage(&place, &["stat", "--json", "data/a.txt"]).ok();
    let stat: serde_json::Value = serde_json::from_str(&stat).unwrap();
    assert!(stat["content_type"].is_null() && stat["metadata"].is_object(), "{stat}");
    for scheme in ["s3:", "gs://", "az:///"] {
        let refused = storage(&place, &["ls", scheme]);
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.stderr.contains("such as `aws s3 ls`"), "{refused:?}");
    }
}

/// `--force` is for buckets; what is none is not emptied.
#[test]
fn only_a_bucket_is_emptied_with_its_removal() {
    let place = place();
    let here = place.path("data");
    let here = here.to_str().unwrap();
    let before = files(&place);
    for what in ["file:///", here, "data", "mem://x"] {
        let refused = storage(&place, &["rb", "--force", what]);
        assert!(refused.code == Some(3), "{refused:?}");
        assert!(refused.stderr.contains("the store cannot do this (remove bucket)"), "{refused:?}");
    }
    assert_eq!(files(&place), before);
}
