//! Outcomes that end alike, and how often each happens.

use crate::trace::{Outcome, Verdict};

/// Outcomes that differ in the receiver at most.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// Indices of outcomes.
    pub(super) members: Vec<usize>,
    /// `None` where one of them rests on an unknown.
    pub(super) probability: Option<f64>,
}

impl Group {
    /// The outcome that stands for all.
    pub(super) fn first<'o>(&self, outcomes: &'o [Outcome]) -> Option<&'o Outcome> {
        self.members.first().and_then(|i| outcomes.get(*i))
    }
}

/// Groups the outcomes, the likeliest first, those that rest on an unknown last.
pub(super) fn groups(outcomes: &[Outcome]) -> Vec<Group> {
    let mut keys: Vec<String> = Vec::new();
    let mut list: Vec<Group> = Vec::new();
    for (i, o) in outcomes.iter().enumerate() {
        let key = format!(
            "{:?}",
            (
                o.verdict,
                &o.reason,
                o.out.as_ref().map(|x| x.dev),
                o.delivered.map(|d| d.src),
                o.client_ip_kept,
                o.probability.is_some(),
            )
        );
        if let Some(g) = keys
            .iter()
            .position(|k| *k == key)
            .and_then(|at| list.get_mut(at))
        {
            g.members.push(i);
            g.probability = g.probability.zip(o.probability).map(|(a, b)| a + b);
        } else {
            keys.push(key);
            list.push(Group {
                members: vec![i],
                probability: o.probability,
            });
        }
    }
    list.sort_by(|a, b| {
        // What cannot be told comes behind what can.
        let p = |g: &Group| {
            let untold = g
                .first(outcomes)
                .is_some_and(|o| o.verdict == Verdict::Unknown);
            g.probability.unwrap_or(if untold { -2.0 } else { -1.0 })
        };
        p(b).total_cmp(&p(a))
    });
    list
}

/// A, B, ... Z, AA, AB, ...
pub(super) fn letter(mut n: usize) -> String {
    let mut out = String::new();
    loop {
        out.insert(0, char::from(b'A' + u8::try_from(n % 26).unwrap_or(0)));
        if n < 26 {
            return out;
        }
        n = n / 26 - 1;
    }
}

/// `2 of 3` where all are multiples of one fraction, else percent; `?` where unknown. kube-proxy's own fractions are of 2^31,
/// so they are off by 1e-9 at most.
pub(super) fn shares(probabilities: &[Option<f64>]) -> Vec<String> {
    let whole = (1..=64u32).find(|n| {
        probabilities.iter().flatten().all(|p| {
            let x = p * f64::from(*n);
            (x - x.round()).abs() < 1e-5 && x.round() >= 1.0
        })
    });
    probabilities
        .iter()
        .map(|p| match (p, whole) {
            (None, _) => "?".into(),
            (Some(p), Some(n)) => format!("{:.0} of {n}", p * f64::from(n)),
            (Some(p), None) if *p >= 0.0995 => format!("{:.0} %", p * 100.0),
            (Some(p), None) => format!("{:.1} %", p * 100.0),
        })
        .collect()
}

/// What became of the packet, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    Dropped,
    Rejected,
    Lost,
    Kept,
    Sent,
    Local,
    Queued,
    Unknown,
}

impl Class {
    pub(super) fn of(o: &Outcome, local_origin: bool) -> Self {
        match o.verdict {
            Verdict::Forwarded if local_origin => Self::Sent,
            Verdict::Forwarded => match o.client_ip_kept {
                Some(false) => Self::Lost,
                Some(true) => Self::Kept,
                None => Self::Sent,
            },
            Verdict::Local => match o.client_ip_kept {
                Some(false) if !local_origin => Self::Lost,
                _ => Self::Local,
            },
            Verdict::Dropped => Self::Dropped,
            Verdict::Rejected => Self::Rejected,
            Verdict::Queued => Self::Queued,
            Verdict::Unknown => Self::Unknown,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Dropped => "dropped",
            Self::Rejected => "rejected",
            Self::Lost => "lost",
            Self::Kept => "kept",
            Self::Sent => "sent",
            Self::Local => "local",
            Self::Queued => "queued",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{letter, shares};

    #[test]
    fn shares_are_fractions_where_they_can_be() {
        let third = f64::from(0x2aaa_aaabu32) / f64::from(1u32 << 31);
        let rest = 1.0 - third;
        assert_eq!(shares(&[Some(third), Some(rest)]), ["1 of 3", "2 of 3"]);
        assert_eq!(shares(&[Some(1.0)]), ["1 of 1"]);
        assert_eq!(
            shares(&[Some(0.123_456), Some(0.876_544), None]),
            ["12 %", "88 %", "?"]
        );
        assert_eq!(
            shares(&[Some(0.001_234_5), Some(0.998_765_5)]),
            ["0.1 %", "100 %"]
        );
    }

    #[test]
    fn letters_go_on_after_z() {
        assert_eq!(letter(0), "A");
        assert_eq!(letter(25), "Z");
        assert_eq!(letter(26), "AA");
        assert_eq!(letter(52), "BA");
    }
}
