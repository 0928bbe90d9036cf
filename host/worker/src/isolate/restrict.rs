//! What a tenant's process gives up, before it is told anything of a guest's.
//!
//! The kernel may lack some of it. What is there and what is not is said, one line for each; who
//! wants all or nothing says `strict`.

use std::io;
use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, LandlockStatus, PathBeneath, PathFd,
    RestrictionStatus, Ruleset, RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _,
    RulesetError, Scope,
};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use rustix::process::Resource;
use samara_core::link::Protection;

use super::calls;
use super::plan::Bounds;
use crate::compile::child::lower;

/// The newest version of Landlock that this was written for and tried with.
const NEWEST: ABI = ABI::V9;

/// Open files: connections of some hundred tasks, and components in memory.
const FILES_MAX: u64 = 4096;

/// Bytes of a file, where none but compiled code is written: an entry of the cache, and its hash.
const FILE_BYTES_MAX: u64 = (1 << 30) + (1 << 20);

/// How readily the kernel ends this process rather than others when memory runs out, from -1000 to
/// 1000.
const OOM_SCORE: &str = "500";

/// What programs need to resolve names and to know certificates, and no more: what else lies there
/// may be secret.
const NETWORK: &[&str] = &[
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ca-certificates/extracted",
    "/etc/pki/ca-trust/extracted",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/tls/certs",
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs",
    "/usr/local/share/ca-certificates",
    "/usr/share/ca-certificates",
    "/run/systemd/resolve",
];

/// Libraries, which the C library loads when it first resolves a name.
const LIBRARIES: &[&str] = &["/etc/ld.so.cache", "/lib", "/lib64", "/usr/lib", "/usr/lib64"];

/// Without anything behind them.
const DEVICES: &[&str] = &["/dev/null", "/dev/random", "/dev/urandom", "/dev/zero"];

/// Gives up all that is not in `bounds`, for this thread and those that it will start: there must be
/// no others yet.
pub(super) fn restrict(bounds: &Bounds) -> Vec<Protection> {
    let mut all = vec![shortage(), limits(bounds)];
    all.push(said("privileges", "no program that it starts has more", privileges()));
    all.push(said("end", "it ends with the host, also where that is killed", end()));
    all.push(said("inspection", "its memory is dumped nowhere, and read by root alone", dumps()));
    all.extend(landlock(bounds));
    all.push(calls::filter(bounds.network));
    all
}

fn said(name: &str, what: &str, done: io::Result<()>) -> Protection {
    match done {
        Ok(()) => Protection::there(name, what),
        Err(error) => Protection::missing(name, error.to_string()),
    }
}

fn shortage() -> Protection {
    let told = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    said("shortage", "where memory runs out, the kernel ends this process before the host", told)
}

fn limits(bounds: &Bounds) -> Protection {
    let file = if bounds.writes_objects { u64::MAX } else { FILE_BYTES_MAX };
    let all = [
        (Resource::Core, 0),
        (Resource::Nofile, FILES_MAX),
        (Resource::Fsize, file),
        (Resource::Msgqueue, 0),
    ];
    let done = all.into_iter().try_for_each(|(resource, most)| lower(resource, most, most));
    said("limits", "no core dumps, 4096 open files, no long files but objects", done)
}

fn privileges() -> io::Result<()> {
    Ok(prctl::set_no_new_privs()?)
}

/// The thread that started this process waits for it, so that its end is the host's.
fn end() -> io::Result<()> {
    Ok(prctl::set_pdeathsig(Signal::SIGKILL)?)
}

fn dumps() -> io::Result<()> {
    Ok(prctl::set_dumpable(false)?)
}

/// One line for each thing that Landlock does, and where it does not.
fn landlock(bounds: &Bounds) -> Vec<Protection> {
    const NAMES: [&str; 4] = ["files", "programs", "listening", "others"];
    let none = |why: String| NAMES.map(|name| Protection::missing(name, why.clone())).into();
    let status = match try_landlock(bounds) {
        Ok(status) => status,
        Err(error) => return none(format!("Landlock refused its rules: {error}")),
    };
    let abi = match status.landlock {
        LandlockStatus::Available { effective_abi, .. } => effective_abi,
        LandlockStatus::NotEnabled => {
            return none("the kernel has Landlock, but it was not enabled at boot (lsm=)".into());
        }
        _ => return none("the kernel has no Landlock (Linux 5.13)".into()),
    };
    let since = |wanted: ABI, name: &str, what: &str, linux: &str| match abi >= wanted {
        true => Protection::there(name, format!("{what} (Landlock {abi})")),
        false => Protection::missing(name, format!("Landlock is version {abi} here: {linux}")),
    };
    let net = match bounds.network {
        true => "no TCP port is listened on",
        false => "no TCP port is listened on, and no TCP connection made",
    };
    let files = "nothing is read or written but its tenant's files";
    vec![
        // Before, files could be cut to nothing.
        since(ABI::V3, "files", files, "truncating files is refused from Linux 6.2 on"),
        since(ABI::V1, "programs", "none is started", ""),
        since(ABI::V4, "listening", net, "ports are refused from Linux 6.7 on"),
        since(
            ABI::V6,
            "others",
            "no signals to other processes, and no abstract sockets of theirs",
            "signals are refused from Linux 6.12 on",
        ),
    ]
}

fn try_landlock(bounds: &Bounds) -> Result<RestrictionStatus, RulesetError> {
    let mut ruleset = Ruleset::default().handle_access(AccessFs::from_all(NEWEST))?;
    ruleset = ruleset.handle_access(AccessNet::BindTcp)?;
    if !bounds.network {
        ruleset = ruleset.handle_access(AccessNet::ConnectTcp)?;
    }
    let mut created = ruleset.scope(Scope::from_all(NEWEST))?.create()?;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let fixed = LIBRARIES.iter().chain(bounds.network.then_some(NETWORK).into_iter().flatten());
    for path in fixed.map(Path::new).chain(bounds.read.iter().map(AsRef::as_ref)) {
        created = allow(created, path, read)?;
    }
    for path in DEVICES {
        created = allow(created, Path::new(path), AccessFs::ReadFile | AccessFs::WriteFile)?;
    }
    for path in &bounds.write {
        created = allow(created, path, read | writing())?;
    }
    created.restrict_self()
}

/// What stores and the cache do: files and directories, and nothing that is neither.
fn writing() -> BitFlags<AccessFs> {
    AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer
}

/// Allows something below a path; where nothing is there, nothing is allowed.
fn allow(
    created: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    let Ok(open) = PathFd::new(path) else { return Ok(created) };
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(NEWEST) };
    created.add_rule(PathBeneath::new(open, access))
}
