//! `az://container/key`: Azure Blob Storage, by block blobs.
//!
//! Credentials are an account's key, a shared access signature or a connection string; without any,
//! what the environment of Azure's tools, of a workload or of the machine gives.
//!
//! - Names of attributes: Azure takes no `-`, which becomes `_` there. A name that begins with a
//!   digit gets `__` before it.
//! - Azure lists from the first key only. A listing is kept open between its pages; one that is
//!   taken up again later, or by another process, is read from the first key on.
//! - Blocks of a writer that is dropped are removed by Azure, after a week. No listing shows them.
//! - Containers are made and removed by other means (`az storage container create`).
//! - Presigned URLs are those of the shared access signature, where one is set; of themselves they
//!   end when it does.

use std::sync::Arc;

use opendal_service_azblob::Azblob;

use crate::dal::{self, Identity, Layout, Pieces, Plan};
use crate::{Conditions, Opening, Row, Setting, Store, probe};

/// The row of `az:`.
pub(crate) const ROW: Row = Row {
    scheme: "az",
    open,
    settings: SETTINGS,
    remote: true,
    doc: "Azure Blob Storage: az://container/key",
};

const ACCOUNT: Setting = Setting {
    name: "account",
    variable: Some("AZURE_STORAGE_ACCOUNT"),
    secret: false,
    doc: "the storage account",
};
const KEY: Setting = Setting {
    name: "key",
    variable: Some("AZURE_STORAGE_KEY"),
    secret: true,
    doc: "the account's key",
};
const SAS_TOKEN: Setting = Setting {
    name: "sas_token",
    variable: Some("AZURE_STORAGE_SAS_TOKEN"),
    secret: true,
    doc: "a shared access signature",
};
const CONNECTION_STRING: Setting = Setting {
    name: "connection_string",
    variable: Some("AZURE_STORAGE_CONNECTION_STRING"),
    secret: true,
    doc: "account, key and endpoint in one",
};
const ENDPOINT: Setting = Setting {
    name: "endpoint",
    variable: None,
    secret: false,
    doc: "where the account is, if not at https://ACCOUNT.blob.core.windows.net",
};
const ANONYMOUS: Setting = Setting {
    name: "anonymous",
    variable: None,
    secret: false,
    doc: "no credentials at all, for public containers",
};

const SETTINGS: &[Setting] =
    &[ACCOUNT, KEY, SAS_TOKEN, CONNECTION_STRING, ENDPOINT, ANONYMOUS, probe::SETTING];

const PLAN: Plan = Plan {
    identity: Identity::Etag,
    layout: Layout::FromFirst,
    pieces: Pieces::Parts,
    says: Conditions { if_absent: true, if_match: true },
    attributes: Some((theirs, ours)),
    staged: false,
    copies: false,
    fault,
};

fn open(opening: &Opening<'_>) -> Result<Arc<dyn Store>, String> {
    let (container, options) = (opening.authority, opening.options);
    if container.is_empty() {
        return Err("the name of the container is missing: `az://container/key`".to_owned());
    }
    let mut builder = match options.value(&CONNECTION_STRING) {
        // Who says the account by itself does not mean the one of the environment.
        Some(said) if options.get(ACCOUNT.name).is_none() => {
            Azblob::from_connection_string(said)
                .map_err(|error| format!("`connection_string`: {}", error.message()))?
        }
        _ => Azblob::default(),
    };
    if let Some(account) = options.value(&ACCOUNT) {
        builder = builder.account_name(account);
        builder = builder.endpoint(&format!("https://{account}.blob.core.windows.net"));
    } else if options.value(&CONNECTION_STRING).is_none() && options.get(ENDPOINT.name).is_none() {
        return Err(
            "the storage account is not known; set AZURE_STORAGE_ACCOUNT, or `account`".to_owned()
        );
    }
    if let Some(endpoint) = options.value(&ENDPOINT) {
        builder = builder.endpoint(endpoint.trim_end_matches('/'));
    }
    if let Some(key) = options.value(&KEY) {
        builder = builder.account_key(key);
    }
    if let Some(token) = options.value(&SAS_TOKEN) {
        builder = builder.sas_token(token.trim_start_matches('?'));
    }
    if options.flag(ANONYMOUS.name)?.unwrap_or(false) {
        builder = builder.skip_signature();
    }
    dal::open(opening, PLAN, builder.container(container))
}

fn theirs(name: &str) -> String {
    let digit = name.starts_with(|c: char| c.is_ascii_digit());
    format!("{}{}", if digit { "__" } else { "" }, name.replace('-', "_"))
}

fn ours(name: &str) -> String {
    let digit = |rest: &&str| rest.starts_with(|c: char| c.is_ascii_digit());
    name.strip_prefix("__").filter(digit).unwrap_or(name).replace('_', "-")
}

/// Azure refuses or changes these.
fn fault(key: &str) -> Option<&'static str> {
    match key {
        _ if key.chars().count() > 1024 => Some("Azure takes keys of up to 1,024 characters"),
        _ if key.split('/').any(|segment| segment.ends_with('.')) => {
            Some("Azure drops a `.` at the end of a segment")
        }
        _ if key.contains('\\') => Some("Azure takes `\\` for `/`"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_have_names_that_azure_takes() {
        for (name, there) in
            [("source", "source"), ("samara-put", "samara_put"), ("7-up", "__7_up"), ("x--", "x__")]
        {
            assert_eq!((&*theirs(name), &*ours(there)), (there, name));
        }
    }
}
