//! The arguments as typed.

use clap::{ArgAction, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  Why does the pod not see my client? On the node itself, as root:
    nfwhy trace 10.10.6.91 172.19.100.2:80
  The same on what was captured there (nfwhy capture -o node.tar.gz), and by which device it comes in:
    nfwhy trace -s node.tar.gz --in ens4 10.10.6.91 172.19.100.2:80
  In a pod's network namespace:
    nfwhy trace --pid 4711 --from-node 10.96.0.10:53/udp
  The same from a pod, to a UDP Service, and for IPv6:
    nfwhy trace -s node/ 10.244.1.7 10.96.0.10:53/udp
    nfwhy trace -s node/ 2001:db8::7 [fd00:10:96::a]:443
  By name, with the cluster's objects beside the capture (kubectl get svc,endpointslices,pods,nodes -A -o json > kube.json):
    nfwhy trace -s node/ --kube kube.json pod/shop/cart-0 svc/shop/front:http
  From the node itself (the kernel chooses the source):
    nfwhy trace -s node/ --from-node 10.96.0.1:443
  Only the verdict, or all of it:
    nfwhy trace -s node/ --summary 10.10.6.91 172.19.100.2:80
    nfwhy trace -s node/ --detail  10.10.6.91 172.19.100.2:80
  In a script (exit status 1 when it is not so):
    nfwhy trace -s node/ --expect 'src=10.10.6.91,verdict=forwarded' 10.10.6.91 172.19.100.2:80
  A sosreport as it came, and a network namespace in it:
    nfwhy trace -s sosreport-node1.tar.xz 10.10.6.91 172.19.100.2:80
    nfwhy trace -s sosreport-node1.tar.xz --netns cni-1 --from-node 10.96.0.10:53/udp
  What a command on the node prints, or an archive of it:
    ssh node1 'cd /tmp/node && tar cz .' | nfwhy trace -s - 10.10.6.91 172.19.100.2:80
  Through several nodes, there and back (one folder or archive per node in cluster/):
    nfwhy trace --cluster cluster/ --on node1 10.10.6.91 172.19.100.2:80
  Many packets, one JSON object per line:
    nfwhy trace -s node/ --packets packets.jsonl --format json";

const NOTES: &str = "\
A snapshot is what nfwhy capture wrote, or a folder with what these print, one file each, under any names:
  iptables-save, ip6tables-save, ipset save, ipvsadm -ln, ip -d addr, ip route show table all,
  ip -6 route show table all, ip rule, ip -6 rule, ip neigh, sysctl -a, conntrack -L
Or a sosreport, a bundle of calicoctl node diags, a node's logs as Rancher or EKS collect them, any
.tar, .tar.gz, .tar.xz or .zip with such files. Of several nodes choose one: -s LOGS.tar.gz/FOLDER.
For the names of Services and pods: kubectl get svc,endpointslices,pods,nodes -A -o json
What is missing is named in the answer where it matters.

Exit status: 0 answered, 1 an expectation failed, 2 bad arguments or unreadable input.";

const CAPTURE_EXAMPLES: &str = "\
Examples:
  Everything that decides about packets, into one file:
    nfwhy capture -o node.tar.gz
  For a public issue, addresses and names replaced:
    nfwhy capture --redact -o node.tar.gz
  A pod's network namespace, as a folder:
    nfwhy capture --pid 4711 -o pod
  A capture made earlier, redacted:
    nfwhy capture --snapshot node --redact -o public.tar.gz
  And then, anywhere:
    nfwhy trace -s node.tar.gz 10.10.6.91 172.19.100.2:80";

const VIP_EXAMPLES: &str = "\
Examples:
  Does this node answer for the address?
    nfwhy vip 10.80.8.102
  Which node of the cluster does, by the nodes' captures and the log of MetalLB's speakers beside them:
    kubectl -n metallb-system logs -l app.kubernetes.io/component=speaker \\
      --prefix --timestamps --tail=-1 > cluster/speaker.log
    kubectl get svc,endpointslices,pods,nodes -A -o json > cluster/kube.json
    nfwhy vip --cluster cluster 10.80.8.102
  By a pasted session with the log in it:
    nfwhy vip -s session.txt 10.80.8.102
  What one host at one device is told:
    nfwhy vip -s node/ --in eth0 --from 10.80.8.1 10.80.8.102";

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  All codes, one line each:
    nfwhy explain
  One at length:
    nfwhy explain client-ip-lost";

const SOURCES_EXAMPLES: &str = "\
Examples:
  Who reaches the Service, whose address does the pod see? On the node itself, as root:
    nfwhy sources 172.19.100.2:80
  On a capture, all sources coming in by one device:
    nfwhy sources -s node.tar.gz --in ens4 172.19.100.2:80
  Why from here and not from there:
    nfwhy sources -s node.tar.gz 172.19.100.2:80 --compare 10.10.6.91 10.233.98.39";

const TEMPLATE: &str = "\
{about-with-newline}
{before-help}{usage-heading} {usage}

{all-args}{after-help}";

/// Explains what netfilter and IPVS on this Kubernetes node do to a packet: which real server, which mark, which source
/// address, and which rule is to blame. Changes nothing.
#[derive(Debug, Parser)]
#[command(name = "nfwhy", version, about, before_help = EXAMPLES, after_help = NOTES, help_template = TEMPLATE, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Walk one packet through the node and say what becomes of it, and why
    #[command(before_help = EXAMPLES, after_help = NOTES, help_template = TEMPLATE, max_term_width = 100)]
    Trace(Box<TraceArgs>),
    /// Tell all sources of packets to a destination apart: what becomes of them, and which rule makes the difference
    #[command(before_help = SOURCES_EXAMPLES, help_template = TEMPLATE, max_term_width = 100)]
    Sources(SourcesArgs),
    /// Say what a code of a finding means, at length, and how to see it on the node
    #[command(before_help = EXPLAIN_EXAMPLES, help_template = TEMPLATE, max_term_width = 100)]
    Explain(ExplainArgs),
    /// Say which node answers ARP or neighbour discovery for an address, by its kernel or by a load balancer's speaker
    #[command(before_help = VIP_EXAMPLES, help_template = TEMPLATE, max_term_width = 100)]
    Vip(VipArgs),
    /// Write down the state of this node, so that it can be traced elsewhere
    #[cfg(target_os = "linux")]
    #[command(before_help = CAPTURE_EXAMPLES, help_template = TEMPLATE, max_term_width = 100)]
    Capture(CaptureArgs),
    /// List the network namespaces of this machine: their processes and addresses
    #[cfg(target_os = "linux")]
    Netns(NetnsArgs),
}

