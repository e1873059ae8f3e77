//! The maps of Calico's eBPF datapath, where it pins them, as `bpftool -j map dump` prints them, an entry on each line.
//!
//! Only commands that read are used: `BPF_OBJ_GET` read-only, `BPF_OBJ_GET_INFO_BY_FD`, `BPF_MAP_GET_NEXT_KEY`, `BPF_MAP_LOOKUP_ELEM`. A
//! look-up by the system call moves nothing in an LRU map (`htab_lru_map_lookup_elem_sys`, kernel/bpf/hashtab.c).

use super::Reading;
use super::programs::{BpfAttr, bpf, owned, pair};
use nfwhy_parsers::recognise::Kind;
use nix::errno::Errno;
use std::ffi::CString;
use std::fmt::Write as _;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;

/// Where felix pins them (felix/bpf/bpfdefs, `GlobalPinDir`).
const PINNED: &str = "/sys/fs/bpf/tc/globals";
const COMMAND: &str = "bpftool -j map dump pinned /sys/fs/bpf/tc/globals/cali_v4_nat_fe3";

/// The maps, and how many entries are read. Of connections a few are enough to tell how answers go.
const MAPS: [(&str, usize); 10] = [
    ("cali_v4_nat_fe3", MOST),
    ("cali_v4_nat_be", MOST),
    ("cali_v4_nat_aff", MOST),
    ("cali_v4_routes", MOST),
    ("cali_v4_ct4", FEW),
    ("cali_v6_nat_fe3", MOST),
    ("cali_v6_nat_be", MOST),
    ("cali_v6_nat_aff", MOST),
    ("cali_v6_routes", MOST),
    ("cali_v6_ct4", FEW),
];
/// As many as felix' largest map of these can hold.
const MOST: usize = 256 * 1024;
const FEW: usize = 4096;
/// No key or value of these is longer.
const LONGEST: usize = 512;

pub(super) fn read(reading: &mut Reading) {
    read_from(reading, Path::new(PINNED));
}

fn read_from(reading: &mut Reading, folder: &Path) {
    let mut text = String::new();
    let mut some = false;
    for (name, most) in MAPS {
        let path = folder.join(name);
        match open(&path) {
            // Calico is not there, or it is of one family alone.
            Err(Errno::ENOENT | Errno::ENOTDIR) => {}
            Err(e) => reading.cannot(&format!("Calico's map {name}"), &e, COMMAND),
            Ok(map) => {
                some = true;
                let _ = writeln!(text, "# bpftool -j map dump pinned {}", path.display());
                if let Err(e) = print(&mut text, &map, most) {
                    reading.cannot(&format!("Calico's map {name}"), &e, COMMAND);
                }
            }
        }
    }
    if some {
        reading.put("bpftool-map-calico", COMMAND, Kind::CalicoBpf, text);
    }
}

fn address<T>(of: &mut [T]) -> u64 {
    of.as_mut_ptr().expose_provenance() as u64
}

/// `BPF_OBJ_GET` with `BPF_F_RDONLY`.
fn open(path: &Path) -> Result<OwnedFd, Errno> {
    let name = CString::new(path.as_os_str().as_encoded_bytes()).map_err(|_| Errno::EINVAL)?;
    let mut name = name.into_bytes_with_nul();
    let mut attr: BpfAttr = [0; 16];
    // pathname; bpf_fd, file_flags.
    attr[0] = address(&mut name);
    attr[1] = pair(0, 1 << 3);
    owned(bpf(7, &mut attr)?).ok_or(Errno::EBADF)
}

