//! The command `samara storage` against servers: what it says, what it leaves, and its exit codes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use samara_stores::Server;
use tempfile::TempDir;

use crate::Check;
use crate::stranger::{stranger, stranger_says};

/// What is checked of a server.
pub(crate) fn checks(server: &str) -> &'static [(&'static str, Check)] {
    match server {
        "moto" => S3,
        "redis" => TIMELESS,
        _ => &[],
    }
}

/// What is checked of S3.
const S3: &[(&str, Check)] = &[
    ("command_objects_go_there_and_back", |server| Box::pin(there_and_back(server))),
    ("command_signed_urls_are_read_and_written", |server| Box::pin(signed_by_the_command(server))),
    ("command_names_that_are_no_keys_are_in_nobodys_way", |server| Box::pin(foreign_names(server))),
    ("command_objects_of_many_pages_go_as_they_are_listed", |server| {
        Box::pin(many_objects(server))
    }),
    ("command_a_full_bucket_is_emptied_where_it_is_said", |server| {
        Box::pin(emptied_buckets(server))
    }),
];

/// What is checked of a store without times.
const TIMELESS: &[(&str, Check)] =
    &[("command_a_second_sync_copies_nothing", |server| Box::pin(synced_twice(server)))];

/// A directory in which the command runs, and what it reaches from there.
struct Place {
    dir: TempDir,
    variables: BTreeMap<String, String>,
}

/// What a command came to.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

// === impl Place ===

impl Place {
    fn new(server: &Server) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut variables = BTreeMap::new();
        for (name, value) in &server.said {
            if let Some(name) = name.strip_prefix("ENV_") {
                variables.insert(name.to_owned(), value.clone());
            }
        }
        if let Some(endpoint) = server.said.get("ENDPOINT") {
            variables.insert("AWS_ENDPOINT_URL".to_owned(), endpoint.clone());
        }
        Self { dir, variables }
    }

    fn file(&self, name: &str, text: &str) {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().expect("below the place")).expect("a directory");
        std::fs::write(path, text).expect("a file");
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).expect("a file")
    }

    /// Runs `samara storage`.
    fn run(&self, arguments: &[&str]) -> Ended {
        let mut command = Command::new(program());
        command.arg("storage").args(arguments).current_dir(self.dir.path()).stdin(Stdio::null());
        // Whoever runs the tests may have settings and credentials of their own.
        let nothing = self.dir.path().join("nothing");
        command.env("XDG_CONFIG_HOME", &nothing);
        command.env("AWS_CONFIG_FILE", &nothing).env("AWS_SHARED_CREDENTIALS_FILE", &nothing);
        command.envs(&self.variables);
        let output = command.output().expect("the command starts");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        Ended { code: output.status.code(), stdout, stderr }
    }

    /// Runs it, and it goes well; what it says on standard error, or prints where it says nothing.
    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
        if ended.stderr.is_empty() { ended.stdout } else { ended.stderr }
    }

    /// The names of all objects below a URL.
    #[track_caller]
    fn names(&self, url: &str) -> Vec<String> {
        let ended = self.run(&["ls", "-r", url]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let names = ended.stdout.lines().filter_map(|line| line.split_once(url));
        names.map(|(_, name)| name.to_owned()).collect()
    }
}

/// The command, beside this program.
#[allow(clippy::disallowed_methods, reason = "to find what is tested")]
fn program() -> PathBuf {
    let this = std::env::current_exe().expect("this program");
    let found = this.ancestors().map(|dir: &Path| dir.join("samara")).find(|path| path.is_file());
    found.expect("`samara` was not built: `cargo build --workspace --bins`")
}

