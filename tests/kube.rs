//! Names of Kubernetes: packets asked for by them, answers that use them, and objects that contradict the rules.

use assert_cmd::Command;
use nfwhy::capture::Snapshot;
use nfwhy::node::Node;
use serde_json::Value;
use std::fs;
use std::path::Path;

const NODE: &str = "snapshots/ipvs-named";
const OBJECTS: &str = "snapshots/ipvs-named/kube.json";

fn run(args: &[&str]) -> (i32, String, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_nfwhy"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(args)
        .output()
        .expect("it runs");
    let text = |b: Vec<u8>| String::from_utf8(b).expect("UTF-8");
    (
        out.status.code().expect("an exit status"),
        text(out.stdout),
        text(out.stderr),
    )
}

fn json(args: &[&str]) -> Value {
    let (_, out, _) = run(&[&["trace", "--format", "json"], args].concat());
    serde_json::from_str(&out).expect("one line of JSON")
}

fn refused(args: &[&str]) -> String {
    let (status, out, err) = run(&[&["trace"], args].concat());
    assert_eq!((status, out.as_str()), (2, ""), "{err}");
    err
}

#[test]
fn a_client_outside_is_sent_to_the_load_balancers_address() {
    for to in [
        "svc/default/ng-svc:http",
        "svc/default/ng-svc:80",
        "service/default/ng-svc:80/tcp",
        "svc/default/ng-svc",
    ] {
        let a = json(&["-s", NODE, "--in", "ens4", "10.10.6.91", to]);
        assert_eq!(a["packet"]["dst"], "172.19.100.2", "{to}");
        assert_eq!(a["packet"]["dport"], 80);
        assert_eq!(a["packet"]["proto"], "tcp");
        assert_eq!(a["packet"]["service"]["name"], "default/ng-svc:http");
        assert_eq!(a["packet"]["service"]["asked_by"], "load balancer address");
        assert_eq!(a["packet"]["service"]["policy"], "Cluster");
    }
}

#[test]
fn those_inside_are_sent_to_the_cluster_ip() {
    let to = "svc/default/ng-svc:http";
    // A pod of this node, of another one by its range, a node by its address, and this node itself.
    for from in ["10.233.98.39", "10.233.65.7", "10.10.1.141"] {
        let a = json(&["-s", NODE, from, to]);
        assert_eq!(a["packet"]["dst"], "10.233.36.144", "{from}");
    }
    let a = json(&["-s", NODE, "--from-node", to]);
    assert_eq!(a["packet"]["dst"], "10.233.36.144");
    // By a device of pods, whatever the address.
    let a = json(&["-s", NODE, "--in", "calibd9f8a0c5e7", "10.233.98.36", to]);
    assert_eq!(a["packet"]["dst"], "10.233.36.144");
}

#[test]
fn a_pod_comes_in_by_its_own_device() {
    for from in ["pod/default/ng-test-rs-cwqr5", "default/ng-test-rs-cwqr5"] {
        let a = json(&["-s", NODE, from, "svc/default/ng-svc:80"]);
        assert_eq!(a["packet"]["src"], "10.233.98.39");
        assert_eq!(a["packet"]["iif"], "calicaca1cdbf39");
        let sender = &a["packet"]["sender"];
        assert_eq!(sender["pod"], "default/ng-test-rs-cwqr5");
        assert_eq!(sender["this_node"], true);
    }
    let a = json(&[
        "-s",
        NODE,
        "default/ng-test-rs-djnj7",
        "svc/default/ng-svc:80",
    ]);
    assert_eq!(a["packet"]["iif"], "tunl0");
    assert_eq!(a["packet"]["sender"]["this_node"], false);
}

#[test]
fn receivers_have_the_names_of_their_pods_and_nodes() {
    let a = json(&["-s", NODE, "--in", "ens4", "10.10.6.91", "172.19.100.2:80"]);
    let mut seen: Vec<(String, String, bool)> = a["outcomes"]
        .as_array()
        .expect("outcomes")
        .iter()
        .map(|o| {
            let r = &o["receiver"];
            let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
            let here = r["this_node"].as_bool().expect("known");
            (text(&r["pod"]), text(&r["node"]), here)
        })
        .collect();
    seen.sort();
    let expected = [
        ("default/ng-test-rs-cwqr5", "cy01-ceph142", true),
        ("default/ng-test-rs-djnj7", "cy01-ceph141", false),
        ("default/ng-test-rs-kllg4", "cy01-ceph143", false),
    ]
    .map(|(p, n, h)| (p.to_owned(), n.to_owned(), h));
    assert_eq!(seen, expected);
}

