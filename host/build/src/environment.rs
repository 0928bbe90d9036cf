//! The environment, read once at the edge and passed on as a value.
//!
//! A cargo that runs us (a build script, `cargo run`, `cargo test`) speaks to its children by
//! environment variables. Some of them, meant for the outer build, would change the inner one, so
//! every command that starts here has them taken away.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Says `0` on machines where nothing may be fetched from rustup's servers.
const RUSTUP_AUTO_INSTALL: &str = "RUSTUP_AUTO_INSTALL";

/// The user's own compiler flags for guests; ours are put before them, so that theirs win.
pub(crate) const GUEST_RUSTFLAGS: &str = "CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS";

/// Variables that a guest's build must not inherit, each with its reason.
const DISTURBING: &[(&str, &str)] = &[
    ("RUSTFLAGS", "flags for the host, such as -Ctarget-cpu=native; hides the guest's own"),
    ("CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS as build scripts see them"),
    ("CARGO_BUILD_RUSTFLAGS", "the same by its configuration name"),
    ("RUSTC_WRAPPER", "set by cargo for build scripts: would rebuild on every change of caller"),
    ("RUSTC_WORKSPACE_WRAPPER", "`cargo clippy` sets it to a driver that lints what we build"),
    ("CARGO_BUILD_RUSTC_WRAPPER", "RUSTC_WRAPPER by its configuration name"),
    ("CARGO_BUILD_RUSTC_WORKSPACE_WRAPPER", "RUSTC_WORKSPACE_WRAPPER by its configuration name"),
    ("CARGO_BUILD_TARGET", "the host's target"),
    ("CARGO_BUILD_TARGET_DIR", "the outer target directory, locked by the outer cargo"),
    ("CARGO_BUILD_BUILD_DIR", "the same for intermediate files"),
    ("CARGO_TARGET_DIR", "the same; ours is given as an argument"),
    ("CARGO_INCREMENTAL", "a release build of the host has no say in the guest's"),
    ("CARGO_MANIFEST_DIR", "the outer package"),
    ("CARGO_MANIFEST_PATH", "the outer package"),
    ("CARGO_MANIFEST_LINKS", "the outer package"),
    ("CARGO_PRIMARY_PACKAGE", "the outer package"),
    ("CARGO_CRATE_NAME", "the outer package"),
    ("OUT_DIR", "the outer build script's"),
];

/// Prefixes of such variables: what the outer build is, not how this machine reaches registries.
const DISTURBING_PREFIXES: &[&str] =
    &["CARGO_PKG_", "CARGO_CFG_", "CARGO_FEATURE_", "CARGO_BIN_", "CARGO_PROFILE_", "DEP_"];

/// What this crate takes from the environment of the process.
///
/// Made by [`Environment::from_env`] at the edge of a program. Tests make one from values with
/// [`Environment::from_vars`].
#[derive(Debug, Clone)]
pub struct Environment {
    cargo: PathBuf,
    rustc: Option<PathBuf>,
    path: Option<OsString>,
    rustup_may_install: bool,
    target_dir: Option<PathBuf>,
    guest_rustflags: Option<String>,
    cargo_home: Option<PathBuf>,
    disturbing: Vec<OsString>,
}

