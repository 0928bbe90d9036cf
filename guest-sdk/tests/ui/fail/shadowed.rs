//! A variable with the name of a function: the price of a function's being a static.

use samara_guest::function;

#[function]
fn count(words: Vec<String>) -> usize {
    let count = words.len();
    count
}

fn main() {
    let count = count(vec![]);
    drop(count);
}
