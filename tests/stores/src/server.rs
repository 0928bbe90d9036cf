//! One server: from its script, or in this process.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use samara_store::conformance::Exceptions;
use samara_store::{Locator, Settings};

use crate::{Google, Proxy};

/// A server that a store, or a runtime, is tested against.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Its name, which is its script's.
    pub name: &'static str,
    /// The folder of its script below `host/store`; [`HERE`] for one without a script.
    room: &'static str,
    /// From what the script says to the store's settings.
    settings: &'static [(&'static str, &'static str)],
    /// What it does not do.
    pub exceptions: Exceptions,
    /// Cases that it cannot answer, and why.
    pub skips: &'static [(&'static str, &'static str)],
}

/// A server that runs.
#[derive(Debug)]
pub struct Server {
    /// What its script said: names and values.
    pub said: BTreeMap<String, String>,
    spec: Spec,
    runs: Runs,
}

/// What runs.
#[derive(Debug)]
enum Runs {
    Script {
        child: Child,
        /// The script ends when this is closed.
        stdin: Option<ChildStdin>,
        _directory: tempfile::TempDir,
    },
    Here {
        google: Google,
    },
}

/// In place of a folder: a server in this process.
const HERE: &str = "";

const S3: &[(&str, &str)] = &[
    ("ENDPOINT", "endpoint"),
    ("ENV_AWS_REGION", "region"),
    ("ENV_AWS_ACCESS_KEY_ID", "access_key_id"),
    ("ENV_AWS_SECRET_ACCESS_KEY", "secret_access_key"),
];

const GS: &[(&str, &str)] = &[("ENDPOINT", "endpoint"), ("TOKEN", "token")];
const AZ: &[(&str, &str)] = &[("ENDPOINT", "endpoint"), ("ACCOUNT", "account"), ("KEY", "key")];

const SWIFT: &[(&str, &str)] = &[("AUTH_URL", "auth_url"), ("USER", "user"), ("PASSWORD", "key")];
const KEYSTONE: &[(&str, &str)] = &[
    ("AUTH_URL", "auth_url"),
    ("USER_ID", "user_id"),
    ("PASSWORD", "password"),
    ("PROJECT_ID", "project_id"),
    ("REGION", "region"),
];
const WEBDAV: &[(&str, &str)] = &[("USER", "user"), ("PASSWORD", "password")];

const REDIS: &[(&str, &str)] = &[("USER", "username"), ("PASSWORD", "password")];

const SFTP: &[(&str, &str)] = &[("USER", "user"), ("KEY_FILE", "key_file")];

const NONE: Exceptions = Exceptions {
    names: &[],
    breaks: &[],
    loses_races: false,
    loses_creations: false,
    blinks: false,
    forgets_attributes: false,
    short_pages: false,
};

/// It loses some characters of keys in listings, as XML has no way to write them.
/// It looks at a condition first and writes then, with nothing to hold others off. Where several
/// replace one version of an object at once, or write one new object, some succeed together, which a
/// trial finds by chance only.
const MOTO_LOSES: Exceptions =
    Exceptions { names: &["new\nline\ttab"], loses_races: true, loses_creations: true, ..NONE };
/// The same of races for a version; Ceph 16 looks at the version before it takes the body.
const CEPH_LOSES: Exceptions = Exceptions { loses_races: true, ..NONE };
/// A reader may have the name of a file that the next version has just removed; with more than one
/// copy of each object, which a Swift in earnest has, another copy would answer.
const SWIFT_BLINKS: Exceptions = Exceptions { blinks: true, ..NONE };
/// It also sees no object that is being written, so that several may write a new one. A trial finds that
/// out as good as always.
const SWIFT_LOSES: Exceptions = Exceptions { loses_creations: true, ..SWIFT_BLINKS };
/// It blinks; and it fails for good, with 503, at a bucket with such a key.
const SWIFT_FAILS: Exceptions = Exceptions { breaks: &["\u{10ffff}"], ..SWIFT_BLINKS };
/// Google has no line feeds in keys; the store refuses them.
const GS_REFUSES: Exceptions = Exceptions { names: &["new\nline\ttab"], ..NONE };
/// Azure takes `\` for `/`, and drops a `.` at the end of a segment; the store refuses both.
const AZ_REFUSES: Exceptions =
    Exceptions { names: &["back\\slash", "...", "trailing.", "b."], ..NONE };
