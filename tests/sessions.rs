//! What is pasted into a ticket gives the answers of a clean capture: every snapshot as one terminal session, in several shapes.

#[path = "common/folders.rs"]
mod folders;

use folders::folders;
use nfwhy::capture::Snapshot;
use nfwhy::cli::PacketSpec;
use nfwhy::explain::explain;
use nfwhy::node::Node;
use nfwhy::render;
use nfwhy::sim::simulate;
use nfwhy_parsers::recognise::Kind;
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

fn packets(folder: &Path) -> Vec<PacketSpec> {
    let text = fs::read_to_string(folder.join("flows.toml")).expect("flows.toml");
    let all: toml::Value = toml::from_str(&text).expect("TOML");
    let list = all["flow"].as_array().expect("a list of flows");
    list.iter()
        .map(|f| f["packet"].clone().try_into().expect("a packet"))
        .collect()
}

/// What the answers say, without files and lines.
fn answers(snapshot: &Snapshot, packets: &[PacketSpec]) -> Vec<Value> {
    let node = Node::new(snapshot);
    packets
        .iter()
        .map(|p| {
            let packet = p.resolve(&node).expect("a packet of this node");
            let trace = simulate(&node, &packet).expect("an answer");
            let mut line = Vec::new();
            render::json::write(&mut line, &node, &trace, &explain(&node, &trace)).expect("memory");
            let mut v: Value = serde_json::from_slice(&line).expect("our own JSON");
            bare(&mut v);
            v
        })
        .collect()
}

/// Takes places out: keys `line` and `file`, and `name:12` within sentences.
fn bare(v: &mut Value) {
    match v {
        Value::Object(o) => {
            o.remove("line");
            o.remove("file");
            o.values_mut().for_each(bare);
        }
        Value::Array(a) => a.iter_mut().for_each(bare),
        Value::String(s) => {
            let words: Vec<String> = s.split(' ').map(|w| placeless(w).to_owned()).collect();
            *s = words.join(" ");
        }
        _ => {}
    }
}

/// `(iptables-save.txt:12)` and `session.txt:345` as one word.
fn placeless(word: &str) -> &str {
    let inner = word.trim_matches(|c: char| matches!(c, '(' | ')' | ',' | ';' | '.'));
    match inner.rsplit_once(':') {
        Some((f, n))
            if [".txt", ".json"].iter().any(|e| f.contains(e))
                && n.bytes().all(|b| b.is_ascii_digit()) =>
        {
            "PLACE"
        }
        _ => word,
    }
}

/// The command that prints a file's kind.
fn command(kind: Kind, name: &str) -> &'static str {
    match kind {
        Kind::IptablesSave if name.contains("ip6") => "ip6tables-save",
        Kind::IptablesSave if name.contains("legacy") => "iptables-legacy-save",
        Kind::IptablesSave if name.contains("nft") => "iptables-nft-save",
        Kind::IptablesSave => "iptables-save",
        Kind::Nft => "nft list ruleset",
        Kind::Ipset => "ipset list",
        Kind::Ipvs if name.contains("save") => "ipvsadm-save -n",
        Kind::Ipvs => "ipvsadm -ln",
        Kind::Link => "ip -d addr",
        Kind::Route if name.contains("-6-") => "ip -6 route show table all",
        Kind::Route => "ip route show table all",
        Kind::Rule if name.contains('6') => "ip -6 rule",
        Kind::Rule => "ip rule",
        Kind::Neigh => "ip neigh",
        Kind::Sysctl => "sysctl -a",
        Kind::Conntrack => "conntrack -L",
        Kind::Programs => "bpftool net",
        Kind::Nexthop => "ip nexthop",
        Kind::Fdb => "bridge fdb show",
        Kind::Kube | Kind::KubeTable => "kubectl get svc,endpointslices,pods,nodes -A -o json",
        Kind::Speaker => {
            "kubectl logs -l app.kubernetes.io/component=speaker --prefix --timestamps"
        }
        Kind::CalicoBpf if name.contains("nat-dump") => "calico-node -bpf nat dump",
        Kind::CalicoBpf if name.contains("routes-dump") => "calico-node -bpf routes dump",
        Kind::CalicoBpf if name.contains("nat_fe3") => {
            "bpftool -p map dump pinned /sys/fs/bpf/tc/globals/cali_v4_nat_fe3"
        }
        Kind::CalicoBpf if name.contains("nat_be") => {
            "bpftool -p map dump pinned /sys/fs/bpf/tc/globals/cali_v4_nat_be"
        }
        Kind::CalicoBpf if name.contains("routes") => {
            "bpftool -p map dump pinned /sys/fs/bpf/tc/globals/cali_v4_routes"
        }
        Kind::CalicoBpf => "kubectl get felixconfiguration default -o yaml",
        // What stands in the file is the command.
        Kind::Tcpdump => "true",
        Kind::Cilium if name.contains("source-ranges") => {
            "kubectl -n kube-system exec ds/cilium -- cilium-dbg bpf lb list --source-ranges"
        }
        Kind::Cilium if name.contains("json") => "cilium bpf lb list -o json",
        Kind::Cilium if name.contains("lb-list") => {
            "kubectl -n kube-system exec ds/cilium -- cilium-dbg bpf lb list"
        }
        Kind::Cilium if name.contains("endpoint") => "cilium-dbg bpf endpoint list",
        Kind::Cilium if name.contains("ipcache") => "cilium-dbg bpf ipcache list",
        Kind::Cilium if name.contains("service") => "cilium-dbg service list",
        Kind::Cilium if name.contains("status") => "cilium-dbg status --verbose",
        Kind::Cilium if name.contains("view") => "cilium config view",
        Kind::Cilium => "kubectl -n kube-system get cm cilium-config -o yaml",
        Kind::Arping => "arping -c 2 ADDRESS",
        other => panic!("a snapshot holds a file of kind {other:?}: name its command here"),
    }
}

