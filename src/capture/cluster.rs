//! The captures of several nodes: one folder with an entry for each, or one path for each.

use super::bundle::{of_a_node, some_of};
use super::limits::LIMITS;
use super::{CaptureError, Snapshot, SourceFile, is_beside_the_capture};
use nfwhy_parsers::recognise::Kind;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The capture of one network namespace of a cluster.
#[derive(Clone, Debug)]
pub struct Member {
    /// The node's name, that of its entry without extension; of a namespace within a node `NODE/NAME`.
    pub name: String,
    /// Index of the node whose pod's namespace this is.
    pub within: Option<usize>,
    /// Its state.
    pub snapshot: Snapshot,
}

/// Captures of several nodes.
#[derive(Clone, Debug, Default)]
pub struct Captures {
    /// Nodes and namespaces within them; a node stands before its namespaces.
    pub members: Vec<Member>,
    /// Entries that are no node's: logs, notes.
    pub beside: Vec<PathBuf>,
    /// Entries that could not be read, and why.
    pub skipped: Vec<(String, String)>,
}

/// Nodes of one cluster that are looked at.
const NODES: usize = 1000;

/// The folder of a node that holds its pods' namespaces, one folder each.
const NAMESPACES: &str = "netns";

/// What names end with that are archives or texts.
const EXTENSIONS: &[&str] = &[
    ".tar.gz", ".tar.xz", ".tgz", ".txz", ".tar", ".zip", ".gz", ".xz", ".txt", ".log", ".out",
    ".session",
];

impl Captures {
    /// Reads a folder with one folder, bundle, archive or session per node. Objects of Kubernetes and Felix' configuration that lie beside
    /// them are every node's.
    pub fn read(dir: &Path) -> Result<Self, CaptureError> {
        let unreadable = |why| CaptureError::Unreadable {
            path: dir.to_owned(),
            why,
        };
        let mut paths = Vec::new();
        for entry in fs::read_dir(dir).map_err(unreadable)? {
            paths.push(entry.map_err(unreadable)?.path());
            if paths.len() > LIMITS.own {
                return Err(unreadable(io::Error::other(format!(
                    "it holds more than {} entries; give the folder with one entry per node",
                    LIMITS.own
                ))));
            }
        }
        paths.sort();
        let mut all = Self::default();
        let mut objects: Vec<SourceFile> = Vec::new();
        for path in paths {
            all.add_entry(&path, &mut objects)?;
        }
        if all.members.is_empty() {
            let skipped: Vec<String> = all
                .skipped
                .iter()
                .map(|(name, why)| format!("{name}: {why}"))
                .collect();
            return Err(CaptureError::NoNodes {
                path: dir.to_owned(),
                entries: some_of(skipped.iter().map(String::as_str)),
            });
        }
        for m in &mut all.members {
            m.snapshot.files.extend(objects.iter().cloned());
        }
        Ok(all)
    }

    /// Reads one path per node.
    pub fn of_paths(paths: &[PathBuf]) -> Result<Self, CaptureError> {
        let mut all = Self::default();
        for path in paths {
            let snapshot = Snapshot::read(path)?;
            all.add_node(path, snapshot)?;
        }
        Ok(all)
    }

    /// Adds objects of Kubernetes to every node.
    pub fn add_objects(&mut self, path: &Path) -> Result<(), CaptureError> {
        for m in &mut self.members {
            m.snapshot.add_objects(path)?;
        }
        Ok(())
    }