/// The sizes of keys and values: `struct bpf_map_info` begins with type, id, `key_size`, `value_size`.
fn sizes(map: &OwnedFd) -> Result<(usize, usize), Errno> {
    let mut info = [0u32; 64];
    let mut attr: BpfAttr = [0; 16];
    let len = u32::try_from(size_of_val(&info)).map_err(|_| Errno::EINVAL)?;
    attr[0] = pair(map.as_raw_fd().cast_unsigned(), len);
    attr[1] = address(&mut info);
    bpf(15, &mut attr)?;
    let [_, _, key, value, ..] = info;
    let fits = |n: u32| {
        usize::try_from(n)
            .ok()
            .filter(|n| (1..=LONGEST).contains(n))
            .ok_or(Errno::EMSGSIZE)
    };
    Ok((fits(key)?, fits(value)?))
}

fn print(out: &mut String, map: &OwnedFd, most: usize) -> Result<(), Errno> {
    let (key_size, value_size) = sizes(map)?;
    let fd = pair(map.as_raw_fd().cast_unsigned(), 0);
    let mut key = vec![0u8; key_size];
    let mut next = vec![0u8; key_size];
    let mut value = vec![0u8; value_size];
    let (mut first, mut written) = (true, 0usize);
    let mut whole = false;
    out.push('[');
    for _ in 0..=most {
        let mut attr: BpfAttr = [0; 16];
        // map_fd; key (none: the first); next_key.
        attr[0] = fd;
        attr[1] = if first { 0 } else { address(&mut key) };
        attr[2] = address(&mut next);
        match bpf(4, &mut attr) {
            Ok(_) => {}
            Err(Errno::ENOENT) => {
                whole = true;
                break;
            }
            Err(e) => return Err(e),
        }
        first = false;
        std::mem::swap(&mut key, &mut next);
        let mut attr: BpfAttr = [0; 16];
        attr[0] = fd;
        attr[1] = address(&mut key);
        attr[2] = address(&mut value);
        match bpf(1, &mut attr) {
            Ok(_) => {
                out.push_str(if written == 0 { "\n" } else { ",\n" });
                entry(out, &key, &value);
                written += 1;
            }
            // It went away between the two calls.
            Err(Errno::ENOENT) => {}
            Err(e) => return Err(e),
        }
    }
    out.push_str("\n]\n");
    // Of connections no more than a few are wanted.
    if whole || most == FEW {
        Ok(())
    } else {
        Err(Errno::E2BIG)
    }
}

