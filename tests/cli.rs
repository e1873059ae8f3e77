//! The program as its users call it: help, exit statuses, forms of the answer.

use assert_cmd::Command;
use std::path::{Path, PathBuf};

fn snapshot(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("snapshots")
        .join(name)
}

fn nfwhy() -> Command {
    let mut c = Command::new(env!("CARGO_BIN_EXE_nfwhy"));
    c.env("NO_COLOR", "1");
    c
}

fn trace(name: &str, args: &[&str]) -> (i32, String, String) {
    let out = nfwhy()
        .args(["trace", "--snapshot"])
        .arg(snapshot(name))
        .args(args)
        .output()
        .expect("the program runs");
    (
        out.status.code().expect("no signal"),
        String::from_utf8(out.stdout).expect("UTF-8"),
        String::from_utf8(out.stderr).expect("UTF-8"),
    )
}

const ARTICLE: [&str; 4] = ["--in", "ens4", "10.10.6.91", "172.19.100.2:80"];

#[test]
fn help_begins_with_what_it_is_for_and_has_examples() {
    let out = nfwhy().args(["trace", "--help"]).output().expect("runs");
    assert!(out.status.success());
    insta::assert_snapshot!("help-trace", String::from_utf8_lossy(&out.stdout));
    let out = nfwhy().arg("--help").output().expect("runs");
    insta::assert_snapshot!("help", String::from_utf8_lossy(&out.stdout));
}

/// The question of the article the project grew from, as the README asks it.
#[test]
fn remote_pods_see_the_tunnel_address_and_the_local_pod_the_first_device() {
    let (code, out, err) = trace("ipvs-etp-cluster", &ARTICLE);
    assert_eq!((code, err.as_str()), (0, ""));
    let row = |server: &str| {
        out.lines()
            .find(|l| l.contains(server) && l.contains("forwarded"))
            .unwrap_or_default()
            .to_owned()
    };
    assert!(row("10.233.110.33:80").contains(" 10.233.98.0 "), "{out}");
    assert!(row("10.233.125.24:80").contains(" 10.233.98.0 "), "{out}");
    assert!(row("10.233.98.39:80").contains(" 10.10.1.142 "), "{out}");
    assert!(
        out.contains("lost     the pod does not see the client IP 10.10.6.91"),
        "{out}"
    );
    let (_, local, _) = trace("ipvs-etp-local", &ARTICLE);
    assert!(
        local.contains("kept     the pod sees the client IP 10.10.6.91"),
        "{local}"
    );
}

#[test]
fn minimal_is_one_line_per_outcome() {
    let mut args = vec!["--format", "minimal"];
    args.extend(ARTICLE);
    let (code, out, _) = trace("ipvs-etp-cluster", &args);
    assert_eq!(code, 0);
    insta::assert_snapshot!("minimal", out);
}

#[test]
fn an_expectation_that_holds_is_status_0_and_one_that_does_not_is_1() {
    let with = |e: &str| {
        let mut args = vec!["--expect", e];
        args.extend(ARTICLE);
        trace("ipvs-etp-cluster", &args)
    };
    assert_eq!(
        with("src=10.10.1.142|10.233.98.0,verdict=forwarded,client_ip=lost").0,
        0
    );
    let (code, _, err) = with("src=10.10.6.91,out=tunl0|calicaca1cdbf39");
    assert_eq!(code, 1);
    assert_eq!(
        err,
        "expected otherwise: src is 10.10.1.142|10.233.98.0, expected 10.10.6.91\n"
    );
    let (code, _, err) = with("reply=ok");
    assert_eq!((code, err.as_str()), (0, ""));
    let (code, _, err) = with("colour=red");
    assert_eq!(code, 2);
    assert!(err.contains("there are src, dnat, verdict"), "{err}");
}

