//! `ipfs://CID/path`: what lies in the InterPlanetary File System below a content identifier, to
//! read, by a gateway.
//!
//! It was not run against a server: there is none to be had. What a CID names never changes, and
//! writes are refused.

use std::sync::Arc;

use opendal_service_ipfs::Ipfs;

use crate::dal::{self, Identity, Layout, Pieces, Plan};
use crate::{Opening, Row, Setting, Store};

/// The row of `ipfs:`.
pub(crate) const ROW: Row = Row {
    scheme: "ipfs",
    open,
    settings: &[ENDPOINT],
    remote: true,
    program: None,
    doc: "IPFS by a gateway, to read, not tried against a server: ipfs://CID/path",
};

const ENDPOINT: Setting = Setting {
    name: "endpoint",
    variable: Some("IPFS_GATEWAY"),
    secret: false,
    doc: "the gateway: http://127.0.0.1:8080",
};

const PLAN: Plan = Plan {
    identity: Identity::Etag,
    layout: Layout::Tree,
    pieces: Pieces::Whole(0),
    says: dal::NONE,
    attributes: None,
    staged: false,
    copies: false,
    at_once: None,
    fault: dal::no_fault,
};

fn open(opening: &Opening<'_>) -> Result<Arc<dyn Store>, String> {
    let cid = opening.authority;
    if cid.is_empty() {
        return Err("the content identifier is missing: `ipfs://CID/path`".to_owned());
    }
    let Some(endpoint) = opening.options.value(&ENDPOINT) else {
        return Err("nothing says which gateway to ask; set `endpoint`".to_owned());
    };
    let builder = Ipfs::default().endpoint(endpoint.trim_end_matches('/'));
    dal::open(opening, PLAN, builder.root(&format!("/ipfs/{cid}/")))
}
