//! Pods behind one bridge beside the running kernel: what is predicted to connect connects, and nothing else does.
//!
//! `NFWHY_LAB_NODES` nodes are made from `NFWHY_LAB_SEED` on; `NFWHY_LAB=require` fails where none can be made, `NFWHY_LAB=off` skips.

#![cfg(target_os = "linux")]

#[path = "lab/prng.rs"]
#[allow(dead_code, reason = "shared with the large lab")]
mod prng;
#[path = "lab/sh.rs"]
mod sh;
#[path = "lab/wanted.rs"]
mod wanted;

use nfwhy::capture::Snapshot;
use nfwhy::capture::live::Reading;
use nfwhy::cli::PacketSpec;
use nfwhy::explain::{Fate, answer};
use nfwhy::node::Node;
use nfwhy::sim::simulate;
use nfwhy::trace::Verdict;
use nix::sched::{CloneFlags, setns, unshare};
use prng::Prng;
use std::fmt::Write as _;
use std::fs::File;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;
use wanted::{goes_on, knob, say};

const PODS: [(&str, u8); 2] = [("veth-a", 10), ("veth-b", 11)];
const PORT: u16 = 8080;
/// A connection that does not come about is given up after this.
const PATIENCE: Duration = Duration::from_millis(250);

fn pod(six: bool, n: u8) -> IpAddr {
    let text = if six {
        format!("fd00:3::{n}")
    } else {
        format!("10.3.0.{n}")
    };
    text.parse().expect("an address")
}

fn vip(six: bool) -> IpAddr {
    let text = if six { "fd00:96::a" } else { "10.96.0.10" };
    text.parse().expect("an address")
}

/// One node, as drawn.
struct Drawn {
    six: bool,
    calls: bool,
    hairpin: [bool; 2],
    rules: String,
}

fn draw(r: &mut Prng) -> Drawn {
    let six = r.chance(40);
    let host = if six { 128 } else { 32 };
    let (a, b) = (pod(six, 10), pod(six, 11));
    let to = if r.chance(50) { a } else { b };
    let end = SocketAddr::new(to, PORT);
    let mut rules = String::from("*nat\n");
    let _ = writeln!(
        rules,
        "-A PREROUTING -d {}/{host} -p tcp -m tcp --dport 80 -j DNAT --to-destination {end}",
        vip(six)
    );
    match r.below(4) {
        0 => {}
        1 => {
            let _ = writeln!(
                rules,
                "-A POSTROUTING -s {to}/{host} -d {to}/{host} -j MASQUERADE"
            );
        }
        2 => rules += "-A POSTROUTING -o cni0 -j MASQUERADE\n",
        _ => {
            rules += "-A POSTROUTING -m physdev --physdev-is-bridged -j MASQUERADE\n";
        }
    }
    rules += "COMMIT\n*filter\n";
    if r.chance(50) {
        rules += ":FORWARD DROP [0:0]\n";
        rules += "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n";
    }
    let some = [
        "-A FORWARD -m physdev --physdev-is-bridged -j ACCEPT\n".to_owned(),
        "-A FORWARD -m physdev ! --physdev-is-bridged -j ACCEPT\n".to_owned(),
        "-A FORWARD -m physdev --physdev-in veth-a -j ACCEPT\n".to_owned(),
        "-A FORWARD -m physdev ! --physdev-in veth-b -j DROP\n".to_owned(),
        "-A FORWARD -i cni0 -o cni0 -j ACCEPT\n".to_owned(),
        format!("-A FORWARD -d {b}/{host} -j DROP\n"),
        format!("-A FORWARD -m ttl --ttl-lt 64 -d {to}/{host} -p tcp --syn -j DROP\n"),
    ];
    for line in &some {
        let ttl = line.contains("ttl");
        if r.chance(25) && !(ttl && six) {
            rules += line;
        }
    }
    rules += "COMMIT\n";
    Drawn {
        six,
        calls: r.chance(60),
        hairpin: [r.chance(50), r.chance(50)],
        rules,
    }
}

