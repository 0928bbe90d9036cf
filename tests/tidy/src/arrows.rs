//! Which crate may depend on which. A crate goes by its room, the directory it lies in.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::Offence;

/// The rooms each room may depend on, among the workspace's own. The first row that fits counts.
///
/// `*` stands for one part of a path; alone, for any room.
pub const ARROWS: &[(&str, &[&str])] = &[
    ("wit", &[]),
    ("guest-sdk/macros", &[]),
    ("guest-sdk", &["wit", "guest-sdk/macros"]),
    ("host/core", &[]),
    ("host/build", &[]),
    ("host/store", &["host/core"]),
    ("host/engine", &["wit", "host/store", "host/core"]),
    ("runtimes", &["host/core"]),
    ("host/runner", &["host/engine", "host/store", "host/core"]),
    ("host/tenants", &["host/core"]),
    ("host/driver", &["runtimes", "host/store", "host/engine", "host/core", "host/build", "wit"]),
    ("host/worker", &["runtimes", "host/engine", "host/store", "host/tenants", "host/core"]),
    // Guests: components are all that they and the host share.
    ("host/cli/hello", &["guest-sdk"]),
    ("examples/*/function", &["guest-sdk"]),
    ("tests/programs", &["guest-sdk", "host/build"]),
    ("tests/programs/evil", &["guest-sdk", "tests/programs"]),
    // What stands at the top.
    // It runs tests in the sandbox by itself: the driver knows jobs, and these are none. The suite is
    // in the command, for users to try their own runtime and store; by way of it, so are the natively
    // compiled guests under test, for their handles' sake.
    (
        "host/cli",
        &[
            "host/driver",
            "host/runner",
            "host/build",
            "host/tenants",
            "host/core",
            "wit",
            "tests/conformance",
        ],
    ),
    ("examples/*", &["host/driver", "host/build", "examples/*/function"]),
    ("tests/xtask", &["host/build"]),
    ("tests/tidy", &[]),
    ("tests/*", &["*"]),
    ("benches", &["*"]),
];

/// Crates of others that only some rooms may name, by the beginning of their name.
pub const RESERVED: &[(&str, &[&str], &str)] = &[
    ("wasmtime", &["host/engine"], "the engine alone names wasmtime"),
    ("cranelift", &["host/engine"], "the engine alone names wasmtime"),
    (
        "tokio",
        &[
            "host/store",
            "host/engine",
            "runtimes",
            "host/runner",
            "host/driver",
            "host/worker",
            "host/cli",
            "examples/*",
            "tests/conformance",
            "tests/deploy",
            "tests/engine",
            "tests/fuzz",
            "tests/hosts",
            "tests/stores",
            "tests/sim",
            "tests/chaos",
            "benches",
        ],
        "the vocabulary, the contract, the guests and the build tools do no asynchronous work",
    ),
    (
        "wit-bindgen",
        &["wit", "guest-sdk", "guest-sdk/macros"],
        "guests get their bindings from the SDK",
    ),
];

/// What must not be linked, even by way of other crates: package, cargo's arguments, prefixes.
pub const NOT_LINKED: &[(&str, &[&str], &[&str])] = &[
    ("samara", &["--no-default-features"], &["wasmtime", "cranelift", "samara-engine"]),
    ("samara-core", &["--all-features"], &["tokio", "wasmtime", "hyper", "reqwest"]),
    ("samara-runtimes", &["--no-default-features"], &["wasmtime", "samara-store"]),
    ("samara-build", &["--all-features"], &["tokio", "wasmtime"]),
    (
        "samara-guest",
        &["--all-features", "--target", "wasm32-wasip2"],
        &["tokio", "wasmtime", "samara-core", "samara-store", "samara-engine", "samara-runtimes"],
    ),
];

/// A crate of the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// The directory it lies in, from the root.
    pub room: String,
    /// What it depends on.
    pub dependencies: Vec<Dependency>,
}

/// A dependency, of whatever kind: for tests and build scripts the arrows hold too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// The name of the crate.
    pub name: String,
    /// Its room, if it is one of the workspace.
    pub room: Option<String>,
}

/// Reads the output of `cargo metadata --no-deps`.
///
/// # Errors
///
/// If it is not such an output.
pub fn packages(metadata: &str) -> Result<Vec<Package>, serde_json::Error> {
    let metadata: RawMetadata = serde_json::from_str(metadata)?;
    let room = |path: &Path| {
        let path = path.strip_prefix(&metadata.workspace_root).unwrap_or(path);
        path.to_string_lossy().into_owned()
    };
    let dependency = |raw: &RawDependency| Dependency {
        name: raw.name.clone(),
        room: raw.path.as_deref().map(room),
    };
    let package = |raw: &RawPackage| Package {
        room: room(raw.manifest_path.parent().unwrap_or(&raw.manifest_path)),
        dependencies: raw.dependencies.iter().map(dependency).collect(),
    };
    Ok(metadata.packages.iter().map(package).collect())
}

/// Checks [`ARROWS`] and [`RESERVED`].
#[must_use]
pub fn check(packages: &[Package]) -> Vec<Offence> {
    packages.iter().flat_map(check_package).collect()
}

