//! The routing policy database.

use super::super::fib::{Fib, PolicyAction, PolicyRule, TableId};
use super::super::{Device, FileId, Origin};
use super::{Builder, owned};
use nfwhy_parsers::Family;
use nfwhy_parsers::iproute::TableRef;
use nfwhy_parsers::iproute::rule::{self, Action};
use std::borrow::Cow;
