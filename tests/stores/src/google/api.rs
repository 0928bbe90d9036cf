//! The JSON interface: objects, buckets, listings, copies, batches.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Value, json};

use super::objects::{Condition, Content, Object, Said, refusal};
use super::wire::{Answer, Request, decoded};
use super::{signature, upload};

/// Entries of a page.
const PAGE_MAX: usize = 1_000;

/// Requests of a batch.
const BATCH_MAX: usize = 100;

/// Bytes that one request copies: few, so that more than one is needed.
const COPIED: usize = 1 << 20;

/// What the names of buckets begin with that somebody else has.
const TAKEN: &str = "taken-";

/// Answers a request.
pub(super) fn answer(content: &mut Content, request: &Request) -> Answer {
    let segments: Vec<_> = request.path.trim_start_matches('/').split('/').collect();
    // The address of an upload is known to who began it alone, and needs no token.
    if let (["upload", ..], Some(id)) = (&segments[..], request.asked("upload_id")) {
        return either(match request.method.as_str() {
            "PUT" => upload::resume(content, id, request),
            "DELETE" => upload::cancel(content, id),
            _ => Err(refusal(405, "methodNotAllowed", "No such method.")),
        });
    }
    let authorization = request.header("authorization").unwrap_or_default();
    if signature::is_signed(request) {
        return either(signed(content, request));
    }
    if authorization.strip_prefix("Bearer ") != Some(&*content.token) {
        let answer = refusal(401, "authError", "Invalid Credentials");
        return answer.with("WWW-Authenticate", "Bearer realm=\"https://accounts.google.com/\"");
    }
    either(match (request.method.as_str(), &segments[..]) {
        ("POST", ["batch", "storage", "v1"]) => batch(content, request),
        _ => one(content, &segments, request),
    })
}

fn either(result: Result<Answer, Answer>) -> Answer {
    result.unwrap_or_else(|refused| refused)
}

/// A request about a bucket or an object.
fn one(content: &mut Content, segments: &[&str], request: &Request) -> Result<Answer, Answer> {
    let plain = |segment: &str| decoded(segment).ok_or_else(|| invalid("The name is not UTF-8."));
    match (request.method.as_str(), segments) {
        ("POST", ["storage", "v1", "b"]) => make_bucket(content, request),
        ("GET", ["storage", "v1", "b", bucket]) => {
            let bucket = plain(bucket)?;
            content.bucket(&bucket).map(|_| Answer::json(200, &bucket_resource(&bucket)))
        }
        ("DELETE", ["storage", "v1", "b", bucket]) => remove_bucket(content, &plain(bucket)?),
        ("GET", ["storage", "v1", "b", bucket, "o"]) => list(content, &plain(bucket)?, request),
        ("POST", ["upload", "storage", "v1", "b", bucket, "o"]) => {
            upload::insert(content, &plain(bucket)?, request)
        }
        ("GET", ["storage", "v1", "b", bucket, "o", name]) => {
            let (bucket, name) = (plain(bucket)?, plain(name)?);
            let object = content.object(&bucket, &name, condition(request)?)?;
            match request.asked("alt") {
                Some("media") => media(&object, request),
                _ => Ok(Answer::json(200, &object.resource(&bucket, &name))),
            }
        }
        ("DELETE", ["storage", "v1", "b", bucket, "o", name]) => {
            let (bucket, name) = (plain(bucket)?, plain(name)?);
            content.object(&bucket, &name, condition(request)?)?;
            content.bucket(&bucket)?.remove(&name);
            Ok(Answer::new(204))
        }
        ("POST", ["storage", "v1", "b", from, "o", object, "rewriteTo", "b", to, "o", name]) => {
            let from = (plain(from)?, plain(object)?);
            rewrite(content, &from, &(plain(to)?, plain(name)?), request)
        }
        _ => Err(refusal(404, "notFound", "No such request.")),
    }
}

/// A request by a signed URL, which are of the XML interface: `/BUCKET/KEY`.
fn signed(content: &mut Content, request: &Request) -> Result<Answer, Answer> {
    signature::check(&content.signers, request)?;
    let path = decoded(request.path.trim_start_matches('/')).unwrap_or_default();
    let Some((bucket, name)) = path.split_once('/') else {
        return Err(invalid("The path has no object."));
    };
    match request.method.as_str() {
        "GET" => media(&content.object(bucket, name, Condition::default())?, request),
        "PUT" => {
            let content_type = request.header("content-type").map(str::to_owned);
            let object = (request.body.clone(), Said { content_type, ..Said::default() });
            content.put((bucket, name), object, Condition::default()).map(|_| Answer::new(200))
        }
        "DELETE" => {
            content.object(bucket, name, Condition::default())?;
            content.bucket(bucket)?.remove(name);
            Ok(Answer::new(204))
        }
        _ => Err(refusal(405, "methodNotAllowed", "No such method.")),
    }
}