#[test]
fn an_expectation_of_several_nodes_is_of_the_last_of_them() {
    let with = |e: &str| {
        let out = nfwhy()
            .args(["trace", "--expect", e, "--cluster"])
            .arg(snapshot("cluster-ipip-trap"))
            .args(["--on", "cy01-ceph142", "--in", "ens4"])
            .args(["10.10.6.91", "172.19.100.2:80"])
            .output()
            .expect("runs");
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        (out.status.code(), said)
    };
    let (code, said) = with("reply=ok");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("expected otherwise: reply is "), "{said}");
}

#[test]
fn packets_are_answered_in_order_and_a_bad_one_does_not_stop_the_rest() {
    let out = nfwhy()
        .args(["trace", "--format", "json", "--packets", "-", "--snapshot"])
        .arg(snapshot("ipvs-etp-cluster"))
        .write_stdin(concat!(
            r#"{"src":"10.10.6.91","dst":"172.19.100.2","proto":"tcp","dport":80,"iif":"ens4"}"#,
            "\n",
            r#"{"src":"10.10.6.91","dst":"fd00::1"}"#,
            "\nnot json\n",
            r#"{"src":"10.10.6.91","dst":"10.10.4.142","dport":22,"iif":"ens4"}"#,
            "\n"
        ))
        .output()
        .expect("runs");
    assert_eq!(out.status.code(), Some(2));
    let lines: Vec<serde_json::Value> = String::from_utf8_lossy(&out.stdout)
        .lines()
        .map(|l| serde_json::from_str(l).expect("one JSON object per line"))
        .collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[0]["schema"], "nfwhy.trace/1");
    assert_eq!(lines[0]["outcomes"].as_array().map(Vec::len), Some(3));
    assert_eq!(
        lines[1]["error"],
        "10.10.6.91 and fd00::1 are of different address families"
    );
    assert!(lines[2]["error"].is_string());
    assert_eq!(lines[3]["outcomes"][0]["verdict"], "local");
    assert_eq!(lines[3]["packet"]["flags"][0], "syn");
    assert_eq!(lines[3]["packet"]["length"], 40);
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_nfwhy"))
        .args(["trace", "--detail", "--snapshot"])
        .arg(snapshot("ipvs-etp-cluster"))
        .args(ARTICLE)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("runs");
    drop(child.stdout.take());
    let out = child.wait_with_output().expect("ends");
    assert_eq!(String::from_utf8_lossy(&out.stderr), "");
    assert_eq!(out.status.code(), Some(0));
}

#[test]
fn a_cluster_asks_at_which_node_the_packet_starts_only_where_it_cannot_tell() {
    let cluster = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("snapshots/cluster-vxlan");
    let run = |more: &[&str]| {
        let mut c = assert_cmd::Command::cargo_bin("nfwhy").expect("the program");
        c.args(["trace", "--cluster"])
            .arg(&cluster)
            .args(more)
            .assert()
    };
    let said = |a: assert_cmd::assert::Assert| {
        let o = a.get_output().clone();
        (
            String::from_utf8_lossy(&o.stdout).into_owned(),
            String::from_utf8_lossy(&o.stderr).into_owned(),
        )
    };
    let (out, _) = said(run(&["192.168.22.253", "10.80.8.102:443"]).success());
    assert!(
        out.contains("k8s-control-3") && out.contains("stacklight-1"),
        "{out}"
    );
    let (_, err) = said(run(&["192.0.2.1", "10.232.100.189:443"]).code(2));
    assert!(
        err.contains("k8s-control-3, stacklight-1, stacklight-3: --on NODE"),
        "{err}"
    );
    let (_, err) = said(run(&["--on", "nowhere", "192.0.2.1", "10.80.8.102:443"]).code(2));
    assert!(err.contains("no node \"nowhere\""), "{err}");
    let (out, _) = said(run(&["--format", "json", "192.168.22.253", "10.80.8.102:443"]).success());
    let v: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(v["node"], "k8s-control-3");
    assert_eq!(v["outcomes"][0]["reply"]["verdict"], "ok");
    assert_eq!(v["outcomes"][0]["hops"][0]["node"], "k8s-control-3");
}
