//! What a tenant's process is told and given, by the tenant's grants.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use samara_core::{Access, Grants};
use samara_engine::CacheKey;
use samara_runtimes::local::apart::Orders;
use samara_store::{Locator, Needs};
use serde::{Deserialize, Serialize};

use super::probe::Trials;

/// What a process is told before anything else. It is never shown, because there are keys in it.
#[derive(Serialize, Deserialize)]
pub(super) struct Told {
    /// Empty for a process that only tries what this machine has.
    pub(super) tenant: String,
    /// The host's process.
    pub(super) parent: u32,
    pub(super) log: String,
    pub(super) slots: usize,
    pub(super) count_fuel: bool,
    /// Whether it compiles itself; else the host does.
    pub(super) compiles: bool,
    /// The tenant's own directory of compiled code, and its key.
    pub(super) cache: Option<(PathBuf, [u8; 32])>,
    /// Settings of stores: place, name, value.
    pub(super) stores: Vec<(String, String, String)>,
    /// Variables that are settings of stores.
    pub(super) variables: BTreeMap<String, String>,
    pub(super) bounds: Bounds,
    /// Bytes of its own that it may have beyond those with which it begins.
    pub(super) memory: u64,
    /// What was there where grants lead: where that is something else, so is the process.
    pub(super) roots: Roots,
    pub(super) trials: Option<Trials>,
}

/// Places of the disk, and device and number of what was there.
type Roots = Vec<(PathBuf, Option<(u64, u64)>)>;

/// What of the machine a process may touch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bounds {
    /// Files and directories to read.
    pub(super) read: Vec<PathBuf>,
    /// Files and directories to read and write.
    pub(super) write: Vec<PathBuf>,
    /// Whether it may begin connections.
    pub(super) network: bool,
    /// Whether objects are written to files, which may be long.
    pub(super) writes_objects: bool,
}

/// A plan, and whether it still holds.
pub(super) struct Plan {
    grants: Arc<Grants>,
    memory: u64,
    /// What grants name on the disk, and what was there: a rule is of that.
    roots: Roots,
    pub(super) orders: Arc<Orders>,
}

/// What is the same for all tenants of a host.
pub(super) struct Common {
    pub(super) log: String,
    pub(super) slots: usize,
    pub(super) count_fuel: bool,
    pub(super) compiles: bool,
    pub(super) cache: Option<(PathBuf, CacheKey)>,
    pub(super) stores: samara_store::Settings,
    pub(super) variables: BTreeMap<String, String>,
}

// === impl Told ===

impl Told {
    /// What is told to everybody.
    pub(super) fn new(common: &Common, tenant: &str) -> Self {
        Self {
            tenant: tenant.to_owned(),
            parent: std::process::id(),
            log: common.log.clone(),
            slots: common.slots,
            count_fuel: common.count_fuel,
            compiles: common.compiles,
            cache: None,
            stores: Vec::new(),
            variables: BTreeMap::new(),
            bounds: Bounds::default(),
            memory: 0,
            roots: Vec::new(),
            trials: None,
        }
    }

    /// As it goes to a process.
    pub(super) fn orders(&self, environment: BTreeMap<String, String>) -> Result<Orders, String> {
        let first = serde_json::to_vec(self).map_err(|error| error.to_string())?;
        let environment = environment.into_iter().collect();
        Ok(Orders { tenant: self.tenant.clone(), first: first.into(), environment })
    }
}

// === impl Plan ===

impl Plan {
    /// Plans a tenant's process, with that much memory; makes the directories that it writes to.
    pub(super) fn new(
        common: &Common,
        tenant: &str,
        (grants, memory): (Arc<Grants>, u64),
    ) -> Result<Self, String> {
        let mut told = Told::new(common, tenant);
        told.memory = memory;
        let mut roots = Roots::new();
        for grant in &grants.objects {
            if let Some(program) = Locator::program(&grant.prefix) {
                let prefix = &grant.prefix;
                tracing::warn!(
                    tenant,
                    "{prefix} was granted and is not within reach: a tenant's own process does not \
                     start `{program}`"
                );
            }
            let Some(path) = Locator::on_disk(&grant.prefix) else { continue };
            if grant.access == Access::ReadWrite {
                make(&path);
                told.bounds.write.push(path.clone());
                told.bounds.writes_objects = true;
            } else {
                told.bounds.read.push(path.clone());
            }
            let identity = identity(&path);
            roots.push((path, identity));
        }
        if let Some((directory, key)) = &common.cache {
            let own = directory.join("tenants").join(tenant);
            make(&own);
            told.bounds.write.push(own.clone());
            told.cache = Some((own, key.for_tenant(tenant).reveal()));
        }
        let urls: Vec<&str> = grants.objects.iter().map(|grant| &*grant.prefix).collect();
        let needs = Needs::of(&urls, &common.stores, &common.variables);
        told.bounds.network = needs.network || !grants.http.is_empty();
        told.bounds.read.extend(needs.files);
        let own = |(place, name, value): (&str, &str, &str)| {
            (place.to_owned(), name.to_owned(), value.to_owned())
        };
        told.stores = needs.settings.values().map(own).collect();
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        told.variables = needs.settings.variables().map(own).collect();
        told.roots.clone_from(&roots);
        let orders = Arc::new(told.orders(needs.environment)?);
        Ok(Self { grants, memory, roots, orders })
    }

