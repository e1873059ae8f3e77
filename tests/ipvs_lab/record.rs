//! What the guest hands out: one line of JSON for each scenario.

use nfwhy::capture::Unread;
use serde::{Deserialize, Serialize};

/// A rule that counted: table, chain, index from 0, packets.
pub type Counted = (String, String, usize, u64);

/// What became of one packet.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Seen {
    /// Packets that left: by which device, and their bytes.
    pub left: Vec<(usize, Vec<u8>)>,
    /// Delivered locally: mark and bytes.
    pub delivered: Vec<(u32, Vec<u8>)>,
    /// Error messages that the node made.
    pub answers: Vec<Vec<u8>>,
    /// The mark behind POSTROUTING.
    pub mark: Option<u32>,
    /// What the sending process was told.
    pub error: Option<i32>,
}

/// A packet, and where there was one, the reply and the next packet.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Course {
    /// The packet itself.
    pub first: Seen,
    /// Its receiver's answer.
    pub reply: Option<Seen>,
    /// conntrack's table before the later packet.
    pub table: Option<String>,
    /// A later packet of the sender.
    pub later: Option<Seen>,
    /// Rules that counted these packets.
    pub hits: Vec<Counted>,
}

/// A node as nfwhy reads it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Live {
    /// Names and texts.
    pub outputs: Vec<(String, String)>,
    /// What could not be read.
    pub unread: Vec<Unread>,
    /// Remarks.
    pub remarks: Vec<String>,
    /// `/proc/net/ip_vs` in one piece.
    pub file: String,
}

/// A scenario as it went.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Record {
    /// Its seed.
    pub seed: u64,
    /// What the tools said against it.
    pub complaints: Vec<String>,
    /// The captured files: names and contents.
    pub files: Vec<(String, String)>,
    /// What nfwhy read itself at that moment.
    #[serde(default)]
    pub live: Live,
    /// The same moment by the commands, as far as a packet's way may depend on it: file names and contents.
    #[serde(default)]
    pub commands: Vec<(String, String)>,
    /// The same state by the commands: `ipvsadm -l -n`.
    #[serde(default)]
    pub listing: String,
    /// One for each packet of the scenario.
    pub courses: Vec<Course>,
}
