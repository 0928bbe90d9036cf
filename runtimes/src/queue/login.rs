//! What opens the broker: its users' names, passwords and keys, by the variables that the broker's own
//! programs read.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use async_nats::ConnectOptions;
use samara_core::{Error, ErrorKind};

use super::config::Config;

/// How the broker is opened. Drivers read the variables of it that `crate::VARIABLES` lists.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Login {
    user: Option<(String, String)>,
    token: Option<String>,
    creds: Option<PathBuf>,
    /// Who may have signed the broker's certificate, in the place of those whom this machine trusts.
    pub(super) ca: Option<PathBuf>,
    /// The certificate that is shown to it, and the certificate's key.
    pub(super) cert: Option<(PathBuf, PathBuf)>,
    /// Whether the connection has to be encrypted.
    tls: bool,
}

// === impl Login ===

impl Login {
    /// What the URL and the variables say; the URL counts before a variable.
    ///
    /// # Errors
    ///
    /// `Invalid` where they say half of something, or two things.
    pub(super) fn read(
        config: &Config,
        variables: &BTreeMap<String, String>,
    ) -> Result<Self, Error> {
        let said = |name: &str| variables.get(name).filter(|said| !said.is_empty()).cloned();
        let both = |one: &str, other: &str| match (said(one), said(other)) {
            (Some(first), Some(second)) => Ok(Some((first, second))),
            (None, None) => Ok(None),
            _ => Err(invalid(&format!("{one} and {other} go together, and one is not set"))),
        };
        let user = both("NATS_USER", "NATS_PASSWORD")?;
        let token = said("NATS_TOKEN");
        let creds = config.creds.clone().or_else(|| said("NATS_CREDS").map(PathBuf::from));
        let ways = [user.is_some(), token.is_some(), creds.is_some()];
        if ways.iter().filter(|is_said| **is_said).count() > 1 {
            let text =
                "NATS_USER, NATS_TOKEN and NATS_CREDS each say who opens the broker; set one";
            return Err(invalid(text));
        }
        let cert = both("NATS_CERT", "NATS_KEY")?;
        let cert = cert.map(|(cert, key)| (cert.into(), key.into()));
        let ca = said("NATS_CA").map(PathBuf::from);
        Ok(Self { user, token, creds, ca, cert, tls: config.tls })
    }

    /// Whether the connection is encrypted, whatever the broker wants.
    pub(super) fn has_tls(&self) -> bool {
        self.tls || self.ca.is_some() || self.cert.is_some()
    }

    /// Adds it to what the broker is connected with.
    ///
    /// # Errors
    ///
    /// `Invalid` where a file cannot be read.
    pub(super) async fn open(&self, mut options: ConnectOptions) -> Result<ConnectOptions, Error> {
        if let Some((user, password)) = &self.user {
            options = options.user_and_password(user.clone(), password.clone());
        }
        if let Some(token) = &self.token {
            options = options.token(token.clone());
        }
        if let Some(path) = &self.creds {
            // What is wrong with it is not said further: it is secret.
            options = options.credentials_file(path).await.map_err(|error| {
                let shown = path.display();
                let why = match error.kind() {
                    std::io::ErrorKind::NotFound => "is not there",
                    std::io::ErrorKind::PermissionDenied => "cannot be read",
                    _ => "holds no credentials as `nsc` writes them",
                };
                invalid(&format!("the file of the broker's credentials, {shown}, {why}"))
            })?;
        }
        if let Some(ca) = &self.ca {
            options = options.add_root_certificates(ca.clone());
        }
        if let Some((cert, key)) = &self.cert {
            options = options.add_client_certificate(cert.clone(), key.clone());
        }
        Ok(options.require_tls(self.has_tls()))
    }
}

fn invalid(text: &str) -> Error {
    Error::new(ErrorKind::Invalid, text)
}

/// It is secret.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("is_named", &(self.user.is_some() || self.token.is_some()))
            .field("creds", &self.creds)
            .field("tls", &self.has_tls())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Login, Error> {
        let config = Config::parse("queue://a").unwrap();
        let own = |(name, said): &(&str, &str)| ((*name).to_owned(), (*said).to_owned());
        Login::read(&config, &variables.iter().map(own).collect())
    }

    #[test]
    fn half_of_a_login_and_two_of_them_are_refused_and_none_is_shown() {
        for (variables, wanted) in [
            (&[("NATS_USER", "u")][..], "NATS_PASSWORD"),
            (&[("NATS_CERT", "/c")], "NATS_KEY"),
            (&[("NATS_TOKEN", "hunter2"), ("NATS_CREDS", "/c")], "set one"),
        ] {
            let error = read(variables).unwrap_err();
            assert!(error.message.contains(wanted), "{error}");
            assert!(!error.message.contains("hunter2"), "{error}");
        }
        let login = read(&[("NATS_USER", "u"), ("NATS_PASSWORD", "hunter2")]).unwrap();
        assert!(!format!("{login:?}").contains("hunter2"), "{login:?}");
        assert!(!login.has_tls() && read(&[("NATS_CA", "/ca")]).unwrap().has_tls());
    }
}
