//! A capture as a folder or an archive.

use super::Snapshot;
use super::manifest::{self, Listed, Manifest};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
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
    m
}

/// Whether the path names an archive.
pub fn is_archive(path: &Path) -> bool {
    let name = path.to_string_lossy();
    name.ends_with(".tar.gz") || name.ends_with(".tgz")
}

/// Writes a new folder, or a new archive where the name ends in `.tar.gz` or `.tgz`. Nothing that is there already is touched: that is an error.
pub fn write(snapshot: &Snapshot, manifest: &Manifest, path: &Path) -> io::Result<()> {
    let mut json = serde_json::to_string_pretty(manifest)?;
    json.push('\n');
    let texts = snapshot
        .files
        .iter()
        .map(|f| (f.name.as_str(), f.text.as_str()));
    let files = texts.chain([(manifest::NAME, json.as_str())]);
    if is_archive(path) {
        let file = BufWriter::new(File::create_new(path)?);
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
        fs::create_dir(path)?;
        for (name, text) in files {
            fs::write(path.join(name), text)?;
        }
        Ok(())
    }
}
