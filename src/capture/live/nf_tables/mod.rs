//! `nf_tables`: what `nft -a list ruleset` prints, of what the kernel says over nfnetlink.

mod build;
mod datatype;
mod elements;
mod expr;
mod exthdr;
mod implied;
mod keys;
mod lift;
mod matches;
mod nat;
mod objects;
mod print;
mod protocols;
pub(super) mod read;
mod stmt;
#[cfg(test)]
mod tests;
mod userdata;
mod value;
mod words;

use super::socket::Refusal;
use super::{Reading, has_module, iptables_nft};
use nfwhy_parsers::recognise::Kind;
use read::Dumps;
use value::Devices;

const COMMAND: &str = "nft -a list ruleset";

/// The rule set, once for every reader of it: `Dumps::ruleset` makes records of it. Empty where the kernel has no `nf_tables`.
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
            let ruleset = dumps.ruleset();
            let (text, remarks) = print::ruleset(&ruleset, &devices());
            reading.put("nft", COMMAND, Kind::Nft, text);
            reading.remarks.extend(remarks);
            iptables_nft::read(&ruleset, reading);
        }
        Err(e) => {
            reading.cannot("nftables rules", &e, COMMAND);
            iptables_nft::unread(&e, reading);
        }
    }
}

/// Names of devices by index: rules hold indexes, nft prints names.
fn devices() -> Devices {
    let Ok(all) = nix::net::if_::if_nameindex() else {
        return Devices::new();
    };
    let name = |i: &nix::net::if_::Interface| i.name().to_string_lossy().into_owned();
    all.iter().map(|i| (i.index(), name(i))).collect()
}
