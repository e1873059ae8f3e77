//! What headers matches tell of, and which matches those headers imply.

use super::expr::{Ex, Kind, Needs};
use super::lift::{Lift, Step};
use super::matches::inner;
use super::protocols::LINK;
use super::value;
use super::words::reads;
use nfwhy_parsers::nft::fields::Header;

/// Places of matches that tell what header follows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Deps {
    /// `meta iiftype ether`.
    link: Option<usize>,
    /// A VLAN tag.
    vlan: Option<usize>,
    /// `meta nfproto`, `meta protocol`, `ether type`.
    network: Option<usize>,
    /// `meta l4proto`, `ip protocol`.
    transport: Option<usize>,
    /// `icmp type`.
    icmp: Option<usize>,
}

/// Families whose tables see packets of more than one network protocol.
fn many(family: u8) -> bool {
    matches!(family, 1 | 5 | 7)
}

impl<'a> Lift<'a> {
    /// What a match that holds tells of headers. Its place is where the next step goes.
    pub fn learn(&mut self, left: &Ex<'_>, v: &[u8]) {
        let here = Some(self.steps.len());
        let Some(n) = value::number(v, reads(left).ty.host) else {
            return;
        };
        let network = |n| match n {
            0x0800 => Some(Header::Ip),
            0x86dd => Some(Header::Ip6),
            0x0806 => Some(Header::Arp),
            _ => None,
        };
        match &left.kind {
            Kind::Meta(8, _) if n == 1 => {
                self.protocols.link = true;
                self.deps.link = here;
            }
            Kind::Meta(1, _) => {
                self.protocols.network = network(n);
                if n == 0x8100 {
                    self.protocols.vlan = 1;
                    self.deps.vlan = here;
                } else {
                    self.deps.network = here;
                }
            }
            Kind::Meta(15, _) => {
                self.protocols.network = match n {
                    2 => Some(Header::Ip),
                    10 => Some(Header::Ip6),
                    3 => Some(Header::Arp),
                    _ => None,
                };
                self.deps.network = here;
            }
            Kind::Meta(16, _) => {
                let number = u8::try_from(n).ok();
                let implied = match (number, self.protocols.network) {
                    (_, Some(Header::Ip)) if self.env.family == 2 => true,
                    (_, Some(Header::Ip6)) if self.env.family == 10 => true,
                    (Some(1), Some(Header::Ip)) | (Some(58), Some(Header::Ip6)) => {
                        many(self.env.family)
                    }
                    _ => false,
                };
                let place = self.deps.network;
                let frames = matches!(self.env.family, 5 | 7);
                if implied && (frames || self.told_by_meta(place) || self.asks_for_frames(place)) {
                    drop_step(&mut self.steps, self.deps.network.take());
                }
                self.protocols.transport = number;
                self.deps.transport = here;
            }
            // Source address and ether type at once.
            Kind::Raw {
                base: LINK,
                offset,
                len,
            } if offset.checked_add(*len) == Some(112) && *len >= 16 => {
                self.protocols.network = network(n & 0xffff);
            }
            Kind::Field(f) => match f.names {
                ("ip", "protocol") | ("ip6", "nexthdr") => {
                    self.protocols.transport = u8::try_from(n).ok();
                    self.deps.transport = here;
                }
                ("ether" | "vlan", "type") => {
                    if matches!(n, 0x8100 | 0x88a8) {
                        self.protocols.vlan += 1;
                        // One tag is what `vlan id` asks for; with others it is not told.
                        let plain = n == 0x8100 && f.header == Header::Ether;
                        self.deps.vlan = here.filter(|_| plain);
                    } else {
                        self.protocols.network = network(n);
                        self.deps.network = here;
                    }
                }
                ("icmp" | "icmpv6", "type") => {
                    self.protocols.icmp = u8::try_from(n).ok();
                    self.deps.icmp = here;
                }
                _ => {}
            },
            _ => {}
        }
    }

    fn told_by_meta(&self, place: Option<usize>) -> bool {
        let step = place.and_then(|at| self.steps.get(at));
        matches!(step, Some(Step::Match(m)) if matches!(m.left.kind, Kind::Meta(..)))
    }

