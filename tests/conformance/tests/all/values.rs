//! Values there and back, of every kind.

use std::collections::BTreeMap;

use samara::function::Given;
use samara::{Cause, Inputs, UserErrorKind, block_on};
use samara_guest::Bytes;
use samara_programs::values::{self, Shape};

use crate::call;
use crate::common::{self, executor, programs, values as collected};

#[test]
fn values_of_every_kind_come_back_as_they_went() {
    call!(values::nothing, ()).unwrap();
    call!(values::echo_unit, ()).unwrap();
    assert_eq!(call!(values::answer, ()).unwrap(), values::answer());
    assert_eq!(call!(values::echo_option, None).unwrap(), None);
    assert_eq!(call!(values::echo_option, Some(7)).unwrap(), Some(7));
    assert_eq!(call!(values::echo_string, "ü\0日本".to_owned()).unwrap(), "ü\0日本");
    assert_eq!(call!(values::echo_float, f64::MIN_POSITIVE).unwrap(), f64::MIN_POSITIVE);
    let tuple = (i64::MIN, String::new(), true, '🦀');
    assert_eq!(call!(values::echo_tuple, tuple.clone()).unwrap(), tuple);
    let map = BTreeMap::from([("a".to_owned(), vec![BTreeMap::from([(1, -1)]), BTreeMap::new()])]);
    assert_eq!(call!(values::echo_map, map.clone()).unwrap(), map);
    let shapes =
        vec![Shape::Point, Shape::Circle(0.5), Shape::Rectangle { width: 1.0, height: 2.0 }];
    assert_eq!(call!(values::echo_shapes, shapes.clone()).unwrap(), shapes);
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    assert_eq!(call!(values::echo_bytes, Bytes::from(bytes.clone())).unwrap().to_vec(), bytes);
    assert_eq!(call!(values::echo_numbers, bytes.clone()).unwrap(), bytes);
}

#[test]
fn eight_arguments_arrive_in_order() {
    let arguments =
        (1_u8, -2_i16, 3_u32, -4_i64, 0.5_f32, "f".to_owned(), Some(true), ('h', vec![8_u64]));
    let said = call!(values::eight, arguments).unwrap();
    assert_eq!(said, "1 -2 3 -4 0.5 f Some(true) ('h', [8])");
}

#[test]
fn a_map_over_values_keeps_their_order() {
    let inputs: Vec<(u64, u64)> = (0..1000).map(|n| (n, 2 * n)).collect();
    let sums = collected(common::wait(executor().map(programs(), values::add, inputs)));
    assert_eq!(sums, (0..1000).map(|n| 3 * n).collect::<Vec<u64>>());
}

#[test]
fn none_and_unit_are_values() {
    let inputs = [Some(1), None, Some(3), None];
    let echoed = collected(common::wait(executor().map(programs(), values::echo_option, inputs)));
    assert_eq!(echoed, inputs);
    let units = collected(common::wait(executor().map(programs(), values::nothing, [(); 5])));
    assert_eq!(units.len(), 5);
}

#[test]
fn no_inputs_are_an_empty_result() {
    let job = common::wait(executor().map(programs(), values::echo_string, Vec::<String>::new()));
    let job = job.unwrap();
    assert!(job.is_empty());
    assert_eq!(block_on(job.values()).unwrap(), Vec::<String>::new());
}

#[test]
fn an_output_that_cannot_be_encoded_is_the_users_error() {
    let job = block_on(executor().map_untyped(
        programs(),
        "unencodable",
        Inputs::<()>::into_plan([()]).unwrap(),
    ));
    let results = block_on(job.unwrap().results());
    match &results[0].as_ref().unwrap_err().cause {
        Cause::Failed(error) => assert_eq!(error.kind, UserErrorKind::BadOutput, "{error}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn inputs_that_do_not_fit_say_which_argument() {
    // What the compiler refuses for typed handles, an untyped call finds out at run time.
    for (arguments, wanted) in [
        (Inputs::<(Given<_>, Given<_>)>::into_plan([("one", 2_u64)]), "argument 1"),
        (Inputs::<(Given<_>, Given<_>)>::into_plan([(1_u64, "two")]), "argument 2"),
    ] {
        let job = block_on(executor().map_untyped(programs(), "add", arguments.unwrap()));
        let results = block_on(job.unwrap().results());
        match &results[0].as_ref().unwrap_err().cause {
            Cause::Failed(error) => {
                assert_eq!(error.kind, UserErrorKind::BadArguments);
                assert!(error.message.contains(wanted), "{error}");
            }
            other => panic!("{other:?}"),
        }
    }
    let three =
        Inputs::<(Given<_>, Given<_>, Given<_>)>::into_plan([(1_u64, 2_u64, 3_u64)]).unwrap();
    let job = block_on(executor().map_untyped(programs(), "add", three)).unwrap();
    let error = block_on(job.values()).unwrap_err();
    assert!(matches!(&error.cause, Cause::Failed(e) if e.kind == UserErrorKind::BadArguments));
}

#[test]
fn a_reduce_called_as_a_function_needs_two_values() {
    let one = Inputs::<(Given<_>,)>::into_plan([1_u64]).unwrap();
    let job = block_on(executor().map_untyped(programs(), "sum", one)).unwrap();
    let error = block_on(job.values()).unwrap_err();
    assert!(matches!(&error.cause, Cause::Failed(e) if e.kind == UserErrorKind::BadArguments));
}

#[test]
fn native_and_sandboxed_functions_agree() {
    for n in [0, 1, 27, 97, 6171] {
        assert_eq!(call!(values::collatz, n).unwrap(), values::collatz(n));
    }
    assert_eq!(values::greater_than.name(), "größer als", "a name of its own");
    assert!(call!(values::greater_than, (2, -3)).unwrap());
    let (_, native) = values::sum_squares(1000);
    let (simd, sandboxed) = call!(values::sum_squares, 1000).unwrap();
    assert_eq!(sandboxed, native);
    assert!(simd, "guests are built with simd128");
}

#[test]
fn an_unknown_error_cause_names_itself() {
    let missing =
        samara::function::Function::<(), (), u64>::new("no_such", samara::function::Kind::Map, ());
    let error = call!(missing, ()).unwrap_err().to_string();
    assert!(error.contains("no function is called `no_such`"), "{error}");
    assert!(error.contains("echo_string"), "it lists what there is: {error}");
}

#[test]
fn guests_compare_bytes_as_native_code_does() {
    // Guests have a `memcmp` of our own: every length around its steps, a difference at every place.
    let mut pairs = vec![(Bytes::default(), Bytes::default())];
    for length in 0..40 {
        let a: Vec<u8> = (0..length).map(|n| 0x70 + n as u8).collect();
        pairs.push((a.clone().into(), a.clone().into()));
        pairs.push((a.clone().into(), a[..length / 2].to_vec().into()));
        for place in 0..length {
            for change in [0x01, 0x80] {
                let mut b = a.clone();
                b[place] ^= change;
                // A second difference of the other sign must not count.
                b[length - 1] ^= 0xff;
                pairs.push((a.clone().into(), b.into()));
            }
        }
    }
    let native = values::compares(pairs.clone());
    assert!(native.contains(&-1) && native.contains(&0) && native.contains(&1));
    assert_eq!(call!(values::compares, pairs).unwrap(), native);
}
