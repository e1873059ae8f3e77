//! What remembers earlier packets, and what draws a number.

use super::super::prng::Prng;
use super::Place;

/// `statistic`.
pub fn statistic(r: &mut Prng) -> String {
    if r.chance(70) {
        let chance = r.one(&[
            "0.50000000000",
            "0.33333333349",
            "0.20000000019",
            "1.00000000000",
            "0.00000000000",
        ]);
        return format!(
            " -m statistic --mode random {}--probability {chance}",
            r.not(20)
        );
    }
    let (every, packet) = r.one(&[(2, 0), (3, 0), (3, 2), (1, 0)]);
    format!(
        " -m statistic --mode nth {}--every {every} --packet {packet}",
        r.not(20)
    )
}

/// Any match with state; a node with such rules gets them afresh for every packet.
pub fn any(r: &mut Prng, p: &Place<'_>) -> String {
    // Mostly one list, so that one rule meets what another has put into it.
    let n = usize::from(r.chance(25));
    let not = r.not(20);
    let to = r.one(&["", "", " --rsource", " --rdest"]);
    match r.below(12) {
        0 => " -m limit --limit 5/min --limit-burst 2".into(),
        1 => " -m limit --limit 1/hour --limit-burst 1".into(),
        2 | 3 => hashlimit(r, p, n),
        4 | 5 => connlimit(r, p),
        6 => format!(" -m quota {not}--quota {}", r.one(&[50, 5000])),
        7 => format!(
            " -m recent {not}--rcheck --seconds 60{} --name R{n}{to}",
            r.one(&["", " --reap", " --rttl"])
        ),
        8 => format!(" -m recent {}--set --name R{n}{to}", r.not(10)),
        9 => format!(
            " -m recent {not}--update --seconds 60 --hitcount {} --name R{n}{to}",
            r.one(&[1, 2])
        ),
        10 => {
            let mask = if p.v6 {
                "ffff:ffff:ffff:ffff::"
            } else {
                "255.255.255.0"
            };
            let how = r.one(&["--set", "--rcheck", "--update", "--remove"]);
            format!(" -m recent {not}{how} --name M{n}{to} --mask {mask}")
        }
        _ => format!(" -m recent {not}--remove --name R{n}{to}"),
    }
}

fn hashlimit(r: &mut Prng, p: &Place<'_>, n: usize) -> String {
    let above = r.one(&["--hashlimit-upto", "--hashlimit-above"]);
    let v6 = u8::from(p.v6);
    let (rate, rest) = r.one(&[
        ("5/min --hashlimit-burst 2", "--hashlimit-mode srcip"),
        (
            "5/min --hashlimit-burst 2",
            "--hashlimit-mode srcip,dstport --hashlimit-srcmask 24",
        ),
        ("1/hour", "--hashlimit-mode dstip --hashlimit-dstmask 16"),
        ("512kb/s", "--hashlimit-htable-expire 30000"),
    ]);
    // A table is shared by all rules of its name, which must agree.
    let name = format!("h{n}{v6}{}{}", rate.len(), rest.len());
    format!(" -m hashlimit {above} {rate} {rest} --hashlimit-name {name}")
}

fn connlimit(r: &mut Prng, p: &Place<'_>) -> String {
    let mask = match r.below(3) {
        0 => String::new(),
        _ if p.v6 => " --connlimit-mask 64".into(),
        _ => format!(" --connlimit-mask {}", r.one(&[0, 24])),
    };
    format!(
        " -m connlimit --connlimit-{} {}{mask}{}",
        r.one(&["above", "upto"]),
        r.one(&[0, 1, 2]),
        r.one(&["", " --connlimit-saddr", " --connlimit-daddr"])
    )
}
