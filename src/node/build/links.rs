//! Devices and addresses.

use super::super::device::{Addr, DevId};
use super::super::{FileId, Origin};
use super::{Builder, owned};
use nfwhy_parsers::Family;
use nfwhy_parsers::iproute::link::{Link, Peer};
use std::borrow::Cow;
use std::collections::BTreeMap;
