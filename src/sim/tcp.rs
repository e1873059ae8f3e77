//! What conntrack makes of the flags of a TCP segment (`tcp_conntracks` in `net/netfilter/nf_conntrack_proto_tcp.c`). Sequence numbers
//! are not part of a packet here: every segment is taken to lie in its window.

use crate::trace::TcpFlags;

/// State of a TCP connection as conntrack keeps it (`enum tcp_conntrack`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpState {
    /// The original direction sent its SYN.
    SynSent,
    /// SYN and SYN+ACK were seen.
    SynRecv,
    /// Both directions acknowledged.
    Established,
    /// One FIN was seen.
    FinWait,
    /// The FIN was acknowledged.
    CloseWait,
    /// Both FINs were seen.
    LastAck,
    /// The last FIN was acknowledged.
    TimeWait,
    /// A RST was seen.
    Close,
    /// Both directions sent a SYN.
    SynSent2,
}

use TcpState::{
    Close, CloseWait, Established, FinWait, LastAck, SynRecv, SynSent, SynSent2, TimeWait,
};

impl TcpState {
    /// By the name that `conntrack -L` prints.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "SYN_SENT" => SynSent,
            "SYN_RECV" => SynRecv,
            "ESTABLISHED" => Established,
            "FIN_WAIT" => FinWait,
            "CLOSE_WAIT" => CloseWait,
            "LAST_ACK" => LastAck,
            "TIME_WAIT" => TimeWait,
            "CLOSE" => Close,
            "SYN_SENT2" => SynSent2,
            _ => return None,
        })
    }
}

/// What a segment does to its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// It belongs to the connection, which is in this state then.
    Takes(TcpState),
    /// It belongs to the connection and changes nothing.
    Ignored,
    /// INVALID.
    Invalid,
    /// A SYN to a connection that has ended: the entry is deleted and the segment opens a new one.
    Reopens,
}

/// `get_conntrack_index`.
#[derive(Clone, Copy)]
enum Kind {
    Syn,
    SynAck,
    Fin,
    Ack,
    Rst,
    None,
}

fn kind(flags: TcpFlags) -> Kind {
    match (
        flags.has(TcpFlags::RST),
        flags.has(TcpFlags::SYN),
        flags.has(TcpFlags::FIN),
        flags.has(TcpFlags::ACK),
    ) {
        (true, ..) => Kind::Rst,
        (_, true, _, true) => Kind::SynAck,
        (_, true, ..) => Kind::Syn,
        (_, _, true, _) => Kind::Fin,
        (.., true) => Kind::Ack,
        _ => Kind::None,
    }
}

/// `tcp_valid_flags`: the combinations that a host may send, PSH aside.
pub(super) fn valid(flags: TcpFlags) -> bool {
    let (syn, fin, rst, ack) = (
        flags.has(TcpFlags::SYN),
        flags.has(TcpFlags::FIN),
        flags.has(TcpFlags::RST),
        flags.has(TcpFlags::ACK),
    );
    let urgent = flags.has(TcpFlags::URG);
    match (syn, fin, rst, ack) {
        // SYN, FIN+ACK and ACK may be urgent.
        (true, false, false, false) | (false, _, false, true) => true,
        (true, false, false, true) | (false, false, true, _) => !urgent,
        _ => false,
    }
}

/// The first segment that conntrack sees of a connection: SYN opens it; an ACK does where connections are picked up in the
/// middle (`nf_conntrack_tcp_loose`).
pub(super) fn first(flags: TcpFlags, loose: bool) -> Option<TcpState> {
    match kind(flags) {
        _ if !valid(flags) => None,
        Kind::Syn => Some(SynSent),
        Kind::Ack if loose => Some(Established),
        _ => None,
    }
}