impl Drawn {
    fn tool(&self) -> &'static str {
        if self.six {
            "ip6tables-legacy-restore"
        } else {
            "iptables-legacy-restore"
        }
    }

    /// Makes it in the namespace of this thread, the pods in those of others.
    fn make(&self, pods: &[Pod]) {
        let mut batch = String::from(
            "link set lo up\nlink add cni0 address 02:00:00:00:00:01 type bridge\nlink set cni0 up\n\
             addr add 10.3.0.1/24 dev cni0\naddr add fd00:3::1/64 dev cni0 nodad\n\
             link add ext0 type veth peer name far0\nlink set far0 up\nlink set ext0 up\naddr add 192.0.2.9/24 dev ext0\n\
             addr add 2001:db8::9/64 dev ext0 nodad\nroute add default via 192.0.2.1\n\
             -6 route add default via 2001:db8::1\n",
        );
        for ((name, n), pod) in PODS.iter().zip(pods) {
            let _ = write!(
                batch,
                "link add {name} type veth peer name eth0 address 02:00:00:00:00:{n} netns {}
link set {name} master cni0 up
",
                pod.namespace
            );
            batch += &neighbours("cni0", &[*n]);
        }
        for line in batch.lines() {
            let words: Vec<&str> = ["ip"].into_iter().chain(line.split(' ')).collect();
            sh::must(&words, "");
        }
        for ((name, _), on) in PODS.iter().zip(self.hairpin) {
            let on = if on { "on" } else { "off" };
            sh::must(&["bridge", "link", "set", "dev", name, "hairpin", on], "");
        }
        let calls = u8::from(self.calls);
        for (key, value) in [
            ("ipv4/ip_forward", 1),
            ("ipv6/conf/all/forwarding", 1),
            ("bridge/bridge-nf-call-iptables", calls),
            ("bridge/bridge-nf-call-ip6tables", calls),
        ] {
            std::fs::write(format!("/proc/sys/net/{key}"), value.to_string()).expect(key);
        }
        sh::must(&[self.tool()], &self.rules);
    }
}

/// A pod: a thread in a namespace of its own, which connects where it is told.
struct Pod {
    namespace: String,
    ask: Sender<SocketAddr>,
    told: Receiver<bool>,
    ready: Sender<()>,
}

/// Nobody has to ask who has which hardware address: rules may refuse the answers, and IPv6 takes its time.
fn neighbours(dev: &str, hosts: &[u8]) -> String {
    hosts.iter().fold(String::new(), |mut out, n| {
        for net in ["10.3.0.", "fd00:3::"] {
            let _ = writeln!(
                out,
                "neigh add {net}{n} lladdr 02:00:00:00:00:{n:02} dev {dev} nud permanent"
            );
        }
        out
    })
}

fn start(n: u8) -> Pod {
    let (ask, asked) = channel::<SocketAddr>();
    let (tell, told) = channel::<bool>();
    let (ready, is_ready) = channel::<()>();
    let (say_ns, ns) = channel();
    std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a pod's namespace");
        let tid = nix::unistd::gettid();
        say_ns
            .send(format!("/proc/{}/task/{tid}/ns/net", std::process::id()))
            .expect("the node waits");
        // Until the node has put the device here.
        if is_ready.recv().is_err() {
            return;
        }
        let others: Vec<u8> = PODS.iter().map(|p| p.1).filter(|o| *o != n).collect();
        let batch = format!(
            "link set lo up\naddr add 10.3.0.{n}/24 dev eth0\naddr add fd00:3::{n}/64 dev eth0 nodad\nlink set eth0 up\n{}{}route add default via 10.3.0.1\n-6 route add default via fd00:3::1",
            neighbours("eth0", &[1]),
            neighbours("eth0", &others),
        );
        for line in batch.lines() {
            let words: Vec<&str> = ["ip"].into_iter().chain(line.split(' ')).collect();
            sh::must(&words, "");
        }
        let _listener = TcpListener::bind(("::", PORT)).expect("a listener");
        tell.send(true).expect("the node waits");
        while let Ok(to) = asked.recv() {
            let got = TcpStream::connect_timeout(&to, PATIENCE).is_ok();
            if tell.send(got).is_err() {
                return;
            }
        }
    });
    Pod {
        namespace: ns.recv().expect("a namespace"),
        ask,
        told,
        ready,
    }
}

/// Whether the model says that a connection comes about.
fn predicted(node: &Node<'_>, src: IpAddr, to: SocketAddr, by: &str) -> Result<bool, String> {
    let spec = format!(
        r#"{{"src":"{src}","dst":"{}","proto":"tcp","dport":{},"iif":"{by}"}}"#,
        to.ip(),
        to.port()
    );
    let spec: PacketSpec = serde_json::from_str(&spec).expect("a packet");
    let packet = spec.resolve(node).map_err(|e| e.to_string())?;
    let trace = simulate(node, &packet).map_err(|e| e.to_string())?;
    let [o] = trace.outcomes.as_slice() else {
        return Err(format!("{} outcomes", trace.outcomes.len()));
    };
    if o.verdict == Verdict::Unknown {
        return Err(format!("{:?}", o.reason));
    }
    if o.verdict != Verdict::Forwarded {
        return Ok(false);
    }
    if o.out.as_ref().map(|x| node.device(x.dev).name.as_str()) != Some("cni0") {
        return Ok(false);
    }
    match answer(node, &trace, o).map(|a| a.fate(&trace.packet)) {
        // No connection is known of what no rule sees: the stations speak with each other.
        None | Some(Fate::Ok) => Ok(true),
        // By which port an answer comes is not known, which a rule may ask.
        Some(Fate::Unknown) => Err("answer".to_owned()),
        Some(_) => Ok(false),
    }
}

