//! `samara new`: a project that builds and runs at once.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::globals::Globals;
use crate::report::usage;

/// The files that every project has; `{{…}}` in them is replaced.
const FILES: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("templates/driver.toml")),
    ("function/Cargo.toml", include_str!("templates/function.toml")),
    (".gitignore", "/target\n/out\n"),
    (".cargo/config.toml", include_str!("templates/cargo-config.toml")),
    // Ours, so that a project is built with what it was tested with.
    ("rust-toolchain.toml", include_str!("../../../rust-toolchain.toml")),
];

/// A project to begin with.
#[derive(Debug)]
struct Template {
    name: &'static str,
    about: &'static str,
    /// What its functions depend on beside Samara, as a manifest has it.
    needs: &'static str,
    files: &'static [(&'static str, &'static str)],
    /// How the command runs its functions.
    run: &'static str,
}

/// Every template; the first is the default.
const TEMPLATES: &[Template] = &[
    Template {
        name: "word-count",
        about: "text, cut into partitions, counted and combined",
        needs: "",
        files: &[
            ("src/main.rs", include_str!("templates/word-count/main.rs")),
            ("function/src/lib.rs", include_str!("templates/word-count/lib.rs")),
            ("README.md", include_str!("templates/word-count/README.md")),
        ],
        run: "count --over README.md --reduce add",
    },
    Template {
        name: "monte-carlo",
        about: "many tasks of pure computing, each with a seed of its own",
        needs: "",
        files: &[
            ("src/main.rs", include_str!("templates/monte-carlo/main.rs")),
            ("function/src/lib.rs", include_str!("templates/monte-carlo/lib.rs")),
            ("README.md", include_str!("templates/monte-carlo/README.md")),
        ],
        run: "throw --input '[1, 1000000]' --input '[2, 1000000]' --reduce add",
    },
    Template {
        name: "etl-csv",
        about: "CSV files, cleaned and written to a place that was granted",
        needs: "csv = \"1\"\nserde = { version = \"1\", features = [\"derive\"] }\n",
        files: &[
            ("src/main.rs", include_str!("templates/etl-csv/main.rs")),
            ("function/src/lib.rs", include_str!("templates/etl-csv/lib.rs")),
            ("README.md", include_str!("templates/etl-csv/README.md")),
            ("data/orders-1.csv", include_str!("templates/etl-csv/orders-1.csv")),
            ("data/orders-2.csv", include_str!("templates/etl-csv/orders-2.csv")),
        ],
        run: "clean --over 'data/*.csv' --input '\"mem://out\"' --grant-write mem://out/ --reduce add",
    },
];

