//! Bytes in, from files, archives and the kernel, and captures out: the only module that does so.

mod archive;
mod bundle;
pub mod cluster;
mod large;
mod limits;
#[cfg(target_os = "linux")]
pub mod live;
pub mod manifest;
#[cfg(target_os = "linux")]
pub mod netns;
mod packets;
mod read;
pub mod redact;
mod transcript;
pub mod write;
mod xz;
mod zip;

use manifest::Manifest;
use nfwhy_parsers::recognise::{Kind, recognise};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// How standard input is called.
pub const STDIN: &str = "standard input";

/// Why a snapshot could not be read at all.
#[derive(Debug, Error)]
pub enum CaptureError {
    /// The path cannot be opened.
    #[error("cannot read {path}: {why}")]
    Unreadable {
        /// The path as given.
        path: PathBuf,
        /// What the system said, or which limit it is beyond.
        why: io::Error,
    },
    /// A folder without any file of its own.
    #[error("{path} holds no files{}", subfolders_hint(.subfolders))]
    Empty {
        /// The path as given.
        path: PathBuf,
        /// Folders in it, which may be the nodes.
        subfolders: Vec<String>,
    },
    /// Not objects of Kubernetes.
    #[error(
        "{path} holds no objects of Kubernetes as `kubectl get svc,endpointslices,pods,nodes -A -o json` prints them, nor its tables"
    )]
    NoObjects {
        /// The path as given.
        path: PathBuf,
    },
    /// No file in it is a capture.
    #[error(
        "nothing in {path} is output of a command that nfwhy reads ({files}); nfwhy trace --help lists them"
    )]
    NothingRecognised {
        /// The path as given.
        path: PathBuf,
        /// The files looked at, and what they seem to be.
        files: String,
    },
    /// Captures of more than one node.
    #[error("{path} holds the captures of {} folders, each a node of its own; {}", .folders.len(), node_hint(.path, .folders))]
    SeveralNodes {
        /// The path as given.
        path: PathBuf,
        /// The nodes' folders within it.
        folders: Vec<String>,
    },
    /// No entry of a cluster's folder is a node.
    #[error(
        "{path} holds no node of a cluster: it is to have one folder, archive or session per node{}", said(.entries)
    )]
    NoNodes {
        /// The path as given.
        path: PathBuf,
        /// Its entries, and what is wrong with them.
        entries: String,
    },
    /// A bundle without what was asked for.
    #[error("{path} holds {what}")]
    NotInBundle {
        /// The path as given.
        path: PathBuf,
        /// What it holds.
        what: String,
    },
}

fn said(entries: &str) -> String {
    if entries.is_empty() {
        String::new()
    } else {
        format!(" ({entries})")
    }
}

fn node_hint(path: &Path, folders: &[String]) -> String {
    const NAMED: usize = 30;
    let stream = path == Path::new(STDIN);
    let mut text = String::from(if stream {
        "put it into a file and give one of them as -s FILE/FOLDER:"
    } else {
        "give one of them:"
    });
    for f in folders.iter().take(NAMED) {
        text += &if stream {
            format!("\n  {f}")
        } else {
            format!("\n  -s {}", path.join(f).display())
        };
    }
    if folders.len() > NAMED {
        text += &format!("\n  and {} more", folders.len() - NAMED);
    }
    text
}

fn subfolders_hint(subfolders: &[String]) -> String {
    if subfolders.is_empty() {
        String::new()
    } else {
        format!(" of a node, nor do its folders: {}", subfolders.join(", "))
    }
}

/// A file of a snapshot.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Name relative to the snapshot.
    pub name: String,
    /// What its content is.
    pub kind: Kind,
    /// Its text; bytes that are not UTF-8 are replaced.
    pub text: String,
    /// Whether bytes had to be replaced.
    pub lossy: bool,
}

/// Something that could not be read. It is not empty: it is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unread {
    /// What: `ipsets`, `iptables-legacy rules (IPv4)`.
    pub what: String,
    /// Why.
    pub why: String,
    /// The command that would show it.
    pub command: String,
}

/// A kind of output that is not there as a whole: what it does not show may be there all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partial {
    /// The kind.
    pub kind: Kind,
    /// The file.
    pub file: String,
    /// Where that is seen.
    pub line: u32,
    /// How.
    pub why: String,
    /// What stands from this line on is not in the file: rules that their owner always writes, and a filter left out.
    pub assumed_from: Option<u32>,
}
/// Why a text is left out.
const UNKNOWN: &str = "not output of a command that nfwhy knows; it was not used";

/// A node's captured state.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Recognised files, by name.
    pub files: Vec<SourceFile>,
    /// Files that were left out, and why.
    pub skipped: Vec<(String, String)>,
    /// What whoever captured it was not allowed, or not able, to read.
    pub unread: Vec<Unread>,
    /// Remarks of the one who captured it.
    pub remarks: Vec<String>,
    /// What is there in part.
    pub partial: Vec<Partial>,
}

/// What to run on a node to get a snapshot by hand.
pub const HOW_TO_CAPTURE: &str = "\
mkdir node && cd node
iptables-save        > iptables-save.txt
ip6tables-save       > ip6tables-save.txt
ipset save           > ipset.txt
ipvsadm -ln          > ipvsadm.txt
ip -d addr           > ip-addr.txt
ip route show table all    > ip-route.txt
ip -6 route show table all > ip-6-route.txt
ip rule              > ip-rule.txt
ip -6 rule           > ip-6-rule.txt
ip neigh             > ip-neigh.txt
sysctl -a            > sysctl.txt
conntrack -L         > conntrack.txt
";

