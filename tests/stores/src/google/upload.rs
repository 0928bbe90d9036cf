//! Objects on their way up: in one request, with or without what is said of them, and resumable.

use bytes::{Bytes, BytesMut};
use serde_json::Value;

use super::api::condition;
use super::objects::{Content, Said, Upload, refusal};
use super::wire::{Answer, Request};

/// A piece that is not the last one is a multiple of this.
const PIECE: u64 = 256 << 10;

/// The first byte and the last one.
type Ends = (u64, u64);

/// `POST /upload/storage/v1/b/BUCKET/o`.
pub(super) fn insert(
    content: &mut Content,
    bucket: &str,
    request: &Request,
) -> Result<Answer, Answer> {
    let name = request.asked("name").unwrap_or_default();
    let condition = condition(request)?;
    match request.asked("uploadType") {
        Some("media") => {
            let content_type = request.header("content-type").map(str::to_owned);
            let said = Said { content_type, ..Said::default() };
            let object = (request.body.clone(), said);
            Ok(Answer::json(200, &content.put((bucket, name), object, condition)?))
        }
        Some("multipart") => {
            let parts = request.parts().unwrap_or_default();
            let [(_, about), (_, bytes)] = &parts[..] else {
                return Err(invalid("The body has not two parts."));
            };
            let object = (bytes.clone(), said(about)?);
            Ok(Answer::json(200, &content.put((bucket, name), object, condition)?))
        }
        Some("resumable") => {
            content.check(bucket, name, condition)?;
            let id = format!("upload-{}", content.number());
            let mut said = said(&request.body)?;
            let announced = request.header("x-upload-content-type").map(str::to_owned);
            said.content_type = said.content_type.or(announced);
            let (bucket, name) = (bucket.to_owned(), name.to_owned());
            let bytes = BytesMut::new();
            // Where it goes on is where the client found us, be it by a proxy.
            let host = request.header("host").unwrap_or_default();
            let place =
                format!("http://{host}{}?uploadType=resumable&upload_id={id}", request.path);
            let upload = Upload { bucket, name, said, condition, bytes, done: None };
            content.uploads.insert(id, upload);
            Ok(Answer::new(200).with("Location", place))
        }
        _ => Err(invalid("The uploadType is not known.")),
    }
}

/// `PUT` to a session: a piece, or a question what there is.
pub(super) fn resume(content: &mut Content, id: &str, request: &Request) -> Result<Answer, Answer> {
    let range = request.header("content-range").unwrap_or_default();
    let (piece, total) =
        piece_of(range).ok_or_else(|| invalid("The Content-Range is not valid."))?;
    let upload = session(content, id)?;
    if let Some(done) = &upload.done {
        return Ok(Answer::json(200, done));
    }
    let have = upload.bytes.len() as u64;
    if let Some((from, to)) = piece {
        let length = request.body.len() as u64;
        if to + 1 - from != length || from > have {
            return Err(invalid("The piece is not what its Content-Range says."));
        }
        if total.is_none() && !length.is_multiple_of(PIECE) {
            return Err(invalid("A piece that is not the last is a multiple of 256 KiB."));
        }
        // What is there already is not taken again.
        let known = usize::try_from(have - from).unwrap_or(usize::MAX);
        upload.bytes.extend_from_slice(request.body.get(known..).unwrap_or_default());
    }
    let have = upload.bytes.len() as u64;
    if total != Some(have) {
        let answer = Answer::new(308);
        return Ok(match have {
            0 => answer,
            _ => answer.with("Range", format!("bytes=0-{}", have - 1)),
        });
    }
    let bytes = upload.bytes.split().freeze();
    let (bucket, name, condition) = (upload.bucket.clone(), upload.name.clone(), upload.condition);
    let object = (bytes, upload.said.clone());
    match content.put((&bucket, &name), object, condition) {
        Ok(resource) => {
            session(content, id)?.done = Some(resource.clone());
            Ok(Answer::json(200, &resource))
        }
        Err(refused) => {
            content.uploads.remove(id);
            Err(refused)
        }
    }
}

/// `DELETE` of a session.
pub(super) fn cancel(content: &mut Content, id: &str) -> Result<Answer, Answer> {
    session(content, id)?;
    content.uploads.remove(id);
    Ok(Answer::new(499))
}

fn session<'a>(content: &'a mut Content, id: &str) -> Result<&'a mut Upload, Answer> {
    content.uploads.get_mut(id).ok_or_else(|| refusal(404, "notFound", "No such upload."))
}

/// The bytes of a piece, both ends included, and the size of the whole where it is known:
/// `bytes 0-9/*`, `bytes 0-9/10`, `bytes */10`.
fn piece_of(range: &str) -> Option<(Option<Ends>, Option<u64>)> {
    let (piece, total) = range.strip_prefix("bytes ")?.split_once('/')?;
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    if piece == "*" {
        return Some((None, total));
    }
    let (from, to) = piece.split_once('-')?;
    let (from, to) = (from.parse().ok()?, to.parse().ok()?);
    (from <= to).then_some((Some((from, to)), total))
}

/// What is said of an object in JSON.
fn said(about: &Bytes) -> Result<Said, Answer> {
    if about.is_empty() {
        return Ok(Said::default());
    }
    let about: Value =
        serde_json::from_slice(about).map_err(|_| invalid("What is said is no JSON."))?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let metadata = about["metadata"].as_object().into_iter().flatten();
    let metadata = metadata.filter_map(|(name, value)| Some((name.clone(), text(value)?)));
    Ok(Said { content_type: text(&about["contentType"]), metadata: metadata.collect() })
}

fn invalid(message: &str) -> Answer {
    refusal(400, "invalid", message)
}