/// How a list looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListFormat {
    /// For people
    Text,
    /// One JSON object
    Json,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CaptureArgs {
    /// A new folder, or a new archive where it ends in .tar.gz [default: nfwhy-HOST-TIME.tar.gz]
    #[arg(short, long, value_name = "PATH")]
    pub(crate) output: Option<PathBuf>,

    /// Replace addresses and names, everywhere by the same others
    #[arg(long)]
    pub(crate) redact: bool,

    /// Take this capture instead of the node's own state
    #[arg(short, long, value_name = "PATH", conflicts_with = "pid")]
    pub(crate) snapshot: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, clap::Args)]
pub(crate) struct VipArgs {
    /// The captured state of a node, as for trace; more than once for several nodes [default: the node itself]
    #[arg(short, long, value_name = "PATH", conflicts_with = "pid")]
    pub(crate) snapshot: Vec<PathBuf>,

    /// A folder with one folder, archive or session per node; logs and objects lie beside them
    #[arg(long, value_name = "DIR", conflicts_with_all = ["snapshot", "netns", "pid"])]
    pub(crate) cluster: Option<PathBuf>,

    /// Objects of Kubernetes, for names, policies and endpoints
    #[arg(long, value_name = "FILE")]
    pub(crate) kube: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) place: Place,

    /// The device at which it is asked [default: all]
    #[arg(long = "in", value_name = "DEV")]
    pub(crate) iif: Option<String>,

    /// Who asks [default: a neighbour in the device's subnet]
    #[arg(long, value_name = "IP")]
    pub(crate) from: Option<std::net::IpAddr>,

    /// Form of the answer (JSON: schema nfwhy.vip/1)
    #[arg(long, value_enum, default_value_t = ListFormat::Text, value_name = "FORM")]
    pub(crate) format: ListFormat,

    /// Show every device and every event
    #[arg(long, action = ArgAction::SetTrue)]
    pub(crate) detail: bool,

    /// The address, or svc/NAMESPACE/NAME
    #[arg(value_name = "ADDR")]
    pub(crate) addr: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    /// The code, as answers show it [default: list all]
    #[arg(value_name = "CODE")]
    pub(crate) code: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct NetnsArgs {
    /// Form of the list (JSON: schema nfwhy.netns/1)
    #[arg(long, value_enum, default_value_t = ListFormat::Text, value_name = "FORM")]
    pub(crate) format: ListFormat,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SourcesArgs {
    /// The node's captured state, as for trace [default: the node itself]
    #[arg(short, long, value_name = "PATH", conflicts_with = "pid")]
    pub(crate) snapshot: Option<PathBuf>,

    /// Objects of Kubernetes, for names
    #[arg(long, value_name = "FILE")]
    pub(crate) kube: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) place: Place,

    /// Device by which all sources come in [default: for each the one that the route back to it names]
    #[arg(long = "in", value_name = "DEV")]
    pub(crate) iif: Option<String>,

    /// Mark the packets carry on arrival
    #[arg(long, value_name = "MARK")]
    pub(crate) mark: Option<String>,

    /// Show where the ways of these two sources part, instead of all
    #[arg(long, num_args = 2, value_names = ["A", "B"])]
    pub(crate) compare: Vec<String>,

    /// Form of the answer (JSON: schema nfwhy.sources/1)
    #[arg(long, value_enum, default_value_t = ListFormat::Text, value_name = "FORM")]
    pub(crate) format: ListFormat,

    /// Destination: IP:PORT, IP:PORT/udp, IP alone for ICMP echo, or svc/NAMESPACE/NAME:PORT
    #[arg(value_name = "TO")]
    pub(crate) to: String,
}

