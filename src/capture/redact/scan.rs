//! A line's addresses, MACs, names and comments, found by their form.

use super::trie::{Fixed, Shape, range_lens};
use nfwhy_parsers::recognise::Kind;
use std::net::{IpAddr, Ipv4Addr};

mod forms;

/// What is found in a line, in its order; together the texts are the line.
pub trait Handler {
    /// Nothing to replace.
    fn text(&mut self, text: &str);
    /// An address.
    fn address(&mut self, ip: IpAddr, shape: Shape, text: &str);
    /// An address as `/proc/net/ip_vs` prints it.
    fn hexadecimal(&mut self, ip: Ipv4Addr, text: &str);
    /// Two addresses that are the ends of a range; both are found as addresses too.
    fn range(&mut self, low: IpAddr, high: IpAddr, translated: bool);
    /// A hardware address.
    fn mac(&mut self, text: &str);
    /// A word; `before` is the word before it.
    fn word(&mut self, word: &str, before: &str, prose: bool);
    /// What devices' names begin with that are matched together: `cali+`, `"veth*"`.
    fn stem(&mut self, stem: &str);
    /// `namespace/name:port`.
    fn service(&mut self, text: &str);
    /// A chain or set of kube-proxy's nftables mode, named after a Service; the address and port of an endpoint stand behind it.
    fn kube_chain(&mut self, text: &str);
    /// What stands behind `cali:` or `cali40s:`.
    fn digest(&mut self, text: &str);
}

/// What a line's other words say of its addresses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Line {
    /// What file it is from.
    pub kind: Option<Kind>,
    /// Bits that count of each address: a mask stands apart from it.
    pub len: Option<u8>,
    /// As [`Shape::fixed`].
    pub fixed: Option<Fixed>,
    /// Where the beginning of devices' names stands that is told by another word of the line.
    pub stem: Option<usize>,
}

impl Line {
    /// A mask that is for the addresses of the line.
    pub fn mask(&mut self, text: &str) {
        match text.parse().map(mask_len) {
            Ok(Ok(len)) => self.len = Some(len),
            Ok(Err(fixed)) => self.fixed = Some(fixed),
            Err(_) => {}
        }
    }
}

/// Beginnings of the names of kube-proxy's chains and sets for Services (pkg/proxy/nftables/proxier.go).
const KUBE_CHAINS: &[&str] = &[
    "service-",
    "external-",
    "local-",
    "endpoint-",
    "firewall-",
    "affinity-",
];

/// Longest text of an address or MAC: 20 bytes of InfiniBand.
const LONGEST: usize = 64;

/// Walks over `line`.
pub fn scan(line: &str, facts: Line, handler: &mut impl Handler) {
    let mut s = Scanner {
        line,
        bytes: line.as_bytes(),
        facts,
        handler,
        plain: 0,
        before: "",
        after: 0,
        high: None,
    };
    s.part(0, line.len(), false);
    s.flush(line.len());
}

struct Scanner<'l, 'h, H> {
    line: &'l str,
    bytes: &'l [u8],
    facts: Line,
    handler: &'h mut H,
    /// From here on nothing was handed over.
    plain: usize,
    before: &'l str,
    /// Where that word ended.
    after: usize,
    /// Where the last address of a range begins, and how many of its bits count.
    high: Option<(usize, u8)>,
}

fn wordy(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')
}

