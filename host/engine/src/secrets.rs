//! Secrets in files: a directory with a file for each, as orchestrators mount them.

use std::path::PathBuf;

use samara_core::{Secret, Secrets};

/// Bytes of a secret at most: the longest keys have some thousand.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// A directory with a file for each secret, `NAME`; and, where hosts know tenants, with a directory
/// for each of those, `TENANT/NAME`. One line end at the end of a file is not part of its secret.
///
/// Files are read when a task needs them, so that a new value counts from the next task on.
#[derive(Debug, Clone)]
pub struct SecretsDir(PathBuf);

// === impl SecretsDir ===

impl SecretsDir {
    /// The secrets below a directory.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self(directory.into())
    }
}

impl Secrets for SecretsDir {
    fn secret(&self, tenant: &str, name: &str) -> Option<Secret> {
        if !is_name(name) || !(tenant.is_empty() || is_name(tenant)) {
            return None;
        }
        let path = self.0.join(tenant).join(name);
        if std::fs::metadata(&path).ok()?.len() > SECRET_BYTES_MAX {
            tracing::warn!(secret = name, "a secret is longer than {SECRET_BYTES_MAX} bytes");
            return None;
        }
        let text = std::fs::read_to_string(&path).ok()?;
        let line = text.strip_suffix('\n').unwrap_or(&text);
        Some(line.to_owned().into())
    }
}

/// Whether a name is one of a file in the directory itself.
fn is_name(name: &str) -> bool {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && !name.starts_with('.') && name.len() <= 255 && name.chars().all(is_fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_has_secrets_of_its_own_and_no_others() {
        let directory = tempfile::tempdir().unwrap();
        let own = directory.path().join("acme");
        std::fs::create_dir(&own).unwrap();
        std::fs::write(directory.path().join("key"), "everybodys\n").unwrap();
        std::fs::write(own.join("key"), "acmes").unwrap();
        let secrets = SecretsDir::new(directory.path());
        let secret = |tenant, name| secrets.secret(tenant, name).map(|it| it.reveal().to_owned());
        assert_eq!(secret("", "key").as_deref(), Some("everybodys"));
        assert_eq!(secret("acme", "key").as_deref(), Some("acmes"));
        for (tenant, name) in [
            ("other", "key"),
            ("acme", "../key"),
            ("", "acme/key"),
            ("", ".."),
            ("..", "key"),
            ("", ""),
            ("acme", "none"),
        ] {
            assert_eq!(secret(tenant, name), None, "{tenant} {name}");
        }
        assert_eq!(format!("{:?}", secrets.secret("", "key")), "Some(***)");
    }
}
