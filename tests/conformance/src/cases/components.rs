//! Stored components that were changed, cut, replaced or removed: no other code is ever run.

use samara::{Component, Error, Executor};
use samara_core::layout;
use samara_programs::values;

use super::{table, wait};
use crate::Context;

table! {
    components:
    a_component_whose_stored_bytes_were_changed_is_refused_by_its_name,
    a_component_that_is_not_all_there_is_uploaded_again,
    a_component_that_is_removed_while_it_is_used_is_run_or_named,
}

/// Where the component lies in a store of this case.
fn key(context: &Context) -> String {
    format!("store/{}", layout::component(&context.programs().id()))
}

fn executor(context: &Context) -> Executor {
    context.builder().store(context.url("store")).build().unwrap()
}

/// Twenty and twenty-two.
fn sum(executor: &Executor, context: &Context) -> Result<u64, Error> {
    wait(executor.call(context.programs(), values::add, (20, 22)))
}

/// The bytes with one of them changed.
fn changed(component: &Component) -> Vec<u8> {
    let mut bytes = component.bytes().to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bytes
}

fn a_component_whose_stored_bytes_were_changed_is_refused_by_its_name(context: &Context) {
    context.put(&key(context), changed(context.programs()));
    // What was compiled before would be run, and is right.
    let builder = context.builder().cache_dir(None).store(context.url("store"));
    let executor = builder.build().unwrap();
    let error = sum(&executor, context).unwrap_err().to_string();
    let id = context.programs().id().to_string();
    for said in [&id, "is damaged", "remove it"] {
        assert!(error.contains(said), "{error}");
    }
    // The way out.
    wait(executor.storage().delete(&context.url(&key(context)))).unwrap();
    assert_eq!(sum(&self::executor(context), context).unwrap(), 42);
}

fn a_component_that_is_not_all_there_is_uploaded_again(context: &Context) {
    let whole = context.programs().bytes().clone();
    for cut in [0, whole.len() / 2, whole.len() - 1] {
        context.put(&key(context), whole.slice(..cut));
        assert_eq!(sum(&executor(context), context).unwrap(), 42, "{cut}");
        assert_eq!(context.read(&key(context)).as_ref(), Some(&whole), "{cut}");
    }
}

fn a_component_that_is_removed_while_it_is_used_is_run_or_named(context: &Context) {
    let executor = executor(context);
    assert_eq!(sum(&executor, context).unwrap(), 42);
    wait(executor.storage().delete(&context.url(&key(context)))).unwrap();
    // Who has it goes on; who has not says what is missing.
    let id = context.programs().id().to_string();
    match sum(&executor, context) {
        Ok(found) => assert_eq!(found, 42),
        Err(error) => {
            let error = error.to_string();
            assert!(error.contains(&id) && error.contains("uploads it again"), "{error}");
        }
    }
    assert_eq!(sum(&self::executor(context), context).unwrap(), 42);
    assert_eq!(context.read(&key(context)).as_ref(), Some(context.programs().bytes()));
}
