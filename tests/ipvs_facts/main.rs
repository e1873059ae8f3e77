//! What IPVS does beyond kube-proxy's ordinary case. The rows were seen on Linux 6.1, most of them by `tests/ipvs_kernel.rs`.

#[path = "../common/mod.rs"]
mod common;
mod conntrack;
mod forwarding;
mod matches;
mod replies;
mod scheduling;

use common::{Files, hits};
use nfwhy::node::Node;

const VIP: &str = "172.19.100.2/32";
const ONE: &str = "TCP 172.19.100.2:80 rr\n-> 10.233.98.39:80 Masq 1";
const TO_V: &str =
    r#"{"src":"10.10.6.91","sport":40000,"dst":"172.19.100.2","dport":80,"iif":"ens4"}"#;
const REPLY: &str = r#"{"src":"10.233.98.39","sport":80,"dst":"10.10.6.91","dport":40000,"iif":"cali1","flags":["syn","ack"]}"#;
const NEXT: &str = r#"{"src":"10.10.6.91","sport":40000,"dst":"172.19.100.2","dport":80,"iif":"ens4","flags":["ack"]}"#;

fn node(vip: &str, services: &str) -> Files {
    Files::new(&[
        "ens4 10.10.4.142/24",
        &format!("kube-ipvs0 down kind=dummy {vip}"),
        "cali1",
        "cali2",
    ])
    .route(
        "default via 10.10.4.1 dev ens4
10.233.98.39 dev cali1 scope link
10.233.98.40 dev cali2 scope link",
    )
    .table(
        "nat",
        "-A POSTROUTING -p tcp\n-A POSTROUTING -p ipencap -j MASQUERADE\n",
    )
    .table("filter", "-A OUTPUT -p ipencap\n")
    .ipvs(services)
}

fn counted(s: &nfwhy::capture::Snapshot, o: &nfwhy::trace::Outcome, rules: &[&str]) -> Vec<bool> {
    let all = hits(&Node::new(s), o);
    rules.iter().map(|r| all.iter().any(|h| h == r)).collect()
}
