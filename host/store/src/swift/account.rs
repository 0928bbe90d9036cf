//! Where an account is, and the token for it.

use reqwest::{Client, RequestBuilder, Response, StatusCode};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::login::LogIn;
use crate::adapters::now;
use crate::{Error, Options, Result, Setting, http};

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
    doc: "a token for `endpoint`, which is not renewed without `auth_url`",
};

pub(super) const SETTINGS: &[Setting] = &[ENDPOINT, TOKEN];

/// One account.
pub(super) struct Account {
    client: Client,
    endpoint: Option<String>,
    login: Option<LogIn>,
    /// What was found out, or said.
    access: Mutex<Option<Access>>,
}

/// What requests need.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) storage: String,
    pub(super) token: String,
    /// When it should be another one, where that is known.
    pub(super) until: Option<Instant>,
}

// === impl Account ===

impl Account {
    pub(super) fn new(options: &Options) -> Result<Self, String> {
        let value = |setting| options.value(setting).map(str::to_owned);
        let endpoint = value(&ENDPOINT).map(|url| url.trim_end_matches('/').to_owned());
        let token = value(&TOKEN).filter(|_| endpoint.is_some());
        let login = match LogIn::of(options) {
            // Variables of somebody who logs in otherwise are no fault of who has a token.
            Err(_) if token.is_some() && options.get("auth_url").is_none() => None,
            login => login?,
        };
        let access = match (&endpoint, token) {
            (Some(storage), Some(token)) => {
                Some(Access { storage: storage.clone(), token, until: None })
            }
            _ if login.is_none() => {
                return Err("nothing says where the account is; set `auth_url`, `user` and `key` \
                            (ST_AUTH, ST_USER, ST_KEY), for Keystone `auth_url`, `user`, \
                            `password` and `project_name` (OS_AUTH_URL, OS_USERNAME, OS_PASSWORD, \
                            OS_PROJECT_NAME), or `endpoint` and `token`"
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

    /// Where it is.
    pub(super) async fn storage(&self, location: &str) -> Result<String> {
        match &self.endpoint {
            Some(endpoint) => Ok(endpoint.clone()),
            None => Ok(self.access(location, None).await?.storage),
        }
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
        let holds = |access: &Access| access.until.is_none_or(|until| now() < until);
        if let Some(access) = &*access
            && Some(access) != run_out
            && holds(access)
        {
            return Ok(access.clone());
        }
        let Some(login) = &self.login else {
            return Err(Error::generic(location, "there is nothing to log in with"));
        };
        let fresh = login.ask(&self.client, location, self.endpoint.as_deref()).await?;
        Ok(access.insert(fresh).clone())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::canned::{Canned, answer};
    use crate::{Locator, Settings};

    fn settings(said: &[(&str, &str)]) -> Settings {
        said.iter().fold(Settings::default(), |settings, (name, value)| {
            settings.with("swift:", *name, *value)
        })
    }

    #[test]
    fn an_account_is_said_in_one_of_several_ways() {
        let open = |said: &[(&str, &str)]| {
            let opened = Locator::default().with_settings(settings(said)).open("swift://c/k");
            opened.map_err(|error| error.to_string())
        };
        assert!(open(&[("endpoint", "http://h/v1/a"), ("token", "t")]).is_ok());
        assert!(open(&[("auth_url", "http://h"), ("user", "u"), ("key", "k")]).is_ok());
        assert!(open(&[("auth_url", "http://h/v3"), ("user", "u"), ("password", "k")]).is_ok());
        assert!(open(&[("auth_url", "http://h")]).unwrap_err().contains("go together"));
        let nothing = open(&[]).unwrap_err();
        assert!(nothing.contains("ST_AUTH") && nothing.contains("OS_AUTH_URL"), "{nothing}");
    }

    /// By the time that its server says, whose clock is an hour behind.
    #[tokio::test]
    async fn a_token_is_renewed_before_it_ends() {
        let server = Canned::start(|head, _| {
            let token = r#"{"token": {"issued_at": "2026-01-01T00:00:00.000000Z",
                "expires_at": "2026-01-01T00:10:00.000000Z", "catalog": [{"type": "object-store",
                "endpoints": [{"interface": "public", "region": "r", "url": "http://h/v1/a/"}]}]}}"#;
            assert!(head.starts_with("POST /v3/auth/tokens "), "{head}");
            answer(201, "X-Subject-Token: t\r\n", token)
        });
        let url = format!("{}/v3", server.endpoint);
        let said = [("auth_url", &*url), ("user", "u"), ("password", "p")];
        let account = Account::new(&settings(&said).of("swift", "c")).unwrap();
        for _ in 0..3 {
            assert_eq!(account.storage("swift://c/").await.unwrap(), "http://h/v1/a");
        }
        assert_eq!(server.seen().len(), 1);
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(600 - 61)).await;
        account.storage("swift://c/").await.unwrap();
        assert_eq!(server.seen().len(), 1);
        tokio::time::advance(Duration::from_secs(2)).await;
        tokio::time::resume();
        account.storage("swift://c/").await.unwrap();
        assert_eq!(server.seen().len(), 2);
    }
}
