//! `gs://bucket/key`: Google Cloud Storage, by its JSON interface.
//!
//! Credentials are found as in Google's tools: `GOOGLE_APPLICATION_CREDENTIALS`, the files of
//! `gcloud auth application-default login`, and the metadata of the machine; or by settings.
//!
//! - The etag of an object is its generation, which answers of all kinds have.
//! - Objects in pieces go up in resumable uploads, one piece after the other. A writer that is
//!   dropped cancels its upload.
//! - Buckets are made in a project, which is a setting, and where another setting says.
//! - A service account's key is exchanged for a token once an hour, at Google's endpoint or, where a
//!   setting says so, at another that passes it on.
//! - Presigned URLs need a service account's key; the machine's account signs by a request of its
//!   own.
//!
//! `bucket.rs` has what OpenDAL does not, `credentials.rs` finds credentials for both.

mod bucket;
mod credentials;

use std::sync::Arc;

use opendal_service_gcs::Gcs;

use self::bucket::Bucket;
use self::credentials::Tokens;
use crate::dal::{self, Identity, Layout, Pieces, Plan};
use crate::{Conditions, Opening, Row, Setting, Store, probe};

/// The row of `gs:`.
pub(crate) const ROW: Row = Row {
    scheme: "gs",
    open,
    settings: SETTINGS,
    remote: true,
    program: None,
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
const PROJECT: Setting = Setting {
    name: "project",
    variable: Some("GOOGLE_CLOUD_PROJECT"),
    secret: false,
    doc: "the project in which buckets are made",
};
const LOCATION: Setting = Setting {
    name: "location",
    variable: None,
    secret: false,
    doc: "where buckets are made, if not in the US: EU, europe-west3, …",
};
const ANONYMOUS: Setting = Setting {
    name: "anonymous",
    variable: None,
    secret: false,
    doc: "no credentials at all, for public buckets",
};

const SETTINGS: &[Setting] = &[
    CREDENTIALS_FILE,
    CREDENTIALS,
    TOKEN,
    dal::TOKEN_ENDPOINT,
    ENDPOINT,
    PROJECT,
    LOCATION,
    ANONYMOUS,
    probe::SETTING,
];

const PLAN: Plan = Plan {
    identity: Identity::Version,
    layout: Layout::Sorted,
    pieces: Pieces::Resumable,
    says: Conditions::new(true, true),
    attributes: Some(dal::AS_THEY_ARE),
    staged: false,
    copies: true,
    at_once: None,
    fault,
};

fn open(opening: &Opening<'_>) -> Result<Arc<dyn Store>, String> {
    let (bucket, options) = (opening.authority, opening.options);
    if bucket.is_empty() {
        return Err("the name of the bucket is missing: `gs://bucket/key`".to_owned());
    }
    let mut builder = Gcs::default().bucket(bucket);
    let says = [&CREDENTIALS_FILE, &CREDENTIALS, &TOKEN];
    let has_credentials = says.iter().any(|setting| options.value(setting).is_some());
    let mut anonymous = options.flag(ANONYMOUS.name)?.unwrap_or(false);
    if let Some(endpoint) = options.value(&ENDPOINT) {
        builder = builder.endpoint(endpoint.trim_end_matches('/'));
        anonymous |= !has_credentials;
    }
    builder = match anonymous {
        true => builder.skip_signature(),
        // All that is to be looked for is in our chain.
        false => builder
            .credential_provider_chain(Tokens::of(options)?)
            .disable_config_load()
            .disable_vm_metadata(),
    };
    dal::open_beyond(opening, PLAN, builder, Bucket::new(opening, anonymous)?)
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
