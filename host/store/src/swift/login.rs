//! Logging in: version 1 of the protocol (TempAuth, and what else speaks it), and Keystone's
//! version 3.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::account::Access;
use super::list;
use crate::adapters::now;
use crate::{Error, Options, Result, Setting, http};

/// One setting of several variables has a line for each.
macro_rules! settings {
    ($($id:ident: $name:literal, $variable:expr, $secret:literal, $doc:literal;)*) => {
        $(const $id: Setting =
            Setting { name: $name, variable: $variable, secret: $secret, doc: $doc };)*

        /// What says how to log in.
        pub(super) const SETTINGS: &[Setting] = &[$($id),*];
    };
}

settings! {
    AUTH_URL: "auth_url", Some("ST_AUTH"), false,
        "where tokens are given: http://host/auth/v1.0, or Keystone's http://host/v3";
    OS_AUTH_URL: "auth_url", Some("OS_AUTH_URL"), false, "the same, for Keystone";
    USER: "user", Some("ST_USER"), false,
        "as whom to log in: account:user, or the name of a user of Keystone's";
    OS_USERNAME: "user", Some("OS_USERNAME"), false, "the same, for Keystone";
    KEY: "key", Some("ST_KEY"), true, "the user's key, where it is not Keystone";
    PASSWORD: "password", Some("OS_PASSWORD"), true, "the password of a user of Keystone's";
    USER_ID: "user_id", Some("OS_USER_ID"), false, "the user's id, in place of the name";
    USER_DOMAIN_ID: "user_domain_id", Some("OS_USER_DOMAIN_ID"), false,
        "the domain of the user's name; `default` without";
    USER_DOMAIN_NAME: "user_domain_name", Some("OS_USER_DOMAIN_NAME"), false,
        "the same by its name";
    PROJECT_ID: "project_id", Some("OS_PROJECT_ID"), false, "the project whose account it is";
    PROJECT_NAME: "project_name", Some("OS_PROJECT_NAME"), false, "the same by its name";
    PROJECT_DOMAIN_ID: "project_domain_id", Some("OS_PROJECT_DOMAIN_ID"), false,
        "the domain of the project's name; `default` without";
    PROJECT_DOMAIN_NAME: "project_domain_name", Some("OS_PROJECT_DOMAIN_NAME"), false,
        "the same by its name";
    CREDENTIAL_ID: "application_credential_id", Some("OS_APPLICATION_CREDENTIAL_ID"), false,
        "an application credential, in place of user, password and project";
    CREDENTIAL_SECRET: "application_credential_secret",
        Some("OS_APPLICATION_CREDENTIAL_SECRET"), true, "its secret";
    REGION: "region", Some("OS_REGION_NAME"), false,
        "the region, where Keystone's catalog has several";
    INTERFACE: "interface", Some("OS_INTERFACE"), false,
        "`public`, `internal` or `admin`: which address of the catalog; `public` without";
}

/// What the service is of which the catalog says the address.
const SERVICE: &str = "object-store";

/// So much before its end a token is renewed, but a tenth of its time at most.
const BEFORE_END_MAX: Duration = Duration::from_mins(1);

/// How to come by a token.
pub(super) enum LogIn {
    First { url: String, user: String, key: String },
    Keystone(Box<Keystone>),
}

/// How to come by a token of Keystone's.
pub(super) struct Keystone {
    /// With `/v3` at its end.
    url: String,
    /// What is asked, secrets and all.
    asked: Value,
    region: Option<String>,
    interface: String,
}

// === impl LogIn ===

