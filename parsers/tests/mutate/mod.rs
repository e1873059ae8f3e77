//! Captured files, and what becomes of them when they are damaged.

use nfwhy_parsers::recognise::{Kind, recognise};
use proptest::prelude::*;
use proptest::sample::Index;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

/// Every captured file of the repository and what it is.
static FILES: LazyLock<Vec<(Kind, Vec<u8>)>> = LazyLock::new(|| {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in [here.join("tests/data"), here.join("../snapshots")] {
        collect(&folder, &mut files);
    }
    files
});

fn collect(folder: &Path, into: &mut Vec<(Kind, Vec<u8>)>) {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| entry.expect("an entry").path())
        .collect();
    // The order of a folder is not the same everywhere, and a seed must give the same text.
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|e| e == "txt" || e == "json") {
            let bytes = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            into.push((recognise(&bytes), bytes));
        }
    }
}

/// The captured files of one kind, or all of them.
pub fn captures(kind: Option<Kind>) -> Vec<&'static [u8]> {
    FILES
        .iter()
        .filter(|(k, _)| kind.is_none_or(|kind| kind == *k))
        .map(|(_, bytes)| &**bytes)
        .collect()
}

/// One thing done to a text.
#[derive(Clone, Debug)]
enum Damage {
    /// Bits of one byte turned.
    Flip(Index, u8),
    /// Bytes left out.
    Delete(Index, usize),
    /// Written over or between: `put` instead of some bytes.
    Put(Index, usize, String),
    /// A line twice.
    Duplicate(Index),
    /// A line left out.
    Drop(Index),
    /// A line of another file put in.
    Splice(Index, Index, Index),
    /// The rest of a line of another file behind the start of one.
    Graft(Index, Index, Index),
    /// The end cut off.
    Cut(Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<Index>;
    prop_oneof![
        (at(), 1u8..).prop_map(|(i, bits)| Damage::Flip(i, bits)),
        (at(), 1usize..12).prop_map(|(i, n)| Damage::Delete(i, n)),
        (at(), 0usize..6, "[ \"\\\\'!\n\t:/,x0-9\\[\\]{}=.@#ü-]{0,4}")
            .prop_map(|(i, n, put)| Damage::Put(i, n, put)),
        at().prop_map(Damage::Duplicate),
        at().prop_map(Damage::Drop),
        (at(), at(), at()).prop_map(|(i, f, l)| Damage::Splice(i, f, l)),
        (at(), at(), at()).prop_map(|(i, f, l)| Damage::Graft(i, f, l)),
        at().prop_map(Damage::Cut),
    ]
}

/// The lines of a text, with their ends.
fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split_inclusive(|b| *b == b'\n').collect()
}

fn line_of(files: &[&'static [u8]], file: Index, line: Index) -> Vec<u8> {
    let lines = lines(files[file.index(files.len())]);
    if lines.is_empty() {
        return Vec::new();
    }
    line.get(&lines).to_vec()
}

fn apply(text: Vec<u8>, damage: &Damage, files: &[&'static [u8]]) -> Vec<u8> {
    if text.is_empty() {
        return text;
    }
    let mut text = text;
    let end = text.len();
    match damage {
        Damage::Flip(at, bits) => text[at.index(end)] ^= bits,
        Damage::Delete(at, n) => {
            let from = at.index(end);
            text.drain(from..(from + n).min(end));
        }
        Damage::Put(at, n, put) => {
            let from = at.index(end);
            text.splice(from..(from + n).min(end), put.bytes());
        }
        Damage::Cut(at) => text.truncate(at.index(end)),
        Damage::Duplicate(at)
        | Damage::Drop(at)
        | Damage::Splice(at, ..)
        | Damage::Graft(at, ..) => {
            let mut lines: Vec<Vec<u8>> = lines(&text).into_iter().map(<[u8]>::to_vec).collect();
            let i = at.index(lines.len());
            match damage {
                Damage::Duplicate(_) => lines.insert(i, lines[i].clone()),
                Damage::Drop(_) => drop(lines.remove(i)),
                Damage::Splice(_, file, line) => lines.insert(i, line_of(files, *file, *line)),
                Damage::Graft(_, file, line) => {
                    let tail = line_of(files, *file, *line);
                    let (keep, from) = (lines[i].len() / 2, tail.len() / 2);
                    lines[i].truncate(keep);
                    lines[i].extend_from_slice(&tail[from..]);
                }
                _ => {}
            }
            text = lines.concat();
        }
    }
    text
}

/// Some lines of a captured file of the kind (of any file for `None`), damaged in a few places, and read as the program reads
/// files: what is not UTF-8 is replaced.
pub fn damaged(kind: Option<Kind>) -> impl Strategy<Value = String> {
    let files = captures(kind);
    assert!(!files.is_empty(), "no capture of {kind:?}");
    let ways = prop::collection::vec(damage(), 1..6);
    (any::<Index>(), any::<Index>(), 1usize..30, ways).prop_map(move |(file, from, count, ways)| {
        let all = lines(files[file.index(files.len())]);
        let from = from.index(all.len().max(1));
        let some: Vec<&[u8]> = all.into_iter().skip(from).take(count).collect();
        let text = some.concat();
        let text = ways.iter().fold(text, |text, way| apply(text, way, &files));
        String::from_utf8_lossy(&text).into_owned()
    })
}
