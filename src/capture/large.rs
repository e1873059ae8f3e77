//! Reading large files: a rule set of 30 MB is 7,000 pages of memory, and asking the kernel for them one by one takes longer than
//! copying the file into them.

use super::limits::human;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// What a huge page holds on `x86_64` and, with 4 KiB pages, on arm64.
const HUGE: usize = 2 << 20;

/// Reads a whole file of up to `limit` bytes; a larger one is an error, also one that grows while it is read.
pub(super) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    // A hint only: files below /proc say 0.
    let size = file
        .metadata()
        .map_or(0, |m| usize::try_from(m.len()).unwrap_or(0));
    let too_large = || io::Error::other(format!("larger than {}", human(limit)));
    if size as u64 > limit {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(size)
        .map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    if size >= 2 * HUGE {
        in_huge_pages(&mut bytes);
    }
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(too_large());
    }
    Ok(bytes)
}

/// Asks that the vector's memory be made of huge pages, which matters where `/sys/kernel/mm/transparent_hugepage/enabled` says
/// `madvise`, as most distributions have it. A wish: nothing depends on its being granted.
#[expect(
    unsafe_code,
    reason = "madvise takes an address; MADV_HUGEPAGE changes no content and no mapping"
)]
fn in_huge_pages(bytes: &mut Vec<u8>) {
    let spare = bytes.spare_capacity_mut();
    let skip = spare.as_ptr().align_offset(HUGE);
    let Some(aligned) = spare.get_mut(skip..) else {
        return;
    };
    let len = aligned.len() / HUGE * HUGE;
    if let Some(start) = std::ptr::NonNull::new(aligned.as_mut_ptr().cast())
        && len > 0
    {
        // SAFETY: the range lies within memory that this vector owns, and the advice leaves its content as it is
        // (`madvise_behavior` in mm/madvise.c: it sets VM_HUGEPAGE on the mapping).
        let _ = unsafe {
            nix::sys::mman::madvise(start, len, nix::sys::mman::MmapAdvise::MADV_HUGEPAGE)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_and_small_files_are_read_whole() {
        for len in [0, 10, 5 * HUGE + 12_345] {
            let content: Vec<u8> = (0..=250u8).cycle().take(len).collect();
            let path = std::env::temp_dir().join(format!("nfwhy-{}-{len}", std::process::id()));
            std::fs::write(&path, &content).expect("a writable temporary folder");
            let got = read(&path, u64::MAX).expect("the file just written");
            std::fs::remove_file(&path).expect("it is there");
            assert!(got == content, "{len} bytes");
        }
        // A file whose length is not known beforehand.
        let status = read(Path::new("/proc/self/status"), 1 << 20).expect("procfs");
        assert!(status.starts_with(b"Name:"));
    }

    #[test]
    fn a_file_beyond_the_limit_is_an_error_whatever_length_it_claims() {
        // procfs says 0; /dev/zero says 0 and has no end.
        for path in ["/proc/self/status", "/dev/zero"] {
            let e = read(Path::new(path), 100).expect_err("larger");
            assert_eq!(e.to_string(), "larger than 100 bytes");
        }
    }
}
