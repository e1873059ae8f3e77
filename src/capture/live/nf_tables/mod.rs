//! nf_tables: what `nft -a list ruleset` prints, of what the kernel says over nfnetlink.

mod read;

use super::socket::Refusal;
use super::{Reading, has_module};
use read::Dumps;

const COMMAND: &str = "nft -a list ruleset";

/// The rule set, once for every reader of it: `Dumps::ruleset` makes records of it. Empty where the kernel has no nf_tables.
pub(super) fn ruleset() -> Result<Dumps, Refusal> {
    if has_module("nf_tables", "nf_tables_getrule") {
        Dumps::read()
    } else {
        Ok(Dumps::default())
    }
}

pub(super) fn read(reading: &mut Reading) {
    match ruleset() {
        Ok(dumps) => {
            let _ruleset = dumps.ruleset();
        }
        Err(e) => reading.cannot("nftables rules", &e, COMMAND),
    }
}
