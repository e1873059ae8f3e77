//! Which files of a bundle are one node's: a sosreport, what another collector packed, or any folders with captures somewhere in
//! them.

use super::limits::{Limits, human};
use super::{CaptureError, Snapshot, is_beside_the_capture, manifest};
use nfwhy_parsers::recognise::{Kind, recognise};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Read};
use std::path::Path;

/// Folders of a collector that hold a part of their node each: `networking` and `systeminfo` of Rancher's, `sysctls` of the one of EKS.
const PARTS: &[&str] = &[
    "conntrack",
    "firewall",
    "ip",
    "iptables",
    "ipset",
    "ipsets",
    "ipvs",
    "ipvsadm",
    "kernel",
    "net",
    "network",
    "networking",
    "nft",
    "nftables",
    "proc",
    "route",
    "routes",
    "sysctl",
    "sysctls",
    "system",
    "systeminfo",
];

/// Folders whose files say what a node is to be, and not what it is: `etc/sysctl.d`, `etc/sysconfig/iptables`.
const NOT_STATE: &[&str] = &["boot", "etc", "lib", "usr"];

/// Folders whose files quote commands rather than show their output, as logs do; where captures lie nowhere else, they are in them.
const DOUBTFUL: &[&str] = &[
    "journal", "log", "logs", "opt", "podlogs", "pods", "run", "var",
];

/// Plugins of sos whose commands are read (sos/report/plugins/NAME.py).
const SOS_PLUGINS: &[&str] = &[
    "conntrack",
    "ebpf",
    "firewall_tables",
    "ipset",
    "iptables",
    "ipvs",
    "kernel",
    "kubernetes",
    "networking",
    "nftables",
    "openshift",
];

/// Commands of them that show something other than what their like shows: the routing cache, IPVS' counters and connections.
const SOS_OTHER: &[&str] = &[
    "route_show_cache",
    "ipvsadm_-Ln_--",
    "ip_neigh_show_nud_noarp",
];

/// The folder of sos' commands.
const SOS: &str = "sos_commands";

/// How many names fit a message.
const NAMED: usize = 20;

/// How much of a file is looked at to tell what it is, as `recognise` does.
const HEAD: u64 = 64 << 10;

/// A file that may be a node's.
struct Kept {
    path: Vec<String>,
    bytes: Vec<u8>,
    /// Whether it is a capture of a node; else it lies beside one: a manifest, an empty file, objects of the cluster.
    node: bool,
    /// Whether it lies among logs.
    doubtful: bool,
}

impl Kept {
    /// Its name without folders.
    fn name(&self) -> &str {
        self.path.last().map_or("", String::as_str)
    }
}

/// Gathers the files of a bundle.
pub(super) struct Gatherer<'l> {
    limits: &'l Limits,
    kept: BTreeMap<Vec<String>, Kept>,
    size: u64,
    skipped: Vec<(String, String)>,
    archives: Vec<String>,
    unknown: Vec<Vec<String>>,
}

/// What of a bundle is wanted.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// A folder or file within it.
    pub inside: Vec<String>,
    /// Another network namespace than the node's.
    pub netns: Option<String>,
}

impl<'l> Gatherer<'l> {
    /// An empty one.
    pub fn new(limits: &'l Limits) -> Self {
        Self {
            limits,
            kept: BTreeMap::new(),
            size: 0,
            skipped: Vec::new(),
            archives: Vec::new(),
            unknown: Vec::new(),
        }
    }

    /// Leaves a file out and says so, where its name is that of a command which is read.
    pub fn skip(&mut self, path: &[String], why: &str) {
        if wants(path) && self.skipped.len() < NAMED {
            self.skipped.push((path.join("/"), why.to_owned()));
        }
    }