impl Snapshot {
    /// What the kernel told, as if it had been captured.
    #[cfg(target_os = "linux")]
    pub fn from_reading(reading: live::Reading) -> Self {
        let files = reading.outputs.into_iter().map(|o| SourceFile {
            name: o.name.to_owned(),
            kind: o.kind,
            text: o.text,
            lossy: false,
        });
        Self {
            files: files.collect(),
            skipped: Vec::new(),
            unread: reading.unread,
            remarks: reading.remarks,
            partial: Vec::new(),
        }
    }

    /// Adds a file of Kubernetes' objects.
    pub fn add_objects(&mut self, path: &Path) -> Result<(), CaptureError> {
        let unreadable = |why| CaptureError::Unreadable {
            path: path.to_owned(),
            why,
        };
        let bytes = large::read(path, limits::LIMITS.file).map_err(unreadable)?;
        if !matches!(recognise(&bytes), Kind::Kube | Kind::KubeTable) {
            let path = path.to_owned();
            return Err(CaptureError::NoObjects { path });
        }
        self.add(path.display().to_string(), bytes);
        Ok(())
    }

    /// Drops files of Kubernetes' objects, which are not redacted: they hold more than addresses and names, such as images, variables
    /// and annotations.
    pub fn leave_out_objects(&mut self) {
        let objects = |f: &mut SourceFile| matches!(f.kind, Kind::Kube | Kind::KubeTable);
        for f in self.files.extract_if(.., objects) {
            let remark = format!("{} was left out, for it is not redacted", f.name);
            self.remarks.push(remark);
        }
    }

    /// Files that a manifest names and that are empty: known to be so.
    fn settle(&mut self) {
        let Some(at) = self
            .skipped
            .iter()
            .position(|(name, _)| name == manifest::NAME)
        else {
            return;
        };
        let Ok(m) = serde_json::from_str::<Manifest>(&self.skipped[at].1) else {
            self.skipped[at].1 = "not a manifest that this version reads".into();
            return;
        };
        self.skipped.remove(at);
        for file in &m.files {
            let Some(kind) = manifest::kind(&file.name) else {
                continue;
            };
            let empty = |f: &&mut SourceFile| f.name == file.name && f.kind == Kind::Empty;
            if let Some(f) = self.files.iter_mut().find(empty) {
                f.kind = kind;
                f.text.clear();
            }
        }
        self.files.sort_by(|a, b| a.name.cmp(&b.name));
        for p in m.in_part {
            let of = |f: &&SourceFile| f.name == p.file;
            if let Some(f) = self.files.iter().find(of) {
                self.partial.push(Partial {
                    kind: f.kind,
                    file: p.file,
                    line: p.line,
                    why: p.why,
                    assumed_from: p.assumed_from,
                });
            }
        }
        self.unread = m.unread;
        self.remarks.extend(m.remarks);
    }

    /// Gives each file a name of its own: what a session holds bears the session's.
    pub fn name_apart(&mut self) {
        let names: Vec<String> = self.files.iter().map(|f| f.name.clone()).collect();
        let mut taken: std::collections::HashSet<String> = names.iter().cloned().collect();
        for f in &mut self.files {
            if names.iter().filter(|n| **n == f.name).count() < 2 {
                continue;
            }
            let stem = f.name.strip_suffix(".txt").unwrap_or(&f.name).to_owned();
            let kind = format!("{:?}", f.kind).to_ascii_lowercase();
            let mut name = format!("{stem}-{kind}.txt");
            let mut n = 2;
            while !taken.insert(name.clone()) {
                name = format!("{stem}-{kind}-{n}.txt");
                n += 1;
            }
            for p in &mut self.partial {
                if p.kind == f.kind && p.file == f.name {
                    p.file.clone_from(&name);
                }
            }
            f.name = name;
        }
    }

    /// Adds a file by its content.
    pub fn add(&mut self, name: String, bytes: Vec<u8>) {
        self.add_of(name, bytes, None);
    }

    /// The same; of a session with outputs of several machines, those of one.
    fn add_of(&mut self, name: String, bytes: Vec<u8>, machine: Option<&str>) {
        if name == manifest::NAME {
            self.skipped
                .push((name, String::from_utf8_lossy(&bytes).into_owned()));
            return;
        }
        let kind = recognise(&bytes);
        if kind == Kind::Pcap {
            return self.add_packets(name, &bytes, limits::LIMITS.packets);
        }
        if let Some(session) = std::str::from_utf8(&bytes)
            .ok()
            .and_then(|text| transcript::read(&name, text, kind, machine))
        {
            self.files.extend(session.files);
            self.remarks.extend(session.remarks);
            self.partial.extend(session.partial);
            return;
        }
        match kind {
            Kind::Binary => {
                self.skipped
                    .push((name, "binary data, not text of a command".into()));
                return;
            }
            Kind::Unknown => {
                self.skipped.push((name, UNKNOWN.into()));
                return;
            }
            _ => {}
        }
        let (text, lossy) = match String::from_utf8(bytes) {
            Ok(t) => (t, false),
            Err(e) => (String::from_utf8_lossy(e.as_bytes()).into_owned(), true),
        };
        self.files.push(SourceFile {
            name,
            kind,
            text,
            lossy,
        });
    }
}

/// Notes, expectations and reviewed answers lie beside captures and are none.
fn is_beside_the_capture(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let ext = |e: &str| Path::new(&lower).extension().is_some_and(|x| x == e);
    name.starts_with('.')
        || lower.starts_with("flows.")
        || lower.starts_with("notes")
        || lower.starts_with("readme")
        || ext("md")
        || ext("snap")
        || lower.ends_with(".snap.new")
}
