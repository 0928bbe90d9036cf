//! `oss://bucket/key`: Alibaba Cloud's Object Storage Service.
//!
//! It was not run against a server: there is none to be had. It goes the way of `gs:` and `az:`.
//! Put-if-absent is tried out at first use; there is no put-if-match. Buckets are made by other
//! means.

use std::sync::Arc;

use opendal_service_oss::Oss;

use crate::dal::{self, Identity, Layout, Pieces, Plan};
use crate::{Conditions, Opening, Row, Setting, Store, probe};

/// The row of `oss:`.
pub(crate) const ROW: Row = Row {
    scheme: "oss",
    open,
    settings: SETTINGS,
    remote: true,
    program: None,
    doc: "Alibaba Cloud OSS, not tried against a server: oss://bucket/key",
};

const ENDPOINT: Setting = Setting {
    name: "endpoint",
    variable: Some("ALIBABA_CLOUD_OSS_ENDPOINT"),
    secret: false,
    doc: "where the bucket is: https://oss-eu-central-1.aliyuncs.com",
};
const ACCESS_KEY_ID: Setting = Setting {
    name: "access_key_id",
    variable: Some("ALIBABA_CLOUD_ACCESS_KEY_ID"),
    secret: false,
    doc: "as whom to sign",
};
const ACCESS_KEY_SECRET: Setting = Setting {
    name: "access_key_secret",
    variable: Some("ALIBABA_CLOUD_ACCESS_KEY_SECRET"),
    secret: true,
    doc: "what to sign with",
};
const SECURITY_TOKEN: Setting = Setting {
    name: "security_token",
    variable: Some("ALIBABA_CLOUD_SECURITY_TOKEN"),
    secret: true,
    doc: "the token of temporary credentials",
};

const SETTINGS: &[Setting] =
    &[ENDPOINT, ACCESS_KEY_ID, ACCESS_KEY_SECRET, SECURITY_TOKEN, probe::SETTING];

const PLAN: Plan = Plan {
    identity: Identity::Etag,
    layout: Layout::Sorted,
    pieces: Pieces::Parts,
    says: Conditions::new(true, false),
    attributes: Some(dal::AS_THEY_ARE),
    staged: false,
    copies: true,
    at_once: None,
    fault,
};

fn open(opening: &Opening<'_>) -> Result<Arc<dyn Store>, String> {
    let (bucket, options) = (opening.authority, opening.options);
    if bucket.is_empty() {
        return Err("the name of the bucket is missing: `oss://bucket/key`".to_owned());
    }
    let Some(endpoint) = options.value(&ENDPOINT) else {
        return Err("nothing says where the bucket is; set `endpoint`".to_owned());
    };
    let mut builder = Oss::default().bucket(bucket).endpoint(endpoint);
    if let Some(id) = options.value(&ACCESS_KEY_ID) {
        builder = builder.access_key_id(id);
    }
    if let Some(secret) = options.value(&ACCESS_KEY_SECRET) {
        builder = builder.access_key_secret(secret);
    }
    if let Some(token) = options.value(&SECURITY_TOKEN) {
        builder = builder.security_token(token);
    }
    dal::open(opening, PLAN, builder)
}

fn fault(key: &str) -> Option<&'static str> {
    match key {
        _ if key.len() > 1023 => Some("OSS takes keys of up to 1,023 bytes"),
        _ if key.starts_with('\\') => Some("OSS takes no `\\` at the beginning"),
        _ => None,
    }
}
