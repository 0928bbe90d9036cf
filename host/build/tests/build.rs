//! Builds real crates, and asks for the target on machines that are made up of shell scripts.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::thread;

use samara_build::{Built, Environment, Error, Obstacle, Options, Output, Step};

/// The first bytes of a component, as opposed to those of a core module.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

const MANIFEST: &str = "\
[package]
name = \"tiny-guest\"
version = \"0.1.0\"
edition = \"2024\"

[lib]
crate-type = [\"cdylib\", \"rlib\"]

# What a workspace wishes for its own programs must not reach guests.
[profile.release]
strip = true
lto = false
debug = 2

[workspace]
";

const SOURCE: &str = "\
#[inline(never)]
pub fn a_name_for_backtraces(input: u32) -> String {
    input.to_string().repeat(2)
}

#[unsafe(no_mangle)]
pub extern \"C\" fn run(input: u32) -> usize {
    a_name_for_backtraces(input).len()
}
";

fn write(dir: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// Builds the crate made of these files.
fn build(dir: &Path, files: &[(&str, &str)]) -> Result<Built, Error> {
    write(dir, files);
    // Each crate has its own: the crates have one name, and so would their components.
    let target = dir.join("target");
    let options = Options::from_env().with_output(Output::Quiet).with_target_dir(target);
    samara_build::build(dir, &options)
}

fn contains(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
}

#[test]
fn a_crate_becomes_a_component_with_names_and_without_debug_information() {
    let dir = tempfile::tempdir().unwrap();
    let files = [("Cargo.toml", MANIFEST), ("src/lib.rs", SOURCE)];
    let built = build(dir.path(), &files).unwrap();
    assert_eq!(built.package, "tiny-guest");
    let bytes = fs::read(&built.path).unwrap();
    assert!(bytes.starts_with(COMPONENT), "{:?}", &bytes[..8]);
    assert_eq!(built.size, u64::try_from(bytes.len()).unwrap());
    assert!(contains(&bytes, "a_name_for_backtraces"), "the name section is gone");
    assert!(!contains(&bytes, ".debug_info"), "debug information is left");
    let here = dir.path().to_str().unwrap();
    assert!(!contains(&bytes, here), "the component tells where it was built");
    for input in ["src/lib.rs", "Cargo.toml", "Cargo.lock"] {
        assert!(built.inputs.contains(&dir.path().join(input)), "{input} in {:?}", built.inputs);
    }

    let modified = fs::metadata(&built.path).unwrap().modified().unwrap();
    let again = build(dir.path(), &[]).unwrap();
    assert_eq!(again, built);
    let modified_again = fs::metadata(&again.path).unwrap().modified().unwrap();
    assert_eq!(modified, modified_again, "nothing changed, nothing is built");
}

#[test]
fn what_is_no_component_crate_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let error = build(dir.path(), &[]).unwrap_err();
    assert!(matches!(error, Error::NotACrate { .. }), "{error}");

    let plain = MANIFEST.replace("[\"cdylib\", \"rlib\"]", "[\"rlib\"]");
    let files = [("Cargo.toml", plain.as_str()), ("src/lib.rs", "")];
    let error = build(dir.path(), &files).unwrap_err();
    assert!(matches!(&error, Error::NotAComponent { package, .. } if package == "tiny-guest"));
    assert!(error.to_string().contains("crate-type = [\"cdylib\", \"rlib\"]"), "{error}");

    let error = build(dir.path(), &[("Cargo.toml", "[package]\nnaem = 'x'\n")]).unwrap_err();
    assert!(matches!(error, Error::Manifest { .. }), "{error}");
    assert!(error.to_string().contains("missing field `package.name`"), "{error}");

    let member = MANIFEST.replace("[workspace]", "");
    let files = [
        ("Cargo.toml", "[workspace]\nmembers = ['member']\nresolver = '3'\n"),
        ("member/Cargo.toml", member.as_str()),
        ("member/src/lib.rs", ""),
    ];
    let error = build(dir.path(), &files).unwrap_err();
    let members = [dir.path().join("member")];
    assert!(matches!(&error, Error::Workspace { members: m, .. } if *m == members), "{error}");
}

#[test]
fn a_crate_with_errors_gives_the_compilers_words() {
    let dir = tempfile::tempdir().unwrap();
    let source = "pub fn broken() -> u32 { \"text\" }\n";
    let error = build(dir.path(), &[("Cargo.toml", MANIFEST), ("src/lib.rs", source)]).unwrap_err();
    assert!(matches!(&error, Error::Compile { package, .. } if package == "tiny-guest"));
    let text = error.to_string();
    assert!(text.contains("mismatched types"), "{text}");
    assert!(text.contains("src/lib.rs:1"), "{text}");
}

// A machine whose rustc, rustup and apt are scripts.

