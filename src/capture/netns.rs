//! Network namespaces: entering one, and which there are.

use super::live;
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Where names of namespaces lie: `ip netns` and CNI, older paths of the same, Docker.
const FOLDERS: [&str; 3] = ["/run/netns", "/var/run/netns", "/run/docker/netns"];

/// A namespace as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Where {
    /// A name in `/run/netns`.
    Name(String),
    /// A file: `/run/netns/x`, `/proc/7/ns/net`.
    Path(PathBuf),
    /// That of a process.
    Pid(u32),
}

impl Where {
    /// A name, or a path, which has a slash.
    pub fn parse(text: &str) -> Self {
        if text.contains('/') {
            Self::Path(text.into())
        } else {
            Self::Name(text.to_owned())
        }
    }

    fn path(&self) -> Result<PathBuf, NetnsError> {
        match self {
            Self::Path(p) => Ok(p.clone()),
            Self::Pid(pid) => {
                let process = PathBuf::from(format!("/proc/{pid}"));
                if process.is_dir() {
                    Ok(process.join("ns/net"))
                } else {
                    Err(NetnsError::NoProcess(*pid))
                }
            }
            Self::Name(name) => FOLDERS
                .iter()
                .map(|f| Path::new(f).join(name))
                .find(|p| p.exists())
                .filter(|_| !matches!(name.as_str(), "" | "." | ".."))
                .ok_or_else(|| NetnsError::NoName(name.clone())),
        }
    }
}

impl std::fmt::Display for Where {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(n) => write!(f, "network namespace {n}"),
            Self::Path(p) => write!(f, "network namespace {}", p.display()),
            Self::Pid(pid) => write!(f, "the network namespace of process {pid}"),
        }
    }
}

/// Why a namespace was not entered.
#[derive(Debug, Error)]
pub enum NetnsError {
    /// No such name.
    #[error(
        "there is no network namespace named {0} in /run/netns or /run/docker/netns; `nfwhy netns` lists those of this machine"
    )]
    NoName(String),
    /// No such process.
    #[error("there is no process {0}; a PID within a container is another one outside of it")]
    NoProcess(u32),
    /// The file cannot be opened.
    #[error("cannot open {path}: {source}{}", hint(.source))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is something else.
    #[error("{0} is not a network namespace")]
    NotOne(PathBuf),
    /// The process may not.
    #[error("entering {0} is not permitted: it needs root (CAP_SYS_ADMIN)")]
    NotPermitted(Where),
    /// Anything else.
    #[error("cannot enter {place}: {}", .errno.desc())]
    Os {
        /// What was asked for.
        place: Where,
        /// What the system said.
        errno: Errno,
    },
}

fn hint(e: &io::Error) -> &'static str {
    if e.kind() == io::ErrorKind::PermissionDenied {
        " (it needs root)"
    } else {
        ""
    }
}

/// Moves the calling thread, and it alone, into a network namespace. Threads that it makes later start there.
pub fn enter(place: &Where) -> Result<(), NetnsError> {
    let path = place.path()?;
    // A pipe would wait for a writer for ever.
    let unreadable = |source| NetnsError::Unreadable {
        path: path.clone(),
        source,
    };
    if !fs::metadata(&path).map_err(unreadable)?.is_file() {
        return Err(NetnsError::NotOne(path));
    }
    let file = File::open(&path).map_err(unreadable)?;
    setns(&file, CloneFlags::CLONE_NEWNET).map_err(|errno| match errno {
        Errno::EINVAL => NetnsError::NotOne(path),
        Errno::EPERM => NetnsError::NotPermitted(place.clone()),
        errno => NetnsError::Os {
            place: place.clone(),
            errno,
        },
    })
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its PID.
    pub pid: u32,
    /// Its name, as `ps` shows it.
    pub name: String,
}

/// An address in a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Its device.
    pub device: String,
    /// The address.
    pub address: IpAddr,
    /// Prefix length.
    pub prefix_len: u8,
}

/// A network namespace.
#[derive(Clone, Debug)]
pub struct Namespace {
    /// What tells it from others: the number in `net:[4026531840]`.
    pub inode: u64,
    /// Its names, without the folders.
    pub names: Vec<String>,
    /// Files by which it can be entered.
    pub paths: Vec<PathBuf>,
    /// The processes in it, kernel threads left out.
    pub processes: Vec<Process>,
    /// The one that the caller is in.
    pub current: bool,
    /// Its addresses, or why they could not be read.
    pub addresses: Result<Vec<Address>, String>,
}

/// The namespaces of this machine.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// The caller's own first, then by name, then by process.
    pub namespaces: Vec<Namespace>,
    /// What could not be looked into, and why.
    pub unread: Vec<String>,
}

/// Finds those that have a name or a process. One that is held by nothing but a socket or an open file is not found.
pub fn list() -> Listing {
    let mut listing = Listing::default();
    let mut found: BTreeMap<u64, Namespace> = BTreeMap::new();
    let here = fs::metadata("/proc/thread-self/ns/net").ok();
    if let Some(m) = &here {
        entry(&mut found, m.ino()).current = true;
    }
    names(
        &mut found,
        &mut listing.unread,
        here.as_ref().map(MetadataExt::dev),
    );
    processes(&mut found, &mut listing.unread);
    let mut refused = 0;
    for n in found.values_mut() {
        n.addresses = addresses(n);
        refused += usize::from(n.addresses.is_err());
    }
    if refused > 0 {
        listing.unread.push(format!(
            "addresses of {refused} namespaces (run it as root)"
        ));
    }
    listing.namespaces = found.into_values().collect();
    listing.namespaces.sort_by(|a, b| {
        let key = |n: &Namespace| {
            let pid = n.processes.first().map_or(u32::MAX, |p| p.pid);
            (!n.current, n.names.is_empty(), n.names.clone(), pid)
        };
        key(a).cmp(&key(b))
    });
    listing
}