async fn there_and_back(server: &Server) {
    let (place, bucket) = (Place::new(server), "s3://samara-command/");
    assert_eq!(place.ok(&["mb", bucket]), "made s3://samara-command/\n");
    place.file("in/a.csv", "1,2\n");
    place.file("in/deep/b.txt", "beta");
    let put = place.ok(&["put", "in/a.csv", "s3://samara-command/", "--metadata", "of=ours"]);
    assert_eq!(put, "copied 1 object, 4 B\n");
    let stat = place.ok(&["stat", "s3://samara-command/a.csv"]);
    assert!(stat.contains("type      text/csv\nmetadata  of=ours\n"), "{stat}");
    let typed = ["cp", "--content-type", "text/x-two", "in/a.csv", "s3://samara-command/typed"];
    place.ok(&typed);
    assert!(place.ok(&["stat", "s3://samara-command/typed"]).contains("type      text/x-two\n"));
    // Within the store what was said stays.
    place.ok(&["mv", "s3://samara-command/a.csv", "s3://samara-command/dir/c.csv"]);
    let stat = place.ok(&["stat", "--json", "s3://samara-command/dir/c.csv"]);
    assert!(stat.contains("\"metadata\":{\"of\":\"ours\"}"), "{stat}");
    assert_eq!(place.names(bucket), ["dir/c.csv", "typed"]);
    place.ok(&["get", "s3://samara-command/dir/c.csv", "back.csv"]);
    assert_eq!(place.read("back.csv"), "1,2\n");
    let passed = place.ok(&["cp", "--no-clobber", "in/deep/b.txt", "s3://samara-command/typed"]);
    assert_eq!(passed, "copied 0 objects, 0 B; 1 there already\n");

    let (local, remote) = ("in", "s3://samara-command/synced");
    let synced = "copied 2 objects, 8 B; 0 were the same; removed 0\n";
    assert_eq!(place.ok(&["sync", local, remote]), synced);
    let stat = place.ok(&["stat", "s3://samara-command/synced/a.csv"]);
    assert!(stat.contains("type      text/csv\n"), "{stat}");
    let same = "copied 0 objects, 0 B; 2 were the same; removed 0\n";
    assert_eq!(place.ok(&["sync", local, remote]), same);
    place.ok(&["rm", "s3://samara-command/synced/a.csv"]);
    let gone = place.ok(&["sync", "--delete", remote, local]);
    // What is left was put there later than it was written here, or in the same second.
    assert!(gone.ends_with("removed 1\n"), "{gone}");
    assert!(!place.dir.path().join("in/a.csv").exists());
    let moved = place.ok(&["mv", "-r", remote, "s3://samara-command/moved"]);
    assert_eq!(moved, "moved 1 object, 4 B\n");
    place.ok(&["cp", "-r", "s3://samara-command/moved", "out"]);
    assert_eq!(place.read("out/deep/b.txt"), "beta");

    let full = place.run(&["rb", bucket]);
    assert_eq!(full.code, Some(3), "{full:?}");
    assert!(full.stderr.contains("samara storage rb --force s3://samara-command/"), "{full:?}");
    assert_eq!(place.ok(&["rm", "-r", "s3://samara-command/**"]), "removed 3 objects\n");
    assert_eq!(place.ok(&["rb", bucket]), "removed s3://samara-command/\n");
    let missing = place.run(&["ls", bucket]);
    assert_eq!(missing.code, Some(3), "{missing:?}");
}

async fn signed_by_the_command(server: &Server) {
    let place = Place::new(server);
    let object = "s3://samara/command/signed ü+.txt";
    let signed = |verb: &str| {
        let ended = place.run(&["presign", "--for", verb, "--expires", "5m", object]);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
        ended.stdout.trim_end().to_owned()
    };
    assert_eq!(stranger("PUT", &signed("put"), "by a stranger").await.0, 200);
    assert_eq!(place.ok(&["get", object, "-"]), "by a stranger");
    let (status, body) = stranger("GET", &signed("get"), "").await;
    assert_eq!((status, body.as_str()), (200, "by a stranger"));
    assert_eq!(stranger("DELETE", &signed("delete"), "").await.0, 204);
    let gone = place.run(&["stat", object]);
    assert_eq!(gone.code, Some(3), "{gone:?}");
}

/// Puts objects as other programs do, under whatever names.
async fn put_raw(server: &Server, bucket: &str, names: &[&str]) {
    for name in names {
        let url = format!("{}/{bucket}/{name}", server.endpoint());
        let (status, said) = stranger_says("PUT", &url, "", "raw").await;
        assert_eq!(status, 200, "{name}: {said}");
    }
}