    /// Whether a match before tells the transport protocol, and does no more than that (`payload_may_dependency_kill`).
    pub fn told_apart(&self) -> bool {
        let step = self.deps.transport.and_then(|at| self.steps.get(at));
        match step {
            Some(Step::Match(m)) => {
                !many(self.env.family) || !matches!(m.left.kind, Kind::Field(_))
            }
            _ => false,
        }
    }

    /// Whether a match other than the one at this place looks at the frame.
    fn asks_for_frames(&self, but: Option<usize>) -> bool {
        let ether = |ex: &Ex<'_>| matches!(&ex.kind, Kind::Field(f) if f.header == Header::Ether);
        let looks = |step: &Step<'_>| match step {
            Step::Match(m) => match &inner(&m.left).kind {
                Kind::Concat(all) => all.iter().any(ether),
                Kind::Binary(_, left, _) => ether(left),
                _ => ether(&m.left),
            },
            Step::Words(text) => text.contains("ether "),
            Step::Gone => false,
        };
        let mut steps = self.steps.iter().enumerate();
        steps.any(|(i, step)| Some(i) != but && looks(step))
    }

    /// Leaves out the matches that an expression implies (`payload_dependency_kill` in nftables `src/payload.c`).
    pub fn imply(&mut self, ex: &Ex<'a>) {
        match &ex.kind {
            Kind::Field(f) => self.imply_header(f.header, f.names.1),
            Kind::Words(_, Needs::Tcp) => self.imply_header(Header::Tcp, ""),
            Kind::Words(_, Needs::Ip6) => self.imply_header(Header::Ip6, ""),
            Kind::Words(_, Needs::Ip) => self.imply_header(Header::Ip, ""),
            Kind::Words(_, Needs::Transport(132)) => self.imply_header(Header::Sctp, ""),
            Kind::Words(_, Needs::Transport(33)) => self.imply_header(Header::Dccp, ""),
            _ => {}
        }
    }

    fn imply_header(&mut self, header: Header, field: &str) {
        match header {
            Header::Ether => drop_step(&mut self.steps, self.deps.link.take()),
            Header::Vlan if field != "type" => {
                drop_step(&mut self.steps, self.deps.link.take());
                drop_step(&mut self.steps, self.deps.vlan.take());
            }
            Header::Ip | Header::Ip6 | Header::Arp => {
                // Frames alone have an ether type: it says more than the header behind it where packets come from elsewhere too,
                // unless something else of the frame is asked for.
                let frames = matches!(self.env.family, 5 | 7);
                if self.protocols.network == Some(header)
                    && (frames
                        || self.told_by_meta(self.deps.network)
                        || self.asks_for_frames(self.deps.network))
                {
                    drop_step(&mut self.steps, self.deps.network.take());
                }
            }
            Header::Vlan | Header::Th => {}
            transport => {
                if self.protocols.transport != transport.proto() {
                    return;
                }
                if matches!(field, "mtu" | "gateway" | "max-delay" | "parameter-problem") {
                    drop_step(&mut self.steps, self.deps.icmp.take());
                }
                // `ip6 nexthdr` is not the transport protocol where extension headers stand between; `ip protocol` says that it is IPv4.
                let step = self.deps.transport.and_then(|at| self.steps.get(at));
                let implied = match step {
                    Some(Step::Match(m)) => match &m.left.kind {
                        Kind::Meta(..) => true,
                        Kind::Field(f) => f.header == Header::Ip && self.env.family == 2,
                        _ => false,
                    },
                    _ => false,
                };
                if implied {
                    drop_step(&mut self.steps, self.deps.transport.take());
                }
            }
        }
    }
}

impl Lift<'_> {
    /// An answer by TCP is one to TCP.
    pub fn imply_tcp(&mut self) {
        self.imply_header(Header::Tcp, "");
    }

    /// A step that only packets of this family get through implies it.
    pub fn imply_network(&mut self, header: Header) {
        self.imply_header(header, "");
    }
}

fn drop_step(steps: &mut [Step<'_>], place: Option<usize>) {
    if let Some(step) = place.and_then(|at| steps.get_mut(at)) {
        *step = Step::Gone;
    }
}
