//! The command line of `tcpdump`: what it listens to, what it lets through.

use super::filter::Filter;
use crate::transcript::words;

/// What a command line of `tcpdump` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// As typed, without a prompt.
    pub text: String,
    /// `-i`; `None` is the first device that is up.
    pub dev: Option<String>,
    /// The filter.
    pub filter: Option<Filter>,
    /// It may show less than what passes the filter: so many packets, one way, through a pipe.
    pub in_part: bool,
    /// `-S`: sequence numbers as they are.
    pub absolute: bool,
    /// `-ttt`, `-ttttt`: times that count from another packet.
    pub relative_times: bool,
    /// Another network namespace: what stands before `tcpdump`.
    pub elsewhere: Option<String>,
}

/// Options with a value of their own.
const VALUED: &str = "BcCEFGijmMQrsTVwWyzZ";

/// Reads a line; `None` where it is no command line of `tcpdump`.
pub fn parse(line: &str) -> Option<Command> {
    let text = line.trim().trim_start_matches(['#', '$', '%']).trim_start();
    let all = words(text);
    let at = all
        .iter()
        .position(|w| w.rsplit('/').next() == Some("tcpdump"))?;
    // `tcpdump: listening on any`, and prose.
    let before = all.get(..at)?;
    if before.iter().any(|w| w.ends_with(':')) || before.len() > 12 {
        return None;
    }
    let mut c = Command {
        text: text.to_owned(),
        ..Command::default()
    };
    let place = crate::transcript::parse_command(text, 0).place;
    if let crate::transcript::Place::Namespace(name) = place {
        c.elsewhere = Some(name);
    }
    let mut rest = all.get(at + 1..)?;
    let next_is = |i: usize, w: &str| rest.get(i + 1).is_some_and(|n| n == w);
    let ends = |(i, w): (usize, &String)| {
        matches!(w.as_str(), "|" | ";" | "&" | "&&" | "||" | ">" | "<")
            || matches!(w.as_str(), "1" | "2") && next_is(i, ">")
    };
    if let Some(end) = rest.iter().enumerate().position(ends) {
        let pipe = rest
            .get(end..)
            .is_some_and(|r| r.windows(2).any(|w| w[0] == "|" && w[1] != "tee"));
        c.in_part |= pipe;
        rest = rest.get(..end)?;
    }
    let mut filter: Vec<String> = Vec::new();
    let mut i = 0;
    let mut times = 0;
    while let Some(w) = rest.get(i) {
        i += 1;
        if let Some(long) = w.strip_prefix("--") {
            let (name, value) = match long.split_once('=') {
                Some((n, v)) => (n, Some(v.to_owned())),
                None => (long, None),
            };
            match name {
                "interface" => {
                    c.dev = value.or_else(|| rest.get(i).cloned());
                    i += usize::from(!long.contains('='));
                }
                "absolute-tcp-sequence-numbers" => c.absolute = true,
                "direction" | "count" => {
                    c.in_part = true;
                    i += usize::from(!long.contains('=') && name == "direction");
                }
                "snapshot-length"
                | "buffer-size"
                | "linktype"
                | "time-stamp-type"
                | "time-stamp-precision"
                | "relinquish-privileges" => {
                    i += usize::from(!long.contains('='));
                }
                _ => {}
            }
            continue;
        }
        let Some(flags) = w.strip_prefix('-').filter(|f| !f.is_empty()) else {
            filter.push(w.clone());
            continue;
        };
        for (n, f) in flags.char_indices() {
            if f == 'S' {
                c.absolute = true;
            }
            times += u32::from(f == 't');
            if !VALUED.contains(f) {
                continue;
            }
            let glued = flags.get(n + f.len_utf8()..).unwrap_or_default();
            let value = if glued.is_empty() {
                i += 1;
                rest.get(i - 1).cloned().unwrap_or_default()
            } else {
                glued.to_owned()
            };
            match f {
                'i' => c.dev = Some(value),
                // A file of the filter, which is not here; what was read from a file passed another before.
                'F' | 'r' | 'V' => c.in_part = true,
                'c' | 'Q' => c.in_part = true,
                _ => {}
            }
            break;
        }
    }
    c.relative_times = times == 3 || times == 5;
    c.filter = Filter::parse(&filter);
    Some(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_and_filters_of_command_lines() {
        let c = parse("tcpdump  -n -i any  host 10.80.8.102").expect("a command");
        assert_eq!(c.dev.as_deref(), Some("any"));
        assert!(c.filter.is_some() && !c.in_part && c.elsewhere.is_none());
        let c = parse("# sudo /usr/sbin/tcpdump -nnvvi eth0 -c5 'tcp port 80'").expect("a command");
        assert_eq!((c.dev.as_deref(), c.in_part), (Some("eth0"), true));
        let c = parse("$ nsenter -t 4711 -n tcpdump -Sni eth0 | grep x").expect("a command");
        assert_eq!(c.elsewhere.as_deref(), Some("process 4711"));
        assert!(c.absolute && c.in_part && c.filter.is_none());
        let c = parse("tcpdump --interface=ens3 -ttt not port 22 2>/dev/null").expect("a command");
        assert_eq!(c.dev.as_deref(), Some("ens3"));
        assert!(c.relative_times && !c.in_part);
        for not in [
            "tcpdump: listening on any, link-type LINUX_SLL2",
            "12:00:00.0 IP 10.0.0.1 > 10.0.0.2: ICMP echo request",
            "",
        ] {
            assert_eq!(parse(not), None, "{not}");
        }
    }
}
