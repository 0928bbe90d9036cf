//! The host's image: a directory that `buildah`, `podman` or `docker` makes one of, with the program,
//! the shared libraries that it needs, the certificates of authorities, and nothing else.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use samara_core::{Error, ErrorKind};

use super::package::Program;

/// Where systems keep the certificates of authorities, in one file.
const CERTIFICATES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Where they are in the image, which is where Debian has them and everybody looks first.
const CERTIFICATES_INSIDE: &str = "etc/ssl/certs/ca-certificates.crt";

/// As whom the host runs: nobody's number, which no system has given away.
const USER: u32 = 65_532;

/// Writes the directory: `Containerfile`, and what it copies.
///
/// # Errors
///
/// Where the program, one of its libraries or the certificates cannot be read, or the directory is
/// not empty.
pub fn write_context(directory: &Path, program: &Path) -> Result<(), Error> {
    let program = Program::read(program)?;
    let mut files = BTreeMap::new();
    let mut libraries = None;
    if let Some(loader) = program.elf.interpreter.clone() {
        // The loader has its path in the program; the others lie beside it.
        let place = Path::new(&loader).parent().unwrap_or_else(|| Path::new("/lib"));
        let place = place.to_string_lossy().trim_matches('/').to_owned();
        for (name, bytes) in program.libraries()? {
            files.insert(format!("{place}/{name}"), (bytes, 0o755));
        }
        libraries = Some(place);
    }
    files.insert("samara-host".to_owned(), (program.bytes, 0o755));
    files.insert(CERTIFICATES_INSIDE.to_owned(), (certificates()?, 0o644));
    let containerfile = containerfile(libraries.as_deref());
    files.insert("Containerfile".to_owned(), (containerfile.into_bytes(), 0o644));
    write(directory, &files)
}

fn containerfile(libraries: Option<&str>) -> String {
    let (mut copied, mut found) = (String::new(), String::new());
    if let Some(place) = libraries {
        copied = format!("COPY {place} /{place}\n");
        found = format!("ENV LD_LIBRARY_PATH=/{place}\n");
    }
    format!(
        "# Made by `samara deploy --image-context`: the host, what it needs, and nothing else.\n\
         FROM scratch\n\
         {copied}\
         COPY etc /etc\n\
         COPY --chown={USER}:{USER} cache /cache\n\
         COPY samara-host /samara-host\n\
         {found}\
         ENV SAMARA_HOST_CACHE_DIR=/cache\n\
         LABEL org.opencontainers.image.title=samara-host\n\
         LABEL org.opencontainers.image.version={version}\n\
         EXPOSE 8080\n\
         USER {USER}:{USER}\n\
         ENTRYPOINT [\"/samara-host\"]\n",
        version = super::VERSION,
    )
}

fn certificates() -> Result<Vec<u8>, Error> {
    let found = CERTIFICATES.iter().find_map(|path| fs::read(path).ok());
    found.ok_or_else(|| {
        let places = CERTIFICATES.join(", ");
        let text = format!(
            "this machine has no certificates of authorities (looked at {places}); hosts need them \
             to reach stores: install the package `ca-certificates`"
        );
        Error::new(ErrorKind::NotFound, text)
    })
}

fn write(directory: &Path, files: &BTreeMap<String, (Vec<u8>, u32)>) -> Result<(), Error> {
    let failed = |path: &Path, error: &std::io::Error| {
        Error::new(ErrorKind::Invalid, format!("cannot write {}: {error}", path.display()))
    };
    if fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some()) {
        let text = format!("{} is not empty; name a new directory", directory.display());
        return Err(Error::new(ErrorKind::Invalid, text));
    }
    let cache = directory.join("cache");
    fs::create_dir_all(&cache).map_err(|error| failed(&cache, &error))?;
    // Code that is compiled there runs outside the sandbox: the host uses no directory that others
    // can write to.
    let mode = Permissions::from_mode(0o700);
    fs::set_permissions(&cache, mode).map_err(|error| failed(&cache, &error))?;
    for (name, (bytes, mode)) in files {
        let path = directory.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|error| failed(parent, &error))?;
        }
        fs::write(&path, bytes).map_err(|error| failed(&path, &error))?;
        let mode = Permissions::from_mode(*mode);
        fs::set_permissions(&path, mode).map_err(|error| failed(&path, &error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn an_image_has_the_host_and_what_it_needs() {
        let directory = tempfile::tempdir().unwrap();
        let this = std::env::current_exe().unwrap();
        write_context(directory.path(), &this).unwrap();
        let mode = fs::metadata(directory.path().join("samara-host")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
        assert!(directory.path().join(CERTIFICATES_INSIDE).is_file());
        let error = write_context(directory.path(), &this).unwrap_err();
        assert!(error.message.contains("is not empty"), "{error}");
    }

    #[test]
    fn a_containerfile_is_as_it_was() {
        expect![[r#"
            # Made by `samara deploy --image-context`: the host, what it needs, and nothing else.
            FROM scratch
            COPY lib64 /lib64
            COPY etc /etc
            COPY --chown=65532:65532 cache /cache
            COPY samara-host /samara-host
            ENV LD_LIBRARY_PATH=/lib64
            ENV SAMARA_HOST_CACHE_DIR=/cache
            LABEL org.opencontainers.image.title=samara-host
            LABEL org.opencontainers.image.version=0.1.0
            EXPOSE 8080
            USER 65532:65532
            ENTRYPOINT ["/samara-host"]
        "#]]
        .assert_eq(&containerfile(Some("lib64")));
        assert!(!containerfile(None).contains("LD_LIBRARY_PATH"));
    }
}
