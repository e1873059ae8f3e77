//! Archives that were made to harm, and folders with what is no ordinary file.

use super::packed::{Folder, Packed, gz};
use super::{CASES, answer, fails, nfwhy, plain, snapshot};
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

#[test]
fn archives_write_nothing_whatever_their_names() {
    let f = Folder::new();
    let outside = f.at("outside");
    let mut builder = tar::Builder::new(Vec::new());
    for name in ["../outside", &outside, "x/../../outside", "x/routes"] {
        let mut header = tar::Header::new_gnu();
        let bytes = name.as_bytes();
        header.as_old_mut().name[..bytes.len()].copy_from_slice(bytes);
        header.set_size(30);
        header.set_cksum();
        builder
            .append(&header, &b"default via 10.0.0.1 dev eth0\n"[..])
            .expect("memory");
    }
    f.write("work/a.tar", &builder.into_inner().expect("memory"));
    let output = assert_cmd::Command::new(env!("CARGO_BIN_EXE_nfwhy"))
        .current_dir(f.at("work"))
        .args(["trace", "-s", "a.tar/x", "10.0.0.9", "10.1.0.2:80"])
        .output()
        .expect("the program runs");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let mut left: Vec<String> = Vec::new();
    for folder in [f.path().to_owned(), f.path().join("work")] {
        for e in fs::read_dir(folder).expect("it is there") {
            left.push(
                e.expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned(),
            );
        }
    }
    left.sort();
    assert_eq!(left, ["a.tar", "work"]);
}

#[test]
fn pipes_devices_sockets_and_links_that_go_round_are_named_and_the_rest_is_read() {
    let (name, packet) = CASES[0];
    let f = Folder::new();
    for e in fs::read_dir(snapshot(name)).expect("the snapshot") {
        let e = e.expect("an entry");
        if e.path().extension().is_some_and(|x| x == "txt") {
            f.write(
                &e.file_name().to_string_lossy(),
                &fs::read(e.path()).expect("a file"),
            );
        }
    }
    nix::unistd::mkfifo(
        &f.path().join("pipe"),
        nix::sys::stat::Mode::from_bits_truncate(0o600),
    )
    .expect("a pipe");
    let _socket = UnixListener::bind(f.path().join("s")).expect("a socket");
    symlink("/dev/zero", f.path().join("zero")).expect("a link");
    symlink("round", f.path().join("round")).expect("a link");
    symlink(f.path(), f.path().join("self")).expect("a link");
    let (got, said) = answer(&f.at(""), packet, &[]);
    assert_eq!(got, plain(name, packet));
    for what in [
        "pipe: not a regular file",
        "s: not a regular file",
        "zero: not a regular file",
        "round: cannot be read",
    ] {
        assert!(said.contains(what), "no {what:?} in {said}");
    }
    fails(&f.at("pipe"), &["neither a file nor a folder"]);
    fails("/dev/zero", &["neither a file nor a folder"]);
    fails(&f.at("round"), &["round"]);
}

#[test]
fn names_in_an_archive_reach_no_terminal_raw() {
    let mut p = Packed::default();
    let route = "default via 10.0.0.1 dev eth0\n";
    for node in ["a\u{1b}[2J", "b\nerror: all is lost"] {
        p.add(&format!("{node}/routes"), route);
    }
    let ran = nfwhy(&["-s", "-", "10.0.0.9", "10.1.0.2:80"], &gz(&p.tar()));
    assert_eq!(ran.code, 2);
    assert!(
        ran.err.contains("2 folders") && !ran.err.contains('\u{1b}'),
        "{}",
        ran.err
    );
    assert!(!ran.err.contains("\nerror"), "{}", ran.err);
}

#[test]
fn what_is_wrong_is_said_once_and_in_words() {
    let f = Folder::new();
    let text = f.write("ip-route.txt", b"default via 10.0.0.1 dev eth0\n");
    let letter = f.write("letter/letter.txt", b"Dear colleague,\n");
    let blank = f.write("blank/ipset.txt", b"\n");
    let other = f.write("a.tar.bz2", b"BZh91AY&SY");
    for (path, says) in [
        (
            "/no/such",
            "error: cannot read /no/such: No such file or directory (os error 2)\n",
        ),
        (
            &format!("{text}/node1"),
            "ip-route.txt holds nothing else: it is a file and no archive\n",
        ),
        (
            &letter,
            "(letter.txt: not output of a command that nfwhy knows; it was not used); nfwhy trace --help lists them\n",
        ),
        (&blank, "(ipset.txt: empty)"),
        (
            &other,
            "a.tar.bz2: it is packed by bzip2, which is not read; unpack it and give the folder\n",
        ),
    ] {
        fails(path, &[says]);
    }
}

#[test]
fn an_archive_cut_anywhere_is_an_error_and_not_part_of_a_node() {
    let mut p = Packed::default();
    for file in ["ip-addr.txt", "ip-route.txt", "iptables-save.txt"] {
        p.add(
            &format!("n/{file}"),
            fs::read(snapshot("kube-iptables").join(file)).expect("a file"),
        );
    }
    let whole = gz(&p.tar());
    for part in 1..10 {
        let ran = nfwhy(
            &["-s", "-", "10.0.0.9", "10.1.0.2:80"],
            &whole[..whole.len() * part / 10],
        );
        assert_eq!(ran.code, 2, "{part}: {}", ran.out);
        let says = "cannot read standard input: the archive is cut or damaged";
        assert!(ran.err.contains(says), "{}", ran.err);
    }
}
