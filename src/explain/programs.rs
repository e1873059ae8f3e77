//! eBPF programs at the devices that a packet passes: what they do is not known.

use super::{Case, Cause, Code, Finding};
use crate::node::{DevId, Program};
use crate::trace::Origin;

/// One finding per device on the packet's way, for all of its programs that see the packet there.
pub(super) fn findings<'c>(case: &'c Case<'c, '_>) -> impl Iterator<Item = Finding> + 'c {
    let mut places: Vec<(DevId, Way)> = Vec::new();
    if let Origin::Device(d) = case.trace.packet.origin {
        places.push((d, Way::In));
    }
    for o in &case.trace.outcomes {
        if let Some(out) = &o.out
            && !places.contains(&(out.dev, Way::Out))
        {
            places.push((out.dev, Way::Out));
        }
    }
    let unseen = unseen_cilium(case);
    places
        .into_iter()
        .filter_map(|(d, way)| at(case, d, way))
        .chain(unseen)
}

/// Cilium serves here in kube-proxy's place, by its devices, and neither its programs nor its services were captured.
fn unseen_cilium(case: &Case<'_, '_>) -> Option<Finding> {
    let node = case.node;
    let family = case.trace.packet.family();
    let mut own = node.devices.iter().filter(|d| d.is_ciliums_own());
    let first = own.clone().next()?;
    let device = own.find(|d| d.name == "cilium_host").unwrap_or(first);
    let decides = case.trace.outcomes.iter().any(|o| {
        o.assumptions
            .iter()
            .any(|a| a.starts_with("Cilium has a Service at"))
    });
    if node.captured.programs || node.cilium.knows_services(family) || !decides {
        return None;
    }
    let mut f = Finding::new(
        Code::BpfProgram,
        format!(
            "Cilium runs here ({}) and kube-proxy does not: for packets to Services netfilter does not decide, but Cilium's eBPF programs before it",
            device.name
        ),
    );
    f.advise("what they know, from the agent's pod on this node: `cilium-dbg bpf lb list`, `cilium-dbg bpf endpoint list`, `cilium-dbg status --verbose`; which programs there are: `bpftool net`");
    Some(f)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    In,
    Out,
}

fn at(case: &Case<'_, '_>, device: DevId, way: Way) -> Option<Finding> {
    let name = &case.node.device(device).name;
    let there: Vec<&Program> = case
        .node
        .programs
        .iter()
        .filter(|p| p.device == *name)
        .filter(|p| match way {
            Way::In => p.hook.sees_incoming(),
            Way::Out => p.hook.sees_outgoing(),
        })
        .filter(|p| !super::ebpf::is_simulated(case, p))
        .collect();
    let list: Vec<String> = there.iter().map(|p| called(p)).collect();
    let (subject, verb) = match list.as_slice() {
        [] => return None,
        [one] => (format!("an eBPF program at {name} ({one})"), "sees"),
        more => (
            format!("eBPF programs at {name} ({})", more.join("; ")),
            "see",
        ),
    };
    // `__netif_receive_skb_core` in net/core/dev.c runs XDP and `sch_handle_ingress` before any hook of netfilter but that of the
    // device; `__dev_queue_xmit` runs `sch_handle_egress` after all of them.
    let (when, may) = match way {
        Way::In => (
            "before netfilter",
            "drop, rewrite or redirect it, so that the rules never see it",
        ),
        Way::Out => (
            "after netfilter",
            "drop, rewrite or redirect it all the same",
        ),
    };
    let mut f = Finding::new(
        Code::BpfProgram,
        format!("{subject} {verb} the packet {when} and may {may}"),
    );
    for p in &there {
        f.blame(Cause::Program { at: p.origin });
    }
    let ids: Vec<String> = there
        .iter()
        .filter_map(|p| p.id)
        .map(|n| n.to_string())
        .collect();
    match ids.as_slice() {
        [] => {}
        _ if there.iter().all(|p| p.is_calicos()) => f.advise(
            "they are Calico's eBPF datapath, which replaces kube-proxy: for packets to services netfilter does not decide here; what it does is simulated where its maps are captured: `calico-node -bpf nat dump`, `calico-node -bpf routes dump`, `kubectl get felixconfiguration default -o yaml`",
        ),
        _ if there.iter().all(|p| p.is_ciliums()) => f.advise(
            "they are Cilium's, which may replace kube-proxy: for packets to services netfilter then does not decide here; what they do is simulated where the agent's listings are captured: `cilium-dbg bpf lb list`, `cilium-dbg bpf endpoint list`, `kubectl -n kube-system get cm cilium-config -o yaml`",
        ),
        [first, ..] => f.advise(format!(
            "what it does is not simulated: see `bpftool prog show id {first}` for whose it is, and that software's own tools"
        )),
    }
    Some(f)
}

/// `tc ingress cil_from_netdev, id 12`.
fn called(p: &Program) -> String {
    let mut text = p.hook.to_string();
    if let Some(n) = &p.name {
        text += &format!(" {n}");
    }
    if let Some(id) = p.id {
        text += &format!(", id {id}");
    }
    text
}
