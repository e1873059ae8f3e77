//! What reading may cost. A capture comes from a stranger's ticket: its size must be found out by reading, and reading must end.

/// The limits of one reading.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes that an archive may unpack to, kept or not. A cluster's must-gather is 1 to 3 GB; a bomb of gzip makes 1,000 bytes of
    /// one, and what it makes is thrown away, so this bounds the time.
    pub unpacked: u64,
    /// Bytes of one file. The rule set of a node with 10,000 Services is 30 MB.
    pub file: u64,
    /// Bytes of all captures together; this bounds the memory.
    pub kept: u64,
    /// Files and folders of an archive or a bundle's folder. A large sosreport has 60,000.
    pub entries: u64,
    /// Files of a snapshot's own folder, which are all read: a node is captured in twenty.
    pub own: usize,
    /// Captures of one node.
    pub captures: usize,
    /// Folders within folders.
    pub depth: usize,
    /// Bytes of a path within an archive: `PATH_MAX` of include/uapi/linux/limits.h. tar itself sets none.
    pub path: u64,
    /// Bytes of the dictionary that an xz stream may ask for. `xz -9` takes 64 MiB, the format allows 4 GiB.
    pub dictionary: usize,
    /// Packets of one capture; some 30 MB of text. What an answer needs of one is its connection's.
    pub packets: u32,
    /// Bytes of a file within a bundle that is known by no command's output, and may still be a pasted session.
    pub session: usize,
}

/// The limits in force.
pub(super) const LIMITS: Limits = Limits {
    unpacked: 4 << 30,
    file: 512 << 20,
    kept: 1 << 30,
    entries: 500_000,
    own: 10_000,
    captures: 2_000,
    depth: 32,
    path: 4096,
    dictionary: 128 << 20,
    packets: 200_000,
    session: 4 << 20,
};

/// A size as people say it.
pub(super) fn human(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    for (shift, unit) in units {
        if bytes >= 1 << shift {
            return format!("{} {unit}", bytes >> shift);
        }
    }
    format!("{bytes} bytes")
}
