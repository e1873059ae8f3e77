//! Settings and other facts of the node, with what to say where they were not captured.

use super::run::Run;
use crate::node::DevId;
use crate::trace::ForkKind;
use nfwhy_parsers::Family;

impl Run<'_, '_> {
    /// A setting that decides something right now: forks where it was not captured. `likely` is explored first.
    pub(super) fn sysctl_switch(&mut self, path: &str, likely: bool) -> bool {
        if let Some((n, _)) = self.node.sysctls.get(path) {
            return n != 0;
        }
        let name = path.replace('/', ".");
        self.lacks(format!("sysctl {name}"), format!("sysctl {name}"));
        self.fork_unknown(
            ForkKind::Unknown(name.clone()),
            &name,
            likely,
            &format!("{name}=1 (not captured)"),
            &format!("{name}=0 (not captured)"),
        )
    }

    /// The family's name under `net/`.
    pub(super) fn ip_dir(&self) -> &'static str {
        match self.family {
            Family::V4 => "ipv4",
            Family::V6 => "ipv6",
        }
    }

    /// `conf/DEV/KEY`, with `conf/default` standing in for a device that was not captured.
    pub(super) fn dev_conf(&self, dev: DevId, key: &str) -> Option<i64> {
        let name = &self.node.device(dev).name;
        let dir = self.ip_dir();
        self.node
            .sysctls
            .get(&format!("net/{dir}/conf/{name}/{key}"))
            .or_else(|| {
                self.node
                    .sysctls
                    .get(&format!("net/{dir}/conf/default/{key}"))
            })
            .map(|(n, _)| n)
    }

    /// `conf/all/KEY`.
    pub(super) fn all_conf(&self, key: &str) -> Option<i64> {
        let dir = self.ip_dir();
        self.node
            .sysctls
            .get(&format!("net/{dir}/conf/all/{key}"))
            .map(|(n, _)| n)
    }

    /// `IN_DEV_ORCONF` (include/linux/inetdevice.h): on if set for the device or for all. Forks where nothing was captured: it
    /// decides something right now.
    pub(super) fn or_conf(&mut self, dev: DevId, key: &str) -> bool {
        let all = self.all_conf(key);
        let one = self.dev_conf(dev, key);
        if all.is_some() || one.is_some() {
            return all.unwrap_or(0) != 0 || one.unwrap_or(0) != 0;
        }
        let name = format!("net.{}.conf.*.{key}", self.ip_dir());
        self.lacks(format!("sysctl {name}"), format!("sysctl -a -r {key}"));
        self.fork_unknown(
            ForkKind::Unknown(name.clone()),
            &format!("{name} {}", dev.0),
            false,
            &format!("{name}=1 (not captured)"),
            &format!("{name}=0 (not captured; the kernel's default)"),
        )
    }

    /// Whether packets that came in by `dev` are forwarded: `IN_DEV_FORWARD`, IPv4. A write to `ip_forward` sets every device.
    pub(super) fn forwards4(&mut self, dev: DevId) -> (bool, String) {
        let name = self.node.device(dev).name.clone();
        let path = format!("net/ipv4/conf/{name}/forwarding");
        if let Some((n, _)) = self.node.sysctls.get(&path) {
            return (n != 0, path.replace('/', "."));
        }
        for p in ["net/ipv4/ip_forward", "net/ipv4/conf/all/forwarding"] {
            if let Some((n, _)) = self.node.sysctls.get(p) {
                return (n != 0, p.replace('/', "."));
            }
        }
        (
            self.sysctl_switch("net/ipv4/ip_forward", true),
            "net.ipv4.ip_forward".into(),
        )
    }

    /// IPv6 looks at one switch for all devices (`ip6_forward` in `net/ipv6/ip6_output.c`).
    pub(super) fn forwards6(&mut self) -> (bool, String) {
        (
            self.sysctl_switch("net/ipv6/conf/all/forwarding", true),
            "net.ipv6.conf.all.forwarding".into(),
        )
    }
}