impl<'l, H: Handler> Scanner<'l, '_, H> {
    fn get(&self, i: usize) -> u8 {
        self.bytes.get(i).copied().unwrap_or(b'\n')
    }

    fn prev(&self, i: usize, back: usize) -> u8 {
        i.checked_sub(back).map_or(b'\n', |j| self.get(j))
    }

    fn slice(&self, from: usize, to: usize) -> &'l str {
        self.line.get(from..to).unwrap_or("")
    }

    fn flush(&mut self, to: usize) {
        if to > self.plain {
            let text = self.slice(self.plain, to);
            self.handler.text(text);
        }
        self.plain = to;
    }

    /// The line's bytes from `i` to `end`.
    fn part(&mut self, mut i: usize, end: usize, prose: bool) {
        while i < end {
            let b = self.get(i);
            if let Some(next) = self.found_address(i) {
                i = next;
                continue;
            }
            if !(b.is_ascii_alphanumeric() || b == b'_' || !b.is_ascii()) {
                if b == b'/' && !prose && self.slice(i, i + 3) == "/* " {
                    i = self.remark(i);
                    continue;
                }
                i += 1;
                continue;
            }
            if let Some(next) = self.kube_chain(i, end) {
                i = next;
                continue;
            }
            if prose && let Some(next) = self.service(i, end) {
                i = next;
                continue;
            }
            i = self.word(i, end, prose);
        }
    }

    /// `/* prose */` of `iptables -L`.
    fn remark(&mut self, i: usize) -> usize {
        let rest = self.slice(i, self.line.len());
        let end = rest.find(" */").map_or(self.line.len(), |n| i + n);
        self.part(i + 3, end, true);
        end
    }

    fn kube_chain(&mut self, i: usize, end: usize) -> Option<usize> {
        let rest = self.slice(i, end);
        let prefix = KUBE_CHAINS.iter().find(|p| rest.starts_with(**p))?;
        let (hash, name) = rest.get(prefix.len()..)?.split_at_checked(8)?;
        let hashed = hash
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        if !hashed || !name.starts_with('-') || wordy(self.prev(i, 1)) {
            return None;
        }
        let stop = |b: u8| !(wordy(b) || b == b'/');
        let len = rest.bytes().position(stop).unwrap_or(rest.len());
        self.flush(i);
        self.handler.kube_chain(self.slice(i, i + len));
        self.plain = i + len;
        Some(i + len)
    }

    /// In prose, what has a slash within it.
    fn service(&mut self, i: usize, end: usize) -> Option<usize> {
        let rest = self.slice(i, end);
        let stop = |b: u8| !(wordy(b) || matches!(b, b'/' | b':'));
        let len = rest.bytes().position(stop).unwrap_or(rest.len());
        let text = rest.get(..len)?.trim_end_matches([':', '.', '/', '-']);
        let (ns, name) = text.split_once('/')?;
        if ns.is_empty() || name.is_empty() || text.bytes().all(|b| !b.is_ascii_alphabetic()) {
            return None;
        }
        self.flush(i);
        self.handler.service(text);
        self.plain = i + text.len();
        Some(self.plain)
    }

    fn word(&mut self, i: usize, end: usize, prose: bool) -> usize {
        let mut j = i;
        while j < end {
            let b = self.get(j);
            if !wordy(b) && b.is_ascii() {
                break;
            }
            // An address may stand at a word's end: `allow-10.0.0.1`.
            if j > i && b.is_ascii_digit() && self.v4(j).is_some() {
                break;
            }
            j += 1;
        }
        // A sentence's stop and a range's dash are none of the word's.
        let told = self.facts.stem == Some(i);
        let wild = told || matches!(self.get(j), b'+' | b'*');
        while !wild && j > i + 1 && matches!(self.prev(j, 1), b'.' | b'-') {
            j -= 1;
        }
        let word = self.slice(i, j);
        if word.is_empty() {
            return i + 1;
        }
        // What stands between may be quotes, not the end of an object of JSON.
        let between = |b: u8| matches!(b, b' ' | b'"' | b'!' | b'=' | b':' | b'{' | b'[' | b'-');
        if !self.slice(self.after, i).bytes().all(between) {
            self.before = "";
        }
        self.flush(i);
        let key = self.prev(i, 1) == b'"' && self.get(j) == b'"' && self.get(j + 1) == b':';
        if !prose && (told || wild && !wordy(self.get(j + 1))) {
            self.handler.stem(word);
        } else if !prose && key {
            // A key of JSON.
            self.handler.text(word);
        } else {
            self.handler.word(word, self.before, prose);
        }
        self.plain = j;
        self.after = j;
        self.before = word;
        if word.starts_with("cali") && self.get(j) == b':' {
            let tail = self.slice(j + 1, end);
            let stop = |b: u8| !(b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
            let len = tail.bytes().position(stop).unwrap_or(tail.len());
            if len > 0 {
                self.flush(j + 1);
                self.handler.digest(self.slice(j + 1, j + 1 + len));
                self.plain = j + 1 + len;
                return self.plain;
            }
        }
        if prose {
            return j;
        }
        self.prose_after(i, j, word)
    }

    /// The comment or prefix behind the word from `i` to `j`; where it ends.
    fn prose_after(&mut self, i: usize, j: usize, word: &str) -> usize {
        if word == "alias" && self.slice(0, i).trim().is_empty() {
            self.part(j, self.line.len(), true);
            return self.line.len();
        }
        if !matches!(
            word,
            "comment" | "prefix" | "log-prefix" | "nflog-prefix" | "ifalias"
        ) {
            return j;
        }
        let mut k = j;
        if self.get(k) == b'"' {
            // A key of JSON.
            k += 1;
            while matches!(self.get(k), b':' | b' ') {
                k += 1;
            }
            if self.get(k) != b'"' {
                return j;
            }
        }
        while self.get(k) == b' ' {
            k += 1;
        }
        let open = self.get(k) == b'"';
        let dashed = self.prev(i, 1) == b'-' && self.prev(i, 2) == b'-';
        if !open && !dashed {
            return j;
        }
        let start = k + usize::from(open);
        let mut e = start;
        while e < self.line.len() {
            match self.get(e) {
                b'\\' if self.get(e + 1).is_ascii() => e += 1,
                b'"' if open => break,
                b' ' if !open => break,
                _ => {}
            }
            e += 1;
        }
        let e = e.min(self.line.len());
        self.part(start, e, true);
        e
    }

    /// Hands over the address or MAC that begins at `i`.
    fn found_address(&mut self, i: usize) -> Option<usize> {
        let b = self.get(i);
        if !(b.is_ascii_hexdigit() || b == b':') {
            return None;
        }
        if self.facts.kind == Some(Kind::Ipvs)
            && let Some(ip) = self.hexadecimal(i)
        {
            self.flush(i);
            self.handler.hexadecimal(ip, self.slice(i, i + 8));
            self.plain = i + 8;
            return Some(i + 13);
        }
        if let Some(j) = self.mac(i) {
            self.flush(i);
            self.handler.mac(self.slice(i, j));
            self.plain = j;
            return Some(j);
        }
        let (ip, j) = self.address(i)?;
        // Behind `&` stands a mask.
        if self.prev(i, 1) == b' ' && self.prev(i, 2) == b'&' {
            return Some(j);
        }
        let (mut shape, next) = self.shape(i, j, ip);
        if let Some((_, len)) = self.high.take_if(|(at, _)| *at == i) {
            shape.len = Some(len);
            shape.range_end = true;
        }
        if let Some((low, high)) = self.compared(i, ip) {
            let (low_len, high_len) = range_lens(low, high);
            shape.len = Some(if low == ip { low_len } else { high_len });
            shape.range_end = true;
            self.handler.range(low, high, false);
        }
        if let Some((high, at)) = self.range_end(i, next)
            && high.is_ipv4() == ip.is_ipv4()
            && ip <= high
        {
            let (low_len, high_len) = range_lens(ip, high);
            shape.len = Some(low_len);
            shape.range_end = true;
            self.high = Some((at, high_len));
            let rule = self.line;
            let translated = [
                " --to-", " --to ", " dnat ", " snat ", "\"dnat\"", "\"snat\"", " to:",
            ];
            let translated = translated.iter().any(|w| rule.contains(w));
            self.handler.range(ip, high, translated);
        }
        self.flush(i);
        self.handler.address(ip, shape, self.slice(i, j));
        self.plain = j;
        Some(next)
    }
}

/// The length of a mask without gaps, or what a mask with gaps leaves.
pub fn mask_len(mask: IpAddr) -> Result<u8, Fixed> {
    let bits = match mask {
        IpAddr::V4(m) => u128::from(m.to_bits()) << 96,
        IpAddr::V6(m) => m.to_bits(),
    };
    let ones = bits.leading_ones();
    let small = |n: u32| u8::try_from(n).unwrap_or(128);
    if ones == bits.count_ones() {
        return Ok(small(ones));
    }
    let gap = (bits << ones).leading_zeros();
    Err(Fixed {
        below: small(ones),
        from: small(ones + gap),
        mask: bits,
    })
}

/// Of what is translated bit by bit, the bits behind a network's length.
pub const TRANSLATED: Fixed = Fixed {
    below: 128,
    from: 128,
    mask: u128::MAX,
};
