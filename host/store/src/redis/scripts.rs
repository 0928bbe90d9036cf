//! What is asked of the server, each in one step that nothing else comes between.

use std::ops::Range;
use std::time::Duration;

use redis::{RedisError, Script};

use super::RedisStore;
use crate::Metadata;
use crate::adapters::TICKET;

/// Size and hash of the value, and a part of it. Of another type of key nothing.
const GET: &str = "
if redis.call('TYPE', KEYS[1]).ok ~= 'string' then return false end
local value = redis.call('GET', KEYS[1])
return {#value, redis.sha1hex(value), string.sub(value, ARGV[1] + 1, ARGV[2] + 0)}";

/// Sizes and hashes of values.
const HEADS: &str = "
local found = {}
for n, key in ipairs(KEYS) do
  found[n] = {-1, ''}
  if redis.call('TYPE', key).ok == 'string' then
    local value = redis.call('GET', key)
    found[n] = {#value, redis.sha1hex(value)}
  end
end
return found";

/// The hash of what was written; nothing where it was not. A write that has a ticket leaves it for a
/// while, and is done once however often it is asked for.
const PUT: &str = "
if KEYS[2] and redis.call('EXISTS', KEYS[2]) == 1 then return redis.sha1hex(ARGV[1]) end
if ARGV[2] == '1' and redis.call('EXISTS', KEYS[1]) == 1 then return false end
redis.call('SET', KEYS[1], ARGV[1])
if KEYS[2] then
  redis.call('HSET', KEYS[2], 'put', '1')
  redis.call('EXPIRE', KEYS[2], ARGV[3])
end
return redis.sha1hex(ARGV[1])";

/// Larger than any value, and small enough to be a number of Lua's.
const END_MAX: u64 = 1 << 40;

pub(super) async fn get(
    store: &RedisStore,
    key: &str,
    range: Range<u64>,
) -> Result<Option<(u64, String, Vec<u8>)>, RedisError> {
    let mut connection = store.connection().await?;
    let start = range.start.min(END_MAX);
    let end = range.end.clamp(start, END_MAX);
    let script = Script::new(GET);
    // Lua counts from 1, takes the last one too, and takes 0 for the first: nothing is asked for
    // as what lies past the end.
    let (start, end) = if start == end { (END_MAX, END_MAX) } else { (start, end) };
    script.key(key).arg(start).arg(end).invoke_async(&mut connection).await
}

/// What is known of each; none of those that are no objects.
pub(super) async fn heads<K: AsRef<str> + Sync>(
    store: &RedisStore,
    keys: &[K],
) -> Result<Vec<Option<Metadata>>, RedisError> {
    let mut connection = store.connection().await?;
    let script = Script::new(HEADS);
    let mut asked = script.prepare_invoke();
    for key in keys {
        asked.key(key.as_ref());
    }
    let found: Vec<(i64, String)> = asked.invoke_async(&mut connection).await?;
    let metadata =
        |(size, etag)| Some(Metadata { size: u64::try_from(size).ok()?, etag, modified_ms: None });
    Ok(found.into_iter().map(metadata).collect())
}

pub(super) async fn put(
    store: &RedisStore,
    key: &str,
    body: &[u8],
    (if_absent, ticket): (bool, Option<(String, Duration)>),
) -> Result<Option<String>, RedisError> {
    let mut connection = store.connection().await?;
    let script = Script::new(PUT);
    let mut asked = script.key(key);
    asked.arg(body).arg(u8::from(if_absent));
    if let Some((ticket, lasts)) = ticket {
        // No object has such a name, and no hash is one.
        asked.key(format!("{key}\0{TICKET}-{ticket}")).arg(lasts.as_secs());
    }
    asked.invoke_async(&mut connection).await
}

pub(super) async fn delete(store: &RedisStore, keys: &[String]) -> Result<(), RedisError> {
    let mut connection = store.connection().await?;
    redis::cmd("UNLINK").arg(keys).query_async(&mut connection).await
}

/// One step through the names that match, and where the next one begins; 0 at the end.
pub(super) async fn scan(
    store: &RedisStore,
    cursor: u64,
    pattern: &str,
) -> Result<(u64, Vec<Vec<u8>>), RedisError> {
    /// Names that one step looks at.
    const LOOKED_AT: usize = 1_000;
    let mut connection = store.connection().await?;
    let mut scan = redis::cmd("SCAN");
    scan.arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(LOOKED_AT);
    scan.arg("TYPE").arg("string").query_async(&mut connection).await
}
