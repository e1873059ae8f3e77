//! `nfwhy vip`: every folder under snapshots/ with a flows.vip.toml is a cluster; its questions are asked, held against what is
//! expected, and the answers against the reviewed ones beside it. And pasted sessions.

#[path = "common/folders.rs"]
mod folders;

use assert_cmd::Command;
use folders::folders;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Questions {
    vip: Vec<Question>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    name: String,
    address: String,
    answered: Option<bool>,
    by: Vec<String>,
    /// Code of the first finding.
    finding: Option<String>,
    /// Codes that no finding may have.
    #[serde(default)]
    no_finding: Vec<String>,
}

fn nfwhy(args: &[&str], input: &str) -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_nfwhy"))
        .args(args)
        .write_stdin(input)
        .output()
        .expect("the program runs");
    let err = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{args:?}: {err}");
    String::from_utf8(out.stdout).expect("UTF-8")
}

fn json(args: &[&str], input: &str) -> Value {
    let line = nfwhy(&[args, &["--format", "json"]].concat(), input);
    let v: Value = serde_json::from_str(&line).expect("one line of JSON");
    assert_eq!(v["schema"], "nfwhy.vip/1");
    v
}

fn codes(v: &Value) -> Vec<&str> {
    let list = v["findings"].as_array().expect("a list");
    list.iter().filter_map(|f| f["code"].as_str()).collect()
}

fn names(v: &Value) -> BTreeSet<&str> {
    let list = v["answered_by"].as_array().expect("a list");
    list.iter().filter_map(|a| a["node"].as_str()).collect()
}

#[test]
fn clusters_answer_as_reviewed() {
    let folders = folders("flows.vip.toml");
    assert!(folders.len() >= 3, "{folders:?}");
    for folder in folders {
        let text = std::fs::read_to_string(folder.join("flows.vip.toml")).expect("readable");
        let all: Questions =
            toml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        let dir = folder.to_str().expect("UTF-8");
        let (mut texts, mut jsons) = (String::new(), String::new());
        let mut bad = Vec::new();
        for q in &all.vip {
            let args = ["vip", "--cluster", dir, &q.address];
            let v = json(&args, "");
            if v["answers"].as_bool() != q.answered {
                bad.push(format!("{}: answers {}", q.name, v["answers"]));
            }
            if names(&v) != q.by.iter().map(String::as_str).collect() {
                bad.push(format!("{}: by {:?}", q.name, names(&v)));
            }
            let codes = codes(&v);
            if q.finding.is_some() && codes.first().copied() != q.finding.as_deref() {
                bad.push(format!("{}: finds {codes:?}", q.name));
            }
            if let Some(c) = q.no_finding.iter().find(|c| codes.contains(&c.as_str())) {
                bad.push(format!("{}: finds {c}", q.name));
            }
            writeln!(texts, "# {}\n\n{}", q.name, nfwhy(&args, "")).expect("memory");
            let pretty = serde_json::to_string_pretty(&v).expect("JSON");
            writeln!(jsons, "// {}\n{pretty}\n", q.name).expect("memory");
        }
        assert_eq!(bad, Vec::<String>::new(), "{}", folder.display());
        let long: Vec<&str> = texts.lines().filter(|l| l.chars().count() > 100).collect();
        assert_eq!(long, Vec::<&str>::new(), "{}", folder.display());
        insta::with_settings!({
            snapshot_path => &folder,
            prepend_module_to_snapshot => false,
            omit_expression => true,
        }, {
            insta::assert_snapshot!("vip-text", texts);
            insta::assert_snapshot!("vip-json", jsons);
        });
    }
}

/// A session with a Service, the log of its speakers and a speaker's node; nothing of a node's own state.
const SESSION: &str = r#"Who announces the address?

root@admin:~# kubectl -n shop get svc front
NAME    TYPE           CLUSTER-IP     EXTERNAL-IP   PORT(S)         AGE
front   LoadBalancer   10.96.100.89   192.0.2.102   443:30358/TCP   42d
root@admin:~# kubectl -n metallb-system logs -l app.kubernetes.io/component=speaker --prefix --timestamps | grep 192.0.2.102
[pod/speaker-8k5wl/speaker] 2025-09-25T10:24:15.767871702Z {"caller":"main.go:409","event":"serviceAnnounced","ips":["192.0.2.102"],"level":"info","msg":"service has IP, announcing","pool":"default","protocol":"layer2","ts":"2025-09-25T10:24:15Z"}
[pod/speaker-8k5wl/speaker] 2025-09-25T10:26:10.381353840Z {"caller":"main.go:453","event":"serviceWithdrawn","ip":["192.0.2.102"],"ips":["192.0.2.102"],"level":"info","msg":"withdrawing service announcement","pool":"default","protocol":"layer2","reason":"notOwner","ts":"2025-09-25T10:26:10Z"}
[pod/speaker-hgksn/speaker] 2025-09-25T10:26:10.458269685Z {"caller":"main.go:409","event":"serviceAnnounced","ips":["192.0.2.102"],"level":"info","msg":"service has IP, announcing","pool":"default","protocol":"layer2","ts":"2025-09-25T10:26:10Z"}
root@admin:~# kubectl -n metallb-system get pod/speaker-hgksn -o wide
NAME            READY   STATUS    RESTARTS   AGE    IP           NODE     NOMINATED NODE   READINESS GATES
speaker-hgksn   1/1     Running   0          102m   10.80.3.13   node-3   <none>           <none>
"#;

