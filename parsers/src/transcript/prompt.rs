//! Prompts of any shape, and lines as they were before a terminal, a browser or a mail client had them.

use std::borrow::Cow;

/// A prompt and what was typed at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prompt<'a> {
    /// The machine it names.
    pub host: Option<&'a str>,
    /// All before the mark: prompts of one shell look alike.
    pub shape: &'a str,
    /// What was typed.
    pub command: &'a str,
}

const TOOLS: &[&str] = &[
    "ip",
    "ipset",
    "ipvsadm",
    "ipvsadm-save",
    "nft",
    "route",
    "sysctl",
    "conntrack",
    "cat",
    "grep",
    "kubectl",
    "oc",
    "k",
    "docker",
    "podman",
    "nerdctl",
    "nsenter",
    "crictl",
    "cilium",
    "cilium-dbg",
    "exit",
    "logout",
    "echo",
    "arp",
    "arping",
    "netstat",
    "ss",
    "ls",
    "cd",
    "sudo",
    "uname",
    "hostname",
    "curl",
    "wget",
    "dig",
    "ping",
    "tcpdump",
    "calicoctl",
    "cilium",
    "bpftool",
    "tc",
    "bridge",
    "ethtool",
    "ifconfig",
    "nc",
    "telnet",
    "nslookup",
    "ssh",
    "chroot",
    "k3s",
    "microk8s",
    "systemctl",
    "journalctl",
    "ps",
    "top",
    "vi",
    "vim",
    "nano",
    "less",
    "more",
    "head",
    "tail",
    "awk",
    "sed",
    "watch",
    "for",
    "while",
    "export",
    "helm",
    "traceroute",
    "mtr",
    "date",
    "whoami",
    "nmap",
    "sh",
    "bash",
    "su",
    "lsmod",
    "modprobe",
];

fn is_tool(word: &str) -> bool {
    let word = word.rsplit('/').next().unwrap_or(word);
    TOOLS.contains(&word) || word.starts_with("iptables") || word.starts_with("ip6tables")
}

/// The prompt of a line.
pub(super) fn prompt(line: &str) -> Option<Prompt<'_>> {
    let text = line.trim();
    if text.is_empty() {
        return None;
    }
    // `+ ip route` of `set -x`.
    if let Some(command) = text.strip_prefix("+ ")
        && command.split_whitespace().next().is_some_and(is_tool)
    {
        return Some(Prompt {
            host: None,
            shape: "+",
            command,
        });
    }
    let marks = text
        .char_indices()
        .take(100)
        .filter(|(_, c)| matches!(c, '#' | '$' | '%' | '>' | '❯' | '➜' | 'λ' | '»'));
    for (at, mark) in marks {
        let head = text.get(..at).unwrap_or_default();
        let rest = text.get(at + mark.len_utf8()..).unwrap_or_default();
        if !rest.is_empty() && !rest.starts_with([' ', '\t', '\u{a0}']) {
            // `root@node:~#ip a` is seen as well.
            if !(host_in(head).is_some()
                && has_user(head)
                && rest.split_whitespace().next().is_some_and(is_tool))
            {
                continue;
            }
        }
        let command = rest.trim();
        if let Some(p) = judge(head.trim_end(), command) {
            return Some(p);
        }
    }
    None
}

fn judge<'a>(head: &'a str, command: &'a str) -> Option<Prompt<'a>> {
    let mut words = command.split_whitespace();
    let mut first = words.next().unwrap_or_default();
    if matches!(first, "sudo" | "time" | "watch") {
        first = words.find(|w| !w.starts_with('-')).unwrap_or(first);
    }
    let known = is_tool(first);
    let many = head.split_whitespace().count();
    let host = host_in(head);
    // `user@host`, which no sentence has.
    let sure =
        has_user(head) && host.is_some() && many <= 4 && !head.contains(['<', ',', '"', '=']);
    let short = many <= 2 && head.len() <= 64 && !head.ends_with(['.', ',', ';', '"']);
    if !(sure || known && short) {
        return None;
    }
    if !sure && head.is_empty() && command.is_empty() {
        return None;
    }
    // Prose may follow a hash: "# ip addresses of the nodes".
    if !sure
        && first == command
        && !matches!(
            first,
            "exit" | "logout" | "ipvsadm" | "ipvsadm-save" | "conntrack" | "route" | "ifconfig"
        )
        && !first.ends_with("-save")
    {
        return None;
    }
    Some(Prompt {
        host,
        shape: head,
        command,
    })
}

/// Whether a name stands right before the last `@`: `@banned` alone is a set in a rule of nft.
fn has_user(head: &str) -> bool {
    let name = |u: &str| u.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
    head.rsplit_once('@').is_some_and(|(user, _)| name(user))
}

/// `root@node1:~`, `[root@node1 ~]`, `node1:~`, `node1`, `node1 ~`.
fn host_in(head: &str) -> Option<&str> {
    let head = head
        .trim()
        .trim_start_matches(['[', '('])
        .trim_end_matches([']', ')']);
    // `(venv) [root@node ~]`
    let head = head
        .rsplit_once(") ")
        .map_or(head, |(_, h)| h)
        .trim_start_matches('[');
    let after = head.rsplit_once('@').map(|(_, h)| h);
    let word = after.unwrap_or(head).split([' ', ':', '/', '~']).next()?;
    let name = word.trim_matches(['[', ']', '(', ')']);
    let shell = ["bash", "sh", "ash", "zsh", "fish", "sudo"];
    let fits = !name.is_empty()
        && name.len() <= 253
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
        && name.bytes().any(|b| b.is_ascii_alphanumeric())
        && !shell.iter().any(|s| {
            name == *s
                || name
                    .strip_prefix(s)
                    .is_some_and(|v| v.starts_with('-') && v.contains('.'))
        });
    fits.then_some(name)
}

