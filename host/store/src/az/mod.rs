//! `az://container/key`: Azure Blob Storage, by block blobs.
//!
//! Credentials are an account's key, a shared access signature, a connection string or the secret of
//! an application of Microsoft Entra; without any, what the environment of Azure's tools, of a
//! workload or of the machine gives.
//!
//! - Names of attributes: Azure takes no `-`, which becomes `_` there. A name that begins with a
//!   digit gets `__` before it.
//! - Azure lists from the first key only. A listing is kept open between its pages; one that is
//!   taken up again later, or by another process, is read from the first key on.
//! - Blocks of a writer that is dropped are removed by Azure, after a week. No listing shows them.
//! - A container is seen to be empty before it is removed, as Azure would remove it with all that
//!   is in it: what is written in between is lost.
//! - Presigned URLs are signed with the account's key, for one object, one purpose and one time; or
//!   are those of the shared access signature where one is set, and may what that may, as long as
//!   it does. Who writes by one says `x-ms-blob-type: BlockBlob`.
//!
//! - Objects of up to 256 MiB are copied by Azure itself, where a URL of the source can be signed.
//!   Larger ones pass through here: Azure copies them in its own time, and shows the copy meanwhile;
//!   in blocks it would copy without holding fast to one version, and forget what is said of it.
//!
//! `bucket.rs` has what OpenDAL does not.

mod bucket;

use std::sync::Arc;

use opendal_service_azblob::Azblob;
use opendal_service_azure_common::{
    AzureStorageConfig, AzureStorageService, azure_account_name_from_endpoint,
    azure_config_from_connection_string,
};

use self::bucket::{Access, Container, Entra};
use crate::dal::{self, Identity, Layout, Pieces, Plan};
use crate::{Conditions, Opening, Options, Row, Setting, Store, probe};

