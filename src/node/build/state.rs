//! Sets, virtual services, settings, flows.

use super::super::ipvs::{IpvsState, RealServer, VirtualService};
use super::super::sets::{Set, SetState};
use super::super::{CtEntry, CtTuple, FileId, Origin, Sysctls};
use super::{Builder, owned};
use nfwhy_parsers::conntrack::Tuple;
use nfwhy_parsers::{conntrack, ipset, ipvs, sysctl};
use std::collections::BTreeMap;
