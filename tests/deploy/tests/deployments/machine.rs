//! What each check has of its own: a region, and a client that looks at what is there.

use std::path::{Path, PathBuf};
use std::process::Command;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use samara::blocking::Wait as _;
use samara::deploy::{Place, Plan, Verb, Wanted};

/// Regions for checks, so that none sees another's deployments.
const REGIONS: [&str; 20] = [
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "eu-north-1",
    "eu-south-1",
    "eu-central-1",
    "ca-central-1",
    "sa-east-1",
    "ap-south-1",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-east-1",
    "me-south-1",
    "af-south-1",
];

/// A server, and a region in it.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) endpoint: String,
    pub(crate) region: &'static str,
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

// === impl Machine ===

impl Machine {
    pub(crate) fn new(endpoint: &str, index: usize) -> Self {
        Self { endpoint: endpoint.to_owned(), region: REGIONS[index] }
    }

    pub(crate) fn url(&self, name: &str) -> String {
        format!("lambda://{name}?region={}&endpoint={}", self.region, self.endpoint)
    }

    pub(crate) fn place(&self, name: &str) -> Place {
        Place::open(&self.url(name)).expect("a place")
    }

    /// Looks at what is there, without what is tested.
    pub(crate) fn look<T>(&self, look: impl AsyncFnOnce(&SdkConfig) -> T) -> T {
        let io = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("io");
        io.block_on(async {
            let http = aws_smithy_http_client::Builder::new().build_http();
            let config = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(http);
            let config = config.region(Region::new(self.region)).endpoint_url(&self.endpoint);
            look(&config.load().await).await
        })
    }

    /// The command, with the server's credentials.
    pub(crate) fn samara(&self, arguments: &[&str]) -> Ended {
        // One that is there on every machine, to compare with.
        samara(arguments, &[("SAMARA_HOST_PROGRAM", "/bin/false")])
    }
}

/// The command, with further variables; an empty one is taken away.
pub(crate) fn samara(arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(program("samara"));
    command.args(arguments).current_dir(directory.path());
    command.env("XDG_CONFIG_HOME", directory.path());
    for (name, value) in variables {
        match value.is_empty() {
            true => command.env_remove(name),
            false => command.env(name, value),
        };
    }
    let output = command.output().expect("the command starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A program of ours, beside this one.
pub(crate) fn program(name: &str) -> PathBuf {
    let this = std::env::current_exe().expect("this program");
    let found = this.ancestors().map(|dir| dir.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} was not built: `cargo build --workspace --bins`"))
}

/// A deployment of a program that is quick to pack: what it does is not looked at.
pub(crate) fn wanted(host: &str) -> Wanted {
    let mut wanted = Wanted::default();
    wanted.host = Some(Path::new(host).to_owned());
    wanted
}

pub(crate) fn apply(place: &Place, wanted: &Wanted) -> Plan {
    place.apply(wanted.clone()).wait().expect("a deployment")
}

/// Steps that made, changed or removed something.
pub(crate) fn changes(plan: &Plan) -> Vec<String> {
    let steps = plan.steps.iter().filter(|step| step.verb != Verb::Keep);
    steps.map(ToString::to_string).collect()
}
