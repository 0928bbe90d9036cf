//! Front doors: what platforms want to see of a request before it reaches a host.
//!
//! | file | door |
//! |---|---|
//! | `aws.rs` | AWS's signature, version 4: function URLs and API Gateway |
//! | `google.rs` | Google's identity tokens: Cloud Run |
//! | `kept.rs` | what opens a door for a while |
//!
//! A host's own tokens are another matter: the platform passes them on.

#[cfg(feature = "signatures")]
mod aws;
#[cfg(feature = "signatures")]
mod google;
#[cfg(feature = "signatures")]
mod kept;

#[cfg(feature = "signatures")]
use std::sync::Arc;

use http::HeaderValue;
use http::header::AUTHORIZATION;
use reqwest::Request;
use samara_core::{Error, ErrorKind};

#[cfg(feature = "signatures")]
use self::aws::Aws;
#[cfg(feature = "signatures")]
use self::google::Google;
use crate::Context;

/// The doors that a URL may name.
const DOORS: &str = "aws, azure, bearer, google";

/// How a door is opened.
#[derive(Clone)]
pub(crate) enum Door {
    /// It is open, or the host's own tokens open it.
    Open,
    /// A token that the user got of the platform.
    Bearer(HeaderValue),
    /// A key of Azure Functions.
    Azure(HeaderValue),
    #[cfg(feature = "signatures")]
    Aws(Arc<Aws>),
    #[cfg(feature = "signatures")]
    Google(Arc<Google>),
}

// === impl Door ===

impl Door {
    /// The door that a URL names.
    ///
    /// # Errors
    ///
    /// `Invalid` where there is none of that name, or its key is not said.
    pub(crate) fn of(name: Option<&str>, context: &Context) -> Result<Self, Error> {
        let invalid = |text: String| Error::new(ErrorKind::Invalid, text);
        let key = |before: &str| {
            let key = context.door_key.as_deref().ok_or_else(|| {
                let name = name.unwrap_or_default();
                invalid(format!(
                    "`door={name}` needs a key, which the setting `door-key` (SAMARA_DOOR_KEY) says"
                ))
            })?;
            let mut value = HeaderValue::from_str(&format!("{before}{key}"))
                .map_err(|_| invalid("`door-key` cannot be sent in a header".to_owned()))?;
            value.set_sensitive(true);
            Ok(value)
        };
        match name {
            None => Ok(Self::Open),
            Some("bearer") => Ok(Self::Bearer(key("Bearer ")?)),
            Some("azure") => Ok(Self::Azure(key("")?)),
            #[cfg(feature = "signatures")]
            Some("aws") => Ok(Self::Aws(Arc::new(Aws::new(Arc::clone(&context.clock))))),
            #[cfg(feature = "signatures")]
            Some("google") => Ok(Self::Google(Arc::new(Google::new(context)?))),
            #[cfg(not(feature = "signatures"))]
            Some("aws" | "google") => Err(invalid(
                "this build makes no signatures; build with the feature `signatures` for them"
                    .to_owned(),
            )),
            Some(other) => {
                Err(invalid(format!("`door={other}` names no door; there are: {DOORS}")))
            }
        }
    }

    /// What is to be done where it stays shut, in words that follow what was said.
    pub(super) fn way_out(&self) -> &'static str {
        match self {
            Self::Open => {
                "; that is the platform's front door: `?door=` in the runtime's URL says how it is \
                 opened, and the setting `door-key` (SAMARA_DOOR_KEY) with what, where that is a key"
            }
            Self::Bearer(_) | Self::Azure(_) => {
                "; the setting `door-key` (SAMARA_DOOR_KEY) does not open the platform's front door"
            }
            #[cfg(feature = "signatures")]
            Self::Aws(_) | Self::Google(_) => {
                "; the credentials of this machine do not open the platform's front door"
            }
        }
    }

    /// Adds to a request what opens the door.
    ///
    /// # Errors
    ///
    /// `Denied` where there are no credentials to do so, or whoever makes them refuses; `Lost` where
    /// that one cannot do so now.
    pub(crate) async fn sign(&self, request: &mut Request) -> Result<(), Error> {
        match self {
            Self::Open => {}
            Self::Bearer(value) => {
                request.headers_mut().insert(AUTHORIZATION, value.clone());
            }
            Self::Azure(value) => {
                request.headers_mut().insert("x-functions-key", value.clone());
            }
            #[cfg(feature = "signatures")]
            Self::Aws(aws) => aws.sign(request).await?,
            #[cfg(feature = "signatures")]
            Self::Google(google) => {
                let value = google.token(request.url()).await?;
                request.headers_mut().insert(AUTHORIZATION, value);
            }
        }
        Ok(())
    }
}

/// Keys are secret.
impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Open => "Open",
            Self::Bearer(_) => "Bearer",
            Self::Azure(_) => "Azure",
            #[cfg(feature = "signatures")]
            Self::Aws(_) => "Aws",
            #[cfg(feature = "signatures")]
            Self::Google(_) => "Google",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_door_needs_its_key_and_shows_it_to_nobody() {
        let mut context = Context::default();
        let error = Door::of(Some("azure"), &context).unwrap_err();
        assert!(error.message.contains("`door-key` (SAMARA_DOOR_KEY)"), "{error}");
        let error = Door::of(Some("oak"), &context).unwrap_err();
        assert!(error.message.contains("aws, azure, bearer, google"), "{error}");
        context.door_key = Some("open-sesame".to_owned());
        let door = Door::of(Some("bearer"), &context).unwrap();
        assert!(!format!("{door:?} {context:?}").contains("sesame"));
        context.door_key = Some("two\nlines".to_owned());
        assert!(Door::of(Some("azure"), &context).is_err());
    }
}
