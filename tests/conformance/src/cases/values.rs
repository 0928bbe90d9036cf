//! Values there and back, of every kind.

use std::collections::{BTreeMap, BTreeSet};

use samara::function::{Function, Given, Kind};
use samara::{Cause, Inputs, UserErrorKind};
use samara_guest::Bytes;
use samara_programs::values::{self, Incomparable, Person, Shape};

use super::{call, collected, table, wait};
use crate::Context;

table! {
    values:
    values_of_every_kind_come_back_as_they_went,
    eight_arguments_arrive_in_order,
    a_map_over_values_keeps_their_order,
    none_and_unit_are_values,
    no_inputs_are_an_empty_result,
    an_output_that_cannot_be_encoded_is_the_users_error,
    inputs_that_do_not_fit_say_which_argument,
    a_reduce_called_as_a_function_needs_two_values,
    native_and_sandboxed_functions_agree,
    an_unknown_error_cause_names_itself,
    guests_compare_bytes_as_native_code_does,
    a_list_is_one_argument_and_a_tuple_is_several,
    ranges_sets_and_generators_are_inputs,
    a_record_of_records_is_an_input_and_a_value,
    what_is_the_same_for_every_task_is_bound_beforehand,
    values_are_never_compared,
    arguments_and_values_of_all_sizes_cross,
    an_output_of_another_type_is_named,
}

fn values_of_every_kind_come_back_as_they_went(context: &Context) {
    call!(context, values::nothing, ()).unwrap();
    call!(context, values::echo_unit, ()).unwrap();
    assert_eq!(call!(context, values::answer, ()).unwrap(), values::answer());
    assert_eq!(call!(context, values::echo_option, None).unwrap(), None);
    assert_eq!(call!(context, values::echo_option, Some(7)).unwrap(), Some(7));
    assert_eq!(call!(context, values::echo_string, "ü\0日本".to_owned()).unwrap(), "ü\0日本");
    assert_eq!(call!(context, values::echo_float, f64::MIN_POSITIVE).unwrap(), f64::MIN_POSITIVE);
    let tuple = (i64::MIN, String::new(), true, '🦀');
    assert_eq!(call!(context, values::echo_tuple, tuple.clone()).unwrap(), tuple);
    let map = BTreeMap::from([("a".to_owned(), vec![BTreeMap::from([(1, -1)]), BTreeMap::new()])]);
    assert_eq!(call!(context, values::echo_map, map.clone()).unwrap(), map);
    let shapes =
        vec![Shape::Point, Shape::Circle(0.5), Shape::Rectangle { width: 1.0, height: 2.0 }];
    assert_eq!(call!(context, values::echo_shapes, shapes.clone()).unwrap(), shapes);
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    assert_eq!(
        call!(context, values::echo_bytes, Bytes::from(bytes.clone())).unwrap().to_vec(),
        bytes
    );
    assert_eq!(call!(context, values::echo_numbers, bytes.clone()).unwrap(), bytes);
}

fn eight_arguments_arrive_in_order(context: &Context) {
    let arguments =
        (1_u8, -2_i16, 3_u32, -4_i64, 0.5_f32, "f".to_owned(), Some(true), ('h', vec![8_u64]));
    let said = call!(context, values::eight, arguments).unwrap();
    assert_eq!(said, "1 -2 3 -4 0.5 f Some(true) ('h', [8])");
}

fn a_map_over_values_keeps_their_order(context: &Context) {
    let inputs: Vec<(u64, u64)> = (0..1000).map(|n| (n, 2 * n)).collect();
    let sums = collected(wait(context.executor().map(context.programs(), values::add, inputs)));
    assert_eq!(sums, (0..1000).map(|n| 3 * n).collect::<Vec<u64>>());
}

