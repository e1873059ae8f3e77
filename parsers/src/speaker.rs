//! The log of `MetalLB`'s speakers: lines of JSON, bare or as `kubectl logs --prefix --timestamps` prints them.

use crate::recognise::lines::Lines;
use serde_json::{Map, Value};
use std::net::IpAddr;

/// What a line of the log says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// `serviceAnnounced`: this speaker announces the addresses.
    Announced,
    /// `serviceWithdrawn`: it no longer does.
    Withdrawn,
}

/// An event of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Line, from 1.
    pub line: u32,
    /// What happened.
    pub what: What,
    /// The speaker's pod, where the prefix names it.
    pub pod: Option<String>,
    /// The node, where the line names it.
    pub node: Option<String>,
    /// When, as the speaker wrote it, else as kubectl did.
    pub time: String,
    /// When, for the order: nanoseconds since 1970; `None` where that is not understood.
    pub at: Option<i128>,
    /// The addresses.
    pub ips: Vec<IpAddr>,
    /// `layer2`, `bgp`.
    pub protocol: Option<String>,
    /// The pool of addresses.
    pub pool: Option<String>,
    /// Why it was withdrawn: `notOwner`, `noEndpoints`, ...
    pub reason: Option<String>,
    /// The Service, where the line names it.
    pub service: Option<String>,
}

/// What a log holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// Events, in the order of the text.
    pub events: Vec<Event>,
    /// `Found 3 pods, using pod/x`: the log is that of one speaker of several. The line, and how many there are.
    pub partial: Option<(u32, u32)>,
}

/// Reads a log; what is no event is passed over.
pub fn parse(source: &str) -> Log {
    let mut log = Log::default();
    for line in Lines::new(source) {
        let text = line.text.trim();
        if let Some(n) = one_of_several(text) {
            log.partial.get_or_insert((line.number, n));
        } else if let Some(e) = event(text, line.number) {
            log.events.push(e);
        }
    }
    log
}

/// Whether a line is one of a speaker's log, an event or not.
pub(crate) fn is_line(text: &str) -> bool {
    let (prefix, _, rest) = parts(text);
    if !rest.starts_with('{') {
        return false;
    }
    let has = |k: &str| rest.contains(&format!("\"{k}\":"));
    has("caller") && (has("level") || has("event")) && (prefix.is_some() || has("ts"))
}

/// Whether the keys of an object are those of such a line.
pub(crate) fn is_object(m: &Map<String, Value>) -> bool {
    let text = |k: &str| m.get(k).is_some_and(Value::is_string);
    text("caller") && text("ts") && (text("level") || text("event") || text("msg"))
}

/// `Found 3 pods, using pod/mcc-metallb-speaker-8k5wl`
fn one_of_several(text: &str) -> Option<u32> {
    let rest = text.strip_prefix("Found ")?;
    let (n, rest) = rest.split_once(' ')?;
    rest.starts_with("pods, using pod/")
        .then(|| n.parse().ok())?
}

/// The prefix in brackets, the time that kubectl or a container runtime puts before a line, and the line.
fn parts(text: &str) -> (Option<&str>, Option<&str>, &str) {
    let mut rest = text;
    let mut prefix = None;
    if let Some(inner) = rest.strip_prefix("[pod/")
        && let Some((name, after)) = inner.split_once(']')
    {
        prefix = Some(name);
        rest = after.trim_start();
    }
    let mut time = None;
    if let Some((first, after)) = rest.split_once(' ')
        && nanoseconds(first).is_some()
    {
        time = Some(first);
        rest = after.trim_start();
        // Files of container runtimes: `stdout F {...}`.
        for stream in ["stdout F ", "stderr F "] {
            rest = rest.strip_prefix(stream).unwrap_or(rest);
        }
    }
    (prefix, time, rest)
}

fn event(text: &str, line: u32) -> Option<Event> {
    // Most lines of a log are others.
    if !text.contains("serviceAnnounced") && !text.contains("serviceWithdrawn") {
        return None;
    }
    let (prefix, time, json) = parts(text);
    let m: Map<String, Value> = serde_json::from_str(json).ok()?;
    let string = |k: &str| m.get(k).and_then(Value::as_str).map(str::to_owned);
    let what = match m.get("event")?.as_str()? {
        "serviceAnnounced" => What::Announced,
        "serviceWithdrawn" => What::Withdrawn,
        _ => return None,
    };
    let mut ips: Vec<IpAddr> = Vec::new();
    for key in ["ips", "ip"] {
        let found: Vec<&Value> = match m.get(key) {
            Some(Value::Array(list)) => list.iter().collect(),
            Some(one) => vec![one],
            None => continue,
        };
        for ip in found.into_iter().filter_map(Value::as_str) {
            if let Ok(ip) = ip.trim().parse()
                && !ips.contains(&ip)
            {
                ips.push(ip);
            }
        }
    }
    let own = string("ts");
    let at = time.or(own.as_deref()).and_then(nanoseconds);
    Some(Event {
        line,
        what,
        pod: prefix.map(|p| p.split('/').next().unwrap_or(p).to_owned()),
        node: string("node").or_else(|| string("myNode")),
        time: own
            .filter(|t| nanoseconds(t).is_some())
            .or_else(|| time.map(str::to_owned))
            .unwrap_or_default(),
        at,
        ips,
        protocol: string("protocol"),
        pool: string("pool"),
        reason: string("reason"),
        service: string("service").or_else(|| string("svc")),
    })
}