/// Says what a rustc with its sysroot in `$0/../..` would.
const RUSTC: &str = "\
root=$(dirname \"$(dirname \"$0\")\")
if [ \"$1\" = -vV ]; then echo 'release: 1.95.0'; exit; fi
echo \"$root\"
echo \"$root/lib/rustlib/wasm32-wasip2/lib\"
";

/// Installs the library after a while, and counts how often it was asked to.
const RUSTUP: &str = "\
root=$(dirname \"$(dirname \"$0\")\")
lib=$root/lib/rustlib/wasm32-wasip2/lib
echo asked >> $root/asked
sleep 0.3
mkdir -p $lib
touch $lib/libcore-1.rlib $lib/liballoc-1.rlib $lib/libstd-1.rlib $lib/libpanic_abort-1.rlib $lib/libtest-1.rlib
";

/// Makes such a machine in a directory; its environment has nothing else but the shell's tools.
fn machine(dir: &Path, programs: &[(&str, &str)], vars: &[(&str, &str)]) -> Environment {
    fs::create_dir_all(dir.join("lib/rustlib")).unwrap();
    fs::create_dir_all(dir.join("bin")).unwrap();
    for (name, script) in programs {
        let path = dir.join("bin").join(name);
        let tools = "PATH=/usr/bin:/bin";
        fs::write(&path, format!("#!/bin/sh\n{tools}\n{script}")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = dir.join("bin").into_os_string();
    let vars = vars.iter().map(|(name, value)| (name.into(), value.into()));
    Environment::from_vars(vars.chain([("PATH".into(), path)]))
}

fn ensure(dir: &Path, environment: &Environment) -> Result<(), Error> {
    samara_build::ensure_target(dir, environment, &Output::Quiet).map(drop)
}

#[test]
fn many_at_once_install_the_target_once() {
    let dir = tempfile::tempdir().unwrap();
    let environment = machine(dir.path(), &[("rustc", RUSTC), ("rustup", RUSTUP)], &[]);
    thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|_| scope.spawn(|| ensure(dir.path(), &environment))).collect();
        for thread in threads {
            thread.join().unwrap().unwrap();
        }
    });
    ensure(dir.path(), &environment).unwrap();
    assert_eq!(fs::read_to_string(dir.path().join("asked")).unwrap(), "asked\n");
}

/// What stood in the way of each step.
fn obstacles(error: Error) -> Vec<(Step, Obstacle)> {
    let Error::TargetUnavailable { attempts, .. } = error else { panic!("{error}") };
    attempts.into_iter().map(|attempt| (attempt.step, attempt.obstacle)).collect()
}

#[test]
fn a_machine_without_any_way_is_told_of_each() {
    let dir = tempfile::tempdir().unwrap();
    let forbidden = [("RUSTUP_AUTO_INSTALL", "0")];
    let environment = machine(dir.path(), &[("rustc", RUSTC), ("rustup", RUSTUP)], &forbidden);
    let tried = obstacles(ensure(dir.path(), &environment).unwrap_err());
    let [(Step::Rustup, Obstacle::Forbidden), (Step::Debian, Obstacle::NotInstalled { program })] =
        &tried[..]
    else {
        panic!("{tried:?}");
    };
    assert_eq!(program, "apt-get");
    assert!(!dir.path().join("asked").exists(), "rustup was run although it is forbidden");
}

#[test]
fn what_rustup_says_is_passed_on() {
    let dir = tempfile::tempdir().unwrap();
    let rustup = "echo 'error: could not reach the server' >&2; exit 1\n";
    let environment = machine(dir.path(), &[("rustc", RUSTC), ("rustup", rustup)], &[]);
    let error = ensure(dir.path(), &environment).unwrap_err();
    assert!(error.to_string().contains("could not reach the server"), "{error}");
}

#[test]
fn a_rustup_that_serves_another_rustc_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let environment = machine(dir.path(), &[("rustc", RUSTC), ("rustup", "true\n")], &[]);
    let tried = obstacles(ensure(dir.path(), &environment).unwrap_err());
    assert!(matches!(tried[0], (Step::Rustup, Obstacle::StillMissing)), "{tried:?}");
}

#[test]
fn a_rustc_that_knows_no_components_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let rustc = "echo 'error: could not find specification for target' >&2; exit 1\n";
    let environment = machine(dir.path(), &[("rustc", rustc)], &[]);
    let error = ensure(dir.path(), &environment).unwrap_err();
    assert!(matches!(error, Error::Rustc { .. }), "{error}");
    assert!(error.to_string().contains("could not find specification"), "{error}");

    let nothing = machine(&dir.path().join("nothing"), &[], &[]);
    let error = ensure(dir.path(), &nothing).unwrap_err();
    assert!(matches!(error, Error::Program { .. }), "{error}");
}
