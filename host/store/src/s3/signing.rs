//! Whether bodies are part of the signature.
//!
//! A signature holds the SHA-256 of the body, or says that it does not. TLS sees to it that nobody
//! else changes a body, and the checksum that goes with it is signed; over plain HTTP nothing else
//! holds the body against who is between.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_runtime::auth::PayloadSigningOverride;
use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;

/// How headers with checksums begin.
const CHECKSUM: &str = "x-amz-checksum-";

/// Leaves bodies out of signatures.
#[derive(Debug)]
pub(super) struct Bodies {
    /// What was said; else it goes by the request.
    pub(super) signed: Option<bool>,
    /// Whether a body was signed, or would have been, in the newest request.
    pub(super) were_signed: Arc<AtomicBool>,
}

/// Signs a body by its hash, which is known.
#[derive(Debug)]
pub(super) struct Known(pub(super) [u8; 32]);

// === impl Bodies ===

impl Bodies {
    fn are_signed(&self, uri: &str, has_checksum: bool) -> bool {
        self.signed.unwrap_or_else(|| !(uri.starts_with("https://") && has_checksum))
    }
}

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for Bodies {
    fn name(&self) -> &'static str {
        "Bodies"
    }

    fn read_before_signing(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request();
        let has_checksum = request.headers().iter().any(|(name, _)| name.starts_with(CHECKSUM));
        let are_signed = self.are_signed(request.uri(), has_checksum);
        self.were_signed.store(are_signed, Ordering::Relaxed);
        if request.method() == "PUT" && is_open(cfg) && !are_signed {
            cfg.interceptor_state().store_put(PayloadSigningOverride::unsigned_payload());
        }
        Ok(())
    }
}

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for Known {
    fn name(&self) -> &'static str {
        "Known"
    }

    fn read_before_signing(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if is_open(cfg) {
            let hash = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
            cfg.interceptor_state().store_put(PayloadSigningOverride::Precomputed(hash));
        }
        Ok(())
    }
}

/// What the SDK has decided by itself, for a body that is not in memory, stays.
fn is_open(cfg: &ConfigBag) -> bool {
    cfg.load::<PayloadSigningOverride>().is_none()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::Settings;
    use crate::s3::client;

    /// Sees what would be sent, and keeps it from being sent.
    #[derive(Debug, Clone, Default)]
    struct Seen(Arc<Mutex<Option<String>>>);

    #[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
    impl Intercept for Seen {
        fn name(&self) -> &'static str {
            "Seen"
        }

        fn read_before_transmit(
            &self,
            context: &BeforeTransmitInterceptorContextRef<'_>,
            _: &RuntimeComponents,
            _: &mut ConfigBag,
        ) -> Result<(), BoxError> {
            let headers = context.request().headers();
            assert!(headers.get("authorization").is_some_and(|it| it.starts_with("AWS4-")));
            *self.0.lock().unwrap() = headers.get("x-amz-content-sha256").map(str::to_owned);
            Err("it is not to be sent".into())
        }
    }

    /// What the signature says of the body of `put`, with these settings.
    fn said(settings: &[(&str, &str)]) -> String {
        let all = [("access_key_id", "A"), ("secret_access_key", "B"), ("region", "r")];
        let with = |all: Settings, (name, value): &(&str, &str)| all.with("s3:", *name, *value);
        let options = all.iter().chain(settings).fold(Settings::default(), with).of("s3", "b");
        let seen = Seen::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let put =
                client::connect(&options, &Arc::default()).await.put_object().bucket("b").key("k");
            let put = put.body(b"abc".to_vec().into()).customize().interceptor(seen.clone());
            put.send().await.unwrap_err();
        });
        seen.0.lock().unwrap().clone().unwrap()
    }

    /// Of `abc`, from FIPS 180-2.
    const SHA_256: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn bodies_are_signed_where_nothing_else_holds_them() {
        let unsigned = "UNSIGNED-PAYLOAD";
        let (plain, tls) =
            (("endpoint", "http://127.0.0.1:1"), ("endpoint", "https://127.0.0.1:1"));
        assert_eq!(said(&[plain]), SHA_256);
        assert_eq!(said(&[]), unsigned, "Amazon's own speaks TLS");
        assert_eq!(said(&[tls]), unsigned);
        assert_eq!(said(&[tls, ("checksums", "when_required")]), SHA_256, "there is no checksum");
        assert_eq!(said(&[tls, ("sign_bodies", "true")]), SHA_256);
        assert_eq!(said(&[plain, ("sign_bodies", "false")]), unsigned);
    }
}