/// RFC 3339 as nanoseconds since 1970: `2025-09-25T10:24:15.767871702Z`, `2025-09-25T12:24:15+02:00`.
pub fn nanoseconds(text: &str) -> Option<i128> {
    let (date, clock) = text.split_once('T')?;
    let number = |t: &str, len: usize| -> Option<i64> {
        (t.len() == len && t.bytes().all(|b| b.is_ascii_digit())).then(|| t.parse().ok())?
    };
    let mut d = date.split('-');
    let (y, mo, day) = (
        number(d.next()?, 4)?,
        number(d.next()?, 2)?,
        number(d.next()?, 2)?,
    );
    if d.next().is_some() || !(1..=12).contains(&mo) || !(1..=31).contains(&day) {
        return None;
    }
    let zone = clock.find(['Z', '+', '-'])?;
    let (clock, zone) = (clock.get(..zone)?, clock.get(zone..)?);
    let (hms, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut c = hms.split(':');
    let (h, mi, s) = (
        number(c.next()?, 2)?,
        number(c.next()?, 2)?,
        number(c.next()?, 2)?,
    );
    if c.next().is_some() || fraction.len() > 9 {
        return None;
    }
    let nanos = match fraction {
        "" => 0,
        f => number(f, f.len())? * 10_i64.pow(u32::try_from(9 - f.len()).ok()?),
    };
    let offset = match zone {
        "Z" => 0,
        z => {
            let (zh, zm) = z.get(1..)?.split_once(':')?;
            let minutes = number(zh, 2)? * 60 + number(zm, 2)?;
            if z.starts_with('-') {
                -minutes
            } else {
                minutes
            }
        }
    };
    // Days since 1970 of the proleptic Gregorian calendar, the year beginning in March.
    let (yy, mm) = if mo <= 2 {
        (y - 1, mo + 9)
    } else {
        (y, mo - 3)
    };
    let days = yy * 365 + yy.div_euclid(4) - yy.div_euclid(100)
        + yy.div_euclid(400)
        + (153 * mm + 2) / 5
        + day
        - 1
        - 719_468;
    let seconds = days * 86400 + h * 3600 + (mi - offset) * 60 + s;
    Some(i128::from(seconds) * 1_000_000_000 + i128::from(nanos))
}

#[cfg(test)]
mod tests {
    use super::{What, is_line, nanoseconds, parse};

    const LOG: &str = r#"Found 3 pods, using pod/speaker-a
[pod/speaker-a/speaker] 2025-01-02T10:24:15.767871702Z {"caller":"main.go:409","event":"serviceAnnounced","ips":["192.0.2.10"],"level":"info","msg":"service has IP, announcing","pool":"default","protocol":"layer2","ts":"2025-01-02T10:24:15Z"}
[pod/speaker-a/speaker] 2025-01-02T10:26:10.381353840Z {"caller":"main.go:453","event":"serviceWithdrawn","ip":["192.0.2.10"],"ips":["192.0.2.10"],"level":"info","msg":"withdrawing service announcement","pool":"default","protocol":"layer2","reason":"notOwner","ts":"2025-01-02T10:26:10Z"}
{"caller":"main.go:420","event":"serviceAnnounced","ips":["2001:db8::1","192.0.2.11"],"level":"info","protocol":"bgp","service":"shop/front","ts":"2025-01-02T10:26:11Z"}
2025-01-02T10:26:12.1Z stderr F {"caller":"main.go:1","event":"serviceAnnounced","ip":"192.0.2.12","ts":"2025-01-02T10:26:12Z"}
[pod/speaker-a/speaker] {"caller":"main.go:1","event":"nodeJoined","level":"info"}
[pod/speaker-a/speaker] {"event":"serviceAnnounced"
"#;

    #[test]
    fn events_of_all_forms() {
        let log = parse(LOG);
        assert_eq!(log.partial, Some((1, 3)));
        let e = &log.events;
        assert_eq!(e.len(), 4);
        assert_eq!(e[0].what, What::Announced);
        assert_eq!(e[0].pod.as_deref(), Some("speaker-a"));
        assert_eq!(e[0].time, "2025-01-02T10:24:15Z");
        assert_eq!(e[1].what, What::Withdrawn);
        assert_eq!(e[1].reason.as_deref(), Some("notOwner"));
        assert_eq!(e[1].ips.len(), 1);
        assert_eq!((e[2].pod.as_deref(), e[2].ips.len()), (None, 2));
        assert_eq!(e[2].service.as_deref(), Some("shop/front"));
        assert_eq!(e[3].ips.len(), 1);
        assert!(e.windows(2).all(|w| w[0].at < w[1].at));
    }

    #[test]
    fn lines_are_known_from_others() {
        assert!(LOG.lines().skip(1).take(3).all(is_line));
        assert!(is_line(LOG.lines().nth(5).expect("a line")));
        assert!(!is_line("{\"kind\":\"List\"}"));
        assert!(!is_line("[pod/x/y] plain text"));
    }

    #[test]
    fn times_of_several_zones() {
        let z = nanoseconds("2025-09-25T10:24:15Z").expect("a time");
        assert_eq!(z, 1_758_795_855_000_000_000);
        assert_eq!(nanoseconds("2025-09-25T12:24:15+02:00"), Some(z));
        assert_eq!(nanoseconds("2025-09-25T10:24:15.5Z"), Some(z + 500_000_000));
        for bad in [
            "",
            "T",
            "2025-09-25T10:24:15",
            "2025-13-25T10:24:15Z",
            "x-09-25T10:24:15Z",
        ] {
            assert_eq!(nanoseconds(bad), None, "{bad}");
        }
    }
}
