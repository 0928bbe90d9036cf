//! `hdfs://host:port/absolute/path`: Hadoop's file system, by WebHDFS; the port is that of HTTP.
//!
//! It was not run against a server: there is none to be had. Objects go up whole, gathered in memory
//! up to [`OBJECT_BYTES_MAX`]. While one goes up, others may see it half way. The etag is size and
//! time of modification. There are no conditional writes and no attributes.

use std::sync::Arc;

use opendal_service_webhdfs::Webhdfs;

use crate::dal::{self, Identity, Layout, Pieces, Plan};
use crate::{Opening, Row, Setting, Store};

/// The row of `hdfs:`.
pub(crate) const ROW: Row = Row {
    scheme: "hdfs",
    open,
    settings: SETTINGS,
    remote: true,
    program: None,
    doc: "HDFS by WebHDFS, not tried against a server: hdfs://host:port/absolute/path",
};

const SCHEME: Setting = Setting {
    name: "scheme",
    variable: None,
    secret: false,
    doc: "`http` or `https`; the default is `http`",
};
const USER: Setting = Setting {
    name: "user",
    variable: Some("HADOOP_USER_NAME"),
    secret: false,
    doc: "as whom to ask, where nothing is proved",
};
const DELEGATION: Setting =
    Setting { name: "delegation", variable: None, secret: true, doc: "a delegation token" };

const SETTINGS: &[Setting] = &[SCHEME, USER, DELEGATION];

/// Bytes of an object in pieces.
const OBJECT_BYTES_MAX: usize = 256 << 20;

const PLAN: Plan = Plan {
    identity: Identity::SizeAndTime,
    layout: Layout::Tree,
    pieces: Pieces::Whole(OBJECT_BYTES_MAX),
    says: dal::NONE,
    attributes: None,
    staged: false,
    copies: false,
    at_once: None,
    fault,
};

fn open(opening: &Opening<'_>) -> Result<Arc<dyn Store>, String> {
    let (authority, options) = (opening.authority, opening.options);
    if authority.is_empty() {
        return Err("the host is missing: `hdfs://host:port/absolute/path`".to_owned());
    }
    let scheme = match options.get(SCHEME.name).unwrap_or("http") {
        scheme @ ("http" | "https") => scheme,
        other => return Err(format!("`scheme` is `{other}`, and should be `http` or `https`")),
    };
    let mut builder = Webhdfs::default().endpoint(&format!("{scheme}://{authority}"));
    if let Some(user) = options.value(&USER) {
        builder = builder.user_name(user);
    }
    if let Some(token) = options.get(DELEGATION.name) {
        builder = builder.delegation(token);
    }
    dal::open(opening, PLAN, builder)
}

fn fault(key: &str) -> Option<&'static str> {
    match key {
        _ if key.contains(':') => Some("HDFS takes no `:` in names"),
        _ if key.split('/').any(|segment| segment.len() > 255) => {
            Some("HDFS takes segments of up to 255 bytes")
        }
        _ => None,
    }
}