/// The conditions of a request.
pub(super) fn condition(request: &Request) -> Result<Condition, Answer> {
    let number = |name| {
        let number = request.asked(name).map(str::parse);
        number.transpose().map_err(|_| invalid("A generation is a number."))
    };
    Ok(Condition { is: number("ifGenerationMatch")?, is_not: number("ifGenerationNotMatch")? })
}

fn invalid(message: &str) -> Answer {
    refusal(400, "invalid", message)
}

// === Buckets ===

fn bucket_resource(name: &str) -> Value {
    json!({"kind": "storage#bucket", "id": name, "name": name, "location": "US"})
}

fn make_bucket(content: &mut Content, request: &Request) -> Result<Answer, Answer> {
    if request.asked("project").is_none_or(str::is_empty) {
        return Err(refusal(400, "required", "Required parameter: project"));
    }
    let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let name = asked["name"].as_str().unwrap_or_default();
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    if !(3..=63).contains(&name.len()) || !name.chars().all(is_plain) {
        return Err(invalid("Invalid bucket name."));
    }
    if name.starts_with(TAKEN) {
        let message = "The requested bucket name is not available. The bucket namespace is shared \
                       by all users of the system.";
        return Err(refusal(409, "conflict", message));
    }
    if content.buckets.contains_key(name) {
        let message = "Your previous request to create the named bucket succeeded and you already \
                       own it.";
        return Err(refusal(409, "conflict", message));
    }
    content.buckets.insert(name.to_owned(), BTreeMap::new());
    Ok(Answer::json(200, &bucket_resource(name)))
}

fn remove_bucket(content: &mut Content, name: &str) -> Result<Answer, Answer> {
    if !content.bucket(name)?.is_empty() {
        return Err(refusal(409, "conflict", "The bucket you tried to delete is not empty."));
    }
    content.buckets.remove(name);
    Ok(Answer::new(204))
}

// === Objects ===

/// The bytes of an object, or a range of them.
fn media(object: &Object, request: &Request) -> Result<Answer, Answer> {
    let size = object.bytes.len();
    let answer = |status| {
        Answer::new(status)
            .with("Content-Type", object.content_type())
            .with("ETag", format!("\"{}\"", object.etag()))
            .with("Last-Modified", object.last_modified())
            .with("x-goog-generation", object.generation.to_string())
            .with("x-goog-metageneration", "1")
            .with("x-goog-stored-content-length", size.to_string())
            .with("x-goog-hash", format!("crc32c={},md5={}", object.crc32c(), object.md5()))
    };
    let range = request.header("range").and_then(|range| range.strip_prefix("bytes="));
    let Some((from, to)) = range.and_then(|range| range.split_once('-')) else {
        return Ok(answer(200).body(object.bytes.clone()));
    };
    let from = from.parse::<usize>().map_err(|_| invalid("The range is not valid."))?;
    let to = to.parse::<usize>().unwrap_or(usize::MAX).min(size.saturating_sub(1));
    if from >= size || from > to {
        let refused = refusal(416, "requestedRangeNotSatisfiable", "Request range not satisfiable");
        return Err(refused.with("Content-Range", format!("bytes */{size}")));
    }
    let part = object.bytes.slice(from..=to);
    Ok(answer(206).with("Content-Range", format!("bytes {from}-{to}/{size}")).body(part))
}

/// Copies, with more requests than one where there is much to copy.
fn rewrite(
    content: &mut Content,
    from: &(String, String),
    to: &(String, String),
    request: &Request,
) -> Result<Answer, Answer> {
    let source = content.object(&from.0, &from.1, Condition::default())?;
    let size = source.bytes.len();
    let before = match request.asked("rewriteToken") {
        None => 0,
        Some(token) => {
            let token = token.split_once('.').filter(|it| it.0 == source.generation.to_string());
            let before = token.and_then(|(_, before)| before.parse::<usize>().ok());
            before.ok_or_else(|| invalid("The rewrite token is not valid."))?
        }
    };
    let copied = size.min(before + COPIED);
    let mut answer = json!({
        "kind": "storage#rewriteResponse",
        "totalBytesRewritten": copied.to_string(),
        "objectSize": size.to_string(),
        "done": copied == size,
    });
    if copied == size {
        let object = (source.bytes, source.said);
        answer["resource"] = content.put((&to.0, &to.1), object, condition(request)?)?;
    } else {
        answer["rewriteToken"] = json!(format!("{}.{copied}", source.generation));
    }
    Ok(Answer::json(200, &answer))
}