impl LogIn {
    /// None where nothing says where.
    pub(super) fn of(options: &Options) -> Result<Option<Self>, String> {
        let value = |setting: &Setting| said(options, setting);
        let is_keystones = |setting: &Setting| options.get(setting.name).is_some();
        let first = match (value(&AUTH_URL), value(&USER), value(&KEY)) {
            (Some(url), Some(user), Some(key)) if !is_third(&url) => {
                Some(Self::First { url, user, key })
            }
            _ => None,
        };
        // Somebody's variables for version 1 do not count where settings are Keystone's.
        let first = first.filter(|_| ![PASSWORD, CREDENTIAL_ID].iter().any(is_keystones));
        if first.is_some() {
            return Ok(first);
        }
        let Some(url) = value(&OS_AUTH_URL).or_else(|| value(&AUTH_URL)) else { return Ok(None) };
        let keystone = Keystone::of(options, &url)?;
        Ok(Some(Self::Keystone(Box::new(keystone))))
    }

    /// Logs in. Where the account is is said already, or by the answer.
    pub(super) async fn ask(
        &self,
        client: &Client,
        location: &str,
        endpoint: Option<&str>,
    ) -> Result<Access> {
        let (token, storage, holds) = match self {
            Self::First { url, user, key } => {
                let request = client.get(url).header("X-Auth-User", user).header("X-Auth-Key", key);
                let sent = request.send().await;
                let answer = answered(location, sent).await?;
                let seconds = header(&answer, "x-auth-token-expires");
                let seconds = seconds.and_then(|seconds| seconds.parse().ok());
                let storage =
                    endpoint.map(str::to_owned).or_else(|| header(&answer, "x-storage-url"));
                let token = header(&answer, "x-auth-token");
                (token, storage, seconds.map(Duration::from_secs))
            }
            Self::Keystone(keystone) => keystone.ask(client, location, endpoint).await?,
        };
        let (Some(token), Some(storage)) = (token, storage) else {
            return Err(Error::generic(location, "the answer to the log-in has no token"));
        };
        let storage = storage.trim_end_matches('/').to_owned();
        Ok(Access { storage, token, until: holds.and_then(until) })
    }
}

/// What is set, or stands in the variable.
fn said(options: &Options, setting: &Setting) -> Option<String> {
    options.value(setting).filter(|said| !said.is_empty()).map(str::to_owned)
}

/// Whether it is Keystone's version 3.
fn is_third(url: &str) -> bool {
    url.trim_end_matches('/').ends_with("/v3")
}

/// When a token that holds so long should be another one. Both times are the server's, whose clock
/// may differ from ours.
fn until(holds: Duration) -> Option<Instant> {
    now().checked_add(holds.saturating_sub(BEFORE_END_MAX.min(holds / 10)))
}

fn header(answer: &Response, name: &str) -> Option<String> {
    answer.headers().get(name)?.to_str().ok().map(str::to_owned)
}