    fn add_entry(
        &mut self,
        path: &Path,
        objects: &mut Vec<SourceFile>,
    ) -> Result<(), CaptureError> {
        let file = file_name(path);
        if is_beside_the_capture(&file) {
            return Ok(());
        }
        let is_dir = fs::metadata(path).is_ok_and(|m| m.is_dir());
        match Snapshot::read(path) {
            Ok(snapshot)
                if snapshot
                    .files
                    .iter()
                    .any(|f| of_a_node(f.kind) && (is_dir || !is_of_the_cluster(f))) =>
            {
                self.add_node(path, snapshot)?;
            }
            Ok(snapshot) if !is_dir => {
                let of_all = |k: Kind| matches!(k, Kind::Kube | Kind::KubeTable);
                // A session may hold objects and a speaker's log.
                let mut kinds = snapshot.files.iter().map(|f| f.kind);
                let evidence = kinds.any(|k| matches!(k, Kind::Speaker | Kind::Arping));
                let mut theirs: Vec<SourceFile> = snapshot.files;
                theirs.retain(|f| of_all(f.kind) || is_of_the_cluster(f));
                if theirs.is_empty() || evidence {
                    self.beside.push(path.to_owned());
                }
                objects.extend(theirs);
            }
            Ok(_) => self
                .skipped
                .push((file, "it shows no state of a node".to_owned())),
            // Logs and what else people put beside captures.
            Err(_) if !is_dir => self.beside.push(path.to_owned()),
            // Two nodes in one entry cannot be told apart by a name.
            Err(e @ CaptureError::SeveralNodes { .. }) => return Err(e),
            Err(e) => self.skipped.push((file, e.to_string())),
        }
        Ok(())
    }

    fn add_node(&mut self, path: &Path, snapshot: Snapshot) -> Result<(), CaptureError> {
        if self.members.len() >= NODES {
            return Err(CaptureError::Unreadable {
                path: path.to_owned(),
                why: io::Error::other(format!("more than {NODES} nodes and namespaces")),
            });
        }
        let name = self.free_name(stem(&file_name(path)));
        // Of a folder with captures of its own the folders below are namespaces.
        let own: BTreeSet<&str> = snapshot.files.iter().map(|f| f.name.as_str()).collect();
        let has_own = own.iter().any(|f| path.join(f).is_file());
        self.members.push(Member {
            name: name.clone(),
            within: None,
            snapshot,
        });
        let node = self.members.len() - 1;
        if has_own {
            self.add_namespaces(path, &name, node)?;
        }
        Ok(())
    }

    fn add_namespaces(&mut self, path: &Path, node: &str, at: usize) -> Result<(), CaptureError> {
        let mut folders = subfolders(path);
        folders.extend(subfolders(&path.join(NAMESPACES)));
        for folder in folders {
            let name = file_name(&folder);
            if name == NAMESPACES {
                continue;
            }
            let Ok(snapshot) = Snapshot::read(&folder) else {
                continue;
            };
            if !snapshot.files.iter().any(|f| of_a_node(f.kind)) {
                continue;
            }
            if self.members.len() >= NODES {
                return Err(CaptureError::Unreadable {
                    path: folder,
                    why: io::Error::other(format!("more than {NODES} nodes and namespaces")),
                });
            }
            let name = self.free_name(&format!("{node}/{name}"));
            self.members.push(Member {
                name,
                within: Some(at),
                snapshot,
            });
        }
        Ok(())
    }

    /// Two paths may end alike.
    fn free_name(&self, name: &str) -> String {
        let taken = |n: &str| self.members.iter().any(|m| m.name == n);
        let mut free = name.to_owned();
        let mut n = 2;
        while taken(&free) {
            free = format!("{name}-{n}");
            n += 1;
        }
        free
    }

    /// The logs and the like that lie beside the captures. Of a cluster's folder it is not asked that all in it can be read.
    pub fn beside_as_snapshot(&self) -> Snapshot {
        let mut beside = Snapshot::default();
        for path in &self.beside {
            if let Some(text) = Self::text_beside(path) {
                let name = path.file_name().map(|n| n.to_string_lossy().into_owned());
                beside.add(name.unwrap_or_default(), text.into_bytes());
            }
        }
        beside.skipped.clear();
        beside
    }

