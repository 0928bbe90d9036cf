//! What cargo says on standard output and leaves beside its artefacts.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The part of `cargo metadata --no-deps` that is needed here.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) target_directory: PathBuf,
    pub(crate) workspace_root: PathBuf,
}

/// A package of the workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
struct Target {
    crate_types: Vec<String>,
}

/// A crate that cargo built, with its files.
#[derive(Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Artifact {
    pub(crate) manifest_path: PathBuf,
    pub(crate) filenames: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(flatten)]
    artifact: Option<Artifact>,
}

impl Package {
    /// Whether it says that it builds a component.
    pub(crate) fn builds_component(&self) -> bool {
        self.targets.iter().any(|target| target.crate_types.iter().any(|kind| kind == "cdylib"))
    }
}

impl Artifact {
    /// The files with this extension.
    pub(crate) fn files<'a>(&'a self, extension: &'a str) -> impl Iterator<Item = &'a Path> {
        let fits = move |file: &&PathBuf| file.extension().is_some_and(|ext| ext == extension);
        self.filenames.iter().filter(fits).map(PathBuf::as_path)
    }
}

/// The artefacts named in the output of `cargo build --message-format=json…`.
///
/// Lines that are no messages are passed over: build scripts of dependencies may print.
pub(crate) fn artifacts(output: &str) -> Vec<Artifact> {
    let messages = output.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    messages
        .filter(|message| message.reason == "compiler-artifact")
        .filter_map(|message| message.artifact)
        .collect()
}

/// The sources named in a dep-info file (`target: source source …`, spaces escaped by `\`).
pub(crate) fn dep_info_inputs(text: &str) -> Vec<PathBuf> {
    let Some((_target, sources)) = text.lines().next().and_then(|line| line.split_once(": "))
    else {
        return Vec::new();
    };
    let mut inputs = vec![String::new()];
    let mut chars = sources.chars().peekable();
    while let Some(char) = chars.next() {
        match (char, inputs.last_mut()) {
            ('\\', Some(input)) if chars.peek() == Some(&' ') => {
                chars.next();
                input.push(' ');
            }
            (' ', _) => inputs.push(String::new()),
            (char, Some(input)) => input.push(char),
            (_, None) => {}
        }
    }
    inputs.into_iter().filter(|input| !input.is_empty()).map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn artefacts_are_found_among_other_messages() {
        let output = r#"
{"reason":"build-script-executed","package_id":"x","out_dir":"/o"}
hello from a build script
{"reason":"compiler-artifact","package_id":"p","manifest_path":"/g/Cargo.toml","target":{"kind":["cdylib","rlib"],"name":"g"},"filenames":["/t/g.wasm","/t/libg.rlib"],"fresh":true}
{"reason":"build-finished","success":true}
"#;
        let found = artifacts(output);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].manifest_path, Path::new("/g/Cargo.toml"));
        assert_eq!(found[0].files("wasm").collect::<Vec<_>>(), [Path::new("/t/g.wasm")]);
        assert_eq!(found[0].files("rlib").count(), 1);
    }

    #[test]
    fn dep_info_names_the_sources() {
        let cases: &[(&str, &[&str])] = &[
            ("/t/g.wasm: /g/src/lib.rs /g/src/a.rs\n", &["/g/src/lib.rs", "/g/src/a.rs"]),
            (r"/t/my\ g.wasm: /my\ g/src/lib.rs /b.rs", &["/my g/src/lib.rs", "/b.rs"]),
            (r"C:\t\g.wasm: C:\g\lib.rs", &[r"C:\g\lib.rs"]),
            ("/t/g.wasm:", &[]),
            ("", &[]),
        ];
        for (text, expected) in cases {
            let expected: Vec<PathBuf> = expected.iter().map(PathBuf::from).collect();
            assert_eq!(dep_info_inputs(text), expected, "{text}");
        }
    }
}