fn entry(out: &mut String, key: &[u8], value: &[u8]) {
    for (name, bytes) in [("{\"key\":[", key), ("],\"value\":[", value)] {
        out.push_str(name);
        for (i, b) in bytes.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            let _ = write!(out, "{comma}\"{b:#04x}\"");
        }
    }
    out.push_str("]}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use nfwhy_parsers::calico_bpf::parse;
    use std::process::Command;

    const LPM_TRIE: u32 = 11;
    const HASH: u32 = 1;
    const NO_PREALLOC: u32 = 1;

    /// Makes a map, fills it and pins it.
    fn make(path: &Path, kind: u32, entries: &[(Vec<u8>, Vec<u8>)]) -> Result<(), Errno> {
        let (key, value) = &entries[0];
        let len = |v: &Vec<u8>| u32::try_from(v.len()).expect("small");
        let mut attr: BpfAttr = [0; 16];
        attr[0] = pair(kind, len(key));
        attr[1] = pair(len(value), 1024);
        attr[2] = pair(NO_PREALLOC, 0);
        let map = owned(bpf(0, &mut attr)?).expect("a descriptor");
        let fd = map.as_raw_fd().cast_unsigned();
        for (key, value) in entries {
            let (mut key, mut value) = (key.clone(), value.clone());
            let mut attr: BpfAttr = [0; 16];
            attr[0] = pair(fd, 0);
            attr[1] = address(&mut key);
            attr[2] = address(&mut value);
            bpf(2, &mut attr)?;
        }
        let mut name = CString::new(path.to_str().expect("a path"))
            .expect("no zero")
            .into_bytes_with_nul();
        let mut attr: BpfAttr = [0; 16];
        attr[0] = address(&mut name);
        attr[1] = pair(fd, 0);
        bpf(6, &mut attr).map(|_| ())
    }

    /// A frontend of felix' layout.
    fn frontend(addr: [u8; 4], port: u16, src: ([u8; 4], u8), count: u32) -> (Vec<u8>, Vec<u8>) {
        let mut key = (56 + u32::from(src.1)).to_le_bytes().to_vec();
        key.extend(addr);
        key.extend(port.to_le_bytes());
        key.push(6);
        key.extend(src.0);
        key.push(0);
        let value = [5u32, count, 1, 0, 1];
        (key, value.into_iter().flat_map(u32::to_le_bytes).collect())
    }

    fn backend(ordinal: u32, addr: [u8; 4], port: u16) -> (Vec<u8>, Vec<u8>) {
        let key = [5u32, ordinal].into_iter().flat_map(u32::to_le_bytes);
        let mut value = addr.to_vec();
        value.extend(port.to_le_bytes());
        value.extend([0, 0]);
        (key.collect(), value)
    }

    /// A bpffs of its own, away again at the end.
    struct Mounted(std::path::PathBuf);

    impl Drop for Mounted {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg(&self.0).status();
            let _ = std::fs::remove_dir(&self.0);
        }
    }

    #[test]
    #[expect(
        clippy::print_stderr,
        clippy::disallowed_methods,
        reason = "that it is skipped is to be seen"
    )]
    fn pinned_maps_of_felix_layout_are_read() {
        let folder = std::env::temp_dir().join(format!("nfwhy-bpffs-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let mounted = Command::new("mount")
            .args(["-t", "bpf", "bpf"])
            .arg(&folder)
            .output();
        let folder = Mounted(folder);
        let at = |name: &str| folder.0.join(name);
        let frontends = [
            frontend([10, 10, 100, 200], 80, ([0; 4], 0), 2),
            frontend([10, 10, 100, 203], 80, ([10, 10, 8, 0], 24), 1),
            frontend([10, 10, 100, 203], 80, ([0; 4], 0), u32::MAX),
        ];
        let backends = [
            backend(0, [10, 244, 21, 7], 80),
            backend(1, [10, 244, 22, 9], 80),
        ];
        let made = match mounted {
            Ok(o) if o.status.success() => make(&at("cali_v4_nat_fe3"), LPM_TRIE, &frontends)
                .and_then(|()| make(&at("cali_v4_nat_be"), HASH, &backends))
                .map_err(|e| e.to_string()),
            _ => Err("no bpffs can be mounted".to_owned()),
        };
        if let Err(why) = made {
            let wanted = std::env::var("NFWHY_LAB").unwrap_or_default();
            assert_ne!(wanted, "require", "{why}");
            eprintln!("skipped: {why}");
            return;
        }
        let mut reading = Reading::default();
        read_from(&mut reading, &folder.0);
        assert_eq!(reading.unread, []);
        let [output] = reading.outputs.as_slice() else {
            panic!("{:?}", reading.outputs);
        };
        assert_eq!(
            nfwhy_parsers::recognise::recognise(output.text.as_bytes()),
            Kind::CalicoBpf
        );
        let parsed = parse(output.name, &output.text);
        assert_eq!(parsed.diagnostics, []);
        let text = parsed.value.to_string();
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        assert_eq!(
            lines,
            [
                "\t5:0\t 10.244.21.7:80",
                "\t5:1\t 10.244.22.9:80",
                "10.10.100.200 port 80 proto 6 id 5 count 2 local 1 flags external-local",
                "10.10.100.203 port 80 proto 6 id 5 count -1 local 1 flags external-local",
                "10.10.100.203 port 80 proto 6 id 5 count 1 local 1 flags external-local src 10.10.8.0/24",
            ]
        );
    }

    #[test]
    fn where_calico_is_not_there_nothing_is_said() {
        let mut reading = Reading::default();
        read_from(&mut reading, Path::new("/nonexistent"));
        assert_eq!(reading, Reading::default());
    }
}