/// The row of `az:`.
pub(crate) const ROW: Row = Row {
    scheme: "az",
    open,
    settings: SETTINGS,
    remote: true,
    program: None,
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
const TENANT_ID: Setting = Setting {
    name: "tenant_id",
    variable: Some("AZURE_TENANT_ID"),
    secret: false,
    doc: "the tenant of Microsoft Entra that an application is of",
};
const CLIENT_ID: Setting = Setting {
    name: "client_id",
    variable: Some("AZURE_CLIENT_ID"),
    secret: false,
    doc: "the application as which to speak to the account",
};
const CLIENT_SECRET: Setting = Setting {
    name: "client_secret",
    variable: Some("AZURE_CLIENT_SECRET"),
    secret: true,
    doc: "the application's secret, which is exchanged for tokens",
};
const AUTHORITY_HOST: Setting = Setting {
    name: "authority_host",
    variable: Some("AZURE_AUTHORITY_HOST"),
    secret: false,
    doc: "who gives tokens, if not https://login.microsoftonline.com",
};
const ANONYMOUS: Setting = Setting {
    name: "anonymous",
    variable: None,
    secret: false,
    doc: "no credentials at all, for public containers",
};

const SETTINGS: &[Setting] = &[
    ACCOUNT,
    KEY,
    SAS_TOKEN,
    CONNECTION_STRING,
    TENANT_ID,
    CLIENT_ID,
    CLIENT_SECRET,
    AUTHORITY_HOST,
    ENDPOINT,
    ANONYMOUS,
    probe::SETTING,
];

const PLAN: Plan = Plan {
    identity: Identity::Etag,
    layout: Layout::FromFirst,
    pieces: Pieces::Parts,
    says: Conditions::new(true, true),
    attributes: Some((theirs, ours)),
    staged: false,
    // OpenDAL takes the answer to a copy for its end, which it need not be.
    copies: false,
    at_once: None,
    fault,
};

fn open(opening: &Opening<'_>) -> Result<Arc<dyn Store>, String> {
    let (container, options) = (opening.authority, opening.options);
    if container.is_empty() {
        return Err("the name of the container is missing: `az://container/key`".to_owned());
    }
    let access = access(options)?;
    let mut builder = Azblob::default().container(container).endpoint(&access.endpoint);
    if let Some(account) = &access.account {
        builder = builder.account_name(account);
    }
    if let Some(key) = &access.key {
        // Beside the credentials: whether it is a key at all is seen here.
        builder = builder.account_key(key);
    }
    builder = match access.anonymous {
        true => builder.skip_signature(),
        false => builder.credential_provider_chain(access.credentials().chain()),
    };
    dal::open_beyond(opening, PLAN, builder, Container::new(opening, &access)?)
}

/// Who speaks to which account.
fn access(options: &Options) -> Result<Access, String> {
    let mut said = match options.value(&CONNECTION_STRING) {
        // Who says the account by itself does not mean the one of the environment.
        Some(said) if options.get(ACCOUNT.name).is_none() => {
            azure_config_from_connection_string(said, AzureStorageService::Blob)
                .map_err(|error| format!("`connection_string`: {}", error.message()))?
        }
        _ => AzureStorageConfig::default(),
    };
    let value = |setting| options.value(setting).map(str::to_owned);
    if let Some(account) = value(&ACCOUNT) {
        said.endpoint = Some(format!("https://{account}.blob.core.windows.net"));
        said.account_name = Some(account);
    }
    let endpoint = value(&ENDPOINT)
        .or(said.endpoint)
        .ok_or("the storage account is not known; set AZURE_STORAGE_ACCOUNT, or `account`")?;
    let token = value(&SAS_TOKEN).map(|token| token.trim_start_matches('?').to_owned());
    Ok(Access {
        endpoint: endpoint.trim_end_matches('/').to_owned(),
        account: said.account_name.or_else(|| azure_account_name_from_endpoint(&endpoint)),
        key: value(&KEY).or(said.account_key),
        sas_token: token.or(said.sas_token),
        entra: entra(options)?,
        anonymous: options.flag(ANONYMOUS.name)?.unwrap_or(false),
    })
}

/// The application of Microsoft Entra, where one is said. Of three parts all count or none: those of
/// the environment may be meant for other ways to log in.
fn entra(options: &Options) -> Result<Option<Entra>, String> {
    let value = |setting| options.value(setting).filter(|it| !it.is_empty()).map(str::to_owned);
    let parts = [TENANT_ID, CLIENT_ID, CLIENT_SECRET];
    match parts.each_ref().map(value) {
        [Some(tenant_id), Some(client_id), Some(client_secret)] => {
            let authority = value(&AUTHORITY_HOST);
            Ok(Some(Entra { tenant_id, client_id, client_secret, authority }))
        }
        // The identity of a machine has an id alone.
        _ if options.get(CLIENT_SECRET.name).is_none() => Ok(None),
        _ => Err("`client_secret` needs `tenant_id` and `client_id` too".to_owned()),
    }
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

    #[test]
    fn an_account_is_found_in_what_is_said() {
        let access = |said: &[(&str, &str)]| {
            let settings =
                said.iter().fold(crate::Settings::default(), |settings, (name, value)| {
                    settings.with("az:", *name, *value)
                });
            super::access(&settings.of("az", "c"))
        };
        let found = |said: &[(&str, &str)]| {
            let found = access(said).unwrap();
            (found.endpoint, found.account, found.key, found.sas_token)
        };
        let text = |text: &str| Some(text.to_owned());
        let azure = || "https://me.blob.core.windows.net".to_owned();
        for said in [
            &[("account", "me"), ("key", "a2V5")][..],
            &[("endpoint", "https://me.blob.core.windows.net/"), ("key", "a2V5")],
            &[(
                "connection_string",
                "AccountName=me;AccountKey=a2V5;EndpointSuffix=core.windows.net;DefaultEndpointsProtocol=https",
            )],
        ] {
            assert_eq!(found(said), (azure(), text("me"), text("a2V5"), None), "{said:?}");
        }
        let said = [("account", "me"), ("sas_token", "?sv=1&sig=2")];
        assert_eq!(found(&said), (azure(), text("me"), None, text("sv=1&sig=2")));
        assert!(
            access(&[("key", "a2V5")]).is_err_and(|error| error.contains("AZURE_STORAGE_ACCOUNT"))
        );
    }
}
