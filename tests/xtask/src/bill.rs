//! Bills of materials: every crate that a program is built of, with its version, its licence, and
//! the checksum that the registry has of it. CycloneDX 1.5, as JSON.
//!
//! What is in a program is for `cargo tree` to say, because features decide it, and the checksums are
//! those of `Cargo.lock`, against which cargo checks each crate that it fetches.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

/// The version of the format.
const VERSION: &str = "1.5";

/// What `cargo tree` is asked to say of a crate; `parse` reads it. No licence and no address has
/// the mark between.
pub(crate) const FORMAT: &str = "|{p}|{l}|{r}";

/// A crate by name and version. One program has it from one source: others are refused by
/// `cargo deny`.
pub(crate) type Name = (String, String);

/// A crate of a program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Crate {
    licence: String,
    repository: String,
    depends_on: BTreeSet<Name>,
}

/// What a program is built of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Bill {
    /// The crate that is the program.
    root: Name,
    crates: BTreeMap<Name, Crate>,
}

/// Checksums of crates from the registry.
pub(crate) type Checksums = BTreeMap<Name, String>;

// === impl Bill ===

impl Bill {
    /// Reads what `cargo tree --prefix depth --format FORMAT` says of one crate.
    pub(crate) fn parse(tree: &str) -> Result<Self> {
        let mut bill = Self::default();
        let mut above: Vec<Name> = Vec::new();
        for line in tree.lines().filter(|line| !line.is_empty()) {
            let parts: Vec<&str> = line.split('|').collect();
            let [depth, package, licence, rest] = parts[..] else { bail!("`{line}` is no crate") };
            let depth: usize = depth.parse().with_context(|| format!("`{line}` has no depth"))?;
            let name = name(package).with_context(|| format!("`{package}` has no version"))?;
            // Where it stood before, what is below it did too.
            let repository = rest.trim_end_matches(" (*)").to_owned();
            let licence = licence.replace('/', " OR ");
            above.truncate(depth);
            match above.last() {
                Some(parent) => {
                    let parent = bill.crates.get_mut(parent).context("a crate before its own")?;
                    parent.depends_on.insert(name.clone());
                }
                None => bill.root = name.clone(),
            }
            let entry = bill.crates.entry(name.clone()).or_default();
            (entry.licence, entry.repository) = (licence, repository);
            above.push(name);
        }
        if bill.crates.is_empty() {
            bail!("cargo tree said nothing");
        }
        Ok(bill)
    }

    /// Adds what another program is built of that this one holds.
    pub(crate) fn hold(&mut self, other: Self) {
        if let Some(own) = self.crates.get_mut(&self.root) {
            own.depends_on.insert(other.root);
        }
        for (name, found) in other.crates {
            let own = self.crates.entry(name).or_insert_with(|| found.clone());
            own.depends_on.extend(found.depends_on);
        }
    }

    /// The bill as CycloneDX has it. The same sources make the same text: it names no time.
    pub(crate) fn to_json(&self, program: &Program<'_>, checksums: &Checksums) -> Value {
        let others = self.crates.iter().filter(|(name, _)| **name != self.root);
        let components: Vec<Value> =
            others.map(|(name, found)| component("library", name, found, checksums)).collect();
        let dependencies: Vec<Value> = self
            .crates
            .iter()
            .map(|(name, found)| {
                let on: Vec<String> = found.depends_on.iter().map(reference).collect();
                json!({ "ref": reference(name), "dependsOn": on })
            })
            .collect();
        let mut root = component("application", &self.root, &self.crates[&self.root], checksums);
        if let Some(sha256) = program.sha256 {
            root["hashes"] = json!([{ "alg": "SHA-256", "content": sha256 }]);
        }
        root["name"] = program.name.into();
        json!({
            "bomFormat": "CycloneDX",
            "specVersion": VERSION,
            "version": 1,
            "metadata": {
                "component": root,
                "properties": [
                    { "name": "samara:target", "value": program.target },
                    { "name": "samara:commit", "value": program.commit },
                ],
            },
            "components": components,
            "dependencies": dependencies,
        })
    }
}

/// The program that a bill is of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Program<'a> {
    pub(crate) name: &'a str,
    pub(crate) target: &'a str,
    pub(crate) commit: &'a str,
    /// None where it was not built.
    pub(crate) sha256: Option<&'a str>,
}

/// Reads the checksums of a `Cargo.lock`.
pub(crate) fn checksums(lock: &str) -> Result<Checksums> {
    let lock: toml::Table = lock.parse().context("Cargo.lock cannot be read")?;
    let packages = lock.get("package").and_then(toml::Value::as_array);
    let said = |package: &toml::Value| {
        let text = |key: &str| Some(package.get(key)?.as_str()?.to_owned());
        Some(((text("name")?, text("version")?), text("checksum")?))
    };
    Ok(packages.into_iter().flatten().filter_map(said).collect())
}

