//! Where an account is, and the token for it.

use reqwest::{Client, RequestBuilder, Response, StatusCode};
use tokio::sync::Mutex;

use crate::{Error, Options, Result, Setting, http, probe};

const AUTH_URL: Setting = Setting {
    name: "auth_url",
    variable: Some("ST_AUTH"),
    secret: false,
    doc: "where tokens are given: http://host/auth/v1.0",
};
const USER: Setting = Setting {
    name: "user",
    variable: Some("ST_USER"),
    secret: false,
    doc: "as whom to log in: account:user",
};
const KEY: Setting =
    Setting { name: "key", variable: Some("ST_KEY"), secret: true, doc: "the user's key" };
const ENDPOINT: Setting = Setting {
    name: "endpoint",
    variable: Some("OS_STORAGE_URL"),
    secret: false,
    doc: "the account: http://host/v1/AUTH_account; `auth_url` gives it too",
};
const TOKEN: Setting = Setting {
    name: "token",
    variable: Some("OS_AUTH_TOKEN"),
    secret: true,
    doc: "a token for `endpoint`, which is not renewed",
};

pub(super) const SETTINGS: &[Setting] = &[AUTH_URL, USER, KEY, ENDPOINT, TOKEN, probe::SETTING];

/// One account.
pub(super) struct Account {
    client: Client,
    endpoint: Option<String>,
    /// Where to log in, as whom, and with what.
    login: Option<[String; 3]>,
    /// What was found out, or said.
    access: Mutex<Option<Access>>,
}

/// What requests need.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Access {
    storage: String,
    token: String,
}

// === impl Account ===

impl Account {
    pub(super) fn new(options: &Options) -> Result<Self, String> {
        let value = |setting| options.value(setting).map(str::to_owned);
        let endpoint = value(&ENDPOINT).map(|url| url.trim_end_matches('/').to_owned());
        let login = match (value(&AUTH_URL), value(&USER), value(&KEY)) {
            (Some(url), Some(user), Some(key)) => Some([url, user, key]),
            (None, ..) => None,
            _ => return Err("`auth_url`, `user` and `key` go together".to_owned()),
        };
        let access = match (&endpoint, value(&TOKEN)) {
            (Some(storage), Some(token)) => Some(Access { storage: storage.clone(), token }),
            _ if login.is_none() => {
                return Err("nothing says where the account is; set `auth_url`, `user` and `key` \
                            (ST_AUTH, ST_USER, ST_KEY), or `endpoint` and `token`"
                    .to_owned());
            }
            _ => None,
        };
        Ok(Self { client: http::client()?, endpoint, login, access: Mutex::new(access) })
    }

    /// Makes a request, and once again where the token has run out.
    pub(super) async fn ask(
        &self,
        location: &str,
        request: impl Fn(&Client, &str) -> RequestBuilder + Send + Sync,
    ) -> Result<Response> {
        let first = self.access(location, None).await?;
        let response = self.send(location, &first, &request).await?;
        if response.status() != StatusCode::UNAUTHORIZED || self.login.is_none() {
            return Ok(response);
        }
        let second = self.access(location, Some(&first)).await?;
        self.send(location, &second, &request).await
    }

    /// Makes a request that cannot be made twice.
    pub(super) async fn ask_once(
        &self,
        location: &str,
        request: impl FnOnce(&Client, &str) -> RequestBuilder + Send,
    ) -> Result<Response> {
        let access = self.access(location, None).await?;
        self.send(location, &access, request).await
    }

    async fn send(
        &self,
        location: &str,
        access: &Access,
        request: impl FnOnce(&Client, &str) -> RequestBuilder + Send,
    ) -> Result<Response> {
        let request = request(&self.client, &access.storage).header("X-Auth-Token", &access.token);
        request.send().await.map_err(|error| http::unanswered(location, error))
    }

    /// What requests need: another one than this, which has run out.
    async fn access(&self, location: &str, run_out: Option<&Access>) -> Result<Access> {
        let mut access = self.access.lock().await;
        if let Some(access) = &*access
            && Some(access) != run_out
        {
            return Ok(access.clone());
        }
        let fresh = self.log_in(location).await?;
        Ok(access.insert(fresh).clone())
    }

    async fn log_in(&self, location: &str) -> Result<Access> {
        let Some([url, user, key]) = &self.login else {
            return Err(Error::generic(location, "there is nothing to log in with"));
        };
        let request =
            self.client.get(url).header("X-Auth-User", user).header("X-Auth-Key", key).send();
        let response = request.await.map_err(|error| http::unanswered(location, error))?;
        let response = http::check(location, response).await.map_err(at_log_in)?;
        let said = |name| response.headers().get(name)?.to_str().ok().map(str::to_owned);
        let storage = self.endpoint.clone().or_else(|| said("x-storage-url"));
        match (storage, said("x-auth-token")) {
            (Some(storage), Some(token)) => {
                Ok(Access { storage: storage.trim_end_matches('/').to_owned(), token })
            }
            _ => Err(Error::generic(location, "the answer to the log-in has no token")),
        }
    }
}

/// An error of the log-in says so: it is not about the object.
fn at_log_in(error: Error) -> Error {
    match error {
        Error::PermissionDenied { location, operation, source } => {
            let source = format!("the log-in was refused: {source}").into();
            Error::PermissionDenied { location, operation, source }
        }
        Error::NotFound { location, .. } => {
            Error::generic(location, "there is no log-in at this place; is `auth_url` right?")
        }
        Error::Generic { location, operation, source } => {
            let source = format!("the log-in failed; is `auth_url` right? {source}").into();
            Error::Generic { location, operation, source }
        }
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use crate::{Locator, Settings};

    #[test]
    fn an_account_is_said_in_one_of_two_ways() {
        let open = |said: &[(&str, &str)]| {
            let settings = said.iter().fold(Settings::default(), |settings, (name, value)| {
                settings.with("swift:", *name, *value)
            });
            let opened = Locator::default().with_settings(settings).open("swift://c/k");
            opened.map_err(|error| error.to_string())
        };
        assert!(open(&[("endpoint", "http://h/v1/a"), ("token", "t")]).is_ok());
        assert!(open(&[("auth_url", "http://h"), ("user", "u"), ("key", "k")]).is_ok());
        assert!(open(&[("auth_url", "http://h")]).unwrap_err().contains("go together"));
        assert!(open(&[]).unwrap_err().contains("ST_AUTH"));
    }
}