#[test]
fn json_packets_may_have_names_too() {
    let dir = std::env::temp_dir().join(format!("nfwhy-names-{}", std::process::id()));
    fs::create_dir_all(&dir).expect("a folder");
    let file = dir.join("packets.jsonl");
    let lines = r#"{"src":"pod/default/ng-test-rs-cwqr5","dst":"svc/default/ng-svc","dport":80}
{"src":"10.10.6.91","dst":"svc/default/nothing:80","iif":"ens4"}
{"src":"10.10.6.91","dst":"svc/default/ng-svc:80","dport":81,"iif":"ens4"}
"#;
    fs::write(&file, lines).expect("a file");
    let path = file.to_str().expect("a path");
    let (status, out, _) = run(&["trace", "-s", NODE, "--packets", path, "--format", "json"]);
    fs::remove_dir_all(&dir).expect("removed");
    assert_eq!(status, 2);
    let lines: Vec<Value> = out
        .lines()
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect();
    assert_eq!(lines[0]["packet"]["dst"], "10.233.36.144");
    let error = |i: usize| lines[i]["error"].as_str().unwrap_or_default();
    assert!(error(1).contains("no Service default/nothing"), "{out}");
    assert!(error(2).contains("names a port"), "{out}");
}

#[test]
fn an_unknown_name_is_refused_with_those_like_it() {
    for (to, said) in [
        ("svc/default/ng-scv:80", "near it: default/ng-svc"),
        ("svc/other/ng-svc:80", "near it: default/ng-svc"),
        ("svc/default/zzzzz:80", "none of the 1 there are"),
        (
            "pod/default/ng-test-rs",
            "near it: default/ng-test-rs-cwqr5",
        ),
        ("svc/default/ng-svc:81", "it has http (tcp 80)"),
        ("svc/default/ng-svc:80/udp", "it has http (tcp 80)"),
        ("svc/ng-svc", "write svc/NAMESPACE/NAME:PORT"),
        ("svc/default/", "write svc/NAMESPACE/NAME:PORT"),
        ("svc/a/b/tcp/d", "write svc/NAMESPACE/NAME:PORT"),
    ] {
        let err = refused(&["-s", NODE, "--in", "ens4", "10.10.6.91", to]);
        assert!(err.contains(said), "{to}: {err}");
    }
}

#[test]
fn a_name_without_objects_says_how_to_get_them() {
    let err = refused(&[
        "-s",
        "snapshots/ipvs-etp-cluster",
        "10.10.6.91",
        "svc/default/ng-svc:80",
    ]);
    assert!(
        err.contains("kubectl get svc,endpointslices,pods,nodes -A -o json"),
        "{err}"
    );
    // And with them it is answered.
    let args = [
        "-s",
        "snapshots/ipvs-etp-cluster",
        "--kube",
        OBJECTS,
        "--in",
        "ens4",
    ];
    let a = json(&[&args[..], &["10.10.6.91", "svc/default/ng-svc:80"]].concat());
    assert_eq!(a["packet"]["dst"], "172.19.100.2");
}

#[test]
fn a_file_of_something_else_is_no_objects() {
    let args = ["-s", NODE, "--kube", "snapshots/ipvs-named/ipset.txt"];
    let err = refused(&[&args[..], &["10.10.6.91", "172.19.100.2:80"]].concat());
    assert!(err.contains("holds no objects of Kubernetes"), "{err}");
}

#[test]
fn objects_alone_give_no_answer_but_their_names() {
    let err = refused(&["-s", OBJECTS, "10.10.6.91", "svc/default/ng-svc:http"]);
    for part in [
        "do not tell what a node does with a packet",
        "172.19.100.2 (load balancer address)",
        "NodePort 31778",
        "targetPort 80",
        "default/ng-test-rs-cwqr5 10.233.98.39:80 on cy01-ceph142",
        "nfwhy capture",
    ] {
        assert!(err.contains(part), "{part}: {err}");
    }
}

fn snapshot(name: &str, bytes: &[u8]) -> Snapshot {
    let mut s = Snapshot::default();
    s.add(name.to_owned(), bytes.to_vec());
    s
}

const NAMED_PORT: &str = r#"{"apiVersion":"v1","kind":"List","items":[
{"apiVersion":"v1","kind":"Service","metadata":{"name":"alert","namespace":"mon"},"spec":{"type":"ClusterIP","clusterIP":"10.96.0.5","selector":{"app":"proxy"},"ports":[{"port":443,"protocol":"TCP","targetPort":"https"}]}},
{"apiVersion":"v1","kind":"Pod","metadata":{"name":"proxy-a","namespace":"mon","labels":{"app":"proxy","x":"y"}},"spec":{"nodeName":"n1","containers":[{"ports":[{"name":"https","containerPort":4180,"protocol":"TCP"}]}]},"status":{"podIP":"10.244.1.9"}},
{"apiVersion":"v1","kind":"Pod","metadata":{"name":"other","namespace":"mon","labels":{"app":"else"}},"spec":{"nodeName":"n1","containers":[{"ports":[{"name":"https","containerPort":9,"protocol":"TCP"}]}]},"status":{"podIP":"10.244.1.10"}}]}"#;