    /// Reads a file and takes it if it is a capture. The path is within the bundle, the size by its word.
    pub fn read(&mut self, path: &[String], content: &mut dyn Read, size: u64) -> io::Result<()> {
        if !wants(path) {
            return Ok(());
        }
        if size > self.limits.file {
            self.skip(path, &format!("larger than {}", human(self.limits.file)));
            return Ok(());
        }
        let mut bytes = Vec::new();
        content.take(HEAD).read_to_end(&mut bytes)?;
        // A log or a database: what follows is as little a capture.
        let known = !matches!(recognise(&bytes), Kind::Binary | Kind::Unknown);
        if known || size <= self.limits.session as u64 {
            let left = self.limits.file - bytes.len() as u64;
            content
                .take(left.saturating_add(1))
                .read_to_end(&mut bytes)?;
        }
        if bytes.len() as u64 > self.limits.file {
            self.skip(path, &format!("larger than {}", human(self.limits.file)));
            return Ok(());
        }
        self.offer(path, bytes)
    }

    fn offer(&mut self, path: &[String], bytes: Vec<u8>) -> io::Result<()> {
        let Some((name, folders)) = path.split_last() else {
            return Ok(());
        };
        let node = match recognise(&bytes) {
            Kind::Binary => {
                if super::archive::packing(&bytes).is_some() {
                    self.archives.push(path.join("/"));
                }
                return Ok(());
            }
            Kind::Empty if bytes.is_empty() => false,
            Kind::Empty => return Ok(()),
            Kind::Unknown if name == manifest::NAME => false,
            Kind::Unknown => {
                let mut alone = Snapshot::default();
                if bytes.len() <= self.limits.session {
                    alone.add(name.clone(), bytes.clone());
                }
                if alone.files.is_empty() {
                    self.unknown.push(path.to_vec());
                    return Ok(());
                }
                alone.files.iter().any(|f| of_a_node(f.kind))
            }
            kind => of_a_node(kind),
        };
        self.size += bytes.len() as u64;
        if self.size > self.limits.kept {
            return Err(io::Error::other(format!(
                "its captures are larger than {} together",
                human(self.limits.kept)
            )));
        }
        let doubtful = folders.iter().any(|f| DOUBTFUL.contains(&f.as_str()));
        let kept = Kept {
            path: path.to_vec(),
            bytes,
            node,
            doubtful,
        };
        // An archive may hold a path twice; the last one is what unpacking leaves.
        self.kept.insert(path.to_vec(), kept);
        Ok(())
    }

    /// Whether there is anything of a node, or an archive that may hold it.
    pub fn found_any(&self) -> bool {
        !self.archives.is_empty() || self.kept.values().any(|k| k.node)
    }

