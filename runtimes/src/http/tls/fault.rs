//! What is wrong where TLS came to nothing, and the way out. None of it passes by itself, so a host
//! with such a fault is no host that was not reached.

use std::error::Error as StdError;
use std::io;

use rustls::{AlertDescription, CertificateError, Error};
use samara_core::ErrorKind;

/// A day in seconds.
const DAY: u64 = 24 * 60 * 60;

/// The class of what kept a request from being answered, and words that follow the host's name; none
/// where it was not TLS, or may pass.
pub(in crate::http) fn fault(
    error: &(dyn StdError + 'static),
    in_handshake: bool,
) -> Option<(ErrorKind, String)> {
    match cause(error) {
        Some(Error::InvalidCertificate(why)) => Some((ErrorKind::Denied, of_certificate(why))),
        Some(Error::AlertReceived(alert)) => of_alert(*alert),
        Some(Error::InvalidMessage(_)) if in_handshake => {
            let words = "speaks no TLS there; say http:// in the place of https://, or have the \
                         host speak TLS with SAMARA_HOST_TLS_CERT";
            Some((ErrorKind::Invalid, words.to_owned()))
        }
        Some(Error::PeerIncompatible(_)) => Some((ErrorKind::Invalid, IN_COMMON.to_owned())),
        _ => None,
    }
}

const IN_COMMON: &str = "has no version or cipher of TLS in common with this driver, which speaks \
                         TLS 1.2 and 1.3";

fn of_certificate(why: &CertificateError) -> String {
    match why {
        CertificateError::UnknownIssuer => {
            "shows a certificate whose issuer is not trusted here; the setting `tls-ca` names a \
             file with authorities to trust"
                .to_owned()
        }
        CertificateError::ExpiredContext { time, not_after } => {
            let ago = time.as_secs().saturating_sub(not_after.as_secs());
            let ago = match ago / DAY {
                0 => format!("{ago} seconds"),
                days => format!("{days} days"),
            };
            format!(
                "shows a certificate that has expired {ago} ago, by the clock of this machine; its \
                 operator has to renew it"
            )
        }
        CertificateError::Expired => {
            "shows a certificate that has expired; its operator has to renew it".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "shows a certificate that is not good yet, by the clock of this machine".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!(
                "shows another one's certificate ({why}); the runtime's URL has to have a name that \
                 the certificate has, too"
            )
        }
        // It is behind an `Arc` of no known type.
        other if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            "shows an authority's own certificate; the host needs one that the authority signed, \
             with CA:FALSE"
                .to_owned()
        }
        other => format!("shows a certificate that is not trusted here: {other}"),
    }
}

fn of_alert(alert: AlertDescription) -> Option<(ErrorKind, String)> {
    let words = match alert {
        AlertDescription::CertificateRequired => {
            "wants a certificate of this driver's; the settings `tls-cert` and `tls-key` name one \
             and its key"
        }
        AlertDescription::UnknownCA => {
            "does not trust who issued this driver's certificate; the setting `tls-cert` needs one \
             of the authority that the host has in SAMARA_HOST_TLS_CLIENT_CA, with its chain"
        }
        AlertDescription::CertificateExpired => {
            "says that this driver's certificate has expired, or is not good yet; the setting \
             `tls-cert` needs a new one"
        }
        AlertDescription::HandshakeFailure
        | AlertDescription::InsufficientSecurity
        | AlertDescription::ProtocolVersion => return Some((ErrorKind::Invalid, IN_COMMON.into())),
        AlertDescription::AccessDenied
        | AlertDescription::BadCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateUnknown
        | AlertDescription::DecryptError
        | AlertDescription::UnsupportedCertificate => {
            let words = format!(
                "does not take this driver's certificate ({alert:?}); the setting `tls-cert` names \
                 it"
            );
            return Some((ErrorKind::Denied, words));
        }
        _ => return None,
    };
    Some((ErrorKind::Denied, words.to_owned()))
}

/// What TLS itself says, where it does.
fn cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
    let mut causes = std::iter::successors(Some(error), |error| behind(*error));
    causes.find_map(|cause| cause.downcast_ref())
}

/// An error of I/O is asked for what it holds: its own `source` is what is behind that.
fn behind<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(within) => Some(within),
        None => error.source(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Outer(io::Error);

    impl std::fmt::Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("outer")
        }
    }

    impl StdError for Outer {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(&self.0)
        }
    }

    fn said(error: Error) -> Option<(ErrorKind, String)> {
        let inner = io::Error::new(io::ErrorKind::InvalidData, error);
        fault(&Outer(io::Error::other(inner)), true)
    }

    #[test]
    fn what_tls_says_is_found_behind_other_errors() {
        for (error, kind, named) in [
            (CertificateError::UnknownIssuer.into(), ErrorKind::Denied, "`tls-ca`"),
            (CertificateError::Expired.into(), ErrorKind::Denied, "expired"),
            (
                Error::AlertReceived(AlertDescription::CertificateRequired),
                ErrorKind::Denied,
                "`tls-cert`",
            ),
            (
                Error::AlertReceived(AlertDescription::CertificateRevoked),
                ErrorKind::Denied,
                "CertificateRevoked",
            ),
            (
                Error::AlertReceived(AlertDescription::ProtocolVersion),
                ErrorKind::Invalid,
                "TLS 1.2 and 1.3",
            ),
        ] {
            let (found, words) = said(error).expect(named);
            assert!(found == kind && words.contains(named), "{words}");
        }
    }

    #[test]
    fn what_may_pass_is_no_fault() {
        for error in [
            Error::AlertReceived(AlertDescription::InternalError),
            Error::AlertReceived(AlertDescription::CloseNotify),
            Error::DecryptError,
        ] {
            assert_eq!(said(error), None);
        }
        assert_eq!(fault(&io::Error::from(io::ErrorKind::ConnectionReset), true), None);
    }
}
