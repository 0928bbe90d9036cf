//! Authorities, and what they sign: certificates for hosts and drivers, good ones and bad ones, as
//! files. And a client that shows just what a test wants.

use std::io;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// The names of a host on this machine.
pub(crate) const HERE: [&str; 2] = ["localhost", "127.0.0.1"];

/// How long a host may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Somebody who signs, with a directory for what it signed.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
    pub(crate) directory: PathBuf,
    name: &'static str,
}

/// A certificate and its key, each in a file.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    Host,
    Driver,
}

/// A connection that speaks TLS.
pub(crate) type Stream = StreamOwned<ClientConnection, TcpStream>;

// === impl Authority ===

impl Authority {
    pub(crate) fn new(directory: &Path, name: &'static str) -> Self {
        // With a host's names, for who shows it as if it were a host's.
        let mut params = CertificateParams::new(HERE.map(str::to_owned)).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        std::fs::write(directory.join(format!("{name}.pem")), &pem).unwrap();
        std::fs::write(directory.join(format!("{name}.key")), key.serialize_pem()).unwrap();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem, directory: directory.to_owned(), name }
    }

    /// Its own certificate, in a file.
    pub(crate) fn file(&self) -> PathBuf {
        self.directory.join(format!("{}.pem", self.name))
    }

    /// Signs what is usual, for a new key.
    pub(crate) fn sign(&self, name: &str, purpose: For) -> Pair {
        self.sign_with(name, purpose, |_| ())
    }

    /// Signs what is different in one thing or another.
    pub(crate) fn sign_with(
        &self,
        name: &str,
        purpose: For,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Pair {
        self.sign_key(name, purpose, &KeyPair::generate().unwrap(), change)
    }

    /// The same, for a key.
    pub(crate) fn sign_key(
        &self,
        name: &str,
        purpose: For,
        key: &KeyPair,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Pair {
        let names = if purpose == For::Host { &HERE[..] } else { &[] };
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![match purpose {
            For::Host => ExtendedKeyUsagePurpose::ServerAuth,
            For::Driver => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        change(&mut params);
        let pair = Pair {
            certificate: self.directory.join(format!("{name}.pem")),
            key: self.directory.join(format!("{name}.key")),
        };
        let pem = params.signed_by(key, &self.issuer).unwrap().pem();
        std::fs::write(&pair.certificate, pem).unwrap();
        std::fs::write(&pair.key, key.serialize_pem()).unwrap();
        pair
    }
}

/// A certificate whose time is over.
pub(crate) fn expired(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2019, 1, 1);
    params.not_after = date_time_ymd(2020, 1, 1);
}

// === impl Pair ===

impl Pair {
    /// Puts it in another's place: the certificate first, then the key, as slow hands do.
    pub(crate) fn replaces(&self, other: &Self) {
        for (new, old) in [(&self.certificate, &other.certificate), (&self.key, &other.key)] {
            let beside = old.with_extension("new");
            std::fs::copy(new, &beside).unwrap();
            std::fs::rename(beside, old).unwrap();
        }
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(&self.certificate).unwrap()
    }
}

/// A client that trusts this authority, and speaks these protocols within.
pub(crate) fn client(
    authority: &Authority,
    version: &'static rustls::SupportedProtocolVersion,
    protocols: &[&str],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

/// Connects, and has the handshake behind it.
pub(crate) fn connect(address: &str, config: &ClientConfig) -> io::Result<Stream> {
    let name = ServerName::try_from("localhost").unwrap();
    let session = ClientConnection::new(Arc::new(config.clone()), name).unwrap();
    let socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(SILENCE_MAX))?;
    let mut stream = StreamOwned::new(session, socket);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}
