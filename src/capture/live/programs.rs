//! `bpftool net`: eBPF programs at devices.
//!
//! XDP comes with the devices, filters of tc by their own dumps; tcx and netkit are asked for by bpf(2), as no dump of rtnetlink has them.

use super::Reading;
use super::attr::Numbers as _;
use super::route::{Devices, Message, Rtnl, Xdp, xdp};
use super::socket::Refusal;
use nfwhy_parsers::recognise::Kind;
use nix::errno::Errno;
use std::fmt::Write as _;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

const COMMAND: &str = "bpftool net";

pub(super) fn read(reading: &mut Reading) {
    let (rtnl, xdp, devices) = match Rtnl::open().and_then(|r| xdp(&r).map(|(x, d)| (r, x, d))) {
        Ok(all) => all,
        Err(e) => {
            reading.cannot("eBPF programs at devices", &e, COMMAND);
            return;
        }
    };
    let mut text = String::from("xdp:\n");
    print_xdp(&mut text, &xdp, &devices);
    text.push_str("\ntc:\n");
    match filters(&rtnl) {
        Ok(found) => print_filters(&mut text, &found, &devices),
        Err(e) => reading.cannot("eBPF programs of tc", &e, COMMAND),
    }
    if let Err(e) = print_attached(&mut text, &devices) {
        reading.cannot("eBPF programs of tcx and netkit", &e, COMMAND);
    }
    text.push_str("\nflow_dissector:\n\n");
    reading.put("bpftool-net", COMMAND, Kind::Programs, text);
}

fn print_xdp(out: &mut String, found: &[(u32, Xdp)], devices: &Devices) {
    for (index, x) in found {
        let name = devices.name(*index);
        let [drv, skb, hw] = x.several;
        let modes = match x.mode {
            1 => vec![("driver", x.id)],
            2 => vec![("generic", x.id)],
            3 => vec![("offload", x.id)],
            _ => vec![("generic", skb), ("driver", drv), ("offload", hw)],
        };
        for (mode, id) in modes.into_iter().filter(|(_, id)| *id != 0) {
            let _ = writeln!(out, "{name}({index}) {mode} id {id}");
        }
    }
}

/// `RTM_GETQDISC` and `RTM_GETTFILTER`; the answers are one less by two.
const GETQDISC: u16 = 38;
const NEWQDISC: u16 = 36;
const GETTFILTER: u16 = 46;
const NEWTFILTER: u16 = 44;
/// `struct tcmsg`.
const HEADER: usize = 20;
/// `TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)` and its twin.
const CLSACT_INGRESS: u32 = 0xffff_fff2;
const CLSACT_EGRESS: u32 = 0xffff_fff3;
/// `TC_H_MAKE(TC_H_INGRESS, 0)` as a parent.
const INGRESS: u32 = 0xffff_0000;

/// A filter as it was dumped, and where it hangs.
struct Filters {
    index: u32,
    hook: String,
    messages: Vec<Message>,
}

fn request(kind: u16, index: u32, parent: u32) -> Message {
    let mut payload = vec![0; 4];
    for n in [index, 0, parent, 0] {
        payload.extend_from_slice(&n.to_ne_bytes());
    }
    Message { kind, payload }
}

/// The filters of every queueing discipline.
fn filters(rtnl: &Rtnl) -> Result<Vec<Filters>, Refusal> {
    let disciplines = match rtnl.dump(&request(GETQDISC, 0, 0)) {
        // A kernel without traffic control.
        Err(Refusal::Os(Errno::EOPNOTSUPP)) => return Ok(Vec::new()),
        other => other?,
    };
    let mut all = Vec::new();
    for m in disciplines.iter().filter(|m| m.kind == NEWQDISC) {
        let (Some(index), Some(handle)) = (m.payload.u32(4), m.payload.u32(8)) else {
            continue;
        };
        let attributes = m.payload.get(HEADER..).unwrap_or_default();
        let kind = super::attr::find(attributes, 1).unwrap_or_default().text();
        let parents = match kind.as_str() {
            "clsact" => vec![
                (CLSACT_INGRESS, "clsact/ingress".to_owned()),
                (CLSACT_EGRESS, "clsact/egress".to_owned()),
            ],
            "ingress" => vec![(INGRESS, "clsact/ingress".to_owned())],
            // These have no classes, and so no filters.
            "noqueue" | "pfifo_fast" | "mq" | "pfifo" | "bfifo" => continue,
            _ => vec![(handle, kind)],
        };
        for (parent, hook) in parents {
            // A discipline that takes no filters refuses, or its device has gone.
            let Ok(messages) = rtnl.dump(&request(GETTFILTER, index, parent)) else {
                continue;
            };
            all.push(Filters {
                index,
                hook,
                messages,
            });
        }
    }
    Ok(all)
}

fn print_filters(out: &mut String, found: &[Filters], devices: &Devices) {
    for f in found {
        for m in f.messages.iter().filter(|m| m.kind == NEWTFILTER) {
            let attributes = m.payload.get(HEADER..).unwrap_or_default();
            // `TCA_KIND` and `TCA_OPTIONS`; the first message of a priority has no options.
            let kind = super::attr::find(attributes, 1).unwrap_or_default();
            let Some(options) = super::attr::find(attributes, 2) else {
                continue;
            };
            if kind.text() != "bpf" {
                continue;
            }
            let _ = write!(out, "{}({}) {}", devices.name(f.index), f.index, f.hook);
            // `TCA_BPF_NAME` and `TCA_BPF_ID`.
            if let Some(name) = super::attr::find(options, 7) {
                let _ = write!(out, " {}", word(&name.text()));
            }
            if let Some(id) = super::attr::find(options, 11).and_then(|b| b.u32(0)) {
                let _ = write!(out, " id {id}");
            }
            out.push('\n');
        }
    }
}

