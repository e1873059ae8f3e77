//! Rules around kube-proxy's: some that only count, and masquerading by what IPVS did, as kube-router has it.

use std::fmt::Write;

use super::places::Places;
use super::prng::Prng;

/// A match of `ipvs`, of one thing or several.
fn ipvs(r: &mut Prng, p: &Places) -> String {
    let mut t = String::from("-m ipvs");
    let mut any = false;
    if r.chance(10) {
        return t + " ! --ipvs";
    }
    if r.chance(20) {
        t += " --ipvs";
        any = true;
    }
    if r.chance(20) {
        t += &format!(" {}--vproto {}", r.not(30), r.pick(&["6", "17"]));
        any = true;
    }
    if r.chance(30) {
        let a = r.one(&[p.cluster[0], p.balancer[0], p.node[1], p.balancer[3]]);
        let a = if r.chance(30) {
            format!("{a}/{}", if p.v6 { 16 } else { 8 })
        } else {
            p.single(a)
        };
        t += &format!(" {}--vaddr {a}", r.not(30));
        any = true;
    }
    if r.chance(20) {
        t += &format!(" {}--vport {}", r.not(30), r.pick(&["80", "443", "30080"]));
        any = true;
    }
    if r.chance(30) {
        t += &format!(" --vdir {}", r.pick(&["ORIGINAL", "REPLY"]));
        any = true;
    }
    if r.chance(30) {
        t += &format!(
            " {}--vmethod {}",
            r.not(30),
            r.pick(&["GATE", "IPIP", "MASQ"])
        );
        any = true;
    }
    if r.chance(15) {
        t += &format!(" {}--vportctl {}", r.not(40), r.pick(&["80", "443", "0"]));
        any = true;
    }
    if any { t } else { t + " --ipvs" }
}

/// kube-router's rules of POSTROUTING: masquerade what IPVS sends on, but not what stays among the pods.
pub fn router(r: &mut Prng, p: &Places) -> String {
    let nets = format!("! -s {0} ! -d {0}", p.pod_nets[1]);
    let to = if r.chance(50) {
        format!("SNAT --to-source {}", p.node[1])
    } else {
        "MASQUERADE --random-fully".into()
    };
    match r.below(3) {
        0 => format!("-A POSTROUTING {nets} -m ipvs --vdir ORIGINAL --vmethod MASQ -j {to}\n"),
        1 => format!(
            "-A POSTROUTING -m ipvs --ipvs --vaddr {} --vdir ORIGINAL -j {to}\n",
            p.single(p.balancer[0])
        ),
        _ => format!(
            "-A POSTROUTING ! -s {} -m ipvs --ipvs -j {to}\n",
            p.pod_nets[1]
        ),
    }
}

/// Rules that change nothing but their counters: which hooks a packet passes, and as what.
pub fn counting(r: &mut Prng, p: &Places, hooks: &[&str]) -> String {
    let mut t = String::new();
    for hook in hooks {
        for _ in 0..r.below(4) {
            let incoming = !matches!(*hook, "OUTPUT" | "POSTROUTING");
            let outgoing = !matches!(*hook, "PREROUTING" | "INPUT");
            let dev = r.pick(&["ens3", "ens4", "cali+", "tunl0", "lo", "kube-ipvs0"]);
            let state = r.pick(&[
                "NEW",
                "ESTABLISHED",
                "INVALID",
                "UNTRACKED",
                "NEW,RELATED",
                "DNAT",
                "SNAT",
            ]);
            let text = match r.below(10) {
                0 if incoming => format!("-i {dev}"),
                0 | 1 if outgoing => format!("-o {dev}"),
                2 => format!("-m conntrack --ctstate {state}"),
                7 | 8 => ipvs(r, p),
                3 => "-m mark --mark 0x4000/0x4000".into(),
                4 => format!(
                    "-d {}",
                    r.one(&[p.pod_nets[0], p.pod_nets[1], p.far_nets[0]])
                ),
                5 => format!("-s {}", r.one(&[p.pod_nets[0], p.pod_nets[1]])),
                6 => format!(
                    "-d {}",
                    p.single(r.one(&[p.cluster[0], p.balancer[0], p.node[1]]))
                ),
                _ => r
                    .pick(&[
                        "-p tcp",
                        "-p udp",
                        "-p tcp -m tcp --dport 8080",
                        "-m addrtype --dst-type LOCAL",
                        "-m addrtype --src-type LOCAL",
                    ])
                    .to_owned(),
            };
            let _ = writeln!(t, "-A {hook} {text}");
        }
    }
    t
}