/// Connections tried, come about, and not predicted for want of the answer's port; what differs.
fn judge(seed: u64) -> ([usize; 3], Vec<String>) {
    let drawn = draw(&mut Prng::new(seed));
    let pods: Vec<Pod> = PODS.iter().map(|(_, n)| start(*n)).collect();
    unshare(CloneFlags::CLONE_NEWNET).expect("a node's namespace");
    let namespaces: Vec<File> = pods
        .iter()
        .map(|p| File::open(&p.namespace).expect("a namespace"))
        .collect();
    drop(namespaces);
    drawn.make(&pods);
    for p in &pods {
        p.ready.send(()).expect("the pod waits");
        assert!(p.told.recv().expect("the pod listens"));
    }
    let snapshot = Snapshot::from_reading(Reading::of_this_namespace(None));
    let node = Node::new(&snapshot);
    let ([mut asked, mut connected, mut open], mut bad) = ([0; 3], Vec::new());
    for (i, p) in pods.iter().enumerate() {
        let (by, n) = PODS[i];
        let other = PODS[1 - i].1;
        for to in [
            SocketAddr::new(vip(drawn.six), 80),
            SocketAddr::new(pod(drawn.six, other), PORT),
        ] {
            p.ask.send(to).expect("the pod waits");
            let real = p.told.recv().expect("the pod tells");
            let said = predicted(&node, pod(drawn.six, n), to, by);
            asked += 1;
            connected += usize::from(real);
            if said == Err("answer".to_owned()) && drawn.rules.contains("physdev-in") {
                open += 1;
            } else if said != Ok(real) {
                bad.push(format!(
                    "seed {seed}: from {by} to {to}: connects {real}, predicted {said:?}; calls {}, hairpin {:?}\n{}",
                    drawn.calls, drawn.hairpin, drawn.rules
                ));
            }
        }
    }
    ([asked, connected, open], bad)
}

#[test]
fn pods_of_one_bridge_connect_as_predicted() {
    let tools: [&[&str]; 4] = [
        &["ip", "-V"],
        &["bridge", "-V"],
        &["iptables-legacy-restore", "-V"],
        &["ip6tables-legacy-restore", "-V"],
    ];
    let here = File::open("/proc/thread-self/ns/net").expect("a namespace");
    let obstacle = || {
        if let Err(e) = unshare(CloneFlags::CLONE_NEWNET) {
            return Some(format!("no network namespaces for this user: {e}"));
        }
        let there = std::fs::read("/proc/sys/net/bridge/bridge-nf-call-iptables").is_ok();
        setns(&here, CloneFlags::CLONE_NEWNET).expect("a way back");
        let absent = (!there).then(|| "br_netfilter is not loaded".to_owned());
        absent.or_else(|| sh::missing(&tools))
    };
    if !goes_on(obstacle) {
        return;
    }
    let first = knob("NFWHY_LAB_SEED", 1).wrapping_mul(1_000_003);
    let nodes = knob("NFWHY_LAB_NODES", 16);
    let ([mut asked, mut connected, mut open], mut bad) = ([0; 3], Vec::new());
    for seed in first..first + nodes {
        let ([a, c, o], b) = std::thread::spawn(move || judge(seed))
            .join()
            .unwrap_or_else(|e| std::panic::resume_unwind(e));
        asked += a;
        connected += c;
        open += o;
        for line in b.iter().take(3_usize.saturating_sub(bad.len())) {
            say(line);
        }
        bad.extend(b);
    }
    say(&format!(
        "{nodes} nodes, {asked} connections tried, {connected} came about, {open} not predicted, {} differ",
        bad.len()
    ));
    assert!(bad.is_empty(), "{} differ", bad.len());
    assert!(
        connected > 0 && connected < asked && open * 5 < asked,
        "of {asked} {connected} came about, {open} were not predicted"
    );
}
