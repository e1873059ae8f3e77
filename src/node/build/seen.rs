//! Logs of speakers, outputs of arping, packets.

use super::super::{Announcement, ArpReply, FileId, Origin, Seen, Traffic};
use nfwhy_parsers::{arping, speaker, tcpdump};

pub(super) fn seen(logs: &[(FileId, &str)], arpings: &[(FileId, &str)]) -> Seen {
    let mut out = Seen::default();
    for (file, text) in logs {
        out.log = true;
        let log = speaker::parse(text);
        let at = |line| Origin { file: *file, line };
        out.partial_logs
            .extend(log.partial.map(|(line, n)| (at(line), n)));
        out.announcements
            .extend(log.events.into_iter().map(|event| Announcement {
                origin: at(event.line),
                event,
            }));
    }
    for (file, text) in arpings {
        let found = arping::parse(text);
        let at = |line| Origin { file: *file, line };
        for a in &found.asked {
            if !found.replies.iter().any(|r| r.ip == a.ip) {
                out.replies.push(ArpReply {
                    addr: a.ip,
                    mac: None,
                    origin: at(a.line),
                });
            }
        }
        out.replies
            .extend(found.replies.into_iter().map(|r| ArpReply {
                addr: r.ip,
                mac: Some(r.mac),
                origin: at(r.line),
            }));
    }
    out
}

/// Packets of text and of binary captures, which are text by now.
pub(super) fn traffic(texts: &[(FileId, &str)], binary: &[(FileId, &str)]) -> Vec<Traffic> {
    let texts = texts.iter().map(|f| (f, false));
    let all = texts.chain(binary.iter().map(|f| (f, true)));
    all.flat_map(|((file, text), binary)| {
        tcpdump::parse(text)
            .into_iter()
            .filter(|s| !s.packets.is_empty() || s.others > 0)
            .map(move |section| Traffic {
                file: *file,
                binary,
                section,
            })
    })
    .collect()
}
