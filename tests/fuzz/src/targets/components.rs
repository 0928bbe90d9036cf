//! Components, all the way that a host goes with one it was sent: looked into, compiled, linked,
//! asked for its functions, and run within limits.
//!
//! The first byte of an input says what the rest is: the bytes of a component, or choices out of
//! which `wasm-smith` makes a component, a guest inside of a component of Samara's world, or a
//! module that is instantiated beside a sound guest.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arbitrary::Unstructured;
use samara_core::{
    Arguments, Batch, Cancel, ComponentId, Error, ErrorKind, Grants, JobId, Limits, Outcome, Payer,
    Task,
};
use samara_engine::{Config, Engine, Job, Prepared};
use samara_store::Locator;
use tokio::runtime::Runtime;

use crate::Target;
use crate::engine::Seen;

/// See the module.
pub const TARGET: Target = Target {
    name: "components",
    seeds,
    words: &[
        "\u{0}asm\u{d}\u{0}\u{1}\u{0}",
        "\u{0}asm\u{1}\u{0}\u{0}\u{0}",
        "samara:function/functions@0.2.0",
        "samara:function/storage@0.2.0",
        "wasi:cli/environment@0.2.0",
        "wasi:filesystem/preopens@0.2.0",
        "memory",
        "realloc",
        "call-batch",
        "list",
    ],
    bytes_max: 16 << 10,
    time_max: Duration::from_secs(20),
    start: || {
        let host = Host::new();
        Box::new(move |input| host.check(input))
    },
};

/// Bytes of a refusal: names in a component may be of any length.
const REFUSAL_BYTES_MAX: usize = 4 << 10;

/// A guest that answers each call with a number, and says that it has a function `f`.
const GUEST: &str = r#"(core module $guest
  (memory (export "memory") 1)
  (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "call") (param i32 i32 i32 i32) (result i32) (i32.const 512))
  (func (export "call-batch") (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 0))
  (func (export "list") (result i32) (i32.const 600))
  (func (export "post") (param i32))
  (data (i32.const 512) "\00\00\00\00\40\02\00\00\01\00\00\00")
  (data (i32.const 576) "NUMBER")
  (data (i32.const 600) "\60\02\00\00\01\00\00\00")
  (data (i32.const 608) "\c0\02\00\00\01\00\00\00\c0\02\00\00\00\00\00\00\00\00\00\00\c0\02\00\00\00\00\00\00\01\00\00\00\00\00\00\00")
  (data (i32.const 704) "f"))"#;

/// What a guest has to export for the component around it.
const EXPORTS: &str = r#"(module
  (memory (export "memory") 1)
  (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable)
  (func (export "call") (param i32 i32 i32 i32) (result i32) unreachable)
  (func (export "call-batch") (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32) unreachable)
  (func (export "list") (result i32) unreachable)
  (func (export "post") (param i32)))"#;

/// A component of Samara's world whose function `f` answers a small number.
pub(super) fn answering(number: u8) -> Vec<u8> {
    let guest = GUEST.replace("NUMBER", &format!("\\{:02x}", number % 24));
    assembled(&samara_evil::around(&guest))
}