/// What is wrong with a bill: `tree` is what `cargo tree --prefix none` says of its program, and of
/// what that holds.
pub(crate) fn faults(bill: &Value, tree: &str, checksums: &Checksums) -> Vec<String> {
    let mut faults = Vec::new();
    if (&bill["bomFormat"], &bill["specVersion"]) != (&json!("CycloneDX"), &json!(VERSION)) {
        faults.push(format!("it is no CycloneDX {VERSION}"));
    }
    let root = &bill["metadata"]["component"];
    let all = bill["components"].as_array().map_or(&[][..], Vec::as_slice);
    let mut found = BTreeMap::new();
    for component in all.iter().chain([root]) {
        let text = |key: &str| component[key].as_str().unwrap_or_default().to_owned();
        let name = match text("purl").strip_prefix("pkg:cargo/").and_then(|it| it.split_once('@')) {
            Some((name, version)) => (name.to_owned(), version.to_owned()),
            None => {
                faults.push(format!("`{}` is no crate", text("name")));
                continue;
            }
        };
        if found.insert(name.clone(), component).is_some() {
            faults.push(format!("{} {} is there twice", name.0, name.1));
        }
    }
    let wanted: BTreeSet<Name> = tree.lines().filter_map(name).collect();
    for name in &wanted {
        match found.get(name) {
            None => faults.push(format!("{} {} is missing", name.0, name.1)),
            Some(component) => faults.extend(component_faults(name, component, checksums)),
        }
    }
    let more = found.keys().filter(|name| !wanted.contains(*name));
    faults.extend(more.map(|(name, version)| format!("{name} {version} is none of its crates")));
    faults.extend(reference_faults(bill, &found));
    faults
}

fn component_faults((name, version): &Name, component: &Value, sums: &Checksums) -> Vec<String> {
    let mut faults = Vec::new();
    if component["version"].as_str() != Some(version) {
        faults.push(format!("{name} {version} has another version"));
    }
    let licence = component["licenses"][0]["expression"].as_str().unwrap_or_default();
    if licence.is_empty() {
        faults.push(format!("{name} {version} has no licence"));
    }
    let wanted = sums.get(&(name.clone(), version.clone()));
    let hash = component["hashes"][0]["content"].as_str();
    if wanted.is_some_and(|wanted| hash != Some(wanted)) {
        faults.push(format!("{name} {version} has not the checksum that Cargo.lock has"));
    }
    faults
}

/// Who depends on whom, by names that are there.
fn reference_faults(bill: &Value, found: &BTreeMap<Name, &Value>) -> Vec<String> {
    let known: BTreeSet<String> = found.keys().map(reference).collect();
    let dependencies = bill["dependencies"].as_array().map_or(&[][..], Vec::as_slice);
    let named = dependencies.iter().flat_map(|entry| {
        let on = entry["dependsOn"].as_array().into_iter().flatten();
        on.chain([&entry["ref"]]).filter_map(Value::as_str)
    });
    let unknown = named.filter(|name| !known.contains(*name));
    let mut faults: Vec<String> =
        unknown.map(|name| format!("`{name}` is depended on, and not there")).collect();
    let said: BTreeSet<&str> =
        dependencies.iter().filter_map(|entry| entry["ref"].as_str()).collect();
    let silent = known.iter().filter(|name| !said.contains(name.as_str()));
    faults.extend(silent.map(|name| format!("what `{name}` depends on is not said")));
    faults
}

/// Crates that were compiled, of what `cargo build --message-format=json` says.
pub(crate) fn compiled(messages: &str) -> BTreeSet<Name> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let artifacts = messages.filter(|message| message["reason"] == "compiler-artifact");
    let name = |message: Value| {
        // `SOURCE#NAME@VERSION`, or `SOURCE/NAME#VERSION`.
        let (source, end) = message["package_id"].as_str()?.rsplit_once('#')?;
        let (name, version) = match end.split_once('@') {
            Some(both) => both,
            None => (source.rsplit('/').next()?, end),
        };
        Some((name.to_owned(), version.to_owned()))
    };
    artifacts.filter_map(name).collect()
}

/// Crates of these that a bill does not have.
pub(crate) fn missing(bill: &Bill, crates: &BTreeSet<Name>) -> Vec<String> {
    let missing = crates.iter().filter(|name| !bill.crates.contains_key(*name));
    missing
        .map(|(name, version)| format!("{name} {version} was compiled, and is missing"))
        .collect()
}