fn none_and_unit_are_values(context: &Context) {
    let inputs = [Some(1), None, Some(3), None];
    let echoed =
        collected(wait(context.executor().map(context.programs(), values::echo_option, inputs)));
    assert_eq!(echoed, inputs);
    let units =
        collected(wait(context.executor().map(context.programs(), values::nothing, [(); 5])));
    assert_eq!(units.len(), 5);
}

fn no_inputs_are_an_empty_result(context: &Context) {
    let job =
        wait(context.executor().map(context.programs(), values::echo_string, Vec::<String>::new()));
    let job = job.unwrap();
    assert!(job.is_empty());
    assert_eq!(wait(job.values()).unwrap(), Vec::<String>::new());
}

fn an_output_that_cannot_be_encoded_is_the_users_error(context: &Context) {
    let job = wait(context.executor().map_untyped(
        context.programs(),
        "unencodable",
        Inputs::<()>::into_plan([()]).unwrap(),
    ));
    let results = wait(job.unwrap().results());
    match &results[0].as_ref().unwrap_err().cause {
        Cause::Failed(error) => assert_eq!(error.kind, UserErrorKind::BadOutput, "{error}"),
        other => panic!("{other:?}"),
    }
}

fn inputs_that_do_not_fit_say_which_argument(context: &Context) {
    // What the compiler refuses for typed handles, an untyped call finds out at run time.
    for (arguments, wanted) in [
        (Inputs::<(Given<_>, Given<_>)>::into_plan([("one", 2_u64)]), "argument 1"),
        (Inputs::<(Given<_>, Given<_>)>::into_plan([(1_u64, "two")]), "argument 2"),
    ] {
        let job =
            wait(context.executor().map_untyped(context.programs(), "add", arguments.unwrap()));
        let results = wait(job.unwrap().results());
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
    let job = wait(context.executor().map_untyped(context.programs(), "add", three)).unwrap();
    let error = wait(job.values()).unwrap_err();
    assert!(matches!(&error.cause, Cause::Failed(e) if e.kind == UserErrorKind::BadArguments));
}

fn a_reduce_called_as_a_function_needs_two_values(context: &Context) {
    let one = Inputs::<(Given<_>,)>::into_plan([1_u64]).unwrap();
    let job = wait(context.executor().map_untyped(context.programs(), "sum", one)).unwrap();
    let error = wait(job.values()).unwrap_err();
    assert!(matches!(&error.cause, Cause::Failed(e) if e.kind == UserErrorKind::BadArguments));
}

fn native_and_sandboxed_functions_agree(context: &Context) {
    for n in [0, 1, 27, 97, 6171] {
        assert_eq!(call!(context, values::collatz, n).unwrap(), values::collatz(n));
    }
    assert_eq!(values::greater_than.name(), "größer als", "a name of its own");
    assert!(call!(context, values::greater_than, (2, -3)).unwrap());
    let (_, native) = values::sum_squares(1000);
    let (simd, sandboxed) = call!(context, values::sum_squares, 1000).unwrap();
    assert_eq!(sandboxed, native);
    assert!(simd, "guests are built with simd128");
}

fn an_unknown_error_cause_names_itself(context: &Context) {
    let missing =
        samara::function::Function::<(), (), u64>::new("no_such", samara::function::Kind::Map, ());
    let error = call!(context, missing, ()).unwrap_err().to_string();
    assert!(error.contains("no function is called `no_such`"), "{error}");
    assert!(error.contains("echo_string"), "it lists what there is: {error}");
}

fn guests_compare_bytes_as_native_code_does(context: &Context) {
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
    assert_eq!(call!(context, values::compares, pairs).unwrap(), native);
}

fn a_list_is_one_argument_and_a_tuple_is_several(context: &Context) {
    let words = |text: &str| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };
    assert_eq!(call!(context, values::join, words("Hello World")).unwrap(), "Hello World");
    let lists = [words("a b c"), words("d"), Vec::new()];
    let joined = collected(wait(context.executor().map(context.programs(), values::join, lists)));
    assert_eq!(joined, ["a b c", "d", ""]);
    assert_eq!(call!(context, values::add, (4, 6)).unwrap(), 10);
}