    /// The text of an entry beside the captures; `None` where it cannot be read or is no text.
    pub fn text_beside(path: &Path) -> Option<String> {
        let bytes = super::large::read(path, LIMITS.file).ok()?;
        (!bytes.contains(&0)).then(|| String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Felix' configuration is no node's: it says how all nodes treat answers, where they do not say otherwise.
fn is_of_the_cluster(f: &SourceFile) -> bool {
    if f.kind != Kind::CalicoBpf {
        return false;
    }
    let m = nfwhy_parsers::calico_bpf::parse(&f.name, &f.text).value;
    let maps = m.frontends.len() + m.backends.len() + m.affinities.len();
    maps + m.routes.len() + m.flows.len() == 0 && m.modes.iter().all(|m| !m.env)
}

fn subfolders(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else {
        return Vec::new();
    };
    let mut out: Vec<PathBuf> = entries
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.is_dir())
        .take(NODES)
        .collect();
    out.sort();
    out
}

/// A name without the extensions of archives and texts.
fn stem(name: &str) -> &str {
    EXTENSIONS
        .iter()
        .find_map(|e| name.strip_suffix(e))
        .filter(|s| !s.is_empty())
        .unwrap_or(name)
}

fn file_name(p: &Path) -> String {
    p.file_name().map_or_else(
        || p.display().to_string(),
        |n| n.to_string_lossy().into_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::{Captures, stem};
    use std::fs;
    use std::path::{Path, PathBuf};

    /// A folder that goes with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let id = std::process::id();
            let path = std::env::temp_dir().join(format!("nfwhy-cluster-{name}-{id}"));
            fs::create_dir_all(&path).expect("made");
            Self(path)
        }

        fn path(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const LINK: &str = "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN group default qlen 1000\n    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00\n    inet 127.0.0.1/8 scope host lo\n       valid_lft forever preferred_lft forever\n";

    #[test]
    fn names_are_those_of_the_entries_without_extension() {
        assert_eq!(stem("node-1.example.org.tar.gz"), "node-1.example.org");
        assert_eq!(stem("node-1.example.org"), "node-1.example.org");
        assert_eq!(stem(".txt"), ".txt");
    }

    #[test]
    fn nodes_namespaces_and_what_lies_beside() {
        let dir = Folder::new("nodes");
        let put = |path: &str, text: &str| {
            let p = dir.path().join(path);
            fs::create_dir_all(p.parent().expect("has one")).expect("made");
            fs::write(p, text).expect("written");
        };
        put("a/ip-addr.txt", LINK);
        put("a/svclb/ip-addr.txt", LINK);
        put("a/netns/web/ip-addr.txt", LINK);
        put("b.txt", &format!("root@b:~# ip addr\n{LINK}root@b:~# \n"));
        put("speaker.log", "{\"event\":\"serviceAnnounced\"}\n");
        put("flows.toml", "flow = []\n");
        put("empty/notes.txt", "nothing\n");
        let all = Captures::read(dir.path()).expect("it is a cluster");
        let names: Vec<(&str, Option<usize>)> = all
            .members
            .iter()
            .map(|m| (m.name.as_str(), m.within))
            .collect();
        assert_eq!(
            names,
            [
                ("a", None),
                ("a/svclb", Some(0)),
                ("a/web", Some(0)),
                ("b", None)
            ]
        );
        assert_eq!(all.beside, [dir.path().join("speaker.log")]);
        assert_eq!(all.skipped.len(), 1, "{:?}", all.skipped);
    }

    #[test]
    fn felix_configuration_beside_the_nodes_is_every_nodes() {
        let dir = Folder::new("felix");
        let put = |path: &str, text: &str| {
            let p = dir.path().join(path);
            fs::create_dir_all(p.parent().expect("has one")).expect("made");
            fs::write(p, text).expect("written");
        };
        for node in ["a", "b"] {
            put(&format!("{node}/ip-addr.txt"), LINK);
        }
        put(
            "felixconfiguration.yaml",
            "kind: FelixConfiguration\nmetadata:\n  name: default\nspec:\n  bpfExternalServiceMode: DSR\n",
        );
        let all = Captures::read(dir.path()).expect("it is a cluster");
        assert_eq!(all.members.len(), 2);
        for m in &all.members {
            let node = crate::node::Node::new(&m.snapshot);
            assert_eq!(
                node.calico.answers().map(|a| a.dsr),
                Some(true),
                "{}",
                m.name
            );
        }
    }

    #[test]
    fn a_folder_without_nodes_is_an_error_that_says_what_is_there() {
        let dir = Folder::new("none");
        fs::create_dir(dir.path().join("x")).expect("made");
        fs::write(dir.path().join("x/notes.txt"), "nothing").expect("written");
        let e = Captures::read(dir.path()).expect_err("no node").to_string();
        assert!(e.contains("no node") && e.contains("x: "), "{e}");
    }
}
