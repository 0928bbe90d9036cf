//! Pieces that are gathered until they make a part.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Bytes in the pieces in which they came.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    pieces: VecDeque<Bytes>,
    bytes: usize,
}

// === impl Gathered ===

impl Gathered {
    pub(crate) fn push(&mut self, piece: Bytes) {
        self.bytes += piece.len();
        self.pieces.push_back(piece);
    }

    /// How many bytes there are.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The next bytes, without a copy where they came in one piece.
    pub(crate) fn take(&mut self, length: usize) -> Bytes {
        let mut pieces = self.take_pieces(length);
        if pieces.len() == 1 {
            return pieces.remove(0);
        }
        let mut all = BytesMut::with_capacity(length);
        pieces.iter().for_each(|piece| all.extend_from_slice(piece));
        all.freeze()
    }

    /// The next bytes, without a copy; fewer where there are fewer.
    pub(crate) fn take_pieces(&mut self, length: usize) -> Vec<Bytes> {
        let (mut taken, mut left) = (Vec::new(), length);
        while left > 0
            && let Some(mut piece) = self.pieces.pop_front()
        {
            let rest = piece.split_off(piece.len().min(left));
            left -= piece.len();
            self.bytes -= piece.len();
            taken.push(piece);
            if !rest.is_empty() {
                self.pieces.push_front(rest);
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_cut_whatever_the_pieces() {
        let all: Vec<u8> = (0..100).collect();
        for piece in [1, 3, 10, 100] {
            for part in [1, 7, 10, 100, 200] {
                let mut gathered = Gathered::default();
                all.chunks(piece).for_each(|it| gathered.push(Bytes::copy_from_slice(it)));
                assert_eq!(gathered.bytes(), all.len());
                let mut parts = Vec::new();
                while gathered.bytes() > 0 {
                    parts.push(gathered.take(part));
                }
                assert!(parts.iter().rev().skip(1).all(|it| it.len() == part));
                assert_eq!(parts.concat(), all);
                assert!(gathered.take(part).is_empty());
            }
        }
    }

    #[test]
    fn what_came_in_one_piece_is_not_copied() {
        let whole = Bytes::from_static(b"0123456789");
        let mut gathered = Gathered::default();
        gathered.push(whole.clone());
        assert_eq!(gathered.take(4).as_ptr(), whole.as_ptr());
        assert_eq!(gathered.take(6).as_ptr(), whole[4..].as_ptr());
    }
}
