//! With how many slots each tenant's process may compute.
//!
//! The kernel shares processors between threads and knows no tenants: who has more threads has more.
//! So nobody has more of them at work than its share, while others want theirs.

/// Slots for each of those that want so many, and one at least. Who wants no more than an even share
/// has that, and the others share what is left, each as much as the other: so they have one more than
/// there are where it does not come out even. Where there is enough for all, nobody is held back.
pub(super) fn shares(slots: usize, wanted: &[usize]) -> Vec<usize> {
    let all = wanted.len();
    if wanted.iter().sum::<usize>() <= slots {
        return vec![slots; all];
    }
    let mut modest_first: Vec<usize> = (0..all).collect();
    modest_first.sort_by_key(|at| wanted[*at]);
    let mut left = slots;
    for (served, at) in modest_first.into_iter().enumerate() {
        let even = left.div_ceil(all - served).max(1);
        if wanted[at] > even {
            // So do all that come after it.
            return wanted.iter().map(|wanted| (*wanted).clamp(1, even)).collect();
        }
        left = left.saturating_sub(wanted[at]);
    }
    wanted.iter().map(|wanted| (*wanted).max(1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_wants_little_has_it_and_the_others_share_the_rest() {
        for (slots, wanted, shared) in [
            (2, &[][..], &[][..]),
            (2, &[50], &[2]),
            (2, &[50, 1], &[1, 1]),
            (2, &[1, 1], &[2, 2]),
            (4, &[1, 50], &[1, 3]),
            (8, &[50, 2, 50, 1], &[3, 2, 3, 1]),
            (3, &[50, 50], &[2, 2]),
            (2, &[50, 50, 50, 1], &[1, 1, 1, 1]),
            (8, &[4, 4], &[8, 8]),
            (8, &[5, 4], &[4, 4]),
        ] {
            assert_eq!(shares(slots, wanted), shared, "{slots} for {wanted:?}");
        }
    }
}