/// As one word: the name of a filter may be anything.
fn word(name: &str) -> String {
    name.replace(|c: char| c.is_whitespace() || c.is_control(), "_")
}

/// `BPF_TCX_INGRESS` and others of `enum bpf_attach_type`.
const ATTACHED: [(u32, &str); 4] = [
    (46, "tcx/ingress"),
    (47, "tcx/egress"),
    (54, "netkit/primary"),
    (55, "netkit/peer"),
];

/// How many programs of a place are read at most; the kernel allows 64 (`BPF_MPROG_MAX`).
const MOST: usize = 64;

fn print_attached(out: &mut String, devices: &Devices) -> Result<(), Refusal> {
    let mut indices: Vec<u32> = devices.indices().collect();
    indices.sort_unstable();
    for (kind, hook) in ATTACHED {
        for index in &indices {
            let ids = match query(*index, kind) {
                Ok(ids) => ids,
                // The kernel has no such place to attach to (`bpf_prog_query` in kernel/bpf/syscall.c), and so no program there.
                Err(Errno::EINVAL | Errno::ENOSYS) => break,
                // Not a netkit device, or it has gone.
                Err(Errno::ENXIO | Errno::ENODEV | Errno::ENOENT) => continue,
                Err(e) => return Err(e.into()),
            };
            for id in ids {
                let _ = write!(out, "{}({index}) {hook}", devices.name(*index));
                if let Some(name) = name_of(id) {
                    let _ = write!(out, " {}", word(&name));
                }
                let _ = writeln!(out, " prog_id {id}");
            }
        }
    }
    Ok(())
}

/// `union bpf_attr`, of which each command reads its own part; larger than any part used here.
pub(super) type BpfAttr = [u64; 16];

/// Two 32-bit fields that share eight bytes.
pub(super) fn pair(first: u32, second: u32) -> u64 {
    let mut bytes = [0; 8];
    let (a, b) = bytes.split_at_mut(4);
    a.copy_from_slice(&first.to_ne_bytes());
    b.copy_from_slice(&second.to_ne_bytes());
    u64::from_ne_bytes(bytes)
}

fn first_of(pair: u64) -> u32 {
    let [a, b, c, d, ..] = pair.to_ne_bytes();
    u32::from_ne_bytes([a, b, c, d])
}

/// `BPF_PROG_QUERY`: the ids of the programs attached.
fn query(index: u32, kind: u32) -> Result<Vec<u32>, Errno> {
    let mut ids = [0u32; MOST];
    let mut attr: BpfAttr = [0; 16];
    let most = u32::try_from(MOST).unwrap_or(0);
    let address = std::ptr::from_mut(&mut ids).expose_provenance();
    // target_ifindex, attach_type; flags; prog_ids; count.
    attr[0] = pair(index, kind);
    attr[2] = u64::try_from(address).unwrap_or(0);
    attr[3] = pair(most, 0);
    bpf(16, &mut attr)?;
    let count = usize::try_from(first_of(attr[3])).unwrap_or(0).min(MOST);
    Ok(ids.get(..count).unwrap_or_default().to_vec())
}

/// `BPF_PROG_GET_FD_BY_ID`, then `BPF_OBJ_GET_INFO_BY_FD`: the name in `struct bpf_prog_info`.
fn name_of(id: u32) -> Option<String> {
    let mut attr: BpfAttr = [0; 16];
    attr[0] = pair(id, 0);
    let fd = owned(bpf(13, &mut attr).ok()?)?;
    let mut info = [0u8; 256];
    let mut attr: BpfAttr = [0; 16];
    let address = std::ptr::from_mut(&mut info).expose_provenance();
    let len = u32::try_from(info.len()).ok()?;
    // bpf_fd, info_len; info.
    attr[0] = pair(fd.as_raw_fd().cast_unsigned(), len);
    attr[1] = u64::try_from(address).ok()?;
    bpf(15, &mut attr).ok()?;
    let name = info.get(64..80)?.text();
    (!name.is_empty()).then_some(name)
}

#[expect(unsafe_code, reason = "bpf(2) gives a bare descriptor")]
pub(super) fn owned(fd: i64) -> Option<OwnedFd> {
    let fd = i32::try_from(fd).ok()?;
    // SAFETY: the kernel has just made this descriptor for the caller, and nothing else holds it.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The system call.
#[expect(
    unsafe_code,
    reason = "there is no other way to ask for tcx, netkit and maps"
)]
pub(super) fn bpf(command: libc::c_long, attr: &mut BpfAttr) -> Result<i64, Errno> {
    // SAFETY: `attr` is as large as told and zero where no field is set; the buffers whose addresses stand in it live in the caller
    // until this returns, and are as large as the length beside them says. Only commands that read are used.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attr),
            size_of::<BpfAttr>(),
        )
    };
    Errno::result(result)
}

#[cfg(test)]
mod tests {
    use super::{first_of, pair, word};

    #[test]
    fn fields_lie_in_memory_as_the_kernel_has_them() {
        assert_eq!(pair(1, 2).to_ne_bytes()[..4], 1u32.to_ne_bytes());
        assert_eq!(first_of(pair(7, 9)), 7);
    }

    #[test]
    fn a_filter_named_by_a_sentence_is_one_word() {
        assert_eq!(word("my filter\nid 5"), "my_filter_id_5");
    }
}