#[test]
fn a_named_target_port_is_the_number_that_a_container_declares() {
    let dir = std::env::temp_dir().join(format!("nfwhy-port-{}", std::process::id()));
    fs::create_dir_all(&dir).expect("a folder");
    let file = dir.join("objects.json");
    fs::write(&file, NAMED_PORT).expect("a file");
    let err = refused(&[
        "-s",
        file.to_str().expect("a path"),
        "10.1.1.1",
        "svc/mon/alert:443",
    ]);
    fs::remove_dir_all(&dir).expect("removed");
    assert!(
        err.contains("targetPort https: mon/proxy-a 10.244.1.9 port 4180 on n1"),
        "{err}"
    );
    assert!(!err.contains("mon/other"), "{err}");
}

#[test]
fn an_object_counts_before_a_table_of_it_and_a_later_one_before_an_earlier() {
    let table = "NAMESPACE   NAME     TYPE           CLUSTER-IP      EXTERNAL-IP    PORT(S)        AGE\n\
                 default     ng-svc   LoadBalancer   10.233.36.144   172.19.100.9   80:31778/TCP   16s\n";
    let json = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(OBJECTS)).expect("objects");
    let later = String::from_utf8_lossy(&json).replace("172.19.100.2", "172.19.100.3");
    let mut s = snapshot("a-table.txt", table.as_bytes());
    s.add("b.json".to_owned(), json);
    s.add("c.json".to_owned(), later.into_bytes());
    s.add("d-table.txt".to_owned(), table.as_bytes().to_vec());
    let node = Node::new(&s);
    let [service] = &node.kube.services[..] else {
        panic!("{:?}", node.kube.services);
    };
    let ips: Vec<String> = service
        .object
        .ingress_ips
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(ips, ["172.19.100.3"]);
    assert_eq!(node.kube.slices.len(), 1);
    assert_eq!((node.kube.pods.len(), node.kube.nodes.len()), (3, 3));
}

#[test]
fn tables_alone_name_things_and_tell_which_node_this_is() {
    let table = "# kubectl get svc ng-svc
NAME     TYPE           CLUSTER-IP      EXTERNAL-IP    PORT(S)        AGE
ng-svc   LoadBalancer   10.233.36.144   172.19.100.2   80:31778/TCP   16s
# kubectl get pod -o wide
NAME               READY   STATUS    RESTARTS   AGE   IP              NODE           NOMINATED NODE   READINESS GATES
ng-test-rs-cwqr5   1/1     Running   0          4s    10.233.98.39    cy01-ceph142   <none>           <none>
ng-test-rs-djnj7   1/1     Running   0          4s    10.233.110.33   cy01-ceph141   <none>           <none>
";
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("snapshots/ipvs-etp-cluster");
    let mut s = Snapshot::read(&folder).expect("a snapshot");
    s.add("kubectl.txt".to_owned(), table.as_bytes().to_vec());
    let node = Node::new(&s);
    // Its pod has a route without a gateway.
    assert_eq!(node.kube.this_node.as_deref(), Some("cy01-ceph142"));
    let ip = |t: &str| t.parse().expect("an address");
    let tcp = nfwhy_parsers::Proto::TCP;
    let service = node
        .service_asked(ip("172.19.100.2"), tcp, 80)
        .expect("a Service");
    assert_eq!(service.name(), "ng-svc:80");
    let by_node_port = node.service_asked(ip("10.10.4.142"), tcp, 31778);
    assert_eq!(by_node_port.expect("a Service").name(), "ng-svc:80");
    // A NodePort at an address that is no node's is nothing.
    assert!(node.service_asked(ip("10.233.98.39"), tcp, 31778).is_none());
    let who = node.kube.who(ip("10.233.110.33"), Some(80)).expect("a pod");
    assert_eq!(who.pod.as_deref(), Some("ng-test-rs-djnj7"));
    assert_eq!(who.here, Some(false));
}

