//! Archives: tar, plain or through gzip or xz, and zip. Nothing is written to a disk.

use super::limits::{Limits, human};
use super::xz::Xz;
use flate2::read::MultiGzDecoder;
use std::io::{self, Read};
use tar::{Archive, EntryType, Header, PaxExtensions};

/// How bytes are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    /// `.tar`.
    Tar,
    /// `.tar.gz`, or one file through gzip.
    Gzip,
    /// `.tar.xz`, or one file through xz.
    Xz,
    /// `.zip`.
    Zip,
    /// A packing that is known and not read.
    Foreign(&'static str),
}

/// How the bytes are packed; `None` where they are not.
pub(super) fn packing(bytes: &[u8]) -> Option<Packing> {
    const FOREIGN: &[(&[u8], &str)] = &[
        (b"BZh", "bzip2"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"7z\xbc\xaf\x27\x1c", "7z"),
        (b"\x04\x22\x4d\x18", "lz4"),
        (b"Rar!\x1a\x07", "rar"),
    ];
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return Some(Packing::Gzip);
    }
    if bytes.starts_with(b"\xfd7zXZ\0") {
        return Some(Packing::Xz);
    }
    if bytes.starts_with(b"PK\x03\x04") {
        return Some(Packing::Zip);
    }
    if is_tar(bytes) {
        return Some(Packing::Tar);
    }
    let (_, name) = FOREIGN.iter().find(|(magic, _)| bytes.starts_with(magic))?;
    Some(Packing::Foreign(name))
}

/// "ustar" of POSIX and of GNU.
fn is_tar(bytes: &[u8]) -> bool {
    bytes.get(257..262) == Some(b"ustar")
}

/// What an archive holds at a path.
pub(super) enum Entry<'a> {
    /// A file's bytes, to be read or left; their number by the archive's word.
    File(&'a mut dyn Read, u64),
    /// A symbolic link to this.
    Link(&'a str),
}

/// Calls `visit` with each file and link of the archive: the folders of its path, then its name. A single packed file has no path.
pub(super) fn entries(
    bytes: &[u8],
    packing: Packing,
    limits: &Limits,
    visit: &mut dyn FnMut(&[String], Entry<'_>) -> io::Result<()>,
) -> io::Result<()> {
    match packing {
        Packing::Tar => tar(bytes, limits, visit),
        Packing::Gzip => packed(MultiGzDecoder::new(bytes), limits, visit),
        Packing::Xz => packed(Xz::new(bytes, limits.dictionary), limits, visit),
        Packing::Zip => super::zip::entries(bytes, limits, visit),
        Packing::Foreign(name) => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("it is packed by {name}, which is not read; unpack it and give the folder"),
        )),
    }
}

fn packed(
    unpacked: impl Read,
    limits: &Limits,
    visit: &mut dyn FnMut(&[String], Entry<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let mut unpacked = Bounded {
        inner: unpacked,
        left: limits.unpacked,
        limit: limits.unpacked,
    };
    let mut head = Vec::new();
    (&mut unpacked).take(512).read_to_end(&mut head)?;
    if is_tar(&head) {
        return tar(head.as_slice().chain(unpacked), limits, visit);
    }
    visit(&[], Entry::File(&mut head.as_slice().chain(unpacked), 0))
}

fn tar(
    bytes: impl Read,
    limits: &Limits,
    visit: &mut dyn FnMut(&[String], Entry<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let mut archive = Archive::new(bytes);
    let mut number = 0;
    // What a record before the entry says of it.
    let (mut name, mut link): (Option<Vec<u8>>, Option<Vec<u8>>) = (None, None);
    // Raw, since the crate reads records of names whole, however long.
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry?;
        number += 1;
        if number > limits.entries {
            return Err(too_many(limits));
        }
        let kind = entry.header().entry_type();
        let size = entry.size();
        let mut record = || {
            if size > limits.path {
                return Err(io::Error::other(format!(
                    "a name in it takes {}",
                    human(size)
                )));
            }
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        match kind {
            EntryType::GNULongName => name = Some(unterminated(record()?)),
            EntryType::GNULongLink => link = Some(unterminated(record()?)),
            EntryType::XHeader => {
                let record = record()?;
                for extension in PaxExtensions::new(&record) {
                    let extension = extension?;
                    match extension.key_bytes() {
                        b"path" => name = Some(extension.value_bytes().to_vec()),
                        b"linkpath" => link = Some(extension.value_bytes().to_vec()),
                        _ => {}
                    }
                }
            }
            EntryType::XGlobalHeader => {}
            _ => {
                let (name, link) = (name.take(), link.take());
                let own = || entry.header().path_bytes().into_owned();
                let Some(path) = path(&name.unwrap_or_else(own)) else {
                    continue;
                };
                if kind.is_file() {
                    visit(&path, Entry::File(&mut entry, size))?;
                } else if kind.is_symlink() {
                    let link = link.or_else(|| link_of(entry.header()));
                    let link = String::from_utf8_lossy(&link.unwrap_or_default()).into_owned();
                    visit(&path, Entry::Link(&link))?;
                }
            }
        }
    }
    Ok(())
}

/// The limit of their number.
pub(super) fn too_many(limits: &Limits) -> io::Error {
    io::Error::other(format!(
        "it holds more than {} files and folders",
        limits.entries
    ))
}

fn link_of(header: &Header) -> Option<Vec<u8>> {
    header.link_name_bytes().map(std::borrow::Cow::into_owned)
}

/// GNU's records of names end in a NUL.
fn unterminated(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

/// The parts of a path; nothing for one that leads out of the archive. It would lead nowhere, but it names nothing in it either.
pub(super) fn path(bytes: &[u8]) -> Option<Vec<String>> {
    let text = String::from_utf8_lossy(bytes);
    let parts: Vec<String> = text
        .split('/')
        .filter(|p| !p.is_empty() && *p != ".")
        .map(shown)
        .collect();
    (!parts.is_empty() && !parts.iter().any(|p| p == "..")).then_some(parts)
}

/// A name without characters that would break a message's lines.
pub(super) fn shown(name: &str) -> String {
    name.replace(char::is_control, "\u{fffd}")
}

/// A reader that fails, and does not merely end, at its limit.
pub(super) struct Bounded<R> {
    pub inner: R,
    pub left: u64,
    pub limit: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(out)?;
        self.left = self.left.checked_sub(n as u64).ok_or_else(|| {
            io::Error::other(format!("it unpacks to more than {}", human(self.limit)))
        })?;
        Ok(n)
    }
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