fn ranges_sets_and_generators_are_inputs(context: &Context) {
    let lengths = |inputs: Box<dyn Iterator<Item = u64> + Send>| {
        collected(wait(context.executor().map(context.programs(), values::collatz, inputs)))
    };
    let wanted: Vec<u64> = [2, 4, 6, 8].map(*values::collatz).to_vec();
    assert_eq!(lengths(Box::new([2, 4, 6, 8].into_iter())), wanted);
    assert_eq!(lengths(Box::new((2..9).step_by(2))), wanted);
    let set = BTreeSet::from([8, 6, 4, 2, 2]);
    assert_eq!(lengths(Box::new(set.into_iter())), wanted);
    let mut n = 0;
    let generator = std::iter::from_fn(move || {
        n += 2;
        (n <= 8).then_some(n)
    });
    assert_eq!(lengths(Box::new(generator)), wanted, "a generator is an input for each value");
}

fn a_record_of_records_is_an_input_and_a_value(context: &Context) {
    let person = |name: &str, age, children| Person {
        name: name.to_owned(),
        age,
        children,
        notes: BTreeMap::from([("Größe".to_owned(), Some(1.75)), ("空".to_owned(), None)]),
    };
    let grandchild = person("Ω", Some(1), Vec::new());
    let family = person("Zoë", Some(60), vec![person("名前", None, vec![grandchild])]);
    let inputs = vec![family.clone(), person("", Some(0), Vec::new())];
    let older =
        collected(wait(context.executor().map(context.programs(), values::ages, inputs.clone())));
    assert_eq!(older, inputs.into_iter().map(*values::ages).collect::<Vec<_>>());
    assert_eq!(older[0].children[0].children[0].age, Some(2));
}

fn what_is_the_same_for_every_task_is_bound_beforehand(context: &Context) {
    let bound = 7;
    let inputs = (0..4).map(move |n| (bound, n));
    let sums = collected(wait(context.executor().map(context.programs(), values::add, inputs)));
    assert_eq!(sums, [7, 8, 9, 10]);
}

fn values_are_never_compared(context: &Context) {
    let inputs = (0..3).map(|value| Incomparable { value });
    let job = wait(context.executor().map(context.programs(), values::echo_incomparable, inputs));
    let back: Vec<u64> = collected(job).iter().map(|it| it.value).collect();
    assert_eq!(back, [0, 1, 2]);
    let echo = |value: f64| call!(context, values::echo_float, value).unwrap();
    assert!(echo(f64::NAN).is_nan());
    assert!(echo(-0.0).is_sign_negative());
    assert_eq!([f64::INFINITY, f64::NEG_INFINITY].map(echo), [f64::INFINITY, f64::NEG_INFINITY]);
}

fn arguments_and_values_of_all_sizes_cross(context: &Context) {
    let bytes: Vec<u8> = (0..=250).cycle().take(50_000_000).collect();
    // Around what rides in a report, and what goes alone.
    for size in [0, 1, 262_130, 262_144, 1 << 20, bytes.len()] {
        let sent = Bytes::from(bytes[..size].to_vec());
        let back = call!(context, values::echo_bytes, sent).unwrap();
        assert!(back.as_ref() == &bytes[..size], "{size} bytes came back as something else");
    }
}

fn an_output_of_another_type_is_named(context: &Context) {
    // As if the component were of another version than the program's crate.
    let of_texts = Function::<(), (Given<String>,), u64>::new("echo_string", Kind::Map, ());
    let error = call!(context, of_texts, "no number".to_owned()).unwrap_err();
    match super::task_error::<u64>(Err(error)).into_cause() {
        Cause::Output(message) => assert!(!message.is_empty()),
        other => panic!("{other:?}"),
    }
}
