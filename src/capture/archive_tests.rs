use super::*;
use crate::capture::limits::LIMITS;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write as _;

fn tar_of(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, text) in files {
        let mut header = Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder
            .append_data(&mut header, name, text.as_bytes())
            .expect("memory");
    }
    builder.into_inner().expect("memory")
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// Paths and contents, with these limits.
fn read(bytes: &[u8], limits: &Limits) -> io::Result<Vec<(String, String)>> {
    let mut out = Vec::new();
    let packing = packing(bytes).expect("an archive");
    entries(bytes, packing, limits, &mut |path, entry| {
        let text = match entry {
            Entry::Link(to) => format!("-> {to}"),
            Entry::File(content, _) => {
                let mut text = String::new();
                content.read_to_string(&mut text)?;
                text
            }
        };
        out.push((path.join("/"), text));
        Ok(())
    })?;
    Ok(out)
}

#[track_caller]
fn holds(bytes: &[u8], want: &[(&str, &str)]) {
    let got = read(bytes, &LIMITS).expect("a sound archive");
    let got: Vec<(&str, &str)> = got.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    assert_eq!(got, want);
}

#[track_caller]
fn fails(bytes: &[u8], limits: &Limits, says: &str) {
    let e = read(bytes, limits).expect_err("beyond a limit").to_string();
    assert!(e.contains(says), "{e}");
}

/// `printf 'xz text\n' | xz -c`.
const XZ: &[u8] = &[
    0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x04, 0xe6, 0xd6, 0xb4, 0x46, 0x02, 0x00, 0x21, 0x01,
    0x16, 0x00, 0x00, 0x00, 0x74, 0x2f, 0xe5, 0xa3, 0x01, 0x00, 0x07, 0x78, 0x7a, 0x20, 0x74, 0x65,
    0x78, 0x74, 0x0a, 0x00, 0x87, 0x26, 0xb6, 0x89, 0x1d, 0xfd, 0x75, 0xcb, 0x00, 0x01, 0x20, 0x08,
    0xbb, 0x19, 0xd9, 0xbb, 0x1f, 0xb6, 0xf3, 0x7d, 0x01, 0x00, 0x00, 0x00, 0x00, 0x04, 0x59, 0x5a,
];

/// Python's `zipfile`: a folder, a file stored and one deflated, a link, and a name that leads out.
const ZIP: &[u8] = &[
    0x50, 0x4b, 0x03, 0x04, 0x14, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x21, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x6e, 0x2f,
    0x50, 0x4b, 0x03, 0x04, 0x14, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x21, 0x00, 0xe2, 0x9c,
    0x53, 0xa5, 0x07, 0x00, 0x00, 0x00, 0x07, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x6e, 0x2f,
    0x61, 0x73, 0x74, 0x6f, 0x72, 0x65, 0x64, 0x0a, 0x50, 0x4b, 0x03, 0x04, 0x14, 0x00, 0x00, 0x00,
    0x08, 0x00, 0x00, 0x00, 0x21, 0x00, 0x59, 0x92, 0xc9, 0x64, 0x10, 0x00, 0x00, 0x00, 0x68, 0x01,
    0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x6e, 0x2f, 0x62, 0x4b, 0x49, 0x4d, 0xcb, 0x49, 0x2c, 0x49,
    0x4d, 0x51, 0x48, 0x19, 0x65, 0xd0, 0x92, 0x01, 0x00, 0x50, 0x4b, 0x03, 0x04, 0x14, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x21, 0x00, 0xc4, 0xd2, 0x87, 0xd7, 0x02, 0x00, 0x00, 0x00, 0x02,
    0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x6e, 0x2f, 0x6c, 0x74, 0x6f, 0x50, 0x4b, 0x03, 0x04,
    0x14, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x21, 0x00, 0x83, 0x16, 0xdc, 0x8c, 0x01, 0x00,
    0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x06, 0x00, 0x00, 0x00, 0x2e, 0x2e, 0x2f, 0x6f, 0x75, 0x74,
    0x78, 0x50, 0x4b, 0x01, 0x02, 0x14, 0x03, 0x14, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x21,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x80, 0x01, 0x00, 0x00, 0x00, 0x00, 0x6e,
    0x2f, 0x50, 0x4b, 0x01, 0x02, 0x14, 0x03, 0x14, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x21,
    0x00, 0xe2, 0x9c, 0x53, 0xa5, 0x07, 0x00, 0x00, 0x00, 0x07, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x80, 0x01, 0x20, 0x00, 0x00, 0x00, 0x6e,
    0x2f, 0x61, 0x50, 0x4b, 0x01, 0x02, 0x14, 0x03, 0x14, 0x00, 0x00, 0x00, 0x08, 0x00, 0x00, 0x00,
    0x21, 0x00, 0x59, 0x92, 0xc9, 0x64, 0x10, 0x00, 0x00, 0x00, 0x68, 0x01, 0x00, 0x00, 0x03, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x80, 0x01, 0x48, 0x00, 0x00, 0x00,
    0x6e, 0x2f, 0x62, 0x50, 0x4b, 0x01, 0x02, 0x14, 0x03, 0x14, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x21, 0x00, 0xc4, 0xd2, 0x87, 0xd7, 0x02, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x03,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xa1, 0x79, 0x00, 0x00,
    0x00, 0x6e, 0x2f, 0x6c, 0x50, 0x4b, 0x01, 0x02, 0x14, 0x03, 0x14, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x21, 0x00, 0x83, 0x16, 0xdc, 0x8c, 0x01, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
    0x06, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x80, 0x01, 0x9c, 0x00,
    0x00, 0x00, 0x2e, 0x2e, 0x2f, 0x6f, 0x75, 0x74, 0x50, 0x4b, 0x05, 0x06, 0x00, 0x00, 0x00, 0x00,
    0x05, 0x00, 0x05, 0x00, 0xf7, 0x00, 0x00, 0x00, 0xc1, 0x00, 0x00, 0x00, 0x00, 0x00,
];

