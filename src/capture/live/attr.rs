//! Attributes of netlink messages.

/// The attributes in `bytes`, type and payload; the nested and byte-order flags are taken off the type.
///
/// Ends at the first attribute that does not fit, as the kernel's own `nla_for_each_attr` does (include/net/netlink.h).
pub(super) fn attrs(bytes: &[u8]) -> Attrs<'_> {
    Attrs(bytes)
}

/// See [`attrs`].
#[derive(Clone, Debug)]
pub(super) struct Attrs<'a>(&'a [u8]);

impl<'a> Iterator for Attrs<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let len = usize::from(self.0.u16(0)?);
        let kind = self.0.u16(2)? & 0x3fff;
        let payload = self.0.get(4..len)?;
        self.0 = self.0.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, payload))
    }
}

/// The payload of the first attribute of this type.
pub(super) fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attrs(bytes).find(|(k, _)| *k == kind).map(|(_, v)| v)
}

/// A number in the sender's byte order, at an offset.
pub(super) trait Numbers {
    /// 8 bit.
    fn u8(&self, at: usize) -> Option<u8>;
    /// 16 bit, this machine's order.
    fn u16(&self, at: usize) -> Option<u16>;
    /// 32 bit, this machine's order.
    fn u32(&self, at: usize) -> Option<u32>;
    /// 64 bit, this machine's order.
    fn u64(&self, at: usize) -> Option<u64>;
    /// 16 bit, network order.
    fn be16(&self, at: usize) -> Option<u16>;
    /// 32 bit, network order.
    fn be32(&self, at: usize) -> Option<u32>;
    /// 64 bit, network order.
    fn be64(&self, at: usize) -> Option<u64>;
    /// Text up to the first NUL or the end; bytes that are not UTF-8 are replaced.
    fn text(&self) -> String;
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

impl Numbers for [u8] {
    fn u8(&self, at: usize) -> Option<u8> {
        self.get(at).copied()
    }
    fn u16(&self, at: usize) -> Option<u16> {
        array(self, at).map(u16::from_ne_bytes)
    }
    fn u32(&self, at: usize) -> Option<u32> {
        array(self, at).map(u32::from_ne_bytes)
    }
    fn u64(&self, at: usize) -> Option<u64> {
        array(self, at).map(u64::from_ne_bytes)
    }
    fn be16(&self, at: usize) -> Option<u16> {
        array(self, at).map(u16::from_be_bytes)
    }
    fn be32(&self, at: usize) -> Option<u32> {
        array(self, at).map(u32::from_be_bytes)
    }
    fn be64(&self, at: usize) -> Option<u64> {
        array(self, at).map(u64::from_be_bytes)
    }
    fn text(&self) -> String {
        let end = self.iter().position(|b| *b == 0).unwrap_or(self.len());
        String::from_utf8_lossy(self.get(..end).unwrap_or_default()).into_owned()
    }
}
