//! Folders and archives as a test makes them.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder that goes when the test does.
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "bundle-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).expect("the target folder can be written");
        Self { path }
    }

    pub fn at(&self, name: &str) -> String {
        self.path.join(name).to_string_lossy().into_owned()
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file, and makes its folders.
    pub fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.path.join(name);
        fs::create_dir_all(path.parent().expect("it is within the folder")).expect("writable");
        fs::write(&path, bytes).expect("writable");
        path.to_string_lossy().into_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Files by path.
#[derive(Clone, Default)]
pub struct Packed {
    pub files: Vec<(String, Vec<u8>)>,
}

impl Packed {
    pub fn add(&mut self, path: &str, bytes: impl Into<Vec<u8>>) {
        self.files.push((path.to_owned(), bytes.into()));
    }

    /// All of them below a folder.
    pub fn below(self, folder: &str) -> Self {
        let files = self.files.into_iter();
        Self {
            files: files.map(|(p, b)| (format!("{folder}/{p}"), b)).collect(),
        }
    }

    pub fn and(mut self, other: Self) -> Self {
        self.files.extend(other.files);
        self
    }

    pub fn folder(&self) -> Folder {
        let folder = Folder::new();
        for (path, bytes) in &self.files {
            folder.write(path, bytes);
        }
        folder
    }

    pub fn tar(&self) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, bytes) in &self.files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            builder
                .append_data(&mut header, path, bytes.as_slice())
                .expect("memory");
        }
        builder.into_inner().expect("memory")
    }
}

pub fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// Through the program `xz`; nothing where there is none.
pub fn xz(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut child = Command::new("xz")
        .args(["-3", "-c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take()?;
    let bytes = bytes.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(&bytes));
    let output = child.wait_with_output().ok()?;
    writer.join().ok()?.ok()?;
    output.status.success().then_some(output.stdout)
}
