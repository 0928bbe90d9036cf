//! Certificates and keys, of files that settings name. What is wrong is said with the setting and
//! the path, and never with what the file has: it may be a key.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{Error, InconsistentKeys, RootCertStore};

use super::provider;

/// Bytes of one file at most: a chain is some kilobytes, all of the world's authorities are 200.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A file that a setting names, and what it has.
pub(super) struct Named {
    /// As it is written in texts.
    setting: &'static str,
    path: PathBuf,
    pub(super) bytes: Result<Vec<u8>, String>,
}

// === impl Named ===

impl Named {
    pub(super) fn read(setting: &'static str, path: &Path) -> Self {
        Self { setting, path: path.to_owned(), bytes: bytes(path) }
    }

    /// A text about it.
    pub(super) fn fault(&self, why: impl fmt::Display) -> String {
        format!("{} names {}: {why}", self.setting, self.path.display())
    }

    fn bytes(&self) -> Result<&[u8], String> {
        self.bytes.as_deref().map_err(|why| self.fault(why))
    }

    /// All certificates that it has, of which there is one at least.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        let read = CertificateDer::pem_slice_iter(self.bytes()?).collect::<Result<Vec<_>, _>>();
        let read = read.map_err(|_| self.fault("it is damaged: PEM cannot be read from it"))?;
        match read.is_empty() {
            true => Err(self.fault("it has no certificate in PEM (BEGIN CERTIFICATE)")),
            false => Ok(read),
        }
    }

    /// The same, to be trusted.
    pub(super) fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates()? {
            let added = roots.add(certificate);
            added.map_err(|error| self.fault(format!("it has a damaged certificate: {error}")))?;
        }
        Ok(roots)
    }

    fn key(&self) -> Result<Arc<dyn SigningKey>, String> {
        let none = "it has no private key in PEM that is not encrypted (BEGIN PRIVATE KEY, BEGIN EC \
                    PRIVATE KEY or BEGIN RSA PRIVATE KEY)";
        let key = PrivateKeyDer::from_pem_slice(self.bytes()?).map_err(|_| self.fault(none))?;
        let loaded = provider().key_provider.load_private_key(key);
        loaded.map_err(|_| self.fault("it has a private key of a kind that TLS is not spoken with"))
    }
}

/// A certificate with its chain, and its key.
pub(super) fn identity(certificate: &Named, key: &Named) -> Result<CertifiedKey, Vec<String>> {
    let (chain, private) = match (certificate.certificates(), key.key()) {
        (Ok(chain), Ok(private)) => (chain, private),
        (chain, private) => {
            return Err([chain.err(), private.err()].into_iter().flatten().collect());
        }
    };
    let identity = CertifiedKey::new(chain, private);
    match identity.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(identity),
        Err(Error::InconsistentKeys(_)) => {
            let whose = certificate.path.display();
            let why = format!("it is not the key of the first certificate in {whose}");
            Err(vec![key.fault(why)])
        }
        Err(error) => Err(vec![certificate.fault(format!("its first is damaged: {error}"))]),
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| error.to_string())?;
    match bytes.len() as u64 > FILE_BYTES_MAX {
        true => Err(format!("it has more than {FILE_BYTES_MAX} bytes")),
        false => Ok(bytes),
    }
}
