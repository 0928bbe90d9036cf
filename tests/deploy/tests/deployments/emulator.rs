//! The host as a function of cargo-lambda's emulator, whose processes speak the runtime API that
//! AWS's do, and a driver that invokes it.

use std::process::{Child, Command, Stdio};

use samara::{Component, Executor, Retries};
use samara_programs as programs;
use samara_stores::{LAMBDA_EMULATOR, Server};

use crate::machine::program;

/// Processes of the function, each of which takes one event at a time.
const PROCESSES: usize = 2;

/// Bytes of a value that goes there and back: below the 6 MB of a payload, as base64.
const LARGE: u32 = 1_000_000;

pub(crate) const CHECKS: &[(&str, fn())] = &[("a_driver_maps", maps)];

/// Processes of the function, which end with this value.
struct Functions(Vec<Child>);

pub(crate) fn is_installed() -> bool {
    LAMBDA_EMULATOR.is_installed()
}

// === impl Functions ===

impl Functions {
    fn start(server: &Server) -> Self {
        let start = |_| {
            let mut command = Command::new(program("samara-host"));
            command.args(["--with-parent", "--log", "warn"]).stdin(Stdio::piped());
            command.stdout(Stdio::null());
            command.env("AWS_LAMBDA_RUNTIME_API", &server.said["ENV_AWS_LAMBDA_RUNTIME_API"]);
            command.env("AWS_LAMBDA_FUNCTION_NAME", &server.said["FUNCTION"]);
            command.env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1769");
            command.env("AWS_LAMBDA_FUNCTION_VERSION", "1");
            command.spawn().expect("the host starts")
        };
        Self((0..PROCESSES).map(start).collect())
    }
}

impl Drop for Functions {
    fn drop(&mut self) {
        for child in &mut self.0 {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

fn maps() {
    let server = LAMBDA_EMULATOR.start().expect("the emulator");
    let _functions = Functions::start(&server);
    let store = tempfile::tempdir().expect("a directory");
    let app = Component::from_crate(concat!(env!("CARGO_MANIFEST_DIR"), "/../programs"));
    let app = app.expect("the component");
    let (name, endpoint) = (&server.said["FUNCTION"], server.endpoint());
    let url = format!("lambda://{name}?region=us-east-1&endpoint={endpoint}&slots={PROCESSES}");
    let builder = Executor::builder().runtime(url).progress(false);
    let executor = builder.store(store.path().to_str().expect("UTF-8")).build();
    let executor = executor.expect("an executor");
    samara::block_on(async {
        let map = executor.map(&app, programs::reuse::adds_one, 0..500_u64);
        let job = map.retries(Retries::default().attempts(1)).await.expect("a job");
        let numbers = job.results().await.into_iter().map(|n| n.expect("a number"));
        assert!(numbers.eq(1..=500));
        let bytes: Vec<u8> = (0..LARGE).map(|n| ((n * 7) >> 3).to_le_bytes()[0]).collect();
        let echo = executor.call(&app, programs::values::echo_numbers, bytes.clone()).await;
        assert!(echo.expect("bytes") == bytes);
        let failed = executor.call(&app, programs::ends::fails, ()).await;
        assert!(failed.expect_err("an error").to_string().contains("cannot"));
    });
}
