//! The driver's side: whom it trusts, and what it shows.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_platform_verifier::Verifier;
use samara_core::{Error, ErrorKind};

use super::pem::{Named, identity};
use super::{HTTP_1, VERSIONS, provider};
use crate::Context;

/// As errors and pages write them.
const CA: &str = "`tls-ca`";
const CERTIFICATE: &str = "`tls-cert`";
const KEY: &str = "`tls-key`";

/// For hosts: whom this machine trusts, and what the settings say.
pub(crate) fn of_drivers(context: &Context) -> Result<ClientConfig, Error> {
    let mut faults = Vec::new();
    let mut authorities = Vec::new();
    if let Some(path) = &context.tls_ca {
        let file = Named::read(CA, path);
        match file.roots().and_then(|_| file.certificates()) {
            Ok(certificates) => authorities = certificates,
            Err(fault) => faults.push(fault),
        }
    }
    let lonely = |name, other| format!("{name} needs {other} beside it");
    let shown = match (&context.tls_cert, &context.tls_key) {
        (None, None) => None,
        (Some(certificate), Some(key)) => {
            let read = identity(&Named::read(CERTIFICATE, certificate), &Named::read(KEY, key));
            read.map_err(|why| faults.extend(why)).ok()
        }
        (Some(_), None) => {
            faults.push(lonely(CERTIFICATE, KEY));
            None
        }
        (None, Some(_)) => {
            faults.push(lonely(KEY, CERTIFICATE));
            None
        }
    };
    if !faults.is_empty() {
        return Err(Error::new(ErrorKind::Invalid, faults.join("; ")));
    }
    let verifier = Verifier::new_with_extra_roots(authorities, provider()).map_err(|error| {
        let text = format!(
            "nobody's certificates are trusted on this machine ({error}); the setting {CA} names a \
             file with authorities to trust"
        );
        Error::new(ErrorKind::Invalid, text)
    })?;
    config(Arc::new(verifier), shown.map(SingleCertAndKey::from))
}

/// For hosts that are spoken to in the clear. A proxy before them may speak TLS all the same, and is
/// trusted as this machine trusts; to find out whom takes milliseconds, so it is done when it comes
/// to that.
pub(crate) fn when_needed() -> Result<ClientConfig, Error> {
    config(Arc::new(WhenNeeded::default()), None)
}

/// For others' servers: whom this machine trusts.
#[cfg(feature = "signatures")]
pub(crate) fn system() -> Result<ClientConfig, Error> {
    of_drivers(&Context::default())
}

/// Where no TLS is spoken, and so nobody is trusted.
pub(crate) fn nobody() -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(VERSIONS)
        .map_err(internal)?;
    let builder = builder.with_root_certificates(RootCertStore::empty());
    Ok(builder.with_no_client_auth())
}

fn config(
    verifier: Arc<dyn ServerCertVerifier>,
    shown: Option<SingleCertAndKey>,
) -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(VERSIONS)
        .map_err(internal)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match shown {
        Some(shown) => builder.with_client_cert_resolver(Arc::new(shown)),
        None => builder.with_no_client_auth(),
    };
    // A connection for each batch, as in the clear: one that breaks costs one, and what TLS says on it
    // is heard, which HTTP/2 loses.
    config.alpn_protocols = vec![HTTP_1.to_vec()];
    Ok(config)
}

/// Trusts whom this machine trusts, of which it learns with the first certificate.
#[derive(Debug, Default)]
struct WhenNeeded(OnceLock<Result<Verifier, rustls::Error>>);

// === impl WhenNeeded ===

impl ServerCertVerifier for WhenNeeded {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verifier = self.0.get_or_init(|| Verifier::new(provider())).as_ref();
        let verifier = verifier.map_err(Clone::clone)?;
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

#[allow(clippy::needless_pass_by_value, reason = "the shape of `map_err`")]
fn internal(error: rustls::Error) -> Error {
    Error::new(ErrorKind::Internal, format!("TLS cannot be spoken: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_this_machine_trusts_is_looked_up_with_the_first_certificate() {
        let verifier = WhenNeeded::default();
        let name = ServerName::try_from("host.example").unwrap();
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1 << 30));
        assert!(!verifier.supported_verify_schemes().is_empty() && verifier.0.get().is_none());
        let shown = CertificateDer::from_slice(b"no certificate");
        let checked = verifier.verify_server_cert(&shown, &[], &name, &[], now);
        assert!(checked.is_err(), "{checked:?}");
        assert!(verifier.0.get().is_some());
    }
}
