//! A part of a body whose sender sent more than was asked for.

use std::ops::Range;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};

use crate::Result;

/// The bytes of `body` within `window`, where `body` begins at 0. For each piece that lies before it
/// there is an empty one, by which whoever waits for the first bytes sees that something comes.
pub(crate) fn of(
    body: BoxStream<'static, Result<Bytes>>,
    window: Range<u64>,
) -> BoxStream<'static, Result<Bytes>> {
    let state = (body, 0, window);
    stream::unfold(state, |(mut body, mut at, window)| async move {
        while at < window.end {
            let part = match body.next().await? {
                Ok(part) => part,
                Err(error) => return Some((Err(error), (body, window.end, window))),
            };
            let begin = at;
            at += part.len() as u64;
            let within = |to: u64| usize::try_from(to.clamp(begin, at) - begin).unwrap_or_default();
            let part = part.slice(within(window.start)..within(window.end));
            if !part.is_empty() || at <= window.start {
                return Some((Ok(part), (body, at, window)));
            }
        }
        None
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;
    use crate::conformance::tests::block_on;

    #[test]
    fn what_lies_outside_is_left_out() {
        let parts = ["", "abc", "defg", "h", "", "ijklmnop"];
        let all = parts.concat();
        for start in 0..=all.len() {
            for end in start..=all.len() + 2 {
                let body = stream::iter(parts.map(|part| Ok(Bytes::from(part)))).boxed();
                let cut: Vec<Bytes> =
                    block_on(of(body, start as u64..end as u64).try_collect()).unwrap();
                let before = cut.iter().take_while(|part| part.is_empty()).count();
                assert!(cut[before..].iter().all(|part| !part.is_empty()));
                assert!(start < 8 || before >= 3, "what is left out is seen to come");
                assert_eq!(cut.concat(), &all.as_bytes()[start..end.min(all.len())]);
            }
        }
    }
}