impl Environment {
    /// Reads the environment of this process.
    #[must_use]
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place where this crate reads the environment"
    )]
    pub fn from_env() -> Self {
        Self::from_vars(env::vars_os())
    }

    /// Takes the environment as a list of names and values.
    #[must_use]
    pub fn from_vars(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut environment = Self {
            cargo: PathBuf::from("cargo"),
            rustc: None,
            path: None,
            rustup_may_install: true,
            target_dir: None,
            guest_rustflags: None,
            cargo_home: None,
            disturbing: Vec::new(),
        };
        let mut home = None;
        for (name, value) in vars {
            if is_disturbing(&name) {
                environment.disturbing.push(name.clone());
            }
            match name.to_str() {
                _ if value.is_empty() => {}
                Some("CARGO") => environment.cargo = PathBuf::from(value),
                Some("RUSTC") => environment.rustc = Some(PathBuf::from(value)),
                Some("PATH") => environment.path = Some(value),
                Some("HOME") => home = Some(PathBuf::from(value)),
                Some("CARGO_HOME") => environment.cargo_home = Some(PathBuf::from(value)),
                // Absolute, because the commands run in other directories than we do.
                Some("CARGO_TARGET_DIR") => environment.target_dir = absolute(&value),
                Some(RUSTUP_AUTO_INSTALL) => environment.rustup_may_install = value != "0",
                Some(GUEST_RUSTFLAGS) => environment.guest_rustflags = value.into_string().ok(),
                _ => {}
            }
        }
        environment.cargo_home =
            environment.cargo_home.or_else(|| home.map(|home| home.join(".cargo")));
        environment
    }

    /// The rustc to ask; cargo is told to use the same one.
    pub(crate) fn rustc(&self) -> &Path {
        self.rustc.as_deref().unwrap_or_else(|| Path::new("rustc"))
    }

    /// The cargo to run: the one that runs us, if one does.
    #[must_use]
    pub fn cargo(&self) -> &Path {
        &self.cargo
    }

    pub(crate) fn rustup_may_install(&self) -> bool {
        self.rustup_may_install
    }

    pub(crate) fn target_dir(&self) -> Option<&Path> {
        self.target_dir.as_deref()
    }

    pub(crate) fn guest_rustflags(&self) -> Option<&str> {
        self.guest_rustflags.as_deref()
    }

    /// Where cargo keeps the sources of dependencies.
    pub(crate) fn cargo_home(&self) -> Option<&Path> {
        self.cargo_home.as_deref()
    }

    /// A command without the variables that would disturb a guest's build.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        for name in &self.disturbing {
            command.env_remove(name);
        }
        if let Some(path) = &self.path {
            command.env("PATH", path);
        }
        if let Some(rustc) = &self.rustc {
            command.env("RUSTC", rustc);
        }
        command
    }
}

fn is_disturbing(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| {
        DISTURBING.iter().any(|(disturbing, _reason)| *disturbing == name)
            || DISTURBING_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    })
}

/// The path seen from here; `None` if the working directory is gone.
fn absolute(path: &OsStr) -> Option<PathBuf> {
    std::path::absolute(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(vars: &[(&str, &str)]) -> Environment {
        Environment::from_vars(vars.iter().map(|(name, value)| (name.into(), value.into())))
    }

    #[test]
    fn rustup_is_asked_unless_the_machine_forbids_it() {
        for (value, may) in [(None, true), (Some("0"), false), (Some("1"), true), (Some(""), true)]
        {
            let vars: Vec<_> = value.map(|v| ("RUSTUP_AUTO_INSTALL", v)).into_iter().collect();
            assert_eq!(environment(&vars).rustup_may_install(), may, "{value:?}");
        }
    }

    #[test]
    fn what_the_outer_build_is_does_not_reach_the_inner_one() {
        let cases = [
            ("RUSTFLAGS", true),
            ("CARGO_PKG_NAME", true),
            ("CARGO_PROFILE_RELEASE_DEBUG", true),
            ("RUSTC_WORKSPACE_WRAPPER", true),
            // How this machine reaches compilers and registries does.
            ("CARGO_HOME", false),
            ("CARGO_HTTP_CAINFO", false),
            ("CARGO_NET_OFFLINE", false),
            ("CARGO_REGISTRIES_OURS_TOKEN", false),
            ("RUSTUP_TOOLCHAIN", false),
            ("CARGO_MAKEFLAGS", false),
        ];
        for (name, disturbing) in cases {
            assert_eq!(is_disturbing(OsStr::new(name)), disturbing, "{name}");
        }
        let command = environment(&[("RUSTFLAGS", "-Dwarnings")]).command("cargo");
        assert!(command.get_envs().any(|env| env == (OsStr::new("RUSTFLAGS"), None)));
    }

    #[test]
    fn the_cargo_and_rustc_that_run_us_are_used() {
        let given = environment(&[("CARGO", "/t/bin/cargo"), ("RUSTC", "/t/bin/rustc")]);
        assert_eq!(given.cargo(), Path::new("/t/bin/cargo"));
        assert_eq!(given.rustc(), Path::new("/t/bin/rustc"));
        let bare = environment(&[("CARGO", ""), ("HOME", "/home/ada")]);
        assert_eq!(bare.cargo(), Path::new("cargo"));
        assert_eq!(bare.rustc(), Path::new("rustc"));
        assert_eq!(bare.cargo_home(), Some(Path::new("/home/ada/.cargo")));
    }
}
