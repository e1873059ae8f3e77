//! Logs of speakers and outputs of arping.

use super::super::{Announcement, ArpReply, FileId, Origin, Seen};
use nfwhy_parsers::{arping, speaker};

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
