//! The host's side: takes files up, also when they change, and opens connections.
//!
//! Files are read again every few seconds rather than watched: they come from mounts and through
//! links as often as not. What is broken then changes nothing, and the log says why. Connections
//! that are open stay as they are.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::SupportedCipherSuite::Tls13;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::pem::{Named, identity};
use super::{HTTP_1, HTTP_2, VERSIONS, provider};
use crate::host::Variables;

const CERTIFICATE: &str = "SAMARA_HOST_TLS_CERT";
const KEY: &str = "SAMARA_HOST_TLS_KEY";
const CLIENT_CA: &str = "SAMARA_HOST_TLS_CLIENT_CA";

/// How often files are looked at again: as those of tenants.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What a connection of TLS begins with: a record of its handshake.
const HANDSHAKE: u8 = 22;

/// What whoever speaks plain HTTP is told.
const PLAIN: &str =
    "this host speaks TLS and no plain HTTP: say https:// in the place of http://\n";

/// How long who was refused may take to read why, and the bytes that are read of it meanwhile.
const PART_TIME: Duration = Duration::from_secs(1);
const PART_BYTES: usize = 64 << 10;

/// What a host speaks TLS with.
pub struct Tls {
    files: Files,
    now: Mutex<Now>,
}

/// Where it lies.
#[derive(Debug, Clone)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

/// What the files have.
struct Contents {
    certificate: Named,
    key: Named,
    client_ca: Option<Named>,
}

/// What counts now.
struct Now {
    config: Arc<ServerConfig>,
    /// Of what was looked at last, whether it was sound or not.
    seen: blake3::Hash,
}

// === impl Tls ===

impl Tls {
    /// What the variables `SAMARA_HOST_TLS_CERT`, `SAMARA_HOST_TLS_KEY` and
    /// `SAMARA_HOST_TLS_CLIENT_CA` name; nothing where none of them is there.
    ///
    /// # Errors
    ///
    /// All that is wrong with them and their files, each by its name.
    pub fn read(variables: &Variables) -> Result<Option<Self>, Vec<String>> {
        let named = |name: &str| variables.get(name).filter(|said| !said.is_empty());
        let lonely = |name: &str, other: &str, why: &str| {
            vec![format!("{name} needs {other} beside it: the file of {why}")]
        };
        match (named(CERTIFICATE), named(KEY), named(CLIENT_CA)) {
            (None, None, None) => Ok(None),
            (Some(certificate), Some(key), client_ca) => {
                let client_ca = client_ca.map(PathBuf::from);
                let files = Files { certificate: certificate.into(), key: key.into(), client_ca };
                Self::open(files).map(Some)
            }
            (Some(_), None, _) => Err(lonely(CERTIFICATE, KEY, "the certificate's private key")),
            (None, Some(_), _) => Err(lonely(KEY, CERTIFICATE, "the key's certificate")),
            (None, None, Some(_)) => {
                Err(lonely(CLIENT_CA, CERTIFICATE, "the certificate that the host shows"))
            }
        }
    }

    fn open(files: Files) -> Result<Self, Vec<String>> {
        let contents = files.read();
        let (config, seen) = (Arc::new(contents.config()?), contents.hash());
        Ok(Self { files, now: Mutex::new(Now { config, seen }) })
    }

    /// Whether clients have to show a certificate.
    pub fn is_mutual(&self) -> bool {
        self.files.client_ca.is_some()
    }