    /// The snapshot of the one node that is wanted.
    pub fn pick(self, bundle: &Path, wanted: &Wanted) -> Result<Snapshot, CaptureError> {
        let nothing = |what: String| CaptureError::NotInBundle {
            path: bundle.to_owned(),
            what,
        };
        let kept = choose(self.kept.into_values(), &wanted.inside);
        let of_nodes = || kept.iter().filter(|k| k.node);
        let namespaces: BTreeSet<String> = of_nodes().filter_map(|k| namespace(&k.path)).collect();
        let listed = || some_of(namespaces.iter().map(String::as_str));
        let own = of_nodes().any(|k| namespace(&k.path).is_none());
        let netns = match (&wanted.netns, namespaces.first()) {
            (Some(name), _) if namespaces.contains(name) => Some(name.clone()),
            (Some(name), None) => {
                return Err(nothing(format!(
                    "no network namespace {name}; it shows none but the node's own"
                )));
            }
            (Some(name), _) => {
                return Err(nothing(format!(
                    "no network namespace {name}; it shows {}",
                    listed()
                )));
            }
            _ if own => None,
            // The folder of a namespace was asked for.
            (None, Some(one)) if namespaces.len() == 1 && !wanted.inside.is_empty() => {
                Some(one.clone())
            }
            (None, Some(_)) => {
                return Err(nothing(format!(
                    "nothing of the node itself, but these network namespaces: {} (--netns NAME chooses one)",
                    listed()
                )));
            }
            (None, None) => {
                let mut what = "no output of a command that nfwhy reads".to_owned();
                if !wanted.inside.is_empty() {
                    what += &format!(" at {}", wanted.inside.join("/"));
                }
                if !self.archives.is_empty() {
                    what += &format!(
                        "; archives within it are not opened: {} (unpack the one that is meant and give that)",
                        some_of(self.archives.iter().map(String::as_str))
                    );
                }
                return Err(nothing(what));
            }
        };
        let roots: BTreeSet<Vec<String>> = of_nodes()
            .filter(|k| namespace(&k.path) == netns)
            .map(|k| root(&k.path))
            .collect();
        // The folder above all others is the node; what lies deeper is something else of it.
        let above = |r: &&Vec<String>| roots.iter().all(|other| other.starts_with(r));
        let Some(node) = roots.iter().find(above) else {
            let mut at = bundle.to_owned();
            at.extend(&wanted.inside);
            return Err(CaptureError::SeveralNodes {
                path: at,
                folders: roots.iter().map(|r| r.join("/")).collect(),
            });
        };
        let mut snapshot = Snapshot {
            skipped: self.skipped,
            ..Snapshot::default()
        };
        let deeper: Vec<String> = roots
            .iter()
            .filter(|r| *r != node)
            .map(|r| r.join("/"))
            .collect();
        if !deeper.is_empty() {
            snapshot.remarks.push(format!(
                "captures in {} are left out; they are taken for something else of the node",
                some_of(deeper.iter().map(String::as_str))
            ));
        }
        if netns.is_none() && !namespaces.is_empty() {
            snapshot.remarks.push(format!(
                "this is the node's own network namespace; the bundle also shows {} (--netns NAME chooses one)",
                listed()
            ));
        }
        let mine: Vec<Kept> = kept
            .into_iter()
            .filter(|k| root(&k.path) == *node && namespace(&k.path) == netns)
            .collect();
        if mine.len() > self.limits.captures {
            return Err(nothing(format!(
                "more than {} captures in one folder, which no node has",
                self.limits.captures
            )));
        }
        // A folder with captures and little else is a person's, who wants to know what was not understood.
        let beside = |p: &Vec<String>| p.split_last().is_some_and(|(_, f)| f == node);
        let unknown: Vec<&Vec<String>> = self.unknown.iter().filter(|p| beside(p)).collect();
        if unknown.len() <= mine.len() && mine.iter().all(|k| beside(&k.path)) {
            for name in unknown.into_iter().filter_map(|p| p.last()) {
                let left_out = (name.clone(), super::UNKNOWN.to_owned());
                snapshot.skipped.push(left_out);
            }
        }
        let mut names: HashMap<String, usize> = HashMap::new();
        for k in &mine {
            *names.entry(k.name().to_owned()).or_default() += 1;
        }
        for k in mine {
            // Answers point at files often: as short as it is clear.
            let name = if names.get(k.name()) == Some(&1) {
                k.name().to_owned()
            } else {
                k.path.get(node.len()..).unwrap_or_default().join("/")
            };
            snapshot.add(name, k.bytes);
        }
        Ok(snapshot)
    }
}

/// The files at a place within the bundle, their paths from there, as far as they can be a node's.
fn choose(kept: impl Iterator<Item = Kept>, inside: &[String]) -> Vec<Kept> {
    let mut out: Vec<Kept> = Vec::new();
    for mut k in kept.filter(|k| k.path.starts_with(inside)) {
        // A file alone keeps its name.
        let own = inside.len().min(k.path.len().saturating_sub(1));
        k.path.drain(..own);
        out.push(k);
    }
    let reports: BTreeSet<Vec<String>> = out
        .iter()
        .filter(|k| k.path.iter().any(|f| f == SOS))
        .map(|k| root(&k.path))
        .collect();
    // Of a sosreport its commands and what it copied of /proc.
    out.retain(|k| {
        let report = reports.iter().find(|r| k.path.starts_with(r));
        report.is_none_or(|r| k.path.get(r.len()).is_some_and(|f| f == SOS || f == "proc"))
    });
    if out.iter().any(|k| k.node && !k.doubtful) {
        out.retain(|k| !k.doubtful);
    }
    out
}