#[test]
fn zip_by_its_directory() {
    let deflated = "deflated ".repeat(40);
    holds(
        ZIP,
        &[("n/a", "stored\n"), ("n/b", &deflated), ("n/l", "-> to")],
    );
    let limits = Limits {
        unpacked: 300,
        ..LIMITS
    };
    fails(ZIP, &limits, "unpacks to more than 300 bytes");
    let limits = Limits {
        entries: 4,
        ..LIMITS
    };
    fails(ZIP, &limits, "more than 4 files and folders");
    for end in 4..ZIP.len() {
        assert!(read(&ZIP[..end], &LIMITS).is_err(), "{end}");
    }
    // A byte of a stored file.
    let mut bent = ZIP.to_vec();
    let at = ZIP
        .windows(6)
        .position(|w| w == b"stored")
        .expect("it is stored");
    bent[at] ^= 1;
    fails(&bent, &LIMITS, "a checksum differs");
}

#[test]
fn every_packing_gives_the_same() {
    let files = [("node/a", "1"), ("node/b", "2"), ("node/netns/c", "3")];
    let plain = tar_of(&files);
    holds(&plain, &files);
    holds(&gz(&plain), &files);
    // Members of gzip one behind the other are one text.
    let (a, b) = plain.split_at(700);
    holds(&[gz(a), gz(b)].concat(), &files);
}

#[test]
fn a_single_packed_file_has_no_path() {
    holds(&gz(b"*nat\nCOMMIT\n"), &[("", "*nat\nCOMMIT\n")]);
    holds(XZ, &[("", "xz text\n")]);
    // Two streams, padded.
    holds(&[XZ, &[0; 4], XZ].concat(), &[("", "xz text\nxz text\n")]);
}

#[test]
fn text_is_no_archive() {
    for text in [&b""[..], b"*nat\nCOMMIT\n", &[b'x'; 600]] {
        assert_eq!(packing(text), None);
    }
}

#[test]
fn a_damaged_archive_is_an_error() {
    let plain = tar_of(&[("n1/a", "1")]);
    let mut cut = gz(&plain);
    cut.truncate(cut.len() / 2);
    assert!(read(&cut, &LIMITS).is_err());
    for end in 13..XZ.len() {
        assert!(read(&XZ[..end], &LIMITS).is_err(), "{end}");
    }
    let mut header = plain;
    header[0] ^= 1;
    assert!(read(&header, &LIMITS).is_err());
}