fn component(kind: &str, name: &Name, found: &Crate, checksums: &Checksums) -> Value {
    let mut component = json!({
        "type": kind,
        "bom-ref": reference(name),
        "name": name.0,
        "version": name.1,
        "purl": reference(name),
        "licenses": [{ "expression": found.licence }],
    });
    if let Some(checksum) = checksums.get(name) {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    if !found.repository.is_empty() {
        component["externalReferences"] = json!([{ "type": "vcs", "url": found.repository }]);
    }
    component
}

fn reference((name, version): &Name) -> String {
    format!("pkg:cargo/{name}@{version}")
}

/// The crate in `NAME vVERSION (…)`.
fn name(package: &str) -> Option<Name> {
    let mut words = package.split_whitespace();
    let name = words.next()?;
    let version = words.next()?.strip_prefix('v')?;
    Some((name.to_owned(), version.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "0|app v1.0.0 (/x)|Apache-2.0|\n\
                        1|a v0.1.0|MIT/Apache-2.0|https://example.com/a\n\
                        2|b v0.2.0 (proc-macro)|MIT|\n\
                        1|b v0.2.0 (proc-macro)|MIT| (*)\n";
    const PLAIN: &str = "app v1.0.0 (/x)\na v0.1.0\nb v0.2.0 (proc-macro)\nb v0.2.0 (*)\n";
    const LOCK: &str = "[[package]]\nname = \"app\"\nversion = \"1.0.0\"\n\
                        [[package]]\nname = \"a\"\nversion = \"0.1.0\"\nchecksum = \"aa\"\n\
                        [[package]]\nname = \"b\"\nversion = \"0.2.0\"\nchecksum = \"bb\"\n";

    fn bill() -> Value {
        let program = Program { name: "app", target: "x", commit: "c", sha256: Some("00") };
        Bill::parse(TREE).unwrap().to_json(&program, &checksums(LOCK).unwrap())
    }

    fn faults_of(bill: &Value) -> Vec<String> {
        faults(bill, PLAIN, &checksums(LOCK).unwrap())
    }

    #[test]
    fn a_bill_has_every_crate_with_licence_and_checksum() {
        let bill = bill();
        assert_eq!(faults_of(&bill), Vec::<String>::new());
        assert_eq!(bill["components"][0]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(bill["components"][1]["hashes"][0]["content"], "bb");
        assert_eq!(bill["metadata"]["component"]["hashes"][0]["content"], "00");
        let on = &bill["dependencies"][1];
        assert_eq!(
            on,
            &json!({
                "ref": "pkg:cargo/app@1.0.0",
                "dependsOn": ["pkg:cargo/a@0.1.0", "pkg:cargo/b@0.2.0"],
            })
        );
    }

    #[test]
    fn what_a_bill_lacks_is_said() {
        let with = |change: fn(&mut Value)| {
            let mut bill = bill();
            change(&mut bill);
            faults_of(&bill).join("; ")
        };
        for (said, wanted) in [
            (
                with(|bill| drop(bill["components"].as_array_mut().unwrap().remove(0))),
                "a 0.1.0 is missing",
            ),
            (with(|bill| bill["components"][0]["licenses"] = json!([])), "a 0.1.0 has no licence"),
            (
                with(|bill| bill["components"][1]["hashes"][0]["content"] = "cc".into()),
                "b 0.2.0 has not the checksum",
            ),
            (
                with(|bill| bill["components"][1]["version"] = "9".into()),
                "b 0.2.0 has another version",
            ),
            (
                with(|bill| bill["components"][1]["purl"] = "pkg:cargo/c@1".into()),
                "c 1 is none of its crates",
            ),
            (with(|bill| bill["dependencies"] = json!([])), "depends on is not said"),
            (with(|bill| bill["specVersion"] = "1.4".into()), "no CycloneDX 1.5"),
        ] {
            assert!(said.contains(wanted), "{said}");
        }
    }

    #[test]
    fn what_a_program_holds_is_in_its_bill() {
        let mut bill = Bill::parse(TREE).unwrap();
        bill.hold(Bill::parse("0|guest v3.0.0 (/y)|MIT|\n1|c v1.0.0|MIT|\n").unwrap());
        let program = Program { name: "app", target: "x", commit: "c", sha256: None };
        let json = bill.to_json(&program, &checksums(LOCK).unwrap());
        let tree = format!("{PLAIN}guest v3.0.0 (/y)\nc v1.0.0\n");
        assert_eq!(faults(&json, &tree, &checksums(LOCK).unwrap()), Vec::<String>::new());
    }

    #[test]
    fn crates_that_were_compiled_have_to_be_there() {
        let messages = "{\"reason\":\"compiler-artifact\",\"package_id\":\"registry+https://r#a@0.1.0\"}\n\
                        {\"reason\":\"compiler-artifact\",\"package_id\":\"path+file:///x/app#1.0.0\"}\n\
                        {\"reason\":\"compiler-artifact\",\"package_id\":\"registry+https://r#z@7.0.0\"}\n\
                        {\"reason\":\"build-finished\"}\nnoise\n";
        let missing = missing(&Bill::parse(TREE).unwrap(), &compiled(messages));
        assert_eq!(missing, ["z 7.0.0 was compiled, and is missing"]);
    }

    #[test]
    fn what_is_no_tree_is_refused() {
        for tree in ["", "nonsense", "x|a v1||", "0|a||"] {
            assert!(Bill::parse(tree).is_err(), "{tree:?}");
        }
    }
}