/// WebDAV is XML, which has no control characters; the store refuses them.
const WEBDAV_REFUSES: Exceptions = Exceptions { names: &["new\nline\ttab"], ..FORGETS };
/// It keeps bytes alone.
const FORGETS: Exceptions = Exceptions { forgets_attributes: true, ..NONE };

/// Every server, fast ones first.
pub const SERVERS: &[Spec] = &[
    Spec { name: "google", room: HERE, settings: GS, exceptions: GS_REFUSES, skips: &[] },
    Spec { name: "redis", room: "redis", settings: REDIS, exceptions: FORGETS, skips: &[] },
    Spec { name: "moto", room: "s3", settings: S3, exceptions: MOTO_LOSES, skips: &[] },
    Spec { name: "swift", room: "swift", settings: SWIFT, exceptions: SWIFT_LOSES, skips: &[] },
    Spec {
        name: "swift-keystone",
        room: "swift",
        settings: KEYSTONE,
        exceptions: SWIFT_LOSES,
        skips: &[],
    },
    Spec {
        name: "apache",
        room: "webdav",
        settings: WEBDAV,
        exceptions: WEBDAV_REFUSES,
        skips: &[],
    },
    Spec { name: "sshd", room: "sftp", settings: SFTP, exceptions: FORGETS, skips: &[] },
    Spec { name: "azurite", room: "az", settings: AZ, exceptions: AZ_REFUSES, skips: &[] },
    Spec {
        name: "gcp-storage-emulator",
        room: "gs",
        settings: GS,
        exceptions: GS_REFUSES,
        skips: &[
            (
                "replaced_while_read",
                "it serves nobody else while a body is on its way; `google` has this case",
            ),
            (
                "many_objects",
                "it drops connections where more than five wait; `google` has this case",
            ),
        ],
    },
    Spec { name: "garage", room: "s3", settings: S3, exceptions: NONE, skips: &[] },
    Spec { name: "moto-iam", room: "s3", settings: S3, exceptions: MOTO_LOSES, skips: &[] },
    Spec { name: "ceph", room: "s3", settings: S3, exceptions: CEPH_LOSES, skips: &[] },
    Spec { name: "swift-s3", room: "s3", settings: S3, exceptions: SWIFT_FAILS, skips: &[] },
    FAST,
];

/// The fastest of these, for benches too. It keeps less of what S3 promises: of several that write a
/// new object at once, more than one succeeds.
pub const FAST: Spec = Spec {
    name: "s3s-fs",
    room: "s3",
    settings: S3,
    exceptions: NONE,
    skips: &[
        ("ranges", "it refuses ranges that end far behind the object"),
        ("missing_object", "it answers 500 where the name is that of a directory"),
        ("delete", "it answers 500 where the name is that of a directory"),
        ("metadata_in_lists", "its listings have no etags"),
        ("odd_names", "names are those of files, and its listings decode them"),
        ("deep_names", "names are those of files"),
        ("random_steps", "its listings decode names"),
        ("overwrite_race", "it sends one version's bytes with another's checksum then"),
        ("put_if_absent_race", "it loses races; `s3_lost_races_are_found_out` has this case"),
        ("writer_race", "it loses races; `s3_lost_races_are_found_out` has this case"),
    ],
};

/// Not a store, but started alike.
pub const LAMBDA_EMULATOR: Spec = Spec {
    name: "lambda-emulator",
    room: "../../runtimes",
    settings: &[],
    exceptions: NONE,
    skips: &[],
};

/// Not a store, but a cluster that hosts run on.
pub const SLURM: Spec = Spec { name: "slurm", ..LAMBDA_EMULATOR };

/// Not a store, but started alike: a broker, whose queue is a runtime's.
pub const NATS: Spec =
    Spec { name: "nats", room: "../../runtimes", settings: &[], exceptions: NONE, skips: &[] };

/// Not a store, but what stands before one, and admits so many requests a second.
pub const HAPROXY: Spec =
    Spec { name: "haproxy", room: ".", settings: &[], exceptions: NONE, skips: &[] };

// === impl Spec ===

impl Spec {
    /// The server of this name.
    ///
    /// # Panics
    ///
    /// Where there is none.
    pub fn of(name: &str) -> Self {
        *SERVERS.iter().find(|spec| spec.name == name).expect("no such server")
    }

    /// Its script, which one in this process does not have.
    pub fn script(&self) -> PathBuf {
        let store = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../host/store"));
        store.join(self.room).join("ci").join(self.name)
    }

