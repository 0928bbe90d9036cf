//! Components of which single bits are not what they were.

/// So many copies of a component, each with `bits` bits flipped, the same in each run.
pub fn copies(whole: &[u8], count: u64, bits: u32) -> impl Iterator<Item = Vec<u8>> {
    (1..=count).map(move |seed| {
        let (mut copy, mut state) = (whole.to_vec(), seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        for _ in 0..bits {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let at = state % (copy.len() as u64 * 8);
            let byte = usize::try_from(at / 8).expect("an index of the copy");
            copy[byte] ^= 1 << (at % 8);
        }
        copy
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_differ_in_as_many_bits() {
        let whole = [0; 1000];
        for copy in copies(&whole, 10, 1) {
            assert_eq!(copy.iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);
        }
        assert!(copies(&whole, 10, 3).eq(copies(&whole, 10, 3)));
    }
}