/// A shape of sessions: what stands before a command, and what the author says between.
struct Shape {
    name: &'static str,
    prompt: &'static str,
    prose: &'static str,
    /// Line ends of a terminal that was recorded.
    ends: &'static str,
}

const SHAPES: &[Shape] = &[
    Shape {
        name: "root's prompt",
        prompt: "root@node-17:~# ",
        prose: "",
        ends: "\n",
    },
    Shape {
        name: "a prompt in brackets, with sudo",
        prompt: "[core@node-17 ~]$ sudo ",
        prose: "The client IP is lost here, see below:\n",
        ends: "\r\n",
    },
    Shape {
        name: "a bare hash, prose in Korean",
        prompt: "# ",
        prose: "이어서 KUBE-SERVICES 체인에서는 다음과 같다.\n\n",
        ends: "\n",
    },
    Shape {
        name: "a dollar, prose in Russian, fences",
        prompt: "$ ",
        prose: "```\nТут видно, что трафик идёт на под:\n```\n",
        ends: "\n",
    },
    Shape {
        name: "by ssh from elsewhere",
        prompt: "me@laptop:~$ ssh root@node-17 ",
        prose: "and then, on that node:\n",
        ends: "\n",
    },
    Shape {
        name: "in colours",
        prompt: "\x1b[01;32mroot@node-17\x1b[00m:\x1b[01;34m~\x1b[00m# ",
        prose: "",
        ends: "\n",
    },
    Shape {
        name: "through a pod of the node's own network",
        prompt: "% kubectl -n kube-system exec kube-proxy-x7k2p -- ",
        prose: "",
        ends: "\n",
    },
];

fn session(snapshot: &Snapshot, shape: &Shape) -> Option<String> {
    let mut text =
        String::from("Hello,\n\nour pods do not see their clients. What I found so far.\n\n");
    for f in &snapshot.files {
        // `nft -j` is not what people paste.
        if f.text.trim_start().starts_with('{') && f.kind == Kind::Nft {
            return None;
        }
        text.push_str(shape.prose);
        let _ = writeln!(text, "{}{}", shape.prompt, command(f.kind, &f.name));
        text.push_str(f.text.trim_end());
        text.push_str("\n\n");
    }
    text.push_str("Any idea? Thanks!\n");
    Some(text.replace('\n', shape.ends))
}

#[test]
fn a_pasted_session_answers_as_the_files_do() {
    let mut compared = 0;
    for folder in folders("flows.toml") {
        if folder.join("session.txt").is_file() {
            continue;
        }
        let whole = Snapshot::read(&folder).expect("a snapshot");
        let packets = packets(&folder);
        let expected = answers(&whole, &packets);
        for shape in SHAPES {
            // Of what Cilium's agent prints a session is known to be read wholly for one node alone, and not where one line goes through ssh and
            // kubectl; elsewhere the answer may name a listing as missing that is there.
            let cilium = whole.files.iter().any(|f| f.kind == Kind::Cilium);
            if cilium && (shape.name.contains("ssh") || !folder.ends_with("cilium-dsr")) {
                continue;
            }
            let Some(text) = session(&whole, shape) else {
                continue;
            };
            let mut pasted = Snapshot::default();
            pasted.add("session.txt".to_owned(), text.into_bytes());
            let kinds = |s: &Snapshot| {
                let mut k: Vec<String> = s.files.iter().map(|f| format!("{:?}", f.kind)).collect();
                k.sort();
                k.dedup();
                k
            };
            let at = format!("{} as {}", folder.display(), shape.name);
            assert_eq!(kinds(&pasted), kinds(&whole), "{at}");
            assert!(pasted.partial.is_empty(), "{at}: {:?}", pasted.partial);
            let got = answers(&pasted, &packets);
            for (e, g) in expected.iter().zip(&got) {
                assert_eq!(e, g, "{at}");
                compared += 1;
            }
        }
    }
    assert!(compared > 300, "only {compared} answers were compared");
}

#[test]
fn of_several_machines_one_is_taken_by_name() {
    let folder = std::env::temp_dir().join(format!("nfwhy-sessions-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder for the test");
    let file = folder.join("ticket.txt");
    let text = "root@n1.example:~# ip route\ndefault via 10.0.0.1 dev ens3\n10.0.0.0/24 dev ens3\nroot@n2:~# ip route\ndefault via 10.9.9.9 dev eth0\n";
    fs::write(&file, text).expect("a file for the test");
    let routes = |path: &Path| -> Result<String, String> {
        let s = Snapshot::read(path).map_err(|e| e.to_string())?;
        Ok(s.files.iter().map(|f| f.text.clone()).collect())
    };
    let of = |name: &str| routes(&file.join(name));
    assert!(routes(&file).is_ok_and(|t| t.contains("ens3") && !t.contains("eth0")));
    assert!(of("n1").is_ok_and(|t| t.contains("ens3") && !t.contains("eth0")));
    assert!(of("n2").is_ok_and(|t| t.contains("eth0") && !t.contains("ens3")));
    assert!(of("n3").is_err_and(|e| e.contains("it shows n1.example, n2")));
    fs::remove_dir_all(&folder).expect("the test's folder");
}
