//! Archives of a capture: tar, plain or through gzip.

use flate2::read::MultiGzDecoder;
use std::io::{self, Read};
use tar::Archive;

/// What an archive may unpack to; a node with 10,000 Services takes 60 MB.
const LIMIT: u64 = 2 << 30;

/// The files of the archive's topmost folder that has any.
#[derive(Debug, Default)]
pub(super) struct Unpacked {
    /// Name within their folder, and content.
    pub files: Vec<(String, Vec<u8>)>,
    /// Other folders with files, where there is more than one: nodes of their own.
    pub folders: Vec<String>,
}

/// Unpacks in memory; `None` where the bytes are no archive.
pub(super) fn unpack(bytes: &[u8]) -> io::Result<Option<Unpacked>> {
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return files(MultiGzDecoder::new(bytes)).map(Some);
    }
    // "ustar" of POSIX and of GNU.
    if bytes.get(257..262) == Some(b"ustar") {
        return files(bytes).map(Some);
    }
    Ok(None)
}

fn files(packed: impl Read) -> io::Result<Unpacked> {
    let mut archive = Archive::new(packed.take(LIMIT));
    let mut all: Vec<(Vec<String>, String, Vec<u8>)> = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path()?;
        let mut parts: Vec<String> = path
            .iter()
            .map(|p| p.to_string_lossy().into_owned())
            .filter(|p| p != "." && p != "/")
            .collect();
        let Some(name) = parts.pop() else { continue };
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        all.push((parts, name, content));
    }
    let depth = all.iter().map(|(folders, _, _)| folders.len()).min();
    let mut top: Vec<Vec<String>> = Vec::new();
    for (folders, _, _) in &all {
        if Some(folders.len()) == depth && !top.contains(folders) {
            top.push(folders.clone());
        }
    }
    let mut out = Unpacked::default();
    if let [one] = top.as_slice() {
        let own = |(folders, _, _): &(Vec<String>, String, Vec<u8>)| folders == one;
        out.files = all
            .into_iter()
            .filter(own)
            .map(|(_, name, content)| (name, content))
            .collect();
        out.files.sort_by(|a, b| a.0.cmp(&b.0));
    } else {
        out.folders = top.iter().map(|f| f.join("/")).collect();
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    fn tar(files: &[(&str, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            builder
                .append_data(&mut header, name, text.as_bytes())
                .expect("memory");
        }
        builder.into_inner().expect("memory")
    }

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        io::Write::write_all(&mut encoder, bytes).expect("memory");
        encoder.finish().expect("memory")
    }

    #[test]
    fn the_topmost_folder_with_files_is_the_node() {
        let plain = tar(&[
            ("./node/a", "1"),
            ("./node/b", "2"),
            ("./node/netns/c", "3"),
        ]);
        for bytes in [plain.clone(), gz(&plain)] {
            let u = unpack(&bytes).expect("an archive").expect("an archive");
            let files: Vec<(&str, &[u8])> =
                u.files.iter().map(|(n, c)| (n.as_str(), &c[..])).collect();
            assert_eq!(files, [("a", &b"1"[..]), ("b", &b"2"[..])]);
            assert!(u.folders.is_empty());
        }
    }

    #[test]
    fn several_folders_are_several_nodes() {
        let u = unpack(&tar(&[("n1/a", "1"), ("n2/a", "2")]))
            .expect("an archive")
            .expect("an archive");
        assert!(u.files.is_empty());
        assert_eq!(u.folders, ["n1", "n2"]);
    }

    #[test]
    fn text_is_no_archive_and_a_damaged_archive_is_an_error() {
        assert!(unpack(b"*nat\nCOMMIT\n").expect("text").is_none());
        let mut bytes = gz(&tar(&[("n1/a", "1")]));
        bytes.truncate(bytes.len() / 2);
        assert!(unpack(&bytes).is_err());
    }
}
