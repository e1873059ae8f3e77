//! `CT` in the raw table: the template it hangs on a packet, and conntrack zones.

use super::conntrack::{Ct, Tuple};
use super::run::Run;
use crate::trace::{CtState, Port};

/// Zones of a packet or a connection: of the original and of the reply direction. 0 where no rule says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Zones {
    /// Of the original direction.
    pub orig: u16,
    /// Of the reply direction.
    pub reply: u16,
}

/// What a template asks for; the mark is read when conntrack sees the packet (`nf_ct_zone_tmpl`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Zone {
    Id(u16),
    Mark,
}

/// A zone and its directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Template {
    zone: Zone,
    orig: bool,
    reply: bool,
}

impl Template {
    /// From the options as written: `--zone 5`, `--zone-orig mark`.
    fn of(text: Option<&str>) -> Self {
        let mut words = text.unwrap_or_default().split_ascii_whitespace();
        let (option, value) = (words.next().unwrap_or_default(), words.next());
        Self {
            zone: match value {
                Some("mark") => Zone::Mark,
                Some(n) => Zone::Id(n.parse().unwrap_or(0)),
                None => Zone::Id(0),
            },
            orig: option != "--zone-reply",
            reply: option != "--zone-orig",
        }
    }
}

impl Run<'_, '_> {
    /// `xt_ct_target`: until conntrack takes it, the packet has a connection without addresses, NEW and confirmed
    /// (`xt_ct_tg_check` in `net/netfilter/xt_CT.c`), so a later `CT` or `NOTRACK` comes too late.
    pub(super) fn hang_template(&mut self, zone: Option<&str>) {
        let any = self.family.unspecified();
        let mut ct = Ct::fresh(
            Tuple {
                src: any,
                dst: any,
                sport: Port::Known(0),
                dport: Port::Known(0),
            },
            CtState::New,
        );
        ct.confirmed = true;
        ct.template = Some(Template::of(zone));
        self.ct = Some(ct);
    }

    /// `nf_conntrack_in` takes the template off again; the zones it asked for. `None` = the packet has a connection already.
    pub(super) fn take_template(&mut self) -> Option<Zones> {
        let Some(ct) = &self.ct else {
            return Some(Zones::default());
        };
        let t = ct.template?;
        self.ct = None;
        let id = match t.zone {
            Zone::Id(n) => n,
            Zone::Mark => u16::try_from(self.skb.mark & 0xffff).unwrap_or(0),
        };
        Some(Zones {
            orig: if t.orig { id } else { 0 },
            reply: if t.reply { id } else { 0 },
        })
    }
}
