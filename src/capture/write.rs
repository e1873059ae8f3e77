//! A capture as a folder or an archive.

use super::Snapshot;
use super::manifest::{self, Listed, Manifest, Part};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
#[cfg(unix)]
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

/// The manifest of a snapshot, its files and gaps filled in.
pub fn manifest(snapshot: &Snapshot, mut m: Manifest) -> Manifest {
    m.schema = manifest::SCHEMA.into();
    m.by = concat!("nfwhy ", env!("CARGO_PKG_VERSION")).into();
    m.files = snapshot
        .files
        .iter()
        .map(|f| Listed {
            name: f.name.clone(),
            command: manifest::command(&f.name).into(),
        })
        .collect();
    m.unread.clone_from(&snapshot.unread);
    m.remarks.clone_from(&snapshot.remarks);
    m.in_part = snapshot
        .partial
        .iter()
        .map(|p| Part {
            file: p.file.clone(),
            line: p.line,
            why: p.why.clone(),
            assumed_from: p.assumed_from,
        })
        .collect();
    m
}

/// Whether the path names an archive.
pub fn is_archive(path: &Path) -> bool {
    let name = path.to_string_lossy();
    name.ends_with(".tar.gz") || name.ends_with(".tgz")
}

/// A new file. `private`: no other user may read it.
fn new_file(path: &Path, private: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if private {
        options.mode(0o600);
    }
    #[cfg(not(unix))]
    let _ = private;
    options.open(path)
}

/// A new folder, as [`new_file`].
fn new_folder(path: &Path, private: bool) -> io::Result<()> {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "modes are Unix's"))]
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    if private {
        builder.mode(0o700);
    }
    #[cfg(not(unix))]
    let _ = private;
    builder.create(path)
}

/// Writes a new folder, or a new archive where the name ends in `.tar.gz` or `.tgz`. Nothing that is there already is touched: that is an error.
/// Until it is redacted it tells the node's firewall: no other user may read it.
pub fn write(snapshot: &Snapshot, manifest: &Manifest, path: &Path) -> io::Result<()> {
    let mut json = serde_json::to_string_pretty(manifest)?;
    json.push('\n');
    let texts = snapshot
        .files
        .iter()
        .map(|f| (f.name.as_str(), f.text.as_str()));
    let files = texts.chain([(manifest::NAME, json.as_str())]);
    let private = !manifest.redacted;
    if is_archive(path) {
        let file = BufWriter::new(new_file(path, private)?);
        let mut tar = tar::Builder::new(GzEncoder::new(file, Compression::default()));
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        let folder = name
            .strip_suffix(".tar.gz")
            .or_else(|| name.strip_suffix(".tgz"))
            .filter(|n| !n.is_empty())
            .unwrap_or("node");
        for (name, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o600);
            header.set_cksum();
            tar.append_data(&mut header, format!("{folder}/{name}"), text.as_bytes())?;
        }
        tar.into_inner()?.finish()?.flush()
    } else {
        new_folder(path, private)?;
        for (name, text) in files {
            new_file(&path.join(name), private)?.write_all(text.as_bytes())?;
        }
        Ok(())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use nfwhy_parsers::recognise::Kind;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    /// Whether others have any right to it.
    fn open_to_others(path: &Path) -> bool {
        let mode = fs::metadata(path)
            .expect("it was written")
            .permissions()
            .mode();
        mode & 0o077 != 0
    }

    #[test]
    fn what_is_not_redacted_is_its_owners_alone() {
        let base = std::env::temp_dir().join(format!("nfwhy-modes-{}", std::process::id()));
        fs::create_dir_all(&base).expect("a folder for temporary files");
        let mut snapshot = Snapshot::default();
        snapshot.files.push(crate::capture::SourceFile {
            name: "sysctl".to_owned(),
            kind: Kind::Sysctl,
            text: "net.ipv4.ip_forward = 1\n".to_owned(),
            lossy: false,
        });
        for (redacted, name) in [(false, "private"), (true, "public")] {
            let manifest = manifest(
                &snapshot,
                Manifest {
                    redacted,
                    ..Manifest::default()
                },
            );
            let (folder, archive) = (base.join(name), base.join(format!("{name}.tar.gz")));
            for path in [&folder, &archive] {
                write(&snapshot, &manifest, path).expect("a new place");
            }
            for path in [
                folder.clone(),
                folder.join("sysctl"),
                folder.join(super::manifest::NAME),
                archive,
            ] {
                // A redacted one has what the umask leaves.
                if !redacted {
                    assert!(!open_to_others(&path), "{}", path.display());
                }
            }
            let text = fs::read_to_string(folder.join(manifest::NAME)).expect("a manifest");
            let said = format!("\"redacted\": {redacted}");
            assert!(text.contains(&said), "{text}");
        }
        fs::remove_dir_all(&base).expect("it is there");
    }
}
