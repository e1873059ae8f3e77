//! Binary captures of packets.
//!
//! They meet text as a live reading does: a packet becomes the line that `tcpdump` would print of it, the line's number is the
//! packet's, and the parser of `tcpdump`'s output reads it. What is in the packets beyond headers goes no further than here.

use super::{Snapshot, SourceFile};
use nfwhy_parsers::pcap;
use nfwhy_parsers::recognise::Kind;

impl Snapshot {
    /// Adds a capture, of its packets at most so many.
    pub(super) fn add_packets(&mut self, name: String, bytes: &[u8], most: u32) {
        let capture = pcap::read(bytes, most);
        for (at, why) in &capture.problems {
            self.remarks.push(format!("{name}: at byte {at}: {why}"));
        }
        self.files.push(SourceFile {
            text: pcap::as_text(&capture),
            name,
            kind: Kind::Pcap,
            lossy: false,
        });
    }

    /// Captures of packets as text, so that they can be written and redacted.
    pub fn write_packets_as_text(&mut self) {
        for f in self.files.iter_mut().filter(|f| f.kind == Kind::Pcap) {
            let remark = format!("{} is written as text, without payload", f.name);
            self.remarks.push(remark);
            f.name += ".txt";
            f.kind = Kind::Tcpdump;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: &[u8] = include_bytes!("../../parsers/tests/data/any.pcap");

    #[test]
    fn a_capture_is_known_by_its_bytes_and_bounded() {
        let mut s = Snapshot::default();
        s.add("x".to_owned(), BYTES.to_vec());
        assert_eq!((s.files[0].kind, s.remarks.len()), (Kind::Pcap, 0));
        let mut s = Snapshot::default();
        s.add_packets("x.pcap".to_owned(), BYTES, 5);
        assert_eq!(s.files[0].text.lines().count(), 5);
        assert!(s.remarks[0].contains("only the first 5 packets are read"));
    }

    #[test]
    fn a_capture_is_written_as_text_that_is_read_again() {
        let mut s = Snapshot::default();
        s.add("x.pcap".to_owned(), BYTES.to_vec());
        s.write_packets_as_text();
        let text = s.files[0].text.clone();
        let mut again = Snapshot::default();
        again.add(s.files[0].name.clone(), text.clone().into_bytes());
        let f = &again.files[0];
        assert_eq!((f.name.as_str(), f.kind), ("x.pcap.txt", Kind::Tcpdump));
        assert_eq!(f.text, text);
    }
}
