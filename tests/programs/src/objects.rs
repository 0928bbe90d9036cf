//! Objects that go by reference.

use std::io::{Read, Seek, SeekFrom, Write};

use samara_guest::storage::{self, Error};
use samara_guest::{Bytes, ObjectRef, Result, function, task};

use crate::Attempt;

/// Writes an object of so many pieces under a name, to go with the job or to stay.
#[function]
pub fn makes_object(name: String, piece: Bytes, count: u64, keep: bool) -> Result<ObjectRef> {
    let mut writer = match keep {
        true => ObjectRef::keep().create(&name)?,
        false => ObjectRef::create(&name)?,
    };
    for _ in 0..count {
        writer.write_all(&piece)?;
    }
    Ok(writer.finish()?)
}

/// Puts bytes that say which attempt it is, under a name of its own; returns the object.
#[function]
pub fn makes_object_of_attempt(name: String) -> Result<ObjectRef> {
    let mut writer = ObjectRef::create(&name)?;
    write!(writer, "attempt {}", task::current().attempt)?;
    Ok(writer.finish()?)
}

/// Puts bytes.
#[function]
pub fn puts_object(bytes: Bytes, keep: bool) -> Result<ObjectRef> {
    Ok(if keep { ObjectRef::keep().put(&bytes)? } else { ObjectRef::put(&bytes)? })
}

/// Reads an object.
#[function]
pub fn reads_object(object: ObjectRef) -> Result<Bytes> {
    Ok(object.read()?.into())
}

/// Reads so many bytes of an object from a place on.
#[function]
pub fn reads_object_at(object: ObjectRef, position: u64, length: u64) -> Result<Bytes> {
    let mut reader = object.open();
    reader.seek(SeekFrom::Start(position))?;
    let mut bytes = Vec::new();
    reader.take(length).read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

/// Tries to replace an object, and to write beside it.
#[function]
pub fn replaces_object(object: ObjectRef) -> Vec<Attempt<u64>> {
    let beside = format!("{}-beside", object.url);
    let put = |url: &str| storage::put(url, b"replaced").map(|metadata| metadata.size);
    vec![put(&object.url).into(), put(&beside).into()]
}

/// Tries to make two objects of one name; returns the second's refusal.
#[function]
pub fn makes_object_twice(name: String) -> Result<bool> {
    let _first = ObjectRef::create(&name)?.finish()?;
    Ok(matches!(ObjectRef::create(&name), Err(Error::AlreadyExists(_))))
}

/// Returns the prefix of the task's own objects.
#[function]
pub fn scratch_prefix() -> String {
    task::scratch()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn natively_objects_lie_in_memory() {
        let bytes = Bytes::from(&b"ab"[..]);
        let object = makes_object("x".to_owned(), bytes.clone(), 3, false).unwrap();
        assert_eq!(reads_object(object.clone()).unwrap().to_vec(), b"ababab");
        assert_eq!(reads_object_at(object, 1, 2).unwrap().to_vec(), b"ba");
        assert!(puts_object(bytes, true).unwrap().url.contains("/kept/"));
        assert!(makes_object_twice("y".to_owned()).unwrap());
    }
}
