//! From a path to a snapshot: a folder, a file, an archive, a bundle, or a place within one.

use super::archive::{self, Entry, Packing, shown};
use super::bundle::{Gatherer, Wanted, some_of};
use super::limits::{LIMITS, Limits, human};
use super::{CaptureError, Snapshot, UNKNOWN, is_beside_the_capture, large};
use nfwhy_parsers::recognise::Kind;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

impl Snapshot {
    /// Reads a folder's own files (its subfolders are other nodes), an archive of such a folder, a single file, a sosreport or
    /// another bundle with one node's captures somewhere in it; `BUNDLE/FOLDER` is a folder within an archive.
    pub fn read(path: &Path) -> Result<Self, CaptureError> {
        Self::read_of(path, None)
    }

    /// The same of another network namespace that a bundle shows.
    pub fn read_of(path: &Path, netns: Option<&str>) -> Result<Self, CaptureError> {
        let (outer, inside) = split(path)?;
        let wanted = Wanted {
            inside,
            netns: netns.map(str::to_owned),
        };
        let meta = fs::metadata(&outer).map_err(|e| unreadable(&outer, e))?;
        if meta.is_dir() {
            return folder(&outer, &wanted, &LIMITS);
        }
        if !meta.is_file() {
            return Err(unreadable(
                &outer,
                io::Error::other("it is neither a file nor a folder"),
            ));
        }
        let bytes = large::read(&outer, LIMITS.kept).map_err(|e| unreadable(&outer, e))?;
        bytes_of(&outer, file_name(&outer), bytes, &wanted, &LIMITS)
    }

    /// Reads an archive or text from a stream.
    pub fn read_stream(stream: impl Read, netns: Option<&str>) -> Result<Self, CaptureError> {
        let path = Path::new(super::STDIN);
        let mut bytes = Vec::new();
        stream
            .take(LIMITS.kept + 1)
            .read_to_end(&mut bytes)
            .map_err(|e| unreadable(path, e))?;
        if bytes.len() as u64 > LIMITS.kept {
            let e = io::Error::other(format!("it is larger than {}", human(LIMITS.kept)));
            return Err(unreadable(path, e));
        }
        if bytes.is_empty() {
            return Err(unreadable(path, io::Error::other("nothing came from it")));
        }
        let wanted = Wanted {
            netns: netns.map(str::to_owned),
            ..Wanted::default()
        };
        bytes_of(path, "stdin".into(), bytes, &wanted, &LIMITS)
    }

    fn add_path(&mut self, path: &Path, name: String, limits: &Limits, left: &mut u64) {
        if is_beside_the_capture(&name) {
            return;
        }
        // A pipe would wait for a writer for ever, a device may have no end.
        if fs::metadata(path).is_ok_and(|m| !m.is_file()) {
            self.skipped.push((name, "not a regular file".into()));
            return;
        }
        match large::read(path, limits.file.min(*left)) {
            Ok(bytes) => {
                *left -= bytes.len() as u64;
                self.add(name, bytes);
            }
            Err(e) => self.skipped.push((name, format!("cannot be read: {e}"))),
        }
    }

    /// Ends a reading: there is something in it, or an error.
    fn finished(mut self, path: &Path) -> Result<Self, CaptureError> {
        // What calicoctl node diags puts beside its captures, and people do.
        const BESIDE: &[&str] = &[
            "date",
            "hostname",
            "journalctl_calico_node",
            "netstat",
            "uname",
        ];
        self.settle();
        if self.files.iter().any(|f| f.kind != Kind::Empty) {
            self.skipped
                .retain(|(name, why)| why != UNKNOWN || !BESIDE.contains(&name.as_str()));
            return Ok(self);
        }
        let empty = self.files.iter().map(|f| format!("{}: empty", f.name));
        let skipped = self.skipped.iter().map(|(n, why)| format!("{n}: {why}"));
        let files: Vec<String> = empty.chain(skipped).collect();
        Err(CaptureError::NothingRecognised {
            path: path.to_owned(),
            files: some_of(files.iter().map(String::as_str)),
        })
    }
}

