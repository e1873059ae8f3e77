//! What of the capture is there only in part.

use super::super::device::Device;
use super::super::netfilter::Netfilter;
use super::super::{Assumed, FileId, InPart};
use crate::capture::{Snapshot, SourceFile};
use nfwhy_parsers::Family;
use nfwhy_parsers::recognise::Kind;
use nfwhy_parsers::transcript::is_cut;

/// Larger files are no listing that somebody shortened.
const SHORT: usize = 1 << 20;

pub(super) fn in_part(
    snapshot: &Snapshot,
    netfilter: &Netfilter<'_>,
    devices: &[Device],
) -> InPart {
    let part = |kind: Kind| {
        let mut files = snapshot.files.iter().filter(|f| f.kind == kind).peekable();
        files.peek().is_some() && files.all(|f| is_part(snapshot, f))
    };
    // Every namespace has its loopback device, and every listing begins with it.
    let links = snapshot.files.iter().any(|f| f.kind == Kind::Link)
        && !devices.iter().any(|d| d.known && d.is_loopback());
    let tables = |family: Family| {
        let mut of_family = netfilter
            .tables
            .iter()
            .filter(|t| t.family == family)
            .peekable();
        of_family.peek().is_some()
            && of_family.all(|t| {
                t.is_listing()
                    || snapshot
                        .files
                        .get(usize::from(t.file.0))
                        .is_some_and(|f| is_part(snapshot, f))
            })
    };
    InPart {
        links: links || part(Kind::Link),
        routes: part(Kind::Route)
            || !snapshot.files.iter().any(|f| f.kind == Kind::Route) && part(Kind::RouteN),
        rules: part(Kind::Rule),
        ipvs: part(Kind::Ipvs),
        tables4: tables(Family::V4),
        tables6: tables(Family::V6),
    }
}

fn is_part(snapshot: &Snapshot, f: &SourceFile) -> bool {
    snapshot
        .partial
        .iter()
        .any(|p| p.kind == f.kind && p.file == f.name)
        || f.text.len() <= SHORT
            && f.kind != Kind::IptablesSave
            && f.text
                .lines()
                .any(|l| !l.contains(char::is_alphanumeric) && is_cut(l))
}

/// The files that are there in part by what was said of them.
pub(super) fn files(snapshot: &Snapshot) -> Vec<FileId> {
    let said = |f: &SourceFile| {
        snapshot
            .partial
            .iter()
            .any(|p| p.kind == f.kind && p.file == f.name)
    };
    (0u16..)
        .zip(&snapshot.files)
        .filter(|(_, f)| said(f))
        .map(|(i, _)| FileId(i))
        .collect()
}

/// Where rules begin that are taken to be as always.
pub(super) fn assumed(snapshot: &Snapshot) -> Vec<Assumed> {
    (0u16..)
        .zip(&snapshot.files)
        .filter_map(|(i, f)| {
            let p = snapshot
                .partial
                .iter()
                .find(|p| p.kind == f.kind && p.file == f.name && p.assumed_from.is_some())?;
            Some(Assumed {
                file: FileId(i),
                line: p.assumed_from?,
            })
        })
        .collect()
}
