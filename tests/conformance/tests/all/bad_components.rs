//! What is no component of this world is refused by name, and nothing is lost.

use samara::{Access, Component};
use samara_guest::Bytes;
use samara_programs::values;

use crate::common::{executor, programs, wait};

fn refusal(component: &Component) -> String {
    wait(executor().call(component, values::add, (1, 2))).unwrap_err().to_string()
}

fn wat(text: &str) -> Component {
    Component::from_bytes(wat::parse_str(text).unwrap())
}

#[test]
fn what_is_not_a_component_is_named() {
    for (bytes, wanted) in [
        (Vec::new(), "it is empty"),
        (b"#!/bin/sh\necho hello\n".to_vec(), "not WebAssembly"),
        (b"\0as".to_vec(), "cut short"),
        (b"\0asm\x01\0\0\0".to_vec(), "core WebAssembly module"),
    ] {
        let error = refusal(&Component::from_bytes(bytes));
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn truncated_and_corrupt_components_are_refused() {
    let whole = programs().bytes();
    for cut in [9, 100, whole.len() / 2, whole.len() - 1] {
        let error = refusal(&Component::from_bytes(whole[..cut].to_vec()));
        assert!(error.contains("damaged") || error.contains("exports"), "cut at {cut}: {error}");
    }
    let mut corrupt = whole.to_vec();
    let middle = corrupt.len() / 2;
    corrupt[8..middle].reverse();
    let error = refusal(&Component::from_bytes(corrupt));
    assert!(error.contains("damaged"), "{error}");
}

#[test]
fn a_component_of_another_world_is_named() {
    let error = refusal(&wat("(component)"));
    assert!(error.contains("it exports nothing"), "{error}");
    let error = refusal(&wat(r#"(component
            (instance $handler)
            (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"#));
    assert!(error.contains("wasi:http/incoming-handler@0.2.0"), "{error}");
    assert!(error.contains("another world"), "{error}");
}

#[test]
fn a_component_of_another_major_version_is_named() {
    for version in ["0.1.0", "1.0.0", "0.0.9"] {
        let error = refusal(&wat(&format!(
            r#"(component
                (instance $functions)
                (export "samara:function/functions@{version}" (instance $functions)))"#
        )));
        assert!(error.contains(&format!("samara:function@{version}")), "{error}");
        assert!(error.contains("this host runs samara:function@0.2.1"), "{error}");
    }
}

#[test]
fn an_import_that_no_host_offers_is_named() {
    let error = refusal(&wat(r#"(component
            (import "wasi:keyvalue/store@0.2.0" (instance))
            (instance $functions)
            (export "samara:function/functions@0.2.0" (instance $functions)))"#));
    assert!(error.contains("it imports wasi:keyvalue/store@0.2.0"), "{error}");
}

#[test]
fn a_component_that_lacks_a_function_of_the_interface_is_refused() {
    let error = refusal(&wat(r#"(component
            (instance $functions)
            (export "samara:function/functions@0.2.0" (instance $functions)))"#));
    assert!(error.contains("lacks"), "{error}");
}

#[test]
fn a_missing_file_and_a_directory_that_is_no_crate_are_named() {
    let error = Component::from_path("/no/such/component.wasm").unwrap_err().to_string();
    assert!(error.contains("/no/such/component.wasm"), "{error}");
    let dir = tempfile::tempdir().unwrap();
    let error = Component::from_crate(dir.path()).unwrap_err().to_string();
    assert!(error.contains(dir.path().to_str().unwrap()), "{error}");
}

#[test]
fn the_executor_goes_on_after_a_refusal() {
    let _ = refusal(&Component::from_bytes(b"x".to_vec()));
    assert_eq!(wait(executor().call(programs(), values::add, (1, 2))).unwrap(), 3);
}

#[test]
fn a_components_functions_are_listed() {
    let functions = wait(executor().functions(programs())).unwrap();
    let find = |name: &str| functions.iter().find(|function| function.name == name).unwrap();
    let add = find("add");
    assert_eq!((add.arity, add.takes_partition, add.reduce), (2, false, false));
    assert!(add.signature.contains("(a: u64, b: u64) -> u64"), "{}", add.signature);
    assert!(find("sum").reduce);
    let lines = find("count_lines");
    assert!(lines.takes_partition && !lines.doc.is_empty());
}

#[test]
fn a_component_that_traps_at_its_start_is_the_users_fault() {
    let component = wat(r#"(component
            (core module $m (func $start unreachable) (start $start) (func (export "f")))
            (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i "f")))
            (instance $functions
                (export "call" (func $f))
                (export "call-batch" (func $f))
                (export "list-functions" (func $f)))
            (export "samara:function/functions@0.2.0" (instance $functions)))"#);
    match crate::common::report_of(&component, "f", vec![0x80], None).outcome {
        samara_core::Outcome::Trapped(trap) => assert!(trap.message.contains("unreachable")),
        other => panic!("{other:?}"),
    }
}

/// Within 0.2 the contract has had additions alone: what was compiled before them runs as it did. The
/// names of the earlier version are as long, so that they can be put in the place of today's.
#[test]
fn a_component_of_an_earlier_version_of_the_contract_runs() {
    const EARLIER: &str = "0.2.0";
    let version = format!("@{}", samara_wit::VERSION);
    assert_eq!(version.len(), EARLIER.len() + 1);
    let mut bytes = programs().bytes().to_vec();
    let name = samara_wit::PACKAGE.as_bytes();
    let mut changed = 0;
    for at in 0..bytes.len() - 64 {
        if !bytes[at..].starts_with(name) {
            continue;
        }
        let rest = &mut bytes[at..at + 64];
        if let Some(at) = rest.windows(version.len()).position(|it| it == version.as_bytes()) {
            rest[at + 1..at + version.len()].copy_from_slice(EARLIER.as_bytes());
            changed += 1;
        }
    }
    assert!(changed > 4, "{changed} names");
    let earlier = Component::from_bytes(bytes);
    assert_eq!(wait(executor().call(&earlier, values::add, (20, 22))).unwrap(), 42);
    let url = "mem://earlier contract/a";
    let granted = crate::common::builder().grant("mem://earlier contract/", Access::ReadWrite);
    let written = wait(granted.build().unwrap().call(
        &earlier,
        samara_programs::store::put_object,
        (url.to_owned(), Bytes::from(vec![7; 3])),
    ));
    assert_eq!(written.unwrap(), samara_programs::Attempt::Did(3));
    assert_eq!(crate::common::read(url).unwrap()[..], [7; 3]);
}
