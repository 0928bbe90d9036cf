//! `sftp://host:port/absolute/path`: files of a machine that is reached by SSH, through its `ssh`
//! program and with the user's configuration of it.
//!
//! - Objects of any size go up in one stream, under another name beside their own
//!   (`.samara-half-…`), and are renamed when they are whole. A writer that is given up removes it;
//!   a process that dies leaves such a file, which no listing shows and no key names.
//! - The etag is size and time of modification, whose resolution is a second. Of our own writes
//!   none gets the etag of the version before; a change by others within a second that keeps the
//!   size is not seen, nor one while a body is read.
//! - There are no conditional writes, no attributes and no presigned URLs.
//! - Directories are made as needed and stay when they are empty; listings by directories show them
//!   then. File names that are not UTF-8 cannot be listed.

use std::sync::Arc;

use opendal_service_sftp::Sftp;

use crate::dal::{self, Identity, Layout, Pieces, Plan};
use crate::{Opening, Row, Setting, Store};

/// The row of `sftp:`.
pub(crate) const ROW: Row = Row {
    scheme: "sftp",
    open,
    settings: SETTINGS,
    remote: true,
    program: Some("ssh"),
    doc: "files of a machine reached by SSH: sftp://host:port/absolute/path",
};

const USER: Setting =
    Setting { name: "user", variable: None, secret: false, doc: "as whom to log in" };
const KEY_FILE: Setting = Setting {
    name: "key_file",
    variable: None,
    secret: false,
    doc: "the private key to log in with, if not what `ssh` finds",
};
const KNOWN_HOSTS: Setting = Setting {
    name: "known_hosts_strategy",
    variable: None,
    secret: false,
    doc: "hosts whose key is not known: `strict` refuses them, `add` notes the key, `accept` takes \
          any; the default is `strict`",
};

const SETTINGS: &[Setting] = &[USER, KEY_FILE, KNOWN_HOSTS];

/// Requests on their way at once, each of which may have to log in first: a server that was not told
/// otherwise drops connections where more than ten are about to (`MaxStartups` of `sshd_config(5)`),
/// and each is a program of its own here.
const LOG_INS_MAX: usize = 8;

const PLAN: Plan = Plan {
    identity: Identity::SizeAndTime,
    layout: Layout::Tree,
    pieces: Pieces::Stream,
    says: dal::NONE,
    attributes: None,
    staged: true,
    copies: false,
    at_once: Some(LOG_INS_MAX),
    fault,
};

fn open(opening: &Opening<'_>) -> Result<Arc<dyn Store>, String> {
    let (authority, options) = (opening.authority, opening.options);
    if authority.is_empty() {
        return Err("the host is missing: `sftp://host:port/absolute/path`".to_owned());
    }
    // `ssh` takes what begins so for an option.
    if authority.starts_with('-') || authority.contains('@') {
        return Err("it names no host; the user is a setting".to_owned());
    }
    let mut builder = Sftp::default().endpoint(&format!("ssh://{authority}")).root("/");
    if let Some(user) = options.get(USER.name) {
        builder = builder.user(user);
    }
    if let Some(file) = options.get(KEY_FILE.name) {
        builder = builder.key(file);
    }
    if let Some(strategy) = options.get(KNOWN_HOSTS.name) {
        builder = builder.known_hosts_strategy(strategy);
    }
    dal::open(opening, PLAN, builder)
}

fn fault(key: &str) -> Option<&'static str> {
    let is_long = |segment: &str| segment.len() > 255;
    key.split('/').any(is_long).then_some("file systems take segments of up to 255 bytes")
}
