//! Runs the program in a folder of its own.

use crate::common::Files;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder that goes when the test does.
pub struct Folder {
    path: PathBuf,
    text: String,
}

impl Folder {
    /// An empty one.
    pub fn empty() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!(
            "bad-input-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        ));
        fs::create_dir_all(&path).expect("the target folder can be written");
        let text = path.to_string_lossy().into_owned();
        Self { path, text }
    }

    /// One with a node's files.
    pub fn of(files: &Files) -> Self {
        let me = Self::empty();
        let snapshot = files.snapshot();
        for f in &snapshot.files {
            me.write(&f.name, f.text.as_bytes());
        }
        assert!(snapshot.skipped.is_empty(), "{:?}", snapshot.skipped);
        me
    }

    pub fn path(&self) -> &str {
        &self.text
    }

    pub fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path.join(name), bytes).expect("the folder can be written");
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path.join(name)).expect("the file is there")
    }

    pub fn folder(&self, name: &str) {
        fs::create_dir(self.path.join(name)).expect("the folder can be written");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// What the program did.
pub struct Ran {
    args: Vec<String>,
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// Runs the program.
#[track_caller]
pub fn nfwhy(args: &[&str]) -> Ran {
    nfwhy_with(args, "", &[])
}

/// Runs the program with something on its standard input, and environment variables.
#[track_caller]
pub fn nfwhy_with(args: &[&str], input: impl Into<Vec<u8>>, env: &[(&str, &str)]) -> Ran {
    let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_nfwhy"));
    command.args(args).write_stdin(input);
    command.envs(env.iter().copied());
    let output = command
        .timeout(std::time::Duration::from_secs(60))
        .output()
        .expect("the program runs");
    let ran = Ran {
        args: args.iter().map(|a| (*a).to_owned()).collect(),
        // A panic is 101, or a signal where panics abort.
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).expect("the answer is UTF-8"),
        err: String::from_utf8(output.stderr).expect("messages are UTF-8"),
    };
    assert!(
        matches!(ran.code, 0..=2),
        "{:?} ends with {}: {}",
        ran.args,
        ran.code,
        ran.err
    );
    assert!(!ran.err.contains("panicked"), "{:?}: {}", ran.args, ran.err);
    if env.is_empty() {
        let raw = |t: &str| t.chars().any(|c| c.is_control() && c != '\n');
        assert!(!raw(&ran.out), "{:?}: {:?}", ran.args, ran.out);
        assert!(!raw(&ran.err), "{:?}: {:?}", ran.args, ran.err);
    }
    ran
}

/// `nfwhy trace` of a folder, in JSON where the arguments say no other form.
#[track_caller]
pub fn trace(folder: &Folder, args: &[&str]) -> Ran {
    let mut all = vec!["trace", "-s", folder.path()];
    if !args.contains(&"--format") {
        all.extend(["--format", "json"]);
    }
    all.extend(args);
    nfwhy(&all)
}

impl Ran {
    /// Ended with 2 and said so on standard error, or as an error line where JSON was asked for.
    #[track_caller]
    pub fn fails_with(&self, what: &str) {
        assert_eq!(self.code, 2, "{:?}: {}{}", self.args, self.out, self.err);
        let said = self.err.contains(what)
            || self
                .json_lines()
                .iter()
                .any(|l| l["error"].as_str().is_some_and(|e| e.contains(what)));
        assert!(
            said,
            "{:?}: no {what:?} in {}{}",
            self.args, self.out, self.err
        );
    }

    /// Ended with 0 and said this.
    #[track_caller]
    pub fn answers(&self, what: &str) {
        assert_eq!(self.code, 0, "{:?}: {}{}", self.args, self.out, self.err);
        assert!(!self.out.is_empty(), "{:?} says nothing", self.args);
        assert!(
            self.out.contains(what),
            "{:?}: no {what:?} in {}{}",
            self.args,
            self.out,
            self.err
        );
    }

    /// Said this about the input.
    #[track_caller]
    pub fn remarks(&self, what: &str) {
        assert!(
            self.err.contains(what),
            "{:?}: no {what:?} in {}",
            self.args,
            self.err
        );
    }

    /// The lines of standard output that are JSON.
    pub fn json_lines(&self) -> Vec<Value> {
        self.out
            .lines()
            .filter_map(|l| serde_json::from_str(l).ok())
            .collect()
    }

    /// The outcomes of the one packet asked for.
    #[track_caller]
    pub fn json_outcomes(&self) -> Vec<Value> {
        let lines = self.json_lines();
        assert_eq!(lines.len(), 1, "{:?}: {}{}", self.args, self.out, self.err);
        lines[0]["outcomes"]
            .as_array()
            .cloned()
            .unwrap_or_else(|| panic!("{:?} has no outcomes: {}", self.args, self.out))
    }
}
