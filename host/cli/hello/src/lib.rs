//! The functions that `samara hello` runs: they show that this machine can.

use samara_guest::function;

/// Greets somebody from inside a sandbox.
#[function(pure)]
pub fn hello(name: String) -> String {
    format!("Hello, {name}! A WebAssembly sandbox on this machine says so.")
}

/// Numbers from 1 to `n` that are prime, by trial division: something to be busy with.
#[function(pure)]
pub fn primes(n: u64) -> u64 {
    let is_prime = |n: &u64| (2..).take_while(|d| d * d <= *n).all(|d| !n.is_multiple_of(d));
    (2..=n).filter(is_prime).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_25_primes_to_a_hundred() {
        assert_eq!(primes(100), 25);
    }

    #[test]
    fn greets_by_name() {
        assert!(hello("Ada".to_owned()).starts_with("Hello, Ada!"));
    }
}