/// A segment of a known connection, of its reply direction or its original one.
pub(super) fn next(old: TcpState, reply: bool, flags: TcpFlags) -> Segment {
    use Segment::{Ignored, Invalid, Reopens, Takes};
    if !valid(flags) {
        return Invalid;
    }
    match (kind(flags), reply) {
        (Kind::None, _) => Invalid,
        // Out of its window it would be INVALID, which is not to be known here.
        (Kind::Rst, _) => Takes(Close),
        (Kind::Syn, false) => match old {
            SynSent => Takes(SynSent),
            SynSent2 => Takes(SynSent2),
            TimeWait | Close => Reopens,
            _ => Ignored,
        },
        (Kind::Syn, true) => match old {
            SynSent | SynSent2 => Takes(SynSent2),
            TimeWait => Reopens,
            _ => Invalid,
        },
        (Kind::SynAck, false) => match old {
            SynRecv | SynSent2 => Takes(SynRecv),
            _ => Invalid,
        },
        (Kind::SynAck, true) => match old {
            SynSent | SynSent2 => Takes(SynRecv),
            _ => Ignored,
        },
        (Kind::Fin, _) => match old {
            SynSent | SynSent2 => Invalid,
            SynRecv | Established => Takes(FinWait),
            FinWait | CloseWait | LastAck => Takes(LastAck),
            TimeWait => Takes(TimeWait),
            Close => Takes(Close),
        },
        (Kind::Ack, reply) => match old {
            SynSent | SynSent2 if reply => Ignored,
            SynSent | SynSent2 => Invalid,
            SynRecv if reply => Takes(SynRecv),
            SynRecv | Established => Takes(Established),
            FinWait | CloseWait => Takes(CloseWait),
            LastAck | TimeWait => Takes(TimeWait),
            Close => Takes(Close),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYN: TcpFlags = TcpFlags(TcpFlags::SYN);
    const ACK: TcpFlags = TcpFlags(TcpFlags::ACK);
    const SYN_ACK: TcpFlags = TcpFlags(TcpFlags::SYN | TcpFlags::ACK);
    const FIN_ACK: TcpFlags = TcpFlags(TcpFlags::FIN | TcpFlags::ACK);

    /// Runs segments (reply direction?, flags) through a connection.
    fn check(segments: &[(bool, TcpFlags)], expected: Segment) {
        let mut state = None;
        let mut last = Segment::Invalid;
        for (reply, flags) in segments {
            last = match state {
                None => first(*flags, true).map_or(Segment::Invalid, Segment::Takes),
                Some(old) => next(old, *reply, *flags),
            };
            if let Segment::Takes(new) = last {
                state = Some(new);
            }
        }
        assert_eq!(last, expected, "{segments:?}");
    }

    #[test]
    fn states_by_the_names_that_conntrack_prints() {
        for (name, state) in [
            ("SYN_SENT", SynSent),
            ("SYN_RECV", SynRecv),
            ("ESTABLISHED", Established),
            ("FIN_WAIT", FinWait),
            ("CLOSE_WAIT", CloseWait),
            ("LAST_ACK", LastAck),
            ("TIME_WAIT", TimeWait),
            ("CLOSE", Close),
            ("SYN_SENT2", SynSent2),
        ] {
            assert_eq!(TcpState::parse(name), Some(state), "{name}");
        }
        assert_eq!(TcpState::parse("LISTEN"), None);
    }

    #[test]
    fn connections_open_and_close() {
        check(&[(false, SYN)], Segment::Takes(SynSent));
        let open = [(false, SYN), (true, SYN_ACK), (false, ACK)];
        check(&open, Segment::Takes(Established));
        let closed = [&open[..], &[(true, FIN_ACK), (false, FIN_ACK), (true, ACK)]].concat();
        check(&closed, Segment::Takes(TimeWait));
        check(&[&closed[..], &[(false, SYN)]].concat(), Segment::Reopens);
        check(&[&open[..], &[(false, SYN)]].concat(), Segment::Ignored);
    }

    #[test]
    fn what_fits_no_handshake_is_invalid() {
        check(&[(false, SYN), (false, ACK)], Segment::Invalid);
        check(&[(false, SYN), (true, ACK)], Segment::Ignored);
        check(&[(false, SYN_ACK)], Segment::Invalid);
        check(&[(false, FIN_ACK)], Segment::Invalid);
        check(&[(false, TcpFlags(0))], Segment::Invalid);
        for (flags, fits) in [
            (TcpFlags::SYN, true),
            (TcpFlags::SYN | TcpFlags::URG, true),
            (TcpFlags::SYN | TcpFlags::FIN, false),
            (TcpFlags::SYN | TcpFlags::RST, false),
            (TcpFlags::SYN | TcpFlags::ACK | TcpFlags::URG, false),
            (TcpFlags::FIN, false),
            (TcpFlags::FIN | TcpFlags::ACK, true),
            (TcpFlags::FIN | TcpFlags::ACK | TcpFlags::URG, true),
            (TcpFlags::ACK | TcpFlags::URG, true),
            (TcpFlags::RST, true),
            (TcpFlags::RST | TcpFlags::ACK, true),
            (TcpFlags::RST | TcpFlags::URG, false),
            (TcpFlags::RST | TcpFlags::FIN, false),
        ] {
            assert_eq!(valid(TcpFlags(flags)), fits, "{flags:#x}");
        }
        check(
            &[(false, TcpFlags(TcpFlags::SYN | TcpFlags::FIN))],
            Segment::Invalid,
        );
        assert_eq!(first(ACK, false), None);
        assert_eq!(first(SYN, false), Some(SynSent));
    }
}