#[test]
fn a_session_with_a_speakers_log_names_the_node_and_since_when() {
    let v = json(&["vip", "-s", "-", "192.0.2.102"], SESSION);
    let title = v["title"].as_str().expect("a title");
    assert!(
        title.starts_with(
            "node-3 answers for 192.0.2.102 since 2025-09-25T10:26:10Z: speaker-hgksn announces it, after speaker-8k5wl withdrew it (notOwner)"
        ),
        "{title}"
    );
    assert_eq!(v["holders"][0]["node"], "node-3");
    assert_eq!(v["holders"][0]["at"]["line"], 9);
    assert_eq!(v["log"].as_array().map(Vec::len), Some(3));
    assert_eq!(codes(&v), Vec::<&str>::new());
}

#[test]
fn of_a_speaker_that_only_withdrew_nobody_answers() {
    let log: String =
        SESSION
            .lines()
            .filter(|l| !l.contains("hgksn"))
            .fold(String::new(), |mut all, l| {
                all.push_str(l);
                all.push('\n');
                all
            });
    let v = json(&["vip", "-s", "-", "192.0.2.102"], &log);
    assert_eq!(v["holders"], serde_json::json!([]));
    assert_ne!(v["answers"], true);
}

/// A session with arping and the links of a node.
const ARPING: &str = "root@client:~# arping 192.0.2.200
ARPING 192.0.2.200
60 bytes from 02:33:e2:2c:43:38 (192.0.2.200): index=0 time=411.542 usec
60 bytes from 02:33:e2:2c:43:38 (192.0.2.200): index=1 time=599.265 usec
root@lb-1:~# ip link show
1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN mode DEFAULT group default qlen 1000
    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00
2: ens18: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc mq state UP mode DEFAULT group default qlen 1000
    link/ether 02:33:e2:2c:43:38 brd ff:ff:ff:ff:ff:ff
";

#[test]
fn the_hardware_address_that_arping_shows_is_matched_to_a_link() {
    let v = json(&["vip", "-s", "-", "192.0.2.200"], ARPING);
    assert_eq!(v["seen"][0]["mac"], "02:33:e2:2c:43:38");
    assert_eq!(v["seen"][0]["device"], "ens18");
    assert_eq!(v["answers"], true);
    let title = v["title"].as_str().expect("a title");
    assert!(title.contains("its ens18"), "{title}");
}

#[test]
fn a_routers_route_of_the_address_alone_says_where_it_goes() {
    let text = "root@router:~# ip route
default via 198.51.100.1 dev eth1
10.0.0.0/24 dev eth0 proto kernel scope link src 10.0.0.1
192.0.2.102 via 10.0.0.3 dev eth0 proto bird metric 32
";
    let v = json(&["vip", "-s", "-", "192.0.2.102"], text);
    assert_eq!(v["routes"][0]["via"][0]["ip"], "10.0.0.3");
    let title = v["title"].as_str().expect("a title");
    assert!(title.contains("is routed to 10.0.0.3"), "{title}");
    assert_eq!(codes(&v), Vec::<&str>::new());
}

#[test]
fn packets_of_protocol_arp_ask_whether_the_node_answers() {
    let dir =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("snapshots/vip-strict-arp-off/stacklight-1");
    let packets = [
        r#"{"proto":"arp","src":"10.80.8.1","dst":"10.80.8.102","iif":"mlb"}"#,
        r#"{"proto":"arp","src":"10.80.8.1","dst":"10.80.8.103","iif":"mlb"}"#,
        r#"{"proto":"arp","src":"10.80.8.1","dst":"10.80.8.21"}"#,
        r#"{"proto":"arp","src":"10.80.8.1","dst":"fd00::1","iif":"mlb"}"#,
    ]
    .join("\n");
    let out = Command::new(env!("CARGO_BIN_EXE_nfwhy"))
        .args(["trace", "--packets", "-", "--format", "json", "-s"])
        .arg(dir)
        .write_stdin(packets)
        .output()
        .expect("the program runs");
    assert_eq!(out.status.code(), Some(2), "the last one is refused");
    let lines: Vec<Value> = String::from_utf8(out.stdout)
        .expect("UTF-8")
        .lines()
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect();
    let told: Vec<(&Value, &Value)> = lines
        .iter()
        .take(3)
        .map(|l| (&l["answers"], &l["outcomes"][0]["verdict"]))
        .collect();
    let (yes, no) = (Value::Bool(true), Value::Bool(false));
    let (answered, silent) = (Value::from("answered"), Value::from("silent"));
    assert_eq!(told, [(&yes, &answered), (&no, &silent), (&yes, &answered)]);
    assert!(
        lines[3]["error"]
            .as_str()
            .is_some_and(|e| e.contains("families"))
    );
}