    /// Whether it is still what these grants, that memory, and the disk ask for.
    pub(super) fn holds(&self, grants: &Arc<Grants>, memory: u64) -> bool {
        (Arc::ptr_eq(&self.grants, grants) || self.grants == *grants)
            && self.memory == memory
            && self.roots.iter().all(|(path, known)| identity(path) == *known)
    }
}

/// A directory for this user alone, unless something is there.
fn make(path: &Path) {
    if path.exists() {
        return;
    }
    if let Err(error) = DirBuilder::new().recursive(true).mode(0o700).create(path) {
        tracing::warn!("{} cannot be made: {error}", path.display());
    }
}

/// What is at a path, also where a link leads.
fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use samara_core::Grant;

    use super::*;

    fn common(directory: &Path) -> Common {
        let stores = samara_store::Settings::default().with("s3://acme", "profile", "acmes").with(
            "s3://beta",
            "secret_access_key",
            "betas secret",
        );
        let variables = [("SAMARA_HOST_TOKENS", "hush"), ("AWS_REGION", "r"), ("HOME", "/none")];
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Common {
            log: "warn".to_owned(),
            slots: 2,
            count_fuel: false,
            compiles: false,
            cache: Some((directory.join("cache"), CacheKey::new([7; 32]))),
            stores,
            variables: variables.into_iter().map(own).collect(),
        }
    }

    fn grants(objects: &[(String, Access)]) -> Arc<Grants> {
        let grant =
            |(prefix, access): &(String, Access)| Grant { prefix: prefix.clone(), access: *access };
        Arc::new(Grants::of(objects.iter().map(grant).collect()))
    }

    fn told(plan: &Plan) -> Told {
        serde_json::from_slice(&plan.orders.first).unwrap()
    }

    #[test]
    fn a_process_is_told_what_is_its_tenants_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let common = common(root);
        let url = |name: &str| format!("file://{}/{name}", root.display());
        let acmes = [
            (url("own/"), Access::ReadWrite),
            (url("public/"), Access::Read),
            ("s3://acme/in/".to_owned(), Access::Read),
        ];
        let plan = Plan::new(&common, "acme", (grants(&acmes), 7)).unwrap();
        let acme = told(&plan);
        assert_eq!(acme.bounds.write, [root.join("own"), root.join("cache/tenants/acme")]);
        assert!(acme.bounds.write.iter().all(|path| path.is_dir()), "they are made");
        assert_eq!(acme.bounds.read, [root.join("public")]);
        assert!(acme.bounds.network && acme.bounds.writes_objects);
        let key = CacheKey::new([7; 32]).for_tenant("acme").reveal();
        assert_eq!(acme.cache, Some((root.join("cache/tenants/acme"), key)));
        let text = std::str::from_utf8(&plan.orders.first).unwrap();
        assert!(text.contains("acmes") && !text.contains("betas secret"), "{text}");
        let names: Vec<&str> = plan.orders.environment.iter().map(|(name, _)| &**name).collect();
        assert!(!names.contains(&"SAMARA_HOST_TOKENS"), "{names:?}");
        assert!(!format!("{:?}", plan.orders).contains("acmes"));
        // With files alone there is nothing of stores, and no network.
        let beta = Plan::new(&common, "beta", (grants(&acmes[..2]), 7)).unwrap();
        assert_eq!(beta.orders.environment, []);
        let beta = told(&beta);
        assert_eq!((beta.stores, beta.variables, beta.bounds.network), (vec![], [].into(), false));
    }

    #[test]
    fn a_plan_holds_until_grants_or_the_disk_change() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let public = format!("file://{}/public/", root.display());
        let read = [(public, Access::Read)];
        let plan = Plan::new(&common(root), "acme", (grants(&read), 7)).unwrap();
        assert!(plan.holds(&grants(&read), 7));
        assert!(!plan.holds(&grants(&[]), 7));
        assert!(!plan.holds(&grants(&read), 8), "bounds are not raised");
        std::fs::create_dir(root.join("public")).unwrap();
        assert!(!plan.holds(&grants(&read), 7), "it is there now");
        let before = plan.orders;
        let plan = Plan::new(&common(root), "acme", (grants(&read), 7)).unwrap();
        assert!(plan.orders != before, "the process that was told so knows nothing of it");
        assert!(plan.holds(&grants(&read), 7));
        std::fs::rename(root.join("public"), root.join("old")).unwrap();
        std::fs::create_dir(root.join("public")).unwrap();
        assert!(!plan.holds(&grants(&read), 7), "it is another one");
    }
}
