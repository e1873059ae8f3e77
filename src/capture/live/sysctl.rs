//! `sysctl -a`, of what lies below `net`.
//!
//! `/proc/sys/net` shows the namespace of the task that reads (`net_ctl_header_lookup` in `net/sysctl_net.c` takes
//! `current->nsproxy`), so that a thread that entered another namespace reads that one's, by the same path.

use super::{Reading, procfs};
use nfwhy_parsers::recognise::Kind;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What is read of `/proc/sys/net`.
const PARTS: [&str; 4] = ["ipv4", "ipv6", "netfilter", "bridge"];
const ROOT: &str = "sys/net";
/// Settings that `sysctl -a` leaves out unless asked (procps, `DEPRECATED`): others of the same meaning stand beside them.
const DEPRECATED: [&str; 2] = ["base_reachable_time", "retrans_time"];
/// How deep the tree is followed; the kernel's own is five deep.
const DEPTH: usize = 8;

pub(super) fn read(reading: &mut Reading) {
    let mut found = Found::default();
    let root = procfs::path(ROOT);
    if let Err(e) = fs::read_dir(&root) {
        reading.cannot("settings", &e, "sysctl -a");
        return;
    }
    for part in PARTS {
        found.folder(&root.join(part), &format!("net.{part}"), DEPTH);
    }
    if found.text.is_empty() && !found.refused.is_empty() {
        reading.cannot("settings", &"not permitted", "sysctl -a");
        return;
    }
    reading.put("sysctl", "sysctl -a", Kind::Sysctl, found.text);
    if !found.refused.is_empty() {
        let shown = found.refused.len().min(5);
        let list = found.refused.get(..shown).unwrap_or_default().join(", ");
        let more = match found.refused.len() - shown {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        reading.cannot(
            &format!("settings {list}{more}"),
            &"not permitted: only root may read them",
            "sysctl -a",
        );
    }
}

#[derive(Default)]
struct Found {
    text: String,
    refused: Vec<String>,
}

impl Found {
    fn folder(&mut self, path: &Path, key: &str, depth: usize) {
        let Ok(entries) = fs::read_dir(path) else {
            return;
        };
        let mut list: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
        list.sort();
        for p in list {
            let Some(name) = p.file_name().map(|n| n.to_string_lossy()) else {
                continue;
            };
            let key = format!("{key}.{}", component(&name));
            if DEPRECATED.contains(&&*name) {
                continue;
            }
            if !p.is_dir() {
                self.file(&p, &key);
            } else if depth > 0 {
                self.folder(&p, &key, depth - 1);
            }
        }
    }

    fn file(&mut self, path: &Path, key: &str) {
        match fs::read(path) {
            Ok(bytes) => setting(&mut self.text, key, &bytes),
            // Files that only take a value (`net.ipv4.route.flush`) are no settings; nobody reads them.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                if !write_only(path) {
                    self.refused.push(key.to_owned());
                }
            }
            // It went with its device, or cannot be read in this state (`stable_secret` before it is set gives EIO).
            Err(_) => {}
        }
    }
}

fn write_only(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).is_ok_and(|m| m.permissions().mode() & 0o444 == 0)
}

/// A name within a key: `sysctl` swaps dots and slashes (procps, sysctl.8).
fn component(name: &str) -> String {
    name.replace('.', "/")
}

/// The line or lines of a setting, as `sysctl` prints them: one for each line of the file.
fn setting(out: &mut String, key: &str, bytes: &[u8]) {
    let value = String::from_utf8_lossy(bytes);
    if value.trim_ascii().is_empty() {
        let _ = writeln!(out, "{key} = ");
        return;
    }
    for line in value.lines() {
        let _ = writeln!(out, "{key} = {line}");
    }
}

#[cfg(test)]
mod tests {
    use super::{component, setting};

    #[test]
    fn a_dot_in_a_device_name_becomes_a_slash() {
        assert_eq!(component("eth0.100"), "eth0/100");
    }

    #[test]
    fn each_line_of_a_file_is_a_line_with_its_key() {
        let mut out = String::new();
        setting(&mut out, "net.ipv4.tcp_rmem", b"4096\t131072\t6291456\n");
        setting(&mut out, "net.a", b"");
        setting(&mut out, "net.b", b"one\ntwo\n");
        assert_eq!(
            out,
            "net.ipv4.tcp_rmem = 4096\t131072\t6291456\nnet.a = \nnet.b = one\nnet.b = two\n"
        );
    }
}