/// Any byte of an archive may be any other: the reading ends, with whatever result.
#[test]
fn bent_archives_end() {
    let files = [("node/iptables-save", "*nat\n"), (&"n/".repeat(90), "x")];
    for sound in [
        tar_of(&files),
        gz(&tar_of(&files)),
        XZ.to_vec(),
        ZIP.to_vec(),
    ] {
        let mut seed = 1u32;
        for _ in 0..3000 {
            let mut bent = sound.clone();
            for _ in 0..2 {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let at = (seed >> 8) as usize % bent.len();
                bent[at] ^= (seed & 0xff) as u8 | 1;
            }
            if packing(&bent).is_some() {
                let _ = read(&bent, &LIMITS);
            }
        }
    }
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let limits = Limits {
        unpacked: 1 << 20,
        ..LIMITS
    };
    let zeros = vec![0; 8 << 20];
    let tar = tar_of(&[("a", &String::from_utf8(zeros).expect("ASCII"))]);
    let bomb = gz(&tar);
    assert!(bomb.len() < tar.len() / 100);
    fails(&bomb, &limits, "unpacks to more than 1 MiB");
    assert!(read(&bomb, &LIMITS).is_ok());
}

#[test]
fn too_many_entries_are_an_error() {
    let limits = Limits {
        entries: 2,
        ..LIMITS
    };
    fails(
        &tar_of(&[("a", ""), ("b", ""), ("c", "")]),
        &limits,
        "more than 2 files and folders",
    );
}

#[test]
fn names_of_any_length_within_the_limit_and_none_beyond() {
    // Beyond 100 bytes GNU tar writes a record of its own.
    let long = "n/".repeat(150) + "a";
    holds(
        &tar_of(&[(&long, "1"), ("b", "2")]),
        &[(&long, "1"), ("b", "2")],
    );
    let endless = "n/".repeat(3000) + "a";
    fails(
        &tar_of(&[(&endless, "1")]),
        &LIMITS,
        "a name in it takes 5 KiB",
    );
}

#[test]
fn names_in_records_of_pax() {
    let mut builder = tar::Builder::new(Vec::new());
    builder
        .append_pax_extensions([("path", &b"dir/caf\xc3\xa9"[..]), ("mtime", b"1.5")])
        .expect("memory");
    let mut header = Header::new_ustar();
    header.set_size(1);
    header.set_cksum();
    builder.append(&header, &b"1"[..]).expect("memory");
    holds(
        &builder.into_inner().expect("memory"),
        &[("dir/caf\u{e9}", "1")],
    );
}

/// Nothing is written, so such names harm nobody; but they name nothing in the archive.
#[test]
fn names_that_lead_out_are_passed_over_and_absolute_ones_begin_in_the_archive() {
    let mut builder = tar::Builder::new(Vec::new());
    for name in [&b"../../etc/passwd"[..], b"/abs/a", b"./b", b"c\n\x1b[2Jd"] {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_size(1);
        header.set_cksum();
        builder.append(&header, &b"1"[..]).expect("memory");
    }
    holds(
        &builder.into_inner().expect("memory"),
        &[("abs/a", "1"), ("b", "1"), ("c\u{fffd}\u{fffd}[2Jd", "1")],
    );
}

#[test]
fn links_are_shown_and_devices_and_pipes_are_nothing() {
    let mut builder = tar::Builder::new(Vec::new());
    for (kind, name) in [
        (EntryType::Symlink, "link"),
        (EntryType::Fifo, "pipe"),
        (EntryType::Char, "zero"),
        (EntryType::Block, "disk"),
        (EntryType::Directory, "folder"),
    ] {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        header.set_link_name("to").expect("short");
        header.set_path(name).expect("short");
        header.set_cksum();
        builder.append(&header, io::empty()).expect("memory");
    }
    holds(&builder.into_inner().expect("memory"), &[("link", "-> to")]);
}

#[test]
fn a_packing_that_is_not_read_is_named() {
    for (magic, name) in [
        (&b"BZh91AY"[..], "bzip2"),
        (b"\x28\xb5\x2f\xfd\0", "zstd"),
        (b"7z\xbc\xaf\x27\x1c", "7z"),
    ] {
        fails(magic, &LIMITS, name);
    }
}

/// The format's largest dictionary is 4 GiB; a stream that asks for it is refused before memory is taken.
#[test]
fn an_xz_stream_cannot_ask_for_any_memory() {
    let limits = Limits {
        dictionary: 4096,
        ..LIMITS
    };
    fails(XZ, &limits, "asks for more memory");
}
