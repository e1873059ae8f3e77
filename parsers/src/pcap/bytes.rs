//! Numbers of bytes, one after another.

/// A reader over bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes<'a> {
    all: &'a [u8],
    at: usize,
    /// Whether the first byte of a number is its highest.
    pub big: bool,
}

impl<'a> Bytes<'a> {
    pub fn new(all: &'a [u8], big: bool) -> Self {
        Self { all, at: 0, big }
    }

    /// Network byte order.
    pub fn of_wire(all: &'a [u8]) -> Self {
        Self::new(all, true)
    }

    pub fn at(&self) -> usize {
        self.at
    }

    pub fn left(&self) -> usize {
        self.all.len().saturating_sub(self.at)
    }

    pub fn is_empty(&self) -> bool {
        self.left() == 0
    }

    pub fn rest(&self) -> &'a [u8] {
        self.all.get(self.at..).unwrap_or_default()
    }

    pub fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let part = self.all.get(self.at..self.at.checked_add(n)?)?;
        self.at += n;
        Some(part)
    }

    pub fn skip(&mut self, n: usize) -> Option<()> {
        self.take(n).map(|_| ())
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[b]| b)
    }

    pub fn u16(&mut self) -> Option<u16> {
        let a = self.array()?;
        Some(if self.big {
            u16::from_be_bytes(a)
        } else {
            u16::from_le_bytes(a)
        })
    }

    pub fn u32(&mut self) -> Option<u32> {
        let a = self.array()?;
        Some(if self.big {
            u32::from_be_bytes(a)
        } else {
            u32::from_le_bytes(a)
        })
    }

    pub fn v4(&mut self) -> Option<std::net::IpAddr> {
        self.array::<4>().map(Into::into)
    }

    pub fn v6(&mut self) -> Option<std::net::IpAddr> {
        self.array::<16>().map(Into::into)
    }
}