    /// Takes up what changes, for ever.
    pub(in crate::http) async fn follow(&self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let files = self.files.clone();
            // Disks may be slow, and this thread has connections to see to.
            if let Ok(contents) = tokio::task::spawn_blocking(move || files.read()).await {
                self.take(&contents);
            }
        }
    }

    /// Takes up what the files have, if it is new.
    fn take(&self, contents: &Contents) {
        let seen = contents.hash();
        if self.lock().seen == seen {
            return;
        }
        let config = contents.config();
        let mut now = self.lock();
        now.seen = seen;
        match config {
            Ok(config) => {
                now.config = Arc::new(config);
                drop(now);
                tracing::info!("TLS: {} is another one, and counts", self.files);
            }
            Err(faults) => {
                drop(now);
                for fault in faults {
                    tracing::error!("{fault}; TLS goes on as it was");
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Speaks TLS on a connection that came in. Who speaks none is told so, and who is refused can
    /// read why.
    pub(in crate::http) async fn accept(
        &self,
        mut stream: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        let mut first = [0];
        if stream.peek(&mut first).await? == first.len() && first != [HANDSHAKE] {
            let answer = format!(
                "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n\
                 content-length: {}\r\nconnection: close\r\n\r\n{PLAIN}",
                PLAIN.len()
            );
            stream.write_all(answer.as_bytes()).await?;
            part(stream).await;
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it spoke no TLS"));
        }
        let config = Arc::clone(&self.lock().config);
        match TlsAcceptor::from(config).accept(stream).into_fallible().await {
            Ok(stream) => {
                let (_, session) = stream.get_ref();
                tracing::debug!(
                    version = ?session.protocol_version(),
                    protocol = session.alpn_protocol().map(|it| String::from_utf8_lossy(it)).as_deref(),
                    certificate = session.peer_certificates().map(fingerprint),
                    "a connection speaks TLS"
                );
                Ok(stream)
            }
            Err((error, stream)) => {
                part(stream).await;
                Err(error)
            }
        }
    }
}

/// Keys are secret.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

// === impl Files ===

impl Files {
    fn read(&self) -> Contents {
        Contents {
            certificate: Named::read(CERTIFICATE, &self.certificate),
            key: Named::read(KEY, &self.key),
            client_ca: self.client_ca.as_deref().map(|path: &Path| Named::read(CLIENT_CA, path)),
        }
    }
}

impl fmt::Display for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { certificate, key, client_ca } = self;
        write!(f, "{}, {}", certificate.display(), key.display())?;
        client_ca.iter().try_for_each(|path| write!(f, ", {}", path.display()))
    }
}

// === impl Contents ===

impl Contents {
    fn config(&self) -> Result<ServerConfig, Vec<String>> {
        let identity = identity(&self.certificate, &self.key);
        let roots = self.client_ca.as_ref().map(Named::roots).transpose();
        let (identity, roots) = match (identity, roots) {
            (Ok(identity), Ok(roots)) => (identity, roots),
            (identity, roots) => {
                let mut faults = identity.err().unwrap_or_default();
                faults.extend(roots.err());
                return Err(faults);
            }
        };
        let internal = |error: &dyn fmt::Display| vec![format!("TLS cannot be spoken: {error}")];
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(VERSIONS)
            .map_err(|error| internal(&error))?;
        let is_mutual = roots.is_some();
        let builder = match roots {
            None => builder.with_no_client_auth(),
            Some(roots) => {
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
                        .build()
                        .map_err(|error| internal(&error))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
        config.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1.to_vec()];
        if is_mutual {
            // A certificate is looked at each time: what was resumed would outlive its end.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(config)
    }

    /// By which a change is known, without a key being kept for it.
    fn hash(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        let others = [Some(&self.certificate), Some(&self.key), self.client_ca.as_ref()];
        for file in others.into_iter().flatten() {
            let (kind, bytes) = match &file.bytes {
                Ok(bytes) => (0, bytes.as_slice()),
                Err(why) => (1, why.as_bytes()),
            };
            hasher.update(&[kind]).update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
        }
        hasher.finalize()
    }
}

/// Lets what was said arrive: a socket that is closed with bytes unread takes back what it sent.
async fn part(mut stream: TcpStream) {
    let parted = async {
        stream.shutdown().await?;
        let (mut left, mut buffer) = (PART_BYTES, [0; 1024]);
        while left > 0 {
            match stream.read(&mut buffer).await? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        Ok::<(), io::Error>(())
    };
    // Who is gone need not be told.
    let _gone = tokio::time::timeout(PART_TIME, parted).await;
}

/// The SHA-256 of a client's certificate, as `openssl x509 -fingerprint -sha256` has it, but for the
/// colons.
fn fingerprint(chain: &[rustls::pki_types::CertificateDer<'_>]) -> String {
    let suites = provider().cipher_suites.clone();
    let sha256 = suites.iter().find_map(|suite| match suite {
        Tls13(suite) if suite.common.hash_provider.output_len() == 32 => {
            Some(suite.common.hash_provider)
        }
        _ => None,
    });
    let (Some(sha256), Some(first)) = (sha256, chain.first()) else { return String::new() };
    sha256.hash(first).as_ref().iter().map(|byte| format!("{byte:02X}")).collect()
}