/// A line without colours, with plain blanks and dashes, and without the marks of a quotation.
pub(super) fn clean(line: &str) -> Cow<'_, str> {
    let line = line.trim_end_matches(['\r', '\n']);
    let odd = line.contains([
        '\x1b', '\u{a0}', '\u{2013}', '\u{2014}', '\r', '\u{200b}', '\u{feff}', '\u{8}',
    ]);
    if !odd {
        return Cow::Borrowed(line);
    }
    // What a progress line overwrote.
    let line = line.rsplit('\r').find(|p| !p.is_empty()).unwrap_or(line);
    let mut out = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    let mut start = true;
    while let Some(c) = chars.next() {
        match c {
            '\x1b' => {
                if chars.next_if_eq(&'[').is_some() {
                    for c in chars.by_ref() {
                        if ('@'..='~').contains(&c) {
                            break;
                        }
                    }
                } else if chars.next_if_eq(&']').is_some() {
                    // A window's title, up to a bell.
                    for c in chars.by_ref() {
                        if c == '\x07' {
                            break;
                        }
                    }
                } else {
                    chars.next();
                }
                continue;
            }
            '\u{200b}' | '\u{feff}' => continue,
            '\u{8}' => {
                out.pop();
            }
            '\u{a0}' => out.push(' '),
            // Blogs make one dash of two.
            '\u{2013}' | '\u{2014}' if start => {
                let mut ahead = chars.clone();
                let long = ahead.next().is_some_and(char::is_alphabetic)
                    && ahead
                        .next()
                        .is_some_and(|c| c.is_alphanumeric() || c == '-');
                out.push_str(if long { "--" } else { "-" });
            }
            c => out.push(c),
        }
        start = out.ends_with([' ', '\t']) || out.is_empty();
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(line: &str) -> Option<(Option<&str>, &str)> {
        prompt(line).map(|p| (p.host, p.command))
    }

    #[test]
    fn prompts_of_many_shapes() {
        for (line, host, command) in [
            (
                "root@cy01-ceph142:~# ipset  -L   X",
                Some("cy01-ceph142"),
                "ipset  -L   X",
            ),
            (
                "[root@node1 ~]# sudo ipvsadm -ln",
                Some("node1"),
                "sudo ipvsadm -ln",
            ),
            ("142:~# tcpdump  -i ens4", Some("142"), "tcpdump  -i ens4"),
            ("# ip route", None, "ip route"),
            ("$ ip a", None, "ip a"),
            (
                "core@ip-10-0-0-1 ~ $ ip rule",
                Some("ip-10-0-0-1"),
                "ip rule",
            ),
            ("/ # ip addr", None, "ip addr"),
            ("bash-5.1# nft list ruleset", None, "nft list ruleset"),
            ("sh-4.4# iptables-save", None, "iptables-save"),
            ("node1 ~ # ip neigh show", Some("node1"), "ip neigh show"),
            ("node1# ip neigh show", Some("node1"), "ip neigh show"),
            (
                "(base) me@laptop:/tmp$ kubectl get svc",
                Some("laptop"),
                "kubectl get svc",
            ),
            ("❯ ip route show", None, "ip route show"),
            ("+ ip -4 route", None, "ip -4 route"),
            ("root@node1:~#", Some("node1"), ""),
            (
                "root@nest:~/MOSK/003-K8S# kubectl get pod",
                Some("nest"),
                "kubectl get pod",
            ),
        ] {
            assert_eq!(p(line), Some((host, command)), "{line}");
        }
    }

    #[test]
    fn prose_and_output_are_no_prompts() {
        for line in [
            "# Generated by iptables-save v1.8.9 on Mon Mar  4 10:00:00 2024",
            "# ip",
            "8: tunl0@NONE: <NOARP,UP,LOWER_UP> mtu 1450 qdisc noqueue state UNKNOWN group default",
            "#",
            "price 10 $ ip",
            "# 15: calicaca1cdbf39@if4: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1450",
            "  -> 10.233.98.39:80              Masq    1      0          0",
            "    inet 10.233.36.144/32 scope global kube-ipvs0  #<---  Cluster IP",
            "first, the rules # ip addresses",
            "\t\tip saddr @banned drop # handle 5",
            "\t\toifname @devices ip6 hoplimit > 63 counter accept",
            "\t\tip saddr @banned # ip addresses of others",
        ] {
            assert_eq!(p(line), None, "{line}");
        }
    }

    #[test]
    fn colours_and_typography_go() {
        assert_eq!(
            clean("\x1b[01;32mroot@n\x1b[0m:~# ip\u{a0}a"),
            "root@n:~# ip a"
        );
        assert_eq!(
            clean("\u{2013}A KUBE \u{2013}dport 80"),
            "-A KUBE --dport 80"
        );
        assert_eq!(clean("10 %\r100 %"), "100 %");
    }
}