    /// Whether it can be started.
    pub fn is_installed(&self) -> bool {
        if self.room == HERE {
            return true;
        }
        let status = Command::new(self.script()).arg("installed").stdin(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    }

    /// Starts it, and waits until it answers.
    ///
    /// # Errors
    ///
    /// What its script said.
    pub fn start(self) -> std::io::Result<Server> {
        self.start_with(&[])
    }

    /// Starts it with what its script wants to be told.
    ///
    /// # Errors
    ///
    /// What its script said.
    pub fn start_with(self, arguments: &[&str]) -> std::io::Result<Server> {
        if self.room == HERE {
            return self.start_here();
        }
        let directory = tempfile::Builder::new().prefix("samara-server-").tempdir()?;
        let mut child = Command::new(self.script())
            .arg("run")
            .arg(directory.path().join("it"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take();
        let mut said = BTreeMap::new();
        let stdout = child.stdout.take().ok_or_else(|| std::io::Error::other("no output"))?;
        let mut lines = BufReader::new(stdout).lines();
        loop {
            let Some(line) = lines.next().transpose()? else {
                let mut text = String::new();
                if let Some(mut stderr) = child.stderr.take() {
                    stderr.read_to_string(&mut text)?;
                }
                child.wait()?;
                return Err(std::io::Error::other(format!("{}: {text}", self.name)));
            };
            match line.split_once('=') {
                Some((name, value)) => drop(said.insert(name.to_owned(), value.to_owned())),
                None if line == "ready" => break,
                None => {}
            }
        }
        let runs = Runs::Script { child, stdin, _directory: directory };
        Ok(Server { said, spec: self, runs })
    }

    fn start_here(self) -> std::io::Result<Server> {
        let token = "samara-token";
        let google = Google::start("samara", token)?;
        let endpoint = google.endpoint();
        let said = [("URL", "gs://samara/"), ("ENDPOINT", &endpoint), ("TOKEN", token)];
        let said = said.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok(Server { said: said.into(), spec: self, runs: Runs::Here { google } })
    }
}

// === impl Server ===

impl Server {
    /// The URL of the place to test.
    pub fn url(&self) -> &str {
        &self.said["URL"]
    }

    /// Where it listens.
    pub fn endpoint(&self) -> &str {
        &self.said["ENDPOINT"]
    }

    /// Where it is reached by way of a proxy, and the settings for that.
    pub fn behind(&self, proxy: &Proxy) -> (String, Settings) {
        let (endpoint, place) = (proxy.endpoint(), self.place());
        let path = |url: &str| {
            let host = url.split_once("://").map_or(url, |(_, rest)| rest);
            host.find('/')
                .map_or_else(String::new, |at| host[at..].trim_end_matches('/').to_owned())
        };
        match self.spec.settings {
            WEBDAV => {
                let url = format!("webdav://{}/", endpoint.trim_start_matches("http://"));
                (url.clone(), self.settings_at(url.trim_end_matches('/')))
            }
            settings => {
                let said = self.settings_at(place);
                let at = format!("{endpoint}{}", path(self.endpoint()));
                let said = said.with(place, "endpoint", at);
                let said = match (settings, self.said.get("AUTH_URL")) {
                    (SWIFT, Some(url)) => {
                        said.with(place, "auth_url", format!("{endpoint}{}", path(url)))
                    }
                    _ => said,
                };
                (self.url().to_owned(), said)
            }
        }
    }

    /// The fake, where it is that.
    pub fn google(&self) -> Option<&Google> {
        match &self.runs {
            Runs::Here { google } => Some(google),
            Runs::Script { .. } => None,
        }
    }

    /// Which one it is.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The store, without what its key begins with.
    pub fn place(&self) -> &str {
        let end = self.url().match_indices('/').nth(2).map_or(usize::MAX, |(at, _)| at);
        self.url().get(..end).unwrap_or_else(|| self.url())
    }

    /// The settings of its store.
    pub fn settings(&self) -> Settings {
        self.settings_at(self.place())
    }

    fn settings_at(&self, place: &str) -> Settings {
        let mut settings = Settings::default();
        for (said, setting) in self.spec.settings {
            if let Some(value) = self.said.get(*said) {
                settings = settings.with(place, *setting, value);
            }
        }
        if self.spec.name == "sshd" {
            // Its key is new each time.
            settings = settings.with("sftp:", "known_hosts_strategy", "accept");
        }
        settings
    }

    /// What opens its store.
    pub fn locator(&self) -> Locator {
        Locator::default().with_settings(self.settings())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Runs::Script { child, stdin, .. } = &mut self.runs {
            drop(stdin.take());
            drop(child.wait());
        }
    }
}
