//! Limits, made small.

use super::*;
use std::os::unix::fs::symlink;

const ROUTES: &[u8] =
    b"default via 10.0.0.1 dev eth0\n10.0.0.0/24 dev eth0 proto kernel scope link src 10.0.0.2\n";

/// A folder that goes when the test does.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("nfwhy-read-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a writable temporary folder");
        Self(path)
    }

    fn with(self, name: &str, bytes: &[u8]) -> Self {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().expect("below the folder")).expect("writable");
        fs::write(path, bytes).expect("writable");
        self
    }

    fn read(&self, limits: &Limits) -> Result<Snapshot, CaptureError> {
        folder(&self.0, &Wanted::default(), limits)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[track_caller]
fn fails(read: Result<Snapshot, CaptureError>, says: &str) {
    let e = read.expect_err("beyond a limit").to_string();
    assert!(e.contains(says), "{e}");
}

#[track_caller]
fn skips(read: Result<Snapshot, CaptureError>, name: &str, says: &str) {
    let snapshot = read.expect("something was read");
    assert_eq!(snapshot.files.len(), 1, "{:?}", snapshot.files);
    let skipped = &snapshot.skipped;
    assert!(
        skipped
            .iter()
            .any(|(n, why)| n == name && why.contains(says)),
        "{skipped:?}"
    );
}

#[test]
fn a_folder_of_very_many_files_is_no_snapshot() {
    let limits = Limits { own: 3, ..LIMITS };
    let f = Folder::new("many")
        .with("a", ROUTES)
        .with("b", b"")
        .with("c", b"");
    assert!(f.read(&limits).is_ok());
    fails(f.with("d", b"").read(&limits), "more than 3 files");
}

#[test]
fn a_file_beyond_the_limit_is_named_and_the_others_are_read() {
    let limits = Limits {
        file: 200,
        ..LIMITS
    };
    let large = b"0:\tfrom all lookup local\n".repeat(20);
    let f = Folder::new("large")
        .with("routes", ROUTES)
        .with("rules", &large);
    skips(f.read(&limits), "rules", "larger than 200 bytes");
    // Of a bundle too, whether or not it was looked for in subfolders.
    let f = Folder::new("large-below")
        .with("x/routes", ROUTES)
        .with("x/rules", &large);
    skips(f.read(&limits), "x/rules", "larger than 200 bytes");
}

#[test]
fn all_captures_together_have_a_limit() {
    let limits = Limits {
        kept: 150,
        ..LIMITS
    };
    let f = Folder::new("sum").with("a", ROUTES).with("b", ROUTES);
    skips(f.read(&limits), "b", "larger than");
    let f = Folder::new("sum-below")
        .with("x/a", ROUTES)
        .with("x/b", ROUTES);
    fails(f.read(&limits), "larger than 150 bytes together");
}

#[test]
fn a_node_of_very_many_captures_is_none() {
    let limits = Limits {
        captures: 2,
        ..LIMITS
    };
    let f = Folder::new("captures")
        .with("x/a", ROUTES)
        .with("x/b", ROUTES);
    assert!(f.read(&limits).is_ok());
    fails(f.with("x/c", ROUTES).read(&limits), "more than 2 captures");
}

#[test]
fn the_walk_has_limits_of_number_and_depth() {
    let limits = Limits {
        entries: 4,
        ..LIMITS
    };
    let f = Folder::new("walk")
        .with("x/y/a", ROUTES)
        .with("x/b.bin", b"\0");
    assert!(f.read(&limits).is_ok());
    fails(
        f.with("x/c", b"").read(&limits),
        "more than 4 files and folders",
    );
    let limits = Limits { depth: 3, ..LIMITS };
    assert!(
        Folder::new("deep")
            .with("1/2/a", ROUTES)
            .read(&limits)
            .is_ok()
    );
    let f = Folder::new("deeper").with("1/2/3/a", ROUTES);
    fails(f.read(&limits), "no files");
}

#[test]
fn links_in_a_bundle_are_not_followed() {
    let f = Folder::new("links")
        .with("x/routes", ROUTES)
        .with("secret", b"0:\tfrom all lookup local\n");
    symlink(&f.0, f.0.join("x/round")).expect("a link");
    symlink(f.0.join("secret"), f.0.join("x/rules")).expect("a link");
    let sub = f.0.join("x");
    fs::create_dir(f.0.join("y")).expect("writable");
    fs::rename(sub, f.0.join("y/x")).expect("writable");
    let snapshot = folder(&f.0.join("y"), &Wanted::default(), &LIMITS).expect("routes");
    let names: Vec<&str> = snapshot.files.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["routes"]);
}

/// A log may be of any size, and is not held.
#[test]
fn what_is_no_capture_does_not_count() {
    let limits = Limits {
        kept: 1000,
        session: 100,
        ..LIMITS
    };
    let log = b"Nov 26 node1 kubelet[1]: all is well\n".repeat(100);
    let f = Folder::new("log")
        .with("x/routes", ROUTES)
        .with("x/out.txt", &log);
    let snapshot = f.read(&limits).expect("routes");
    assert_eq!(snapshot.files.len(), 1);
}

#[test]
fn an_archive_in_a_bundle_is_named_and_not_opened() {
    let f = Folder::new("nested").with(
        "x/node1.tar.gz",
        &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0, 0],
    );
    fails(
        f.read(&LIMITS),
        "archives within it are not opened: x/node1.tar.gz",
    );
}