fn codes(folder: &str, packet: &[&str]) -> Vec<String> {
    let a = json(&[&["-s", folder], packet].concat());
    let code = |f: &Value| f["code"].as_str().unwrap_or_default().to_owned();
    a["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .map(code)
        .collect()
}

/// The finding fires on the first packet, and not on the second, which is like it.
#[test]
fn contradictions_between_objects_and_rules_are_findings() {
    let pod = ["--in", "veth0c64f9d3", "10.244.1.9"];
    let client = ["--in", "eth0", "203.0.113.5"];
    for (code, from, fires, not) in [
        (
            "kube-stale-rules",
            pod,
            "svc/default/web:http",
            "svc/shop/cart:http",
        ),
        (
            "kube-stale-rules",
            pod,
            "svc/ops/idle:http",
            "svc/ops/agent:http",
        ),
        (
            "kube-stale-policy",
            client,
            "svc/shop/front:https",
            "svc/shop/edge:http",
        ),
        (
            "kube-stale-policy",
            client,
            "svc/shop/api:http",
            "svc/shop/edge:http",
        ),
        (
            "kube-port-missing",
            pod,
            "svc/ops/new:http",
            "svc/ops/agent:http",
        ),
    ] {
        let all = |to: &str| codes("snapshots/kube-stale", &[&from[..], &[to]].concat());
        assert!(
            all(fires).iter().any(|c| c == code),
            "{code}: {:?}",
            all(fires)
        );
        let none = all(not);
        assert!(
            !none.iter().any(|c| c.starts_with("kube-")),
            "{not}: {none:?}"
        );
    }
}

#[test]
fn objects_that_fit_the_rules_are_no_finding() {
    for packet in [
        ["--in", "ens4", "10.10.6.91", "svc/default/ng-svc:http"],
        ["--in", "ens4", "10.10.6.91", "10.10.4.142:31778"],
        [
            "--in",
            "calicaca1cdbf39",
            "10.233.98.39",
            "10.233.36.144:80",
        ],
    ] {
        let all = codes(NODE, &packet);
        assert!(
            !all.iter().any(|c| c.starts_with("kube-")),
            "{packet:?}: {all:?}"
        );
    }
}

#[test]
fn ipvs_findings_name_the_service() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(NODE);
    let dir = std::env::temp_dir().join(format!("nfwhy-empty-vs-{}", std::process::id()));
    fs::create_dir_all(&dir).expect("a folder");
    for entry in fs::read_dir(&folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .and_then(|n| n.to_str())
            .unwrap_or_default();
        let text = path.extension().is_some_and(|e| e == "txt");
        if !text && name != "kube.json" {
            continue;
        }
        let mut text = fs::read_to_string(&path).expect("text");
        if name == "ipvsadm.txt" {
            // Every virtual server without a real one.
            let kept: Vec<&str> = text.lines().filter(|l| !l.contains("Masq")).collect();
            text = kept.join("\n");
        }
        fs::write(dir.join(name), text).expect("a file");
    }
    let at = dir.to_str().expect("a path");
    let a = json(&["-s", at, "--in", "ens4", "10.10.6.91", "172.19.100.2:80"]);
    fs::remove_dir_all(&dir).expect("removed");
    let f = &a["findings"][0];
    assert_eq!(f["code"], "ipvs-no-real-server");
    let title = f["title"].as_str().unwrap_or_default();
    assert!(
        title.contains("default/ng-svc:http (TCP 172.19.100.2:80)"),
        "{title}"
    );
    let stale = &a["findings"].as_array().expect("findings")[1..];
    assert!(
        stale.iter().any(|f| f["code"] == "kube-stale-rules"),
        "{stale:?}"
    );
}

/// What is said around tables belongs to them, so the whole of a pasted session is read for it.
#[test]
fn a_pasted_session_gives_services_pods_and_their_ports() {
    let session = "\
root@a:~# kubectl -n mon get svc alert
NAME    TYPE           CLUSTER-IP     EXTERNAL-IP   PORT(S)         AGE
alert   LoadBalancer   10.96.100.18   192.0.2.10    443:30358/TCP   42d
root@a:~# kubectl get pod -A -l app=proxy -o wide
NAMESPACE   NAME      READY   STATUS    RESTARTS   AGE   IP            NODE   NOMINATED NODE   READINESS GATES
mon         proxy-a   1/1     Running   0          42d   10.244.1.14   n1     <none>           <none>
root@a:~# kubectl -n mon get svc alert -o yaml
spec:
  ports:
  - name: https
    nodePort: 30358
    port: 443
    protocol: TCP
    targetPort: web
  selector:
    app: proxy
root@a:~# kubectl get pod -A -l app=proxy -o yaml | yq '.items[].spec.containers[].ports'
- containerPort: 4180
  name: web
  protocol: TCP
";
    let dir = std::env::temp_dir().join(format!("nfwhy-session-{}", std::process::id()));
    fs::create_dir_all(&dir).expect("a folder");
    let file = dir.join("ticket.txt");
    fs::write(&file, session).expect("a file");
    let err = refused(&[
        "-s",
        file.to_str().expect("a path"),
        "198.51.100.1",
        "svc/mon/alert",
    ]);
    fs::remove_dir_all(&dir).expect("removed");
    for part in [
        "mon/alert:https is tcp 443 at 192.0.2.10",
        "targetPort web: mon/proxy-a 10.244.1.14 port 4180 on n1",
    ] {
        assert!(err.contains(part), "{part}: {err}");
    }
}
