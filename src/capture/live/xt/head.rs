//! The part of a rule that belongs to no extension: addresses, devices, protocol.

use super::Words;
use nfwhy_parsers::Proto;

/// `IFNAMSIZ`
const NAME: usize = 16;

impl Words<'_> {
    /// ` -s 10.0.0.0/8`, or nothing for all addresses (`save_ipv4_addr` and `save_ipv6_addr` in iptables/xshared.c).
    #[inline]
    pub(in crate::capture::live) fn address(
        &mut self,
        not: bool,
        option: &str,
        addr: &[u8],
        mask: &[u8],
    ) -> Option<()> {
        let zero = |bytes: &[u8]| bytes.iter().all(|b| *b == 0);
        if !not && zero(mask) && (self.is_v6() || zero(addr)) {
            return Some(());
        }
        self.option(not, option);
        self.net(addr, mask)
    }

    /// ` -i eth0`, ` -i eth+`, or nothing for all devices, from the 16 bytes of a name and of its mask (`save_iface`).
    #[inline]
    pub(in crate::capture::live) fn device(
        &mut self,
        not: bool,
        option: &str,
        name: &[u8],
        mask: &[u8],
    ) {
        if mask.first().is_none_or(|byte| *byte == 0) {
            return;
        }
        let len = mask.iter().take_while(|byte| **byte != 0).count();
        let name = name.get(..len.min(NAME)).unwrap_or_default();
        // A mask that counts the NUL, or every byte, is of one name.
        let whole = len >= NAME || name.last() == Some(&0);
        self.device_named(not, option, &super::words::text(name), !whole);
    }

    /// The same by a name, or the beginning of one.
    pub(in crate::capture::live) fn device_named(
        &mut self,
        not: bool,
        option: &str,
        name: &str,
        begins: bool,
    ) {
        self.option(not, option);
        if !begins {
            self.word(name);
        } else if name.bytes().any(|b| b.is_ascii_whitespace() || b == b'"') {
            self.word(&format!("{name}+"));
        } else {
            self.raw(name);
            self.out.push('+');
        }
    }

    /// ` -p tcp`, or nothing for protocol 0, which stands for all of them.
    #[inline]
    pub(in crate::capture::live) fn of_protocol(&mut self, not: bool, proto: u16) {
        if proto == 0 {
            return;
        }
        self.option(not, "-p");
        match u8::try_from(proto) {
            Ok(proto) => self.protocol(Proto(proto)),
            Err(_) => self.num(proto),
        }
    }
}