async fn answered(location: &str, sent: reqwest::Result<Response>) -> Result<Response> {
    let response = sent.map_err(|error| http::unanswered(location, error))?;
    http::check(location, response).await.map_err(at_log_in)
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

// === impl Keystone ===

impl Keystone {
    fn of(options: &Options, url: &str) -> Result<Self, String> {
        let value = |setting: &Setting| said(options, setting);
        let url = url.trim_end_matches('/');
        if url.ends_with("/v2.0") {
            return Err("`auth_url` is of version 2 of Keystone, which is no more; it ends with \
                        `/v3` now"
                .to_owned());
        }
        let password = value(&PASSWORD);
        let credential = value(&CREDENTIAL_ID).filter(|_| options.get(PASSWORD.name).is_none());
        if password.is_none() && credential.is_none() {
            let text = match is_third(url) {
                true => {
                    "Keystone wants `user` or `user_id` (OS_USERNAME, OS_USER_ID) and `password` \
                     (OS_PASSWORD), or an `application_credential_id` and its secret"
                }
                false => {
                    "`auth_url`, `user` and `key` go together; for Keystone `auth_url` ends with \
                     `/v3`, and `password` takes the place of `key`"
                }
            };
            return Err(text.to_owned());
        }
        let (identity, scope) = match credential {
            Some(id) => {
                let secret = value(&CREDENTIAL_SECRET).ok_or(
                    "`application_credential_id` needs `application_credential_secret` too",
                )?;
                let credential = json!({ "id": id, "secret": secret });
                let methods = ["application_credential"];
                (json!({ "methods": methods, "application_credential": credential }), None)
            }
            None => {
                let domain = [&USER_DOMAIN_ID, &USER_DOMAIN_NAME];
                let mut user = named(options, [&USER_ID, &OS_USERNAME], domain)
                    .ok_or("`password` needs `user` or `user_id` too (OS_USERNAME, OS_USER_ID)")?;
                user["password"] = password.into();
                let domain = [&PROJECT_DOMAIN_ID, &PROJECT_DOMAIN_NAME];
                let project = named(options, [&PROJECT_ID, &PROJECT_NAME], domain);
                (json!({ "methods": ["password"], "password": { "user": user } }), project)
            }
        };
        let mut asked = json!({ "auth": { "identity": identity } });
        if let Some(project) = scope {
            asked["auth"]["scope"] = json!({ "project": project });
        }
        let interface = value(&INTERFACE).unwrap_or_else(|| "public".to_owned());
        // Older programs say `publicURL`.
        let interface = interface.trim_end_matches("URL").to_owned();
        if !["public", "internal", "admin"].contains(&interface.as_str()) {
            return Err(format!(
                "`interface` is `{interface}`, and should be one of public, internal, admin"
            ));
        }
        let url = if is_third(url) { url.to_owned() } else { format!("{url}/v3") };
        Ok(Self { url, asked, region: value(&REGION), interface })
    }

    async fn ask(
        &self,
        client: &Client,
        location: &str,
        endpoint: Option<&str>,
    ) -> Result<(Option<String>, Option<String>, Option<Duration>)> {
        let request = client
            .post(format!("{}/auth/tokens", self.url))
            .header(CONTENT_TYPE, "application/json")
            .body(self.asked.to_string());
        let sent = request.send().await;
        let answer = answered(location, sent).await?;
        let token = header(&answer, "x-subject-token");
        let bytes = answer.bytes().await.map_err(|error| http::unanswered(location, error))?;
        let said: Value = serde_json::from_slice(&bytes)
            .map_err(|_| Error::generic(location, "the answer to the log-in is not Keystone's"))?;
        let said = &said["token"];
        let storage = match endpoint {
            Some(endpoint) => endpoint.to_owned(),
            None => self.found(said).map_err(|reason| Error::generic(location, reason))?,
        };
        let time = |name: &str| said[name].as_str().and_then(list::millis);
        let holds = time("expires_at").zip(time("issued_at"));
        let holds = holds.map(|(end, begin)| Duration::from_millis(end.saturating_sub(begin)));
        Ok((token, Some(storage), holds))
    }

    /// Where the account is, by the token's catalog.
    fn found(&self, token: &Value) -> Result<String, String> {
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let services = list(&token["catalog"]);
        if services.is_empty() {
            return Err("the token is of no project, so that nothing says where the account is; \
                        set `project_id` or `project_name` (OS_PROJECT_ID, OS_PROJECT_NAME)"
                .to_owned());
        }
        let ours = services.iter().filter(|service| service["type"] == SERVICE);
        let endpoints = ours.flat_map(|service| list(&service["endpoints"]));
        let endpoints: Vec<(String, String)> = endpoints
            .filter(|endpoint| endpoint["interface"].as_str() == Some(&self.interface))
            .filter_map(|endpoint| {
                let region = endpoint["region_id"].as_str().or_else(|| endpoint["region"].as_str());
                let url = endpoint["url"].as_str()?.to_owned();
                Some((region.unwrap_or_default().to_owned(), url))
            })
            .collect();
        if endpoints.is_empty() {
            let interface = &self.interface;
            return Err(format!(
                "Keystone's catalog has no `{SERVICE}` with the interface `{interface}`; set \
                 `endpoint`, or another `interface`"
            ));
        }
        let mut regions: Vec<&str> = endpoints.iter().map(|(region, _)| region.as_str()).collect();
        regions.sort_unstable();
        regions.dedup();
        let regions = regions.join(", ");
        let is_in = |region: &str| self.region.as_deref().is_none_or(|asked| asked == region);
        let mut urls: Vec<&String> =
            endpoints.iter().filter(|(region, _)| is_in(region)).map(|(_, url)| url).collect();
        urls.sort_unstable();
        urls.dedup();
        match (urls.as_slice(), &self.region) {
            ([url], _) => Ok((*url).clone()),
            ([], _) => Err(format!("there is no `{SERVICE}` in this region, but in: {regions}")),
            (_, None) => Err(format!(
                "there is an `{SERVICE}` in several regions: {regions}; set `region` \
                 (OS_REGION_NAME)"
            )),
            (_, Some(region)) => Err(format!(
                "there are several addresses of `{SERVICE}` in the region `{region}`; set `endpoint`"
            )),
        }
    }
}

/// A user or a project by id, or by its name in a domain. What is set counts before variables.
fn named(options: &Options, ways: [&Setting; 2], domain: [&Setting; 2]) -> Option<Value> {
    let (is_id, value) = either(options, ways)?;
    if is_id {
        return Some(json!({ "id": value }));
    }
    let domain = match either(options, domain) {
        Some((true, id)) => json!({ "id": id }),
        Some((false, name)) => json!({ "name": name }),
        // What every Keystone begins with.
        None => json!({ "id": "default" }),
    };
    Some(json!({ "name": value, "domain": domain }))
}

/// What is said by id or by name, and whether it is the id.
fn either(options: &Options, [id, name]: [&Setting; 2]) -> Option<(bool, String)> {
    let value = |setting| said(options, setting);
    match (options.get(id.name), options.get(name.name)) {
        (None, Some(name)) => Some((false, name.to_owned())),
        _ => value(id).map(|id| (true, id)).or_else(|| Some((false, value(name)?))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    fn keystone(set: &[(&str, &str)], variables: &[(&str, &str)]) -> Result<Box<Keystone>, String> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let settings = Settings::default().with_variables(variables.iter().map(own));
        let settings = set
            .iter()
            .fold(settings, |settings, (name, value)| settings.with("swift:", *name, *value));
        match LogIn::of(&settings.of("swift", "c"))? {
            Some(LogIn::Keystone(keystone)) => Ok(keystone),
            Some(LogIn::First { .. }) => Err("version 1".to_owned()),
            None => Err("nothing".to_owned()),
        }
    }

    #[test]
    fn keystone_is_told_by_settings_or_the_usual_variables() {
        let lithops = [
            ("auth_url", "http://h:5000/v3/"),
            ("user_id", "u"),
            ("password", "p"),
            ("project_id", "j"),
            ("user_domain_name", "Default"),
            ("project_domain_name", "Default"),
            ("region", "r"),
        ];
        let found = keystone(&lithops, &[]).unwrap();
        assert_eq!((found.url.as_str(), found.region.as_deref()), ("http://h:5000/v3", Some("r")));
        let user = json!({ "id": "u", "password": "p" });
        let identity = json!({ "methods": ["password"], "password": { "user": user } });
        let scope = json!({ "project": { "id": "j" } });
        assert_eq!(found.asked, json!({ "auth": { "identity": identity, "scope": scope } }));

        let variables = [
            ("OS_AUTH_URL", "http://h/identity"),
            ("OS_USERNAME", "n"),
            ("OS_PASSWORD", "p"),
            ("OS_PROJECT_NAME", "j"),
            ("OS_PROJECT_DOMAIN_NAME", "d"),
            ("OS_INTERFACE", "internalURL"),
        ];
        let found = keystone(&[], &variables).unwrap();
        assert_eq!((&*found.url, &*found.interface), ("http://h/identity/v3", "internal"));
        let user = &found.asked["auth"]["identity"]["password"]["user"];
        assert_eq!(*user, json!({ "name": "n", "domain": { "id": "default" }, "password": "p" }));
        let project = &found.asked["auth"]["scope"]["project"];
        assert_eq!(*project, json!({ "name": "j", "domain": { "name": "d" } }));
        // Settings say another user than the variables.
        let found = keystone(&[("user", "m")], &[&variables[..], &[("OS_USER_ID", "u")]].concat());
        let found = found.unwrap();
        assert_eq!(found.asked["auth"]["identity"]["password"]["user"]["name"], "m");

        let credential = [("application_credential_id", "i"), ("auth_url", "http://h/v3")];
        assert!(keystone(&credential, &[]).err().unwrap().contains("_secret"));
        let whole = [&credential[..], &[("application_credential_secret", "s")]].concat();
        let found = keystone(&whole, &variables).unwrap();
        let said = json!({ "id": "i", "secret": "s" });
        assert_eq!(found.asked["auth"]["identity"]["application_credential"], said);
        assert!(found.asked["auth"].get("scope").is_none(), "it is of one project");
    }

    #[test]
    fn what_is_missing_for_a_log_in_is_said() {
        let first = [("ST_AUTH", "http://h/auth/v1.0"), ("ST_USER", "a:u"), ("ST_KEY", "k")];
        let third = ("auth_url", "http://h/v3");
        let said = |set: &[(&str, &str)], variables| keystone(set, variables).err().unwrap();
        assert_eq!(said(&[], &first), "version 1");
        assert_eq!(said(&[], &[("OS_USERNAME", "u")]), "nothing");
        assert!(said(&[third], &[]).contains("OS_PASSWORD"));
        assert!(said(&[third, ("user", "u"), ("key", "k")], &[]).contains("OS_PASSWORD"));
        assert!(said(&[third, ("password", "p")], &[]).contains("`user_id`"));
        assert!(said(&[("auth_url", "http://h/v2.0"), ("password", "p")], &[]).contains("`/v3`"));
        let odd = [third, ("user", "u"), ("password", "p"), ("interface", "secret")];
        assert!(said(&odd, &[]).contains("public, internal, admin"));
        // Version 1 stands in the environment, and Keystone in the settings.
        assert!(keystone(&[third, ("user", "u"), ("password", "p")], &first).is_ok());
    }

    #[test]
    fn the_account_is_found_in_the_catalog() {
        let of = |region: Option<&str>, interface: &str| Keystone {
            url: String::new(),
            asked: Value::Null,
            region: region.map(str::to_owned),
            interface: interface.to_owned(),
        };
        let at = |region: &str, interface: &str| {
            let url = format!("http://{region}.{interface}/v1/AUTH_j");
            json!({ "region_id": region, "interface": interface, "url": url })
        };
        let endpoints = [at("a", "public"), at("b", "public"), at("b", "internal")];
        let other = json!({ "type": "compute", "endpoints": [at("c", "public")] });
        let token = json!({ "catalog": [other, { "type": SERVICE, "endpoints": endpoints }] });
        let found = |region, interface| of(region, interface).found(&token);
        assert_eq!(found(Some("a"), "public").unwrap(), "http://a.public/v1/AUTH_j");
        assert_eq!(found(None, "internal").unwrap(), "http://b.internal/v1/AUTH_j");
        assert!(found(None, "public").unwrap_err().contains("several regions: a, b; set `region`"));
        assert!(found(Some("c"), "public").unwrap_err().ends_with("in: a, b"));
        assert!(found(None, "admin").unwrap_err().contains("the interface `admin`"));
        let none = of(None, "public").found(&json!({})).unwrap_err();
        assert!(none.contains("OS_PROJECT_ID"), "{none}");
    }
}