/// Which network namespace is looked at, where it is not the caller's own.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Place {
    /// Look at this network namespace: a name in /run/netns, or a path; with --snapshot a name in the bundle
    #[arg(long, value_name = "NAME|PATH", conflicts_with = "pid")]
    pub(crate) netns: Option<String>,

    /// Look at the network namespace of this process
    #[arg(long, value_name = "PID")]
    pub(crate) pid: Option<u32>,
}

impl Place {
    /// As a capture's manifest names it; `None` = the caller's own.
    #[cfg(target_os = "linux")]
    pub(crate) fn name(&self) -> Option<String> {
        let of_pid = || self.pid.map(|pid| format!("of process {pid}"));
        self.netns.clone().or_else(of_pid)
    }

    /// Moves the calling thread there.
    #[cfg(target_os = "linux")]
    pub(crate) fn enter(&self) -> Result<(), crate::capture::netns::NetnsError> {
        use crate::capture::netns::{Where, enter};
        let place = match (&self.netns, self.pid) {
            (Some(text), _) => Where::parse(text),
            (None, Some(pid)) => Where::Pid(pid),
            (None, None) => return Ok(()),
        };
        enter(&place)
    }
}

/// How the answer looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// One JSON object per packet (schema nfwhy.trace/1)
    Json,
    /// One line per outcome
    Minimal,
}

#[derive(Debug, clap::Args)]
pub(crate) struct TraceArgs {
    /// The node's captured state: a folder, an archive, a sosreport or other bundle, a place in it, one file, or - for standard
    /// input [default: the node itself]
    #[arg(short, long, value_name = "PATH", conflicts_with = "pid")]
    pub(crate) snapshot: Vec<PathBuf>,

    /// The captures of several nodes: a folder with one folder, archive, bundle or session per node; the packet goes on from node to
    /// node, and its answer back. Several --snapshot do the same
    #[arg(long, value_name = "DIR", conflicts_with_all = ["snapshot", "pid", "netns"])]
    pub(crate) cluster: Option<PathBuf>,

    /// With --cluster, the node at which the packet starts [default: the one that has FROM or TO]
    #[arg(long, value_name = "NODE")]
    pub(crate) on: Option<String>,

    /// Objects of Kubernetes, for names: the output of `kubectl get svc,endpointslices,pods,nodes -A -o json`, or of `kubectl get`
    #[arg(long, value_name = "FILE")]
    pub(crate) kube: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) place: Place,

    /// Device the packet comes in by [default: the one the route back to FROM names]
    #[arg(long = "in", value_name = "DEV", conflicts_with = "from_node")]
    pub(crate) iif: Option<String>,

    /// The node itself sends the packet; FROM may be left out
    #[arg(long)]
    pub(crate) from_node: bool,

    /// Packets as JSON, one per line; - for standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from", "iif", "from_node", "mark", "ct_state"])]
    pub(crate) packets: Option<PathBuf>,

    /// Form of the answer
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORM")]
    pub(crate) format: Format,

    /// Show every hit and every decision of the trace
    #[arg(long, conflicts_with = "summary", action = ArgAction::SetTrue)]
    pub(crate) detail: bool,

    /// Stop before the trace
    #[arg(long, action = ArgAction::SetTrue)]
    pub(crate) summary: bool,

    #[arg(
        long,
        value_name = "KEY=VALUE,...",
        help = "Fail (exit status 1) unless the outcomes are these: src=, dnat=, verdict=, client_ip=, out=, masq_mark=, reply=; several values of one key with |"
    )]
    pub(crate) expect: Option<String>,

    /// Mark the packet carries on arrival
    #[arg(long, value_name = "MARK")]
    pub(crate) mark: Option<String>,

    /// new, established, related, invalid or untracked [default: what the conntrack table says, else new]
    #[arg(long, value_name = "STATE")]
    pub(crate) ct_state: Option<String>,

    /// Source: IP, IP:PORT, [IPv6]:PORT, or pod/NAMESPACE/NAME
    #[arg(value_name = "FROM")]
    pub(crate) from: Option<String>,

    /// Destination: IP:PORT, IP:PORT/udp, IP alone for ICMP echo, or svc/NAMESPACE/NAME:PORT
    #[arg(value_name = "TO")]
    pub(crate) to: Option<String>,
}
