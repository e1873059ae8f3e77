//! zip, which is what trackers of tickets and mail programs make of a folder: stored and deflated files by the central directory
//! (APPNOTE.TXT of PKWARE, 4.3).

use super::archive::{Bounded, Entry, path, too_many};
use super::limits::Limits;
use flate2::Crc;
use flate2::read::DeflateDecoder;
use std::io::{self, Read};

/// Fixed part of the end record, of a central and of a local header.
const END: usize = 22;
const CENTRAL: usize = 46;
const LOCAL: usize = 30;

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("zip: {what}"))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<usize> {
    let b = bytes.get(at..at.checked_add(2)?)?;
    Some(usize::from(u16::from_le_bytes(b.try_into().ok()?)))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let b = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(b.try_into().ok()?))
}

fn offset_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32_at(bytes, at)?).ok()
}

/// One file, as the central directory has it.
struct Member<'a> {
    name: &'a [u8],
    encrypted: bool,
    method: usize,
    crc: u32,
    size: u32,
    link: bool,
    packed: &'a [u8],
    /// Where the next header begins.
    next: usize,
}

fn member(bytes: &[u8], at: usize) -> Option<Member<'_>> {
    let h = bytes.get(at..)?;
    if !h.starts_with(b"PK\x01\x02") {
        return None;
    }
    let (name, extra, comment) = (u16_at(h, 28)?, u16_at(h, 30)?, u16_at(h, 32)?);
    let local = bytes.get(offset_at(h, 42)?..)?;
    if !local.starts_with(b"PK\x03\x04") {
        return None;
    }
    // The local header has lengths of its own.
    let data = LOCAL + u16_at(local, 26)? + u16_at(local, 28)?;
    // S_IFLNK in the mode that Unix programs put into the upper half of the external attributes.
    let link = (u32_at(h, 38)? >> 16) & 0o170_000 == 0o120_000;
    Some(Member {
        name: h.get(CENTRAL..CENTRAL + name)?,
        encrypted: u16_at(h, 8)? & 1 == 1,
        method: u16_at(h, 10)?,
        crc: u32_at(h, 16)?,
        size: u32_at(h, 24)?,
        link,
        packed: local.get(data..data.checked_add(offset_at(h, 20)?)?)?,
        next: at + CENTRAL + name + extra + comment,
    })
}

/// As [`super::archive::entries`].
pub(super) fn entries(
    bytes: &[u8],
    limits: &Limits,
    visit: &mut dyn FnMut(&[String], Entry<'_>) -> io::Result<()>,
) -> io::Result<()> {
    // A comment of up to 65,535 bytes may follow the end record.
    let from = bytes.len().saturating_sub(END + 0xffff);
    let tail = bytes.get(from..).unwrap_or_default();
    let end = tail
        .windows(END)
        .rposition(|w| w.starts_with(b"PK\x05\x06"))
        .and_then(|at| tail.get(at..))
        .ok_or_else(|| damaged("its directory is missing"))?;
    let number = u16_at(end, 10).unwrap_or_default();
    let mut at = offset_at(end, 16).unwrap_or_default();
    if number == 0xffff || u32_at(end, 16) == Some(u32::MAX) {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "it is a zip of the 64-bit form, which is not read; unpack it and give the folder",
        ));
    }
    if number as u64 > limits.entries {
        return Err(too_many(limits));
    }
    let mut left = limits.unpacked;
    for _ in 0..number {
        let m = member(bytes, at).ok_or_else(|| damaged("its directory is damaged"))?;
        at = m.next;
        // A folder.
        if m.name.ends_with(b"/") {
            continue;
        }
        let Some(parts) = path(m.name) else {
            continue;
        };
        if m.encrypted {
            let why = "it is encrypted; unpack it and give the folder";
            return Err(io::Error::new(io::ErrorKind::Unsupported, why));
        }
        let packed: Box<dyn Read + '_> = match m.method {
            0 => Box::new(m.packed),
            8 => Box::new(DeflateDecoder::new(m.packed)),
            n => {
                let why = format!(
                    "it is packed by method {n} of zip, which is not read; unpack it and give the folder"
                );
                return Err(io::Error::new(io::ErrorKind::Unsupported, why));
            }
        };
        // Members may share their packed bytes: the limit is of all together.
        let mut content = Checked {
            inner: Bounded {
                inner: packed,
                left,
                limit: limits.unpacked,
            },
            crc: Crc::new(),
            want: m.crc,
        };
        if m.link {
            let mut to = String::new();
            (&mut content).take(limits.path).read_to_string(&mut to)?;
            visit(&parts, Entry::Link(&to))?;
        } else {
            visit(&parts, Entry::File(&mut content, u64::from(m.size)))?;
        }
        left = content.inner.left;
    }
    Ok(())
}

/// A reader that compares the checksum at its end.
struct Checked<R> {
    inner: R,
    crc: Crc,
    want: u32,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(out)?;
        self.crc.update(out.get(..n).unwrap_or_default());
        if n == 0 && !out.is_empty() && self.crc.sum() != self.want {
            return Err(damaged("a checksum differs"));
        }
        Ok(n)
    }
}