fn assembled(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

fn seeds() -> Vec<Vec<u8>> {
    let whole = |bytes: Vec<u8>| [&[0], &*bytes].concat();
    let mut seeds = vec![whole(answering(7)), whole(b"\0asm\x0d\0\x01\0".to_vec())];
    for name in ["forges_functions", "boasts_of_functions", "has_many_instances", "grows_tables"] {
        seeds.push(whole(assembled(&samara_evil::component(name))));
    }
    let nested = assembled(&samara_evil::made::nested_components::doubled(30));
    seeds.extend([whole(nested)]);
    // Choices: what they make is for wasm-smith to say.
    for kind in 1..4_u8 {
        for n in 0..8_u8 {
            let choices = (0..255_u8).map(|at| at.wrapping_mul(n.wrapping_mul(17)) ^ (at >> 3));
            seeds.push(std::iter::once(kind).chain(choices).collect());
        }
    }
    seeds
}

/// An engine as hosts have it, with room for few.
struct Host {
    engine: Engine,
    locator: Arc<Locator>,
    io: Runtime,
}

// === impl Host ===

impl Host {
    fn new() -> Self {
        let io = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let io = io.expect("a thread");
        let mut config = Config::default();
        config.instances_max = 4;
        let engine = Engine::new(&config, io.handle().clone()).expect("an engine");
        let host = Self { engine, locator: Arc::new(Locator::default()), io };
        let sound = host.engine.prepare(&answering(7)).expect("a sound component");
        let functions = host.engine.list(&sound, limits()).expect("a sound list");
        assert_eq!(functions.len(), 1, "{functions:?}");
        assert!(matches!(host.run(&sound, ComponentId::of(b"")), Outcome::Success(_)));
        host
    }

    fn check(&self, input: &[u8]) -> Seen {
        let Some((kind, bytes)) = input.split_first() else { return Seen::of(()) };
        let component = match kind % 4 {
            0 => Some(bytes.to_vec()),
            1 => made_component(bytes),
            2 => made_guest(bytes),
            _ => made_beside(bytes),
        };
        let Some(component) = component else { return Seen::of(1) };
        self.take(&component).and(kind % 4)
    }

    /// What a host does with a component that it was sent.
    fn take(&self, component: &[u8]) -> Seen {
        let prepared = match self.engine.prepare(component) {
            Ok(prepared) => prepared,
            Err(error) => return refused(&error),
        };
        let listed = match self.engine.list(&prepared, limits()) {
            Ok(functions) => format!("{} functions", functions.len().min(8)),
            Err(outcome) => kind(&outcome),
        };
        let ran = kind(&self.run(&prepared, prepared.id()));
        let _joined = self.io.handle();
        Seen::of((listed, ran))
    }

    fn run(&self, prepared: &Prepared, component: ComponentId) -> Outcome {
        let task = Task { index: 0, attempt: 0, arguments: Arguments::default(), partition: None };
        let batch = Arc::new(Batch {
            job: JobId::new(1, 2),
            component,
            function: "f".to_owned(),
            store: "mem://fuzz-components".to_owned(),
            limits: limits(),
            grants: Grants::default(),
            task_count: 1,
            reuse: false,
            depth: 0,
            payer: Payer::default(),
            tasks: vec![task.clone()],
        });
        let job = Arc::new(Job::new(&batch, &self.locator, &Cancel::default()));
        let report = self.engine.run(prepared, &job, &task);
        assert!(report.stats.memory_peak <= limits().memory_bytes, "{:?}", report.stats);
        assert!(report.stats.wall < Duration::from_secs(10), "{:?}", report.stats);
        report.outcome
    }
}

/// So little that many inputs can be taken.
fn limits() -> Limits {
    let mut limits = Limits::default();
    (limits.memory_bytes, limits.log_bytes) = (8 << 20, 4 << 10);
    limits.time = Duration::from_millis(100);
    limits.cpu = limits.time;
    limits
}

/// A refusal says that the component is at fault, in few words.
fn refused(error: &Error) -> Seen {
    assert_eq!(error.kind, ErrorKind::Component, "{error}");
    assert!(error.message.len() <= REFUSAL_BYTES_MAX, "{} bytes", error.message.len());
    Seen::text(&error.message)
}

fn kind(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Success(_) => "success".to_owned(),
        Outcome::Failed(error) => format!("failed: {:?}", error.kind),
        Outcome::Trapped(trap) => format!("trapped: {}", trap.message.len().min(40)),
        Outcome::LimitExceeded(exceeded) => {
            exceeded.to_string().chars().take_while(|c| *c != ':').collect()
        }
        // The only failures of the platform are those that the component is the cause of.
        Outcome::Platform(error) => {
            assert_eq!(error.kind, ErrorKind::Component, "{error}");
            "refused".to_owned()
        }
        _ => "unknown".to_owned(),
    }
}

/// Small ones, so that many can be compiled.
fn config() -> wasm_smith::Config {
    wasm_smith::Config {
        max_funcs: 12,
        max_instructions: 60,
        max_types: 20,
        max_type_size: 60,
        max_memory32_bytes: 1 << 20,
        max_memory64_bytes: 1 << 20,
        max_table_elements: 1000,
        max_data_segments: 5,
        max_element_segments: 5,
        max_elements: 20,
        ..wasm_smith::Config::default()
    }
}

/// A component of wasm-smith's.
fn made_component(choices: &[u8]) -> Option<Vec<u8>> {
    let mut choices = Unstructured::new(choices);
    let component = wasm_smith::Component::new(config(), &mut choices).ok()?;
    Some(component.to_bytes())
}

fn made_module(config: wasm_smith::Config, choices: &[u8]) -> Option<Vec<u8>> {
    let mut choices = Unstructured::new(choices);
    Some(wasm_smith::Module::new(config, &mut choices).ok()?.to_bytes())
}

/// A module of wasm-smith's in the guest's place, with all that the component around it wants.
fn made_guest(choices: &[u8]) -> Option<Vec<u8>> {
    static WANTED: OnceLock<Vec<u8>> = OnceLock::new();
    let wanted = WANTED.get_or_init(|| assembled(EXPORTS));
    let mut config = config();
    config.exports = Some(wanted.clone());
    config.max_imports = 0;
    let module = made_module(config, choices)?;
    let whole = answering(7);
    let (head, _, rest) = around_first_section(&whole)?;
    Some([head, &section(1, &module), rest].concat())
}

/// A module of wasm-smith's, instantiated beside a sound guest.
fn made_beside(choices: &[u8]) -> Option<Vec<u8>> {
    let mut config = config();
    config.max_imports = 0;
    let module = made_module(config, choices)?;
    // Another core module, and an instance of it, without arguments: it is the second module.
    let instance = section(2, &[1, 0, 1, 0]);
    Some([&*answering(7), &section(1, &module), &instance].concat())
}

/// A component's preamble, its first section, which is the guest's module, and the rest.
fn around_first_section(whole: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    const PREAMBLE: usize = 8;
    assert_eq!(whole.get(PREAMBLE), Some(&1), "the guest's module comes first");
    let (mut length, mut shift, mut at) = (0_usize, 0, PREAMBLE + 1);
    loop {
        let byte = *whole.get(at)?;
        length |= usize::from(byte & 0x7f) << shift;
        (shift, at) = (shift + 7, at + 1);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some((&whole[..PREAMBLE], &whole[at..at + length], &whole[at + length..]))
}

/// A section of a component: its number, its length, its content.
fn section(number: u8, content: &[u8]) -> Vec<u8> {
    let (mut section, mut length) = (vec![number], content.len());
    loop {
        let low = u8::try_from(length & 0x7f).unwrap_or(0);
        length >>= 7;
        if length == 0 {
            section.push(low);
            break;
        }
        section.push(low | 0x80);
    }
    section.extend_from_slice(content);
    section
}