/// Checks the output of `cargo tree --prefix none` for crates that begin so.
#[must_use]
pub fn check_linked(package: &str, tree: &str, prefixes: &[&str]) -> Vec<Offence> {
    let linked = tree.lines().filter_map(|line| line.split_whitespace().next());
    let mut linked: Vec<&str> =
        linked.filter(|name| prefixes.iter().any(|prefix| is_of_family(name, prefix))).collect();
    linked.sort_unstable();
    linked.dedup();
    linked.iter().map(|name| Offence::new(package, format!("must not link {name}"))).collect()
}

fn check_package(package: &Package) -> Vec<Offence> {
    let manifest = format!("{}/Cargo.toml", package.room);
    let Some((_, allowed)) = ARROWS.iter().find(|(room, _)| fits(room, &package.room)) else {
        let what = "no row for this room in tests/tidy/src/arrows.rs: say what it may depend on";
        return vec![Offence::new(manifest, what)];
    };
    let mut offences = Vec::new();
    for Dependency { name, room } in &package.dependencies {
        if let Some(room) = room
            && !allowed.iter().any(|allowed| fits(allowed, room))
        {
            let what = format!("must not depend on {room}; it may on: {}", allowed.join(", "));
            offences.push(Offence::new(&manifest, what));
        }
        for (family, rooms, reason) in RESERVED {
            let may = rooms.iter().any(|room| fits(room, &package.room));
            if is_of_family(name, family) && !may {
                offences.push(Offence::new(&manifest, format!("must not name {name}: {reason}")));
            }
        }
    }
    offences
}

/// Whether a room is meant by a pattern of [`ARROWS`].
fn fits(pattern: &str, room: &str) -> bool {
    let mut parts = (pattern.split('/'), room.split('/'));
    pattern == "*"
        || loop {
            match (parts.0.next(), parts.1.next()) {
                (None, None) => break true,
                (Some(one), Some(other)) if one == "*" || one == other => {}
                _ => break false,
            }
        }
}

/// Whether a crate is the one of this name or one of its parts, as `wasmtime-wasi` of `wasmtime`.
fn is_of_family(name: &str, family: &str) -> bool {
    name.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

#[derive(Deserialize)]
struct RawMetadata {
    packages: Vec<RawPackage>,
    workspace_root: PathBuf,
}

#[derive(Deserialize)]
struct RawPackage {
    manifest_path: PathBuf,
    dependencies: Vec<RawDependency>,
}

#[derive(Deserialize)]
struct RawDependency {
    name: String,
    path: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A package with dependencies; those with a slash or a known room are of the workspace.
    fn package(room: &str, dependencies: &[(&str, Option<&str>)]) -> Package {
        let dependency = |(name, room): &(&str, Option<&str>)| Dependency {
            name: (*name).to_owned(),
            room: room.map(str::to_owned),
        };
        Package {
            room: room.to_owned(),
            dependencies: dependencies.iter().map(dependency).collect(),
        }
    }

    #[test]
    fn planted_arrows_are_caught() {
        let cases: &[(&str, &str, Option<&str>, bool)] = &[
            ("host/core", "samara-store", Some("host/store"), false),
            ("host/store", "samara-core", Some("host/core"), true),
            ("runtimes", "samara-engine", Some("host/engine"), false),
            ("runtimes", "samara-store", Some("host/store"), false),
            ("guest-sdk", "samara-core", Some("host/core"), false),
            ("host/driver", "samara-guest", Some("guest-sdk"), false),
            ("host/driver", "wasmtime", None, false),
            ("host/cli", "wasmtime-wasi", None, false),
            ("host/engine", "wasmtime-wasi", None, true),
            ("host/core", "tokio", None, false),
            ("host/core", "tokio-util", None, false),
            ("host/core", "tokiox", None, true),
            ("host/build", "tokio", None, false),
            ("examples/pi", "f", Some("examples/pi/function"), true),
            ("examples/pi", "samara-engine", Some("host/engine"), false),
            ("examples/pi/function", "samara", Some("host/driver"), false),
            ("tests/conformance", "samara-engine", Some("host/engine"), true),
            ("host/unheard-of", "serde", None, false),
        ];
        for (room, name, dependency_room, allowed) in cases {
            let offences = check(&[package(room, &[(name, *dependency_room)])]);
            assert_eq!(offences.is_empty(), *allowed, "{room} -> {name}: {offences:?}");
        }
    }

    #[test]
    fn metadata_is_read() {
        let metadata = r#"{"workspace_root":"/w","packages":[
            {"manifest_path":"/w/host/store/Cargo.toml","dependencies":[
                {"name":"samara-core","path":"/w/host/core","kind":null},
                {"name":"bytes","kind":"dev"}]}]}"#;
        let expected =
            package("host/store", &[("samara-core", Some("host/core")), ("bytes", None)]);
        assert_eq!(packages(metadata).unwrap(), [expected]);
    }

    #[test]
    fn a_crate_linked_by_way_of_others_is_caught() {
        let tree = "samara v0.1.0 (/w)\nserde v1.0.0\nwasmtime-environ v48.0.8\nserde v1.0.0 (*)\n";
        let offences = check_linked("samara", tree, &["wasmtime"]);
        assert_eq!(offences, [Offence::new("samara", "must not link wasmtime-environ")]);
        assert_eq!(check_linked("samara", tree, &["tokio", "wasm"]), []);
    }
}