fn unreadable(path: &Path, why: io::Error) -> CaptureError {
    CaptureError::Unreadable {
        path: path.to_owned(),
        why,
    }
}

/// The path of what is there, and what is behind it: a place within an archive.
fn split(path: &Path) -> Result<(PathBuf, Vec<String>), CaptureError> {
    let Err(first) = fs::metadata(path) else {
        return Ok((path.to_owned(), Vec::new()));
    };
    for above in path.ancestors().skip(1) {
        if fs::metadata(above).is_ok_and(|m| m.is_file())
            && let Ok(rest) = path.strip_prefix(above)
        {
            let parts = rest.iter().map(|p| p.to_string_lossy().into_owned());
            return Ok((above.to_owned(), parts.filter(|p| p != ".").collect()));
        }
    }
    Err(unreadable(path, first))
}

/// A file's bytes: an archive, or text.
fn bytes_of(
    path: &Path,
    name: String,
    bytes: Vec<u8>,
    wanted: &Wanted,
    limits: &Limits,
) -> Result<Snapshot, CaptureError> {
    let Some(packing) = archive::packing(&bytes) else {
        if let ([machine], None) = (wanted.inside.as_slice(), &wanted.netns) {
            let text = String::from_utf8_lossy(&bytes);
            let machines = super::transcript::machines(&text);
            if super::transcript::is_machine(&machines, machine) {
                let mut snapshot = Snapshot::default();
                snapshot.add_of(name, bytes, Some(machine));
                return snapshot.finished(path);
            }
            if !machines.is_empty() {
                return Err(CaptureError::NotInBundle {
                    path: path.to_owned(),
                    what: format!(
                        "no output of {machine}; it shows {}",
                        some_of(machines.iter().map(String::as_str))
                    ),
                });
            }
        }
        if !wanted.inside.is_empty() || wanted.netns.is_some() {
            return Err(CaptureError::NotInBundle {
                path: path.to_owned(),
                what: "nothing else: it is a file and no archive".into(),
            });
        }
        let mut snapshot = Snapshot::default();
        if bytes.len() as u64 > limits.file {
            return Err(unreadable(path, too_large(limits.file)));
        }
        snapshot.add(name, bytes);
        return snapshot.finished(path);
    };
    unpack(path, &name, &bytes, packing, wanted, limits)
}

/// What the unpackers say of an archive that is not whole is said in their terms.
fn damaged(e: io::Error) -> io::Error {
    match e.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            io::Error::new(e.kind(), format!("the archive is cut or damaged ({e})"))
        }
        // The crate tar has no kind for these.
        io::ErrorKind::Other if ["archive", "EOF"].iter().any(|w| e.to_string().contains(w)) => {
            io::Error::other(format!("the archive is cut or damaged ({e})"))
        }
        _ => e,
    }
}

fn too_large(limit: u64) -> io::Error {
    io::Error::other(format!("larger than {}", human(limit)))
}

fn unpack(
    path: &Path,
    name: &str,
    bytes: &[u8],
    packing: Packing,
    wanted: &Wanted,
    limits: &Limits,
) -> Result<Snapshot, CaptureError> {
    let mut gatherer = Gatherer::new(limits);
    let mut single = None;
    let done = archive::entries(bytes, packing, limits, &mut |at, entry| match entry {
        Entry::Link(to) => {
            linked(&mut gatherer, at, to);
            Ok(())
        }
        Entry::File(content, size) if !at.is_empty() => gatherer.read(at, content, size),
        Entry::File(content, _) => {
            let mut bytes = Vec::new();
            content.take(limits.file + 1).read_to_end(&mut bytes)?;
            if bytes.len() as u64 > limits.file {
                return Err(too_large(limits.file));
            }
            single = Some(bytes);
            Ok(())
        }
    });
    done.map_err(|e| unreadable(path, damaged(e)))?;
    if let Some(bytes) = single {
        // `iptables-save.gz`, or an archive within: that is not followed.
        let mut snapshot = Snapshot::default();
        let name = [".gz", ".xz"]
            .iter()
            .find_map(|e| name.strip_suffix(e))
            .unwrap_or(name);
        snapshot.add(name.to_owned(), bytes);
        return snapshot.finished(path);
    }
    gatherer.pick(path, wanted)?.finished(path)
}

