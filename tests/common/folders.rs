//! The folders of snapshots/.

use std::path::{Path, PathBuf};

/// Those that hold a file, `flows.toml` of one node or `cluster.toml` of several, in order.
pub fn folders(with: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("snapshots");
    let mut out: Vec<PathBuf> = std::fs::read_dir(root)
        .expect("snapshots/ is part of the repository")
        .map(|e| e.expect("a readable entry").path())
        .filter(|p| p.join(with).is_file())
        .collect();
    out.sort();
    out
}
