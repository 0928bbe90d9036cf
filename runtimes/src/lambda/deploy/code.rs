//! The code of a function: a zip file with `bootstrap`, the same bytes for the same host.

use std::collections::BTreeMap;
use std::io::{Cursor, Write as _};
use std::path::Path;

use samara_core::{Error, ErrorKind};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::deploy::package::{Package, Program};

/// The GNU C library of `provided.al2023`.
const GLIBC: (u32, u32) = (2, 34);

/// Bytes of a zip file that a request carries, as Lambda has it.
const REQUEST_BYTES_MAX: usize = 50 << 20;

/// Bytes of all files together, as Lambda has it.
const FILES_BYTES_MAX: usize = 250 << 20;

/// How hard it is packed: the default, which is a second for a release.
const LEVEL: i64 = 6;

/// The files of a function that is this host.
///
/// A host that was built against a newer C library than Lambda's brings its own, with the loader
/// that fits it: the variable that Lambda sets names the directory.
pub(super) fn package(path: &Path) -> Result<Package, Error> {
    let program = Program::read(path)?;
    let is_newer = program.elf.glibc.is_some_and(|version| version > GLIBC);
    let machine = program.elf.machine;
    let files = files(program, is_newer)?;
    let length: usize = files.values().map(Vec::len).sum();
    if length > FILES_BYTES_MAX {
        let text = format!(
            "{} and its libraries have {} MiB, and Lambda takes {} MiB; build it with --release, \
             or `strip` it",
            path.display(),
            length >> 20,
            FILES_BYTES_MAX >> 20
        );
        return Err(Error::new(ErrorKind::Invalid, text));
    }
    Ok(Package { files, machine })
}

fn files(program: Program, with_libraries: bool) -> Result<BTreeMap<String, Vec<u8>>, Error> {
    let mut files = BTreeMap::new();
    match program.loader().filter(|_| with_libraries) {
        None => drop(files.insert("bootstrap".to_owned(), program.bytes)),
        Some(loader) => {
            for (name, bytes) in program.libraries()? {
                files.insert(format!("lib/{name}"), bytes);
            }
            files.insert("bootstrap".to_owned(), script(loader).into_bytes());
            files.insert("samara-host".to_owned(), program.bytes);
        }
    }
    Ok(files)
}

fn script(loader: &str) -> String {
    format!(
        "#!/bin/sh\nset -eu\nexec \"$LAMBDA_TASK_ROOT/lib/{loader}\" --library-path \
         \"$LAMBDA_TASK_ROOT/lib\" \"$LAMBDA_TASK_ROOT/samara-host\"\n"
    )
}

/// The zip file: names in order, one moment for all of them, each executable.
pub(super) fn pack(package: &Package) -> Result<Vec<u8>, Error> {
    let failed = |error: String| {
        Error::new(ErrorKind::Internal, format!("the code cannot be packed: {error}"))
    };
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(LEVEL))
        .last_modified_time(DateTime::default())
        .unix_permissions(0o755);
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in &package.files {
        writer.start_file(name.as_str(), options).map_err(|error| failed(error.to_string()))?;
        writer.write_all(bytes).map_err(|error| failed(error.to_string()))?;
    }
    let packed = writer.finish().map_err(|error| failed(error.to_string()))?;
    Ok(packed.into_inner())
}

/// Refuses code that a request cannot carry.
pub(super) fn check_request(bytes: &[u8]) -> Result<(), Error> {
    if bytes.len() > REQUEST_BYTES_MAX {
        let text = format!(
            "the code has {} MiB, and a request to Lambda carries {} MiB; name a bucket of the same \
             region for it to pass through (--bucket), or build the host with --release",
            bytes.len() >> 20,
            REQUEST_BYTES_MAX >> 20
        );
        return Err(Error::new(ErrorKind::Invalid, text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::io::Read as _;
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;

    use expect_test::expect;
    use zip::ZipArchive;

    use super::*;

    #[test]
    fn a_zip_is_the_same_each_time_and_holds_an_executable_bootstrap() {
        let package = package(&std::env::current_exe().unwrap()).unwrap();
        let bytes = pack(&package).unwrap();
        assert!(bytes == pack(&package).unwrap());
        let mut archive = ZipArchive::new(Cursor::new(bytes)).unwrap();
        let mut bootstrap = archive.by_name("bootstrap").unwrap();
        assert_eq!(bootstrap.unix_mode().unwrap() & 0o777, 0o755);
        let mut start = [0; 2];
        bootstrap.read_exact(&mut start).unwrap();
        assert!(start == *b"\x7fE" || start == *b"#!", "{start:?}");
    }

    #[test]
    fn a_host_for_a_newer_system_runs_with_the_libraries_that_it_brings() {
        let directory = tempfile::tempdir().unwrap();
        let program = Program::read(Path::new("/bin/echo")).unwrap();
        let files = files(program, true).unwrap();
        let names: Vec<&str> = files.keys().map(String::as_str).collect();
        assert!(names.contains(&"bootstrap") && names.contains(&"lib/libc.so.6"), "{names:?}");
        for (name, bytes) in &files {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, bytes).unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        }
        let mut command = Command::new("/bin/sh");
        command.arg(directory.path().join("bootstrap")).env_clear();
        let output = command.env("LAMBDA_TASK_ROOT", directory.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    #[test]
    fn the_start_of_a_host_with_libraries_is_as_it_was() {
        expect![[r#"
            #!/bin/sh
            set -eu
            exec "$LAMBDA_TASK_ROOT/lib/ld-linux-x86-64.so.2" --library-path "$LAMBDA_TASK_ROOT/lib" "$LAMBDA_TASK_ROOT/samara-host"
        "#]]
        .assert_eq(&script("ld-linux-x86-64.so.2"));
    }

    #[test]
    fn too_much_for_a_request_names_the_way_out() {
        check_request(&[0; 8]).unwrap();
        let error = check_request(&vec![0; REQUEST_BYTES_MAX + 1]).unwrap_err();
        assert!(error.message.contains("--bucket"), "{error}");
    }
}
