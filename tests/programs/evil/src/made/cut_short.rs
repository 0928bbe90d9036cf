//! Components that end too early.

/// A component, cut at every one of so many places, and a byte before its end.
pub fn cuts(whole: &[u8], places: usize) -> impl Iterator<Item = &[u8]> {
    let step = (whole.len() / places.max(1)).max(1);
    let ends = (0..whole.len()).step_by(step).chain([whole.len().saturating_sub(1)]);
    ends.map(|end| &whole[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cut_is_the_whole() {
        let lengths: Vec<usize> = cuts(&[0; 10], 5).map(<[u8]>::len).collect();
        assert_eq!(lengths, [0, 2, 4, 6, 8, 9]);
    }
}
