//! What lies directly below a prefix, for stores that list all keys in order and nothing else.

use crate::{Directory, ListOptions, Result, Store};

/// Lists a page of keys at a time, and where one lies deeper, goes on behind all that begin like it.
pub(crate) async fn by_jumps<S: Store + ?Sized>(
    store: &S,
    prefix: &str,
    options: ListOptions,
) -> Result<Directory> {
    let limit = options.limit.unwrap_or(usize::MAX).max(1);
    let mut found = Directory::default();
    let mut said = options.after.as_deref().and_then(|after| of(prefix, after)).map(str::to_owned);
    let mut after = options.after.clone();
    loop {
        let page =
            store.list(prefix, ListOptions { after: after.clone(), ..options.clone() }).await?;
        let mut next = page.next;
        for entry in page.entries {
            let Some(directory) = of(prefix, &entry.key) else {
                found.entries.push(entry);
                continue;
            };
            // Names that the jump below does not pass are met one by one.
            if said.as_deref() == Some(directory) {
                continue;
            }
            found.directories.push(directory.to_owned());
            said = Some(directory.to_owned());
            // On with what sorts after nearly all that begins so, without reading it.
            next = Some(format!("{directory}{}", char::MAX));
            break;
        }
        if next.is_none() || found.entries.len() + found.directories.len() >= limit {
            found.next = next;
            return Ok(found);
        }
        after = next;
    }
}

/// The directory below `prefix` that a key lies in; none where it lies directly there.
pub(crate) fn of<'a>(prefix: &str, key: &'a str) -> Option<&'a str> {
    let slash = key.strip_prefix(prefix)?.find('/')?;
    Some(&key[..=prefix.len() + slash])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::tests::block_on;
    use crate::{MemStore, PutOptions};

    #[test]
    fn keys_lie_in_the_first_directory_after_the_prefix() {
        assert_eq!(of("", "a"), None);
        assert_eq!(of("", "a/b/c"), Some("a/"));
        assert_eq!(of("a/", "a/b/c"), Some("a/b/"));
        assert_eq!(of("a/b", "a/bc/d"), Some("a/bc/"));
        assert_eq!(of("x", "a/b"), None);
    }

    #[test]
    fn pages_go_on_where_the_last_one_ended() {
        let store = MemStore::default();
        let keys = ["a", "b/1", "b/2/3", "b/\u{10ffff}x", "b0", "c/1", "d"];
        block_on(async {
            for key in keys {
                store.put(key, "".into(), PutOptions::default()).await.unwrap();
            }
            for limit in 1..9 {
                let (mut seen, mut options) = (Vec::new(), ListOptions::default().limit(limit));
                loop {
                    let page = store.list_directory("", options.clone()).await.unwrap();
                    seen.extend(page.entries.into_iter().map(|entry| entry.key));
                    seen.extend(page.directories);
                    let Some(next) = page.next else { break };
                    options = options.after(next);
                }
                seen.sort();
                assert_eq!(seen, ["a", "b/", "b0", "c/", "d"], "pages of {limit}");
            }
        });
    }
}