/// Names that a package cannot have beside the ones it depends on, or at all.
const RESERVED: &[&str] = &[
    "abstract",
    "alloc",
    "anyhow",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "build",
    "const",
    "continue",
    "core",
    "crate",
    "csv",
    "deps",
    "do",
    "dyn",
    "else",
    "enum",
    "examples",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "incremental",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "proc_macro",
    "pub",
    "ref",
    "return",
    "samara",
    "self",
    "serde",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "union",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

/// Makes a project: a crate of functions with tests, and a program that runs them as tasks.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::EXIT_CODES)]
pub(crate) struct Arguments {
    /// The directory to make. It may exist if it is empty.
    #[arg(required_unless_present = "list")]
    path: Option<PathBuf>,

    /// What the project does to begin with; --list says which there are.
    #[arg(long, value_name = "NAME", default_value = TEMPLATES[0].name)]
    template: String,

    /// Lists the templates.
    #[arg(long)]
    list: bool,

    /// The project's name; that of the directory by default.
    #[arg(long)]
    name: Option<String>,

    /// A checkout of Samara to depend on; by default the one that this command was built from, or
    /// the published crates where it is gone.
    #[arg(long, value_name = "DIR")]
    samara_path: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments, globals: &Globals) -> Result<ExitCode> {
    let path = match &arguments.path {
        Some(path) if !arguments.list => path,
        _ => return list(globals),
    };
    let template = template(&arguments.template)?;
    let name = match &arguments.name {
        Some(name) => name.clone(),
        None => directory_name(path)?,
    };
    check_name(&name)?;
    let checkout = checkout(arguments.samara_path.as_deref())?;
    refuse_occupied(path)?;
    let files = || FILES.iter().chain(template.files);
    for (file, text) in files() {
        let file = path.join(file);
        let text = text.replace("{{needs}}\n", template.needs);
        write(&file, &fill(&text, &name, checkout.as_deref()))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    let mut out = io::stdout().lock();
    if globals.json {
        let files: Vec<&str> = files().map(|(file, _)| *file).collect();
        let made = serde_json::json!({
            "name": name,
            "path": path,
            "template": template.name,
            "files": files,
        });
        writeln!(out, "{made}")?;
    } else if !globals.verbosity.quiet {
        writeln!(
            out,
            "made {name} in {dir}; next:\n\n  cd {dir}\n  cargo test -p {name}-function\n  \
             cargo run\n  samara run . {}",
            template.run,
            dir = path.display()
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

fn list(globals: &Globals) -> Result<ExitCode> {
    let mut out = io::stdout().lock();
    for Template { name, about, .. } in TEMPLATES {
        match globals.json {
            true => writeln!(out, "{}", serde_json::json!({ "name": name, "about": about }))?,
            false => writeln!(out, "{name:12}  {about}")?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn template(name: &str) -> Result<&'static Template> {
    TEMPLATES.iter().find(|template| template.name == name).ok_or_else(|| {
        let names: Vec<&str> = TEMPLATES.iter().map(|template| template.name).collect();
        usage(format!("no template is called `{name}`; there are: {}", names.join(", ")))
    })
}

/// The last part of a path, also of `.`.
fn directory_name(path: &Path) -> Result<String> {
    let whole = std::path::absolute(path)
        .with_context(|| format!("cannot find the directory {}", path.display()))?;
    let name = whole.file_name().map(|name| name.to_string_lossy().into_owned());
    name.ok_or_else(|| usage(format!("{} has no name; give one: --name", path.display())))
}

/// Refuses what cargo would refuse, and what would clash with a dependency.
fn check_name(name: &str) -> Result<()> {
    let refuse = |why: &str| {
        Err(usage(format!("`{name}` cannot be a crate's name: {why}; choose one: --name")))
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    match name.chars().next() {
        None => return refuse("it is empty"),
        Some(first) if !first.is_ascii_alphabetic() => {
            return refuse("it begins with something other than a letter (a-z)");
        }
        Some(_) => {}
    }
    if let Some(wrong) = name.chars().find(|c| !allowed(*c)) {
        return refuse(&format!("it has a `{wrong}`; letters, digits, `-` and `_` are allowed"));
    }
    if RESERVED.contains(&name) || name.starts_with("samara-") || name.starts_with("samara_") {
        return refuse("Rust, cargo or Samara has it already");
    }
    Ok(())
}

/// The checkout to depend on; none where the published crates are to be used.
fn checkout(given: Option<&Path>) -> Result<Option<String>> {
    let is_checkout = |path: &Path| {
        path.join("host/driver/Cargo.toml").is_file() && path.join("guest-sdk/Cargo.toml").is_file()
    };
    let Some(given) = given else {
        let built_from = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
        let there = built_from.filter(|path| is_checkout(path)).and_then(Path::to_str);
        return Ok(there.map(str::to_owned));
    };
    let refuse = |why| usage(format!("--samara-path {}: {why}", given.display()));
    if !is_checkout(given) {
        return Err(refuse("not a checkout of Samara; it lacks host/driver or guest-sdk"));
    }
    let whole = given.canonicalize().with_context(|| format!("cannot find {}", given.display()))?;
    let text = whole.into_os_string().into_string();
    Ok(Some(text.map_err(|_| refuse("a manifest cannot name it, it is not UTF-8"))?))
}

fn refuse_occupied(path: &Path) -> Result<()> {
    match fs::read_dir(path) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(usage(format!(
                "{} exists and is not empty; choose another directory",
                path.display()
            ))),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot use {}", path.display())),
    }
}

fn write(file: &Path, text: &str) -> io::Result<()> {
    if let Some(dir) = file.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::write(file, text)
}

fn fill(template: &str, name: &str, checkout: Option<&str>) -> String {
    template
        .replace("{{name}}", name)
        .replace("{{crate}}", &name.replace('-', "_"))
        .replace("{{samara}}", &dependency(checkout, "host/driver"))
        .replace("{{samara-guest}}", &dependency(checkout, "guest-sdk"))
}

/// The right side of a dependency in a manifest.
fn dependency(checkout: Option<&str>, room: &str) -> String {
    // The strings of JSON are strings of TOML.
    let quoted = |text: String| serde_json::Value::from(text).to_string();
    match checkout {
        Some(checkout) => format!("{{ path = {} }}", quoted(format!("{checkout}/{room}"))),
        None => quoted(env!("CARGO_PKG_VERSION").to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_crates() {
        for name in ["a", "word-count", "word_count2", "A"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for (name, wanted) in [
            ("", "it is empty"),
            ("1st", "begins with something other than a letter"),
            ("-a", "begins with something other than a letter"),
            ("größe", "it has a `ö`"),
            ("my project", "it has a ` `"),
            ("match", "has it already"),
            ("serde", "has it already"),
            ("samara-guest", "has it already"),
        ] {
            let error = check_name(name).unwrap_err().to_string();
            assert!(error.contains(wanted), "{name}: {error}");
        }
    }

    #[test]
    fn a_name_comes_from_the_directory() {
        assert_eq!(directory_name(Path::new("a/b")).unwrap(), "b");
        assert_eq!(directory_name(Path::new("a/b/.")).unwrap(), "b");
        assert!(directory_name(Path::new("/")).is_err());
    }

    #[test]
    fn nothing_is_left_to_fill_in() {
        for checkout in [None, Some("/a \"checkout\"/samara")] {
            for template in TEMPLATES {
                for (file, text) in FILES.iter().chain(template.files) {
                    let text = text.replace("{{needs}}\n", template.needs);
                    let text = fill(&text, "my-words", checkout);
                    assert!(!text.contains("{{"), "{file}: {text}");
                }
            }
        }
        assert_eq!(dependency(None, "guest-sdk"), format!("{:?}", env!("CARGO_PKG_VERSION")));
        assert_eq!(dependency(Some("/c"), "guest-sdk"), "{ path = \"/c/guest-sdk\" }");
    }
}