fn entry(found: &mut BTreeMap<u64, Namespace>, inode: u64) -> &mut Namespace {
    found.entry(inode).or_insert_with(|| Namespace {
        inode,
        names: Vec::new(),
        paths: Vec::new(),
        processes: Vec::new(),
        current: false,
        addresses: Ok(Vec::new()),
    })
}

fn names(found: &mut BTreeMap<u64, Namespace>, unread: &mut Vec<String>, nsfs: Option<u64>) {
    for folder in FOLDERS {
        let entries = match fs::read_dir(folder) {
            Ok(e) => e,
            Err(e) => {
                if e.kind() != io::ErrorKind::NotFound {
                    unread.push(format!("{folder}: {e}"));
                }
                continue;
            }
        };
        for path in entries.filter_map(|e| Some(e.ok()?.path())) {
            let Ok(m) = fs::metadata(&path) else { continue };
            // The mount is gone and the file it was on is left, or the file is in another mount namespace.
            if nsfs.is_some_and(|dev| dev != m.dev()) {
                unread.push(format!("{}: no namespace is mounted there", path.display()));
                continue;
            }
            let n = entry(found, m.ino());
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if !n.names.iter().any(|x| *x == name) {
                n.names.push(name.into_owned());
                n.paths.push(path);
            }
        }
    }
    for n in found.values_mut() {
        n.names.sort();
    }
}

fn processes(found: &mut BTreeMap<u64, Namespace>, unread: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir("/proc") else {
        unread.push("processes: /proc cannot be read".into());
        return;
    };
    let mut pids: Vec<u32> = entries
        .filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    let mut refused = 0;
    for pid in pids {
        let path = PathBuf::from(format!("/proc/{pid}/ns/net"));
        match fs::metadata(&path) {
            Ok(m) => {
                let n = entry(found, m.ino());
                // Kernel threads have no command line.
                let kernel = fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|c| c.is_empty());
                if !kernel {
                    n.paths.push(path);
                    n.processes.push(Process {
                        pid,
                        name: process_name(pid),
                    });
                }
            }
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => refused += 1,
            // It ended meanwhile.
            Err(_) => {}
        }
    }
    if refused > 0 {
        unread.push(format!(
            "namespaces of {refused} processes of other users (run it as root)"
        ));
    }
}

fn process_name(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).trim_ascii_end().to_owned()
}

fn addresses(n: &Namespace) -> Result<Vec<Address>, String> {
    let read = || {
        let list = live::addresses()?;
        let address = |(device, address, prefix_len)| Address {
            device,
            address,
            prefix_len,
        };
        Ok(list.into_iter().map(address).collect())
    };
    if n.current {
        return read();
    }
    // In a thread of its own: the caller stays where it is.
    let inside = || -> Result<Vec<Address>, String> {
        let mut why = "nothing leads into it".to_owned();
        for path in n.paths.iter().take(4) {
            match enter(&Where::Path(path.clone())) {
                Ok(()) => {
                    // The process may have moved on or ended, and its PID be another's.
                    let there = fs::metadata("/proc/thread-self/ns/net").map(|m| m.ino());
                    if there.is_ok_and(|i| i == n.inode) {
                        return read();
                    }
                    why = "it has gone".into();
                }
                Err(e) => why = e.to_string(),
            }
        }
        Err(why)
    };
    std::thread::scope(|s| s.spawn(inside).join())
        .unwrap_or_else(|_| Err("reading it failed".into()))
}

#[cfg(test)]
mod tests {
    use super::{NetnsError, Where, enter, list};

    #[test]
    fn what_has_a_slash_is_a_path() {
        assert_eq!(Where::parse("blue"), Where::Name("blue".into()));
        assert_eq!(Where::parse("./blue"), Where::Path("./blue".into()));
    }

    #[test]
    fn what_is_no_namespace_is_refused_by_name() {
        let refused = |w: Where| enter(&w).map_err(|e| e.to_string()).unwrap_err();
        assert!(refused(Where::Name("no-such-name".into())).contains("no-such-name"));
        assert!(refused(Where::Name("..".into())).contains("no network namespace named"));
        assert!(refused(Where::Pid(u32::MAX)).contains("no process"));
        assert!(matches!(
            enter(&Where::Path("/proc".into())),
            Err(NetnsError::NotOne(_))
        ));
        assert!(matches!(
            enter(&Where::Path("/nonexistent/x".into())),
            Err(NetnsError::Unreadable { .. })
        ));
        // Without the right to enter any, the refusal is another one; a file that is no namespace is never entered.
        assert!(enter(&Where::Path("/proc/version".into())).is_err());
    }

    #[test]
    fn the_listing_begins_with_the_callers_own_namespace() {
        let all = list();
        let own = all
            .namespaces
            .first()
            .map(|n| (n.current, n.addresses.is_ok()));
        assert_eq!(own, Some((true, true)));
        let me = std::process::id();
        assert!(
            all.namespaces
                .iter()
                .any(|n| n.processes.iter().any(|p| p.pid == me))
        );
    }
}