/// Whether the file could matter by its path alone.
fn wants(path: &[String]) -> bool {
    let Some((name, folders)) = path.split_last() else {
        return true;
    };
    let ext = |e: &str| Path::new(name).extension().is_some_and(|x| x == e);
    // What sos kept of output beyond its limit is the end of it.
    if is_beside_the_capture(name) || ext("tailed") {
        return false;
    }
    if let Some(at) = folders.iter().position(|f| f == SOS) {
        let plugin = folders
            .get(at + 1)
            .is_some_and(|p| SOS_PLUGINS.contains(&p.as_str()));
        return plugin && !SOS_OTHER.iter().any(|o| name.contains(o));
    }
    !folders.iter().any(|f| NOT_STATE.contains(&f.as_str())) && !ext("log") && !ext("conf")
}

/// A list that fits a message.
pub(super) fn some_of<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(NAMED);
    let mut text = names.take(NAMED).collect::<Vec<_>>().join(", ");
    if more > 0 {
        text += &format!(" and {more} more");
    }
    text
}

/// Whether a kind is a node's state, and not a whole cluster's.
pub(super) fn of_a_node(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::IptablesSave
            | Kind::IptablesListing
            | Kind::Ipset
            | Kind::Ipvs
            | Kind::Link
            | Kind::Route
            | Kind::RouteN
            | Kind::Rule
            | Kind::Neigh
            | Kind::Fdb
            | Kind::Nexthop
            | Kind::Sysctl
            | Kind::Conntrack
            | Kind::Nft
            | Kind::Programs
            | Kind::CalicoBpf
            | Kind::Cilium
    )
}

/// The node's folder of a file: what is above `sos_commands`, or above folders that are parts of a node.
fn root(path: &[String]) -> Vec<String> {
    if let Some(at) = path.iter().position(|f| f == SOS) {
        return path.get(..at).unwrap_or_default().to_vec();
    }
    let mut folders = path.split_last().map_or(&[][..], |(_, f)| f);
    if let Some(at) = namespaces_at(folders) {
        folders = folders.get(..at).unwrap_or_default();
    }
    while let Some((last, above)) = folders.split_last() {
        if !PARTS.contains(&last.to_ascii_lowercase().as_str()) {
            break;
        }
        folders = above;
    }
    folders.to_vec()
}

/// Where a folder of network namespaces stands among folders, if one of them follows it.
fn namespaces_at(folders: &[String]) -> Option<usize> {
    folders
        .iter()
        .position(|f| f == "namespaces" || f == "netns")
        .filter(|at| at + 1 < folders.len())
}

/// The network namespace that a file is of, where it is not the node's own: `namespaces/NAME/...`, or `ip_netns_exec_NAME_ip_route`, as
/// `_mangle_command` of sos writes a command.
fn namespace(path: &[String]) -> Option<String> {
    let (file, folders) = path.split_last()?;
    if let Some(at) = namespaces_at(folders) {
        // A folder of Kubernetes namespaces in a must-gather holds nothing of this kind.
        return folders.get(at + 1).cloned();
    }
    let rest = file.strip_prefix("ip_netns_exec_")?;
    let end = [
        "_ip_",
        "_iptables",
        "_ip6tables",
        "_nft_",
        "_ipset_",
        "_ipvsadm",
        "_sysctl_",
        "_conntrack_",
        "_bpftool_",
        "_ss_",
        "_netstat_",
        "_nstat_",
        "_ethtool_",
    ]
    .iter()
    .filter_map(|c| rest.find(c))
    .min()?;
    rest.get(..end).map(str::to_owned)
}
