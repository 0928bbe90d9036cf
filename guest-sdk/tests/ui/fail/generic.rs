//! Functions whose types are not settled.

use samara_guest::function;

#[function]
fn of_any<T>(value: T) -> T {
    value
}

#[function]
fn of_any_life<'a>(value: std::borrow::Cow<'a, str>) -> usize {
    value.len()
}

#[function]
fn of_some(value: impl ToString) -> String {
    value.to_string()
}

#[function]
fn to_some(value: String) -> impl ToString {
    value
}

fn main() {}
