//! procfs, also where nobody mounted it: in a container without a file system of its own.
//!
//! A mount that stands nowhere (`fsopen`, `fsmount`; Linux 5.2, `CAP_SYS_ADMIN`) is seen by its descriptor's holder alone, and goes with the
//! descriptor. It is the working directory of the thread that reads, which shares its own with no other thread.

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::fchdir;
use std::cell::Cell;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread::ScopedJoinHandle;

thread_local! {
    /// Whether the thread's working directory is a procfs of its own.
    static DETACHED: Cell<bool> = const { Cell::new(false) };
}

/// The path of a file of procfs, for this thread.
pub(super) fn path(file: &str) -> PathBuf {
    if DETACHED.get() {
        Path::new(".").join(file)
    } else {
        Path::new("/proc").join(file)
    }
}

/// Calls `read` on a thread, in the network namespace of this one, that has a procfs: on this one, where it is mounted. Where none can be
/// had, it is called all the same.
pub(super) fn with<T: Send>(read: impl Fn() -> T + Sync) -> T {
    if Path::new("/proc/thread-self/net").exists() {
        return read();
    }
    std::thread::scope(|scope| {
        let detached = std::thread::Builder::new().spawn_scoped(scope, || {
            // For others the working directory stays what it is.
            unshare(CloneFlags::CLONE_FS).ok()?;
            fchdir(mount().ok()?).ok()?;
            DETACHED.set(true);
            Some(read())
        });
        match detached.map(ScopedJoinHandle::join) {
            Ok(Ok(Some(read))) => read,
            Ok(Ok(None)) | Err(_) => read(),
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
        }
    })
}

/// `FSOPEN_CLOEXEC` and `FSMOUNT_CLOEXEC`.
const CLOEXEC: libc::c_long = 1;
/// `FSCONFIG_CMD_CREATE`
const CREATE: libc::c_long = 6;
/// `MOUNT_ATTR_RDONLY`, `_NOSUID`, `_NODEV`, `_NOEXEC`.
const ATTRIBUTES: libc::c_long = 0xf;

fn mount() -> Result<OwnedFd, Errno> {
    let name = c"proc".as_ptr().expose_provenance();
    let name = libc::c_long::try_from(name).map_err(|_| Errno::EFAULT)?;
    let context = owned(call(libc::SYS_fsopen, [name, CLOEXEC, 0, 0, 0])?)?;
    let fd = context.as_raw_fd().into();
    call(libc::SYS_fsconfig, [fd, CREATE, 0, 0, 0])?;
    owned(call(libc::SYS_fsmount, [fd, CLOEXEC, ATTRIBUTES, 0, 0])?)
}

#[expect(unsafe_code, reason = "neither libc nor nix has these calls")]
fn call(number: libc::c_long, a: [libc::c_long; 5]) -> Result<libc::c_long, Errno> {
    // SAFETY: the one address that is handed over is that of a constant string, which the kernel reads; all else are numbers.
    Errno::result(unsafe { libc::syscall(number, a[0], a[1], a[2], a[3], a[4]) })
}

#[expect(unsafe_code, reason = "these calls give a bare descriptor")]
fn owned(fd: libc::c_long) -> Result<OwnedFd, Errno> {
    let fd = i32::try_from(fd).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just made this descriptor for the caller, and nothing else holds it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
