//! The functions of {{name}}: natively a library, for `wasm32-wasip2` a component.

use samara_guest::function;

/// Throws darts at the unit square and counts those inside the quarter circle.
///
/// The same seed throws the same darts: a task that runs again comes to the same count.
#[function(pure)]
pub fn throw(seed: u64, darts: u64) -> u64 {
    let mut state = seed;
    let mut inside = 0;
    for _ in 0..darts {
        let (x, y) = (unit(&mut state), unit(&mut state));
        inside += u64::from(x * x + y * y <= 1.0);
    }
    inside
}

/// Adds two counts.
#[function(reduce, pure)]
pub fn add(a: u64, b: u64) -> u64 {
    a + b
}

/// A number of [0, 1): the upper 53 bits of SplitMix64 (Steele, Lea and Flood 2014, Fast Splittable
/// Pseudorandom Number Generators).
fn unit(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn darts_estimate_pi() {
        let pi = 4.0 * throw(1, 1_000_000) as f64 / 1e6;
        // The estimate's standard deviation is 4 sqrt(p (1 - p) / n) = 0.0016.
        assert!((pi - std::f64::consts::PI).abs() < 0.006, "{pi}");
    }

    #[test]
    fn a_seed_gives_one_count() {
        assert_eq!(throw(5, 1000), throw(5, 1000));
        assert_ne!(throw(5, 1000), throw(6, 1000));
    }
}