async fn foreign_names(server: &Server) {
    let place = Place::new(server);
    let url = "s3://samara/foreign/";
    let names = ["foreign/a", "foreign/b//c", "foreign/dir/", "foreign/x/../y", "foreign/z"];
    put_raw(server, "samara", &names).await;
    let listed = place.run(&["ls", "-r", url]);
    assert_eq!(listed.code, Some(0), "{listed:?}");
    assert_eq!(listed.stdout.lines().count(), 2, "{listed:?}");
    for said in ["warning: passed over", "s3://samara/foreign/b//c", "s3://samara/foreign/x/../y"] {
        assert!(listed.stderr.contains(said), "{listed:?}");
    }
    let copied = place.ok(&["cp", "-r", url, "out"]);
    assert!(copied.ends_with("copied 2 objects, 6 B\n"), "{copied}");
    let synced = place.ok(&["sync", "--delete", "--size-only", "out", "s3://samara/foreign"]);
    assert!(synced.ends_with("copied 0 objects, 0 B; 2 were the same; removed 0\n"), "{synced}");
    let planned = place.run(&["rm", "-r", "--dry-run", url]);
    assert_eq!(planned.stdout.lines().count(), 5, "{planned:?}");
    let removed = place.ok(&["rm", "-r", url]);
    assert!(removed.ends_with("removed 5 objects\n"), "{removed}");
    let none = place.run(&["rm", "-r", url]);
    assert!(none.code == Some(3) && none.stderr.contains("not found"), "{none:?}");
}

async fn emptied_buckets(server: &Server) {
    let (place, bucket) = (Place::new(server), "s3://samara-emptied");
    place.ok(&["mb", bucket]);
    put_raw(server, "samara-emptied", &["dir/"]).await;
    let full = place.run(&["rb", bucket]);
    assert!(full.code == Some(3) && full.stderr.contains("rb --force"), "{full:?}");
    put_raw(server, "samara-emptied", &["a", "b//c", "d/e"]).await;
    let emptied = place.ok(&["rb", "--force", bucket]);
    assert!(emptied.ends_with("removed s3://samara-emptied, which had 4 objects\n"), "{emptied}");
    assert_eq!(place.run(&["ls", bucket]).code, Some(3));
    place.ok(&["mb", bucket]);
    assert_eq!(place.ok(&["rb", "--force", bucket]), "removed s3://samara-emptied\n");
}

/// More objects than a page of a listing has, which is disturbed by what is removed meanwhile.
async fn many_objects(server: &Server) {
    const MANY: usize = 1_050;
    let (place, url) = (Place::new(server), "s3://samara/many/");
    for n in 0..MANY {
        place.file(&format!("in/{:02}/{n:04}", n % 7), "x");
    }
    let copied = place.ok(&["cp", "-r", "-j", "32", "in", url]);
    assert_eq!(copied, format!("copied {MANY} objects, 1.03 KiB\n"));
    assert_eq!(place.names(url).len(), MANY);
    let some = place.ok(&["mv", "-r", "s3://samara/many/0[0-2]/*", "s3://samara/some/"]);
    assert!(some.starts_with("moved 450 objects"), "{some}");
    let gone = place.ok(&["rm", "-r", "s3://samara/many/**", "s3://samara/some"]);
    assert_eq!(gone, "removed 1050 objects\n");
    for url in [url, "s3://samara/some/"] {
        assert_eq!(place.run(&["ls", url]).code, Some(3), "{url} has nothing");
    }
}

async fn synced_twice(server: &Server) {
    let place = Place::new(server);
    place.file("in/a", "alpha");
    place.file("in/b", "beta");
    let url = format!("{}synced-twice", server.url());
    let first = place.ok(&["sync", "in", &url]);
    assert_eq!(first, "copied 2 objects, 9 B; 0 were the same; removed 0\n");
    let again = place.ok(&["sync", "in", &url]);
    assert!(again.starts_with("copied 0 objects, 0 B; 2 were the same; removed 0\n"), "{again}");
    assert!(again.contains("note: 2 of those"), "{again}");
    place.file("in/a", "longer");
    let changed = place.ok(&["sync", "in", &url]);
    assert!(changed.starts_with("copied 1 object, 6 B; 1 were the same;"), "{changed}");
    // Within the store contents are told apart by their etags.
    let copy = format!("{}synced-copy", server.url());
    place.ok(&["sync", &url, &copy]);
    let same = place.ok(&["sync", &url, &copy]);
    assert_eq!(same, "copied 0 objects, 0 B; 2 were the same; removed 0\n");
}
