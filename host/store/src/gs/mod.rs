//! `gs://bucket/key`: Google Cloud Storage, by its JSON interface.
//!
//! Credentials are found as in Google's tools: `GOOGLE_APPLICATION_CREDENTIALS`, the files of
//! `gcloud auth application-default login`, and the metadata of the machine; or by settings.
//!
//! - The etag of an object is its generation, which answers of all kinds have.
//! - Objects in pieces go up in resumable uploads, one piece after the other. A writer that is
//!   dropped cancels its upload.
//! - Buckets are made and removed by other means (`gcloud storage buckets create`).
//! - Presigned URLs are for reading and writing, and need a service account's key.

use std::sync::Arc;

use opendal_service_gcs::Gcs;

use crate::dal::{self, Identity, Layout, Pieces, Plan};
use crate::{Conditions, Opening, Row, Setting, Store, probe};

/// The row of `gs:`.
pub(crate) const ROW: Row = Row {
    scheme: "gs",
    open,
    settings: SETTINGS,
    remote: true,
    doc: "Google Cloud Storage: gs://bucket/key",
};

const CREDENTIALS_FILE: Setting = Setting {
    name: "credentials_file",
    variable: Some("GOOGLE_APPLICATION_CREDENTIALS"),
    secret: false,
    doc: "a file of credentials, as Google's tools write it",
};
const CREDENTIALS: Setting = Setting {
    name: "credentials",
    variable: None,
    secret: true,
    doc: "the content of such a file in base64",
};
const TOKEN: Setting = Setting {
    name: "token",
    variable: None,
    secret: true,
    doc: "an OAuth access token, which is not renewed",
};
const ENDPOINT: Setting = Setting {
    name: "endpoint",
    variable: Some("STORAGE_EMULATOR_HOST"),
    secret: false,
    doc: "where the store is, if not Google's: http://127.0.0.1:9023; spoken to without credentials \
          unless some are set",
};
const ANONYMOUS: Setting = Setting {
    name: "anonymous",
    variable: None,
    secret: false,
    doc: "no credentials at all, for public buckets",
};

const SETTINGS: &[Setting] =
    &[CREDENTIALS_FILE, CREDENTIALS, TOKEN, ENDPOINT, ANONYMOUS, probe::SETTING];

const PLAN: Plan = Plan {
    identity: Identity::Version,
    layout: Layout::Sorted,
    pieces: Pieces::Resumable,
    says: Conditions { if_absent: true, if_match: true },
    attributes: Some(dal::AS_THEY_ARE),
    staged: false,
    copies: true,
    fault,
};

fn open(opening: &Opening<'_>) -> Result<Arc<dyn Store>, String> {
    let (bucket, options) = (opening.authority, opening.options);
    if bucket.is_empty() {
        return Err("the name of the bucket is missing: `gs://bucket/key`".to_owned());
    }
    let mut builder = Gcs::default().bucket(bucket);
    let mut has_credentials = false;
    if let Some(file) = options.value(&CREDENTIALS_FILE) {
        builder = builder.credential_path(file);
        has_credentials = true;
    }
    if let Some(content) = options.value(&CREDENTIALS) {
        builder = builder.credential(content);
        has_credentials = true;
    }
    if let Some(token) = options.value(&TOKEN) {
        builder = builder.token(token.to_owned());
        has_credentials = true;
    }
    let mut anonymous = options.flag(ANONYMOUS.name)?.unwrap_or(false);
    if let Some(endpoint) = options.value(&ENDPOINT) {
        builder = builder.endpoint(endpoint.trim_end_matches('/'));
        anonymous |= !has_credentials;
    }
    if anonymous {
        builder = builder.skip_signature();
    }
    dal::open(opening, PLAN, builder)
}

/// Google refuses these everywhere.
fn fault(key: &str) -> Option<&'static str> {
    match key {
        _ if key.len() > 1024 => Some("Google Cloud Storage takes keys of up to 1,024 bytes"),
        _ if key.contains(['\n', '\r']) => {
            Some("Google Cloud Storage takes no line feeds or carriage returns in keys")
        }
        _ if key.starts_with(".well-known/acme-challenge/") => {
            Some("Google Cloud Storage reserves this beginning")
        }
        _ => None,
    }
}
