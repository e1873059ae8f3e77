//! The emulated machine: this program inside of it, and its records out of it.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::record::Record;

/// Set inside: `FIRST COUNT STEP` of the seeds.
pub const INSIDE: &str = "NFWHY_IPVS_GUEST";
/// Inside: where the records go.
pub const PORT: &str = "/dev/vport0p1";

/// Where `packaging/ipvs-lab` puts the pieces.
pub fn folder() -> PathBuf {
    std::env::var_os("NFWHY_IPVS_LAB").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/ipvs-lab"),
        PathBuf::from,
    )
}

/// Why no machine can be booted here.
pub fn obstacle() -> Option<String> {
    if !super::sh::exists(&["qemu-system-x86_64", "--version"]) {
        return Some("qemu-system-x86_64 is not installed (packaging/ipvs-lab does it)".into());
    }
    for piece in ["vmlinuz", "base.cpio"] {
        let path = folder().join(piece);
        if !path.exists() {
            return Some(format!(
                "{} is not there (packaging/ipvs-lab makes it)",
                path.display()
            ));
        }
    }
    None
}

/// One member of an archive that the kernel unpacks (Documentation/driver-api/early-userspace/buffer-format.rst).
fn member(out: &mut Vec<u8>, name: &str, mode: u32, data: &[u8]) {
    let fields = [
        1,
        mode,
        0,
        0,
        1,
        0,
        u32::try_from(data.len()).unwrap_or(0),
        0,
        0,
        0,
        0,
        u32::try_from(name.len() + 1).unwrap_or(0),
        0,
    ];
    out.extend(b"070701");
    for f in fields {
        out.extend(format!("{f:08x}").bytes());
    }
    out.extend(name.bytes());
    out.push(0);
    out.resize(out.len().next_multiple_of(4), 0);
    out.extend(data);
    out.resize(out.len().next_multiple_of(4), 0);
}

/// This program without what only a debugger reads.
pub fn program(work: &Path) -> Result<Vec<u8>, String> {
    let me = std::env::current_exe().map_err(|e| e.to_string())?;
    let small = work.join("program");
    let ok = Command::new("strip")
        .arg("-o")
        .args([&small, &me])
        .status()
        .is_ok_and(|s| s.success());
    std::fs::read(if ok { &small } else { &me }).map_err(|e| e.to_string())
}

/// Boots a machine that runs `count` scenarios from `first` on, each `step`th.
pub fn boot(
    work: &Path,
    program: &[u8],
    test: &str,
    seeds: (u64, u64, u64),
    limit: Duration,
) -> Result<Vec<Record>, String> {
    let (first, count, step) = seeds;
    let job = format!(
        "modprobe -a ip_vs ip_tables ip6_tables nf_tables nfnetlink_log\n\
         {INSIDE}='{first} {count} {step}' /lab/program --exact {test} --nocapture --test-threads=1 </dev/null\n"
    );
    let start = Instant::now();
    let (ended, said) = run(work, program, &job, limit)?;
    let text = std::fs::read_to_string(work.join("records")).unwrap_or_default();
    let records: Vec<Record> = text
        .lines()
        .filter_map(|l| serde_json::from_str(l).ok())
        .collect();
    // A machine that panics ends with success, too: what counts is what came out.
    if !ended || records.len() as u64 != count {
        return Err(format!(
            "{} of {count} scenarios came out after {:.0} s; the console:\n{said}",
            records.len(),
            start.elapsed().as_secs_f64()
        ));
    }
    Ok(records)
}

/// Boots a machine that runs a script, with the program at /lab/program; whether it ended in time, and what its console said.
pub fn run(
    work: &Path,
    program: &[u8],
    job: &str,
    limit: Duration,
) -> Result<(bool, String), String> {
    let (image, out, console) = (
        work.join("image"),
        work.join("records"),
        work.join("console"),
    );
    let fail = |what: &str, e: std::io::Error| format!("{what}: {e}");
    let mut bytes = std::fs::read(folder().join("base.cpio")).map_err(|e| fail("base.cpio", e))?;
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    member(&mut bytes, "lab/job", 0o100_644, job.as_bytes());
    member(&mut bytes, "lab/program", 0o100_755, program);
    member(&mut bytes, "TRAILER!!!", 0, &[]);
    std::fs::write(&image, bytes).map_err(|e| fail("the image", e))?;
    let log = File::create(&console).map_err(|e| fail("the console", e))?;
    let mut machine = Command::new("qemu-system-x86_64")
        .args("-nodefaults -no-user-config -no-reboot -display none -serial stdio -m 512 -smp 1".split(' '))
        // Whatever can be had: no hardware support is needed.
        .args(["-accel", "tcg", "-cpu", "max"])
        .args(["-device", "virtio-serial-pci", "-device", "virtserialport,chardev=records,name=records"])
        .arg("-chardev")
        .arg(format!("file,id=records,path={}", out.display()))
        .arg("-kernel")
        .arg(folder().join("vmlinuz"))
        .arg("-initrd")
        .arg(&image)
        .args([
            "-append",
            // The emulator keeps translated code by its address: programs had better be at the same one each time.
            "console=ttyS0 panic=-1 quiet loglevel=3 mitigations=off random.trust_cpu=on tsc=reliable norandmaps nokaslr",
        ])
        .stdin(Stdio::null())
        .stdout(log)
        .spawn()
        .map_err(|e| fail("qemu", e))?;
    let start = Instant::now();
    let ended = loop {
        match machine.try_wait() {
            Ok(Some(status)) => break status.success(),
            Ok(None) if start.elapsed() < limit => std::thread::sleep(Duration::from_millis(50)),
            _ => {
                let _ = machine.kill();
                let _ = machine.wait();
                break false;
            }
        }
    };
    let mut said = String::new();
    if let Ok(mut f) = File::open(&console) {
        let mut raw = Vec::new();
        let _ = f.read_to_end(&mut raw);
        said = String::from_utf8_lossy(&raw).into_owned();
    }
    if std::env::var_os("NFWHY_IPVS_CONSOLE").is_some() {
        let _ = writeln!(std::io::stderr(), "{said}");
    }
    Ok((ended, said))
}

/// A scratch folder of this run.
pub fn scratch(name: &str) -> Result<PathBuf, String> {
    let mut dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    dir.push(format!("ipvs-lab-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    Ok(dir)
}

/// Writes a case for a look by hand; gives its folder.
pub fn keep(record: &Record, note: &str) -> PathBuf {
    let mut dir = folder();
    dir.push("cases");
    dir.push(record.seed.to_string());
    let _ = std::fs::create_dir_all(&dir);
    for (name, text) in &record.files {
        let _ = std::fs::write(dir.join(name), text);
    }
    if let Ok(mut f) = File::create(dir.join("notes.txt")) {
        let _ = f.write_all(note.as_bytes());
    }
    dir
}