/// What sos does with output beyond its limit: the end of it is kept elsewhere, and a link leads there.
fn linked(gatherer: &mut Gatherer<'_>, at: &[String], to: &str) {
    if Path::new(to).extension().is_some_and(|e| e == "tailed") {
        gatherer.skip(at, "sos kept only the end of it; it is not used");
    }
}

/// A folder: a node's captures in it, or a bundle.
fn folder(path: &Path, wanted: &Wanted, limits: &Limits) -> Result<Snapshot, CaptureError> {
    let mut files = Vec::new();
    let mut subfolders = Vec::new();
    for entry in fs::read_dir(path).map_err(|e| unreadable(path, e))? {
        let p = entry.map_err(|e| unreadable(path, e))?.path();
        if p.is_dir() {
            subfolders.push(file_name(&p));
        } else {
            files.push(p);
        }
        if files.len() + subfolders.len() > limits.own {
            let e = io::Error::other(format!(
                "it holds more than {} files; give the folder with a node's captures",
                limits.own
            ));
            return Err(unreadable(path, e));
        }
    }
    files.sort();
    subfolders.sort();
    let sos = subfolders.iter().any(|f| f == "sos_commands");
    let mut snapshot = Snapshot::default();
    if !sos && wanted.netns.is_none() {
        let mut left = limits.kept;
        for p in files {
            snapshot.add_path(&p, file_name(&p), limits, &mut left);
        }
        if !snapshot.files.is_empty() {
            return snapshot.finished(path);
        }
    }
    let mut gatherer = Gatherer::new(limits);
    let mut walk = Walk { limits, entries: 0 };
    walk.folder(path, &mut Vec::new(), &mut gatherer)
        .map_err(|e| unreadable(path, e))?;
    if !gatherer.found_any() && wanted.netns.is_none() {
        // Nothing anywhere: what is wrong is said of its own files.
        if snapshot.skipped.is_empty() {
            return Err(CaptureError::Empty {
                path: path.to_owned(),
                subfolders,
            });
        }
        return snapshot.finished(path);
    }
    gatherer.pick(path, wanted)?.finished(path)
}

/// A walk through a bundle's folders.
struct Walk<'l> {
    limits: &'l Limits,
    entries: u64,
}

impl Walk<'_> {
    /// Links are not followed: they would lead round in circles, or out of the bundle to files of this machine.
    fn folder(
        &mut self,
        path: &Path,
        at: &mut Vec<String>,
        gatherer: &mut Gatherer<'_>,
    ) -> io::Result<()> {
        let mut entries = Vec::new();
        let listing = match fs::read_dir(path) {
            Ok(l) => l,
            // Of the bundle's own folder this was said already.
            Err(_) if !at.is_empty() => return Ok(()),
            Err(e) => return Err(e),
        };
        for entry in listing {
            self.entries += 1;
            if self.entries > self.limits.entries {
                return Err(io::Error::other(format!(
                    "it holds more than {} files and folders",
                    self.limits.entries
                )));
            }
            let entry = entry?;
            entries.push((entry.file_name(), entry.file_type()?));
        }
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, kind) in entries {
            let p = path.join(&name);
            at.push(shown(&name.to_string_lossy()));
            if kind.is_dir() {
                if at.len() < self.limits.depth {
                    self.folder(&p, at, gatherer)?;
                }
            } else if kind.is_symlink() {
                if let Ok(to) = fs::read_link(&p) {
                    linked(gatherer, at, &to.to_string_lossy());
                }
            } else if kind.is_file() {
                match fs::File::open(&p).and_then(|f| Ok((f.metadata()?.len(), f))) {
                    Ok((size, mut f)) => gatherer.read(at, &mut f, size)?,
                    Err(e) => gatherer.skip(at, &format!("cannot be read: {e}")),
                }
            }
            at.pop();
        }
        Ok(())
    }
}

fn file_name(p: &Path) -> String {
    p.file_name().map_or_else(
        || p.display().to_string(),
        |n| n.to_string_lossy().into_owned(),
    )
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