/// A page of names in order: objects, and with a delimiter what names begin with up to it.
fn list(content: &mut Content, bucket: &str, request: &Request) -> Result<Answer, Answer> {
    let prefix = request.asked("prefix").unwrap_or_default();
    let delimiter = request.asked("delimiter").filter(|it| !it.is_empty());
    let most = request.asked("maxResults").map_or(Ok(PAGE_MAX), str::parse);
    let most = most.map_err(|_| invalid("maxResults is a number."))?.clamp(1, PAGE_MAX);
    let from = match request.asked("pageToken") {
        Some(token) => {
            Bound::Excluded(last_of(token).ok_or_else(|| invalid("The page token is not valid."))?)
        }
        None => Bound::Included(request.asked("startOffset").unwrap_or_default().to_owned()),
    };
    let (mut items, mut prefixes, mut last) = (Vec::new(), Vec::<String>::new(), None);
    let mut next = None;
    for (name, object) in content.bucket(bucket)?.range((from, Bound::Unbounded)) {
        let Some(rest) = name.strip_prefix(prefix) else { continue };
        let shared = delimiter.and_then(|it| Some(rest.find(it)? + it.len()));
        let shared = shared.map(|end| name[..prefix.len() + end].to_owned());
        if shared.is_some() && prefixes.last() == shared.as_ref() {
            last = Some(name);
            continue;
        }
        if items.len() + prefixes.len() == most {
            next = last.map(|last: &String| token_of(last));
            break;
        }
        match shared {
            Some(shared) => prefixes.push(shared),
            None => items.push(object.resource(bucket, name)),
        }
        last = Some(name);
    }
    let mut page = json!({"kind": "storage#objects"});
    for (name, values) in [("items", json!(items)), ("prefixes", json!(prefixes))] {
        // Google leaves out what is empty.
        if values.as_array().is_some_and(|values| !values.is_empty()) {
            page[name] = values;
        }
    }
    if let Some(next) = next {
        page["nextPageToken"] = json!(next);
    }
    Ok(Answer::json(200, &page))
}

/// A token says where the next page begins, and not so that a client could make one.
fn token_of(last: &str) -> String {
    last.bytes().map(|byte| format!("{:02x}", byte ^ 0x5a)).collect()
}

fn last_of(token: &str) -> Option<String> {
    let byte = |at: usize| u8::from_str_radix(token.get(at..at + 2)?, 16).ok();
    let bytes = (0..token.len()).step_by(2).map(|at| Some(byte(at)? ^ 0x5a));
    String::from_utf8(bytes.collect::<Option<Vec<_>>>()?).ok()
}

// === Batches ===

/// Several requests in one: each has its answer, in the order of the requests.
fn batch(content: &mut Content, request: &Request) -> Result<Answer, Answer> {
    let parts = request.parts().ok_or_else(|| invalid("Failed to parse batch request."))?;
    if parts.is_empty() || parts.len() > BATCH_MAX {
        return Err(invalid("A batch has 1 to 100 requests."));
    }
    let boundary = "batch_of_answers";
    let mut body = BytesMut::new();
    for (about, inner) in parts {
        let inner = String::from_utf8_lossy(&inner).into_owned();
        let mut inner =
            Request::of_head(&inner).ok_or_else(|| invalid("Failed to parse batch request."))?;
        // What the batch may do, each of its requests may.
        inner.headers.insert("authorization".to_owned(), format!("Bearer {}", content.token));
        let id =
            about.lines().find_map(|line| line.split_once(": ").filter(|it| it.0 == "Content-ID"));
        let answer = answer(content, &inner);
        let id = id.map_or("", |(_, id)| id);
        let head = format!(
            "--{boundary}\r\nContent-Type: application/http\r\nContent-ID: response-{id}\r\n\r\n{}",
            answer.head()
        );
        body.put(head.as_bytes());
        body.put(answer.body);
        body.put(&b"\r\n"[..]);
    }
    body.put(format!("--{boundary}--\r\n").as_bytes());
    let kind = format!("multipart/mixed; boundary={boundary}");
    Ok(Answer::new(200).with("Content-Type", kind).body(Bytes::from(body)))
}
