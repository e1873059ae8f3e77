//! `sysctl -a` and lines of `key = value`.

use crate::common::{Diagnostic, Parsed, Span};
use crate::recognise::lines::{Line, Lines};

/// One setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sysctl<'a> {
    /// Line, from 1.
    pub line: u32,
    /// That line.
    pub span: Span,
    /// As written: dots separate, a `/` stands for a dot inside a device name (`net.ipv4.conf.vxlan/1.forwarding`); or a path
    /// (`/proc/sys/net/ipv4/conf/vxlan.1/forwarding`, slashes separate).
    pub key: &'a str,
    /// As written, trimmed.
    pub value: &'a str,
}

impl Sysctl<'_> {
    /// The key's components, device names with their dots: `["net", "ipv4", "conf", "vxlan.1", "forwarding"]`.
    ///
    /// Whichever of `.` and `/` comes first separates, and the other stands for the first one inside a component (procps,
    /// sysctl.8).
    pub fn path(&self) -> Vec<String> {
        let key = below_root(self.key);
        let slashes = self.key.starts_with(['/', '.'])
            || key
                .find(['.', '/'])
                .is_some_and(|i| key.as_bytes().get(i) == Some(&b'/'));
        if slashes {
            key.split('/')
                .filter(|c| !c.is_empty())
                .map(str::to_owned)
                .collect()
        } else {
            key.split('.').map(|c| c.replace('/', ".")).collect()
        }
    }
}

/// The key without what a path has in front of `net/ipv4/...`.
fn below_root(key: &str) -> &str {
    let key = key.strip_prefix("./").unwrap_or(key);
    key.strip_prefix("/proc/sys/")
        .or_else(|| key.strip_prefix('/'))
        .unwrap_or(key)
}

/// Reads `sysctl -a` output; also `/proc/sys/...:value` lines as `grep . -r` prints them.
///
/// A key may occur several times (a file of several lines, `kernel.core_modes`); all are kept. Error lines of the tools are
/// reported.
pub fn parse(source: &str) -> Parsed<Vec<Sysctl<'_>>> {
    let mut out: Parsed<Vec<Sysctl<'_>>> = Parsed::default();
    for line in Lines::new(source) {
        let text = line.text.trim_ascii();
        if text.is_empty() || text.starts_with('#') || text.starts_with(';') {
            continue;
        }
        match setting(&line, text) {
            Ok(s) => out.value.push(s),
            Err(d) => out.diagnostics.push(d),
        }
    }
    out
}

fn setting<'a>(line: &Line<'a>, text: &'a str) -> Result<Sysctl<'a>, Diagnostic> {
    let warn = |message: &str| Diagnostic::warning(line.number, line.span_of(text), message);
    // `sysctl: permission denied on key 'x'`, `sysctl: reading key "x"`, `grep: /proc/sys/x: Permission denied`.
    for tool in ["sysctl: ", "grep: ", "cat: ", "find: "] {
        if let Some(rest) = text.strip_prefix(tool) {
            let d = warn(&format!("a setting could not be read: {rest}"));
            return Err(if rest.to_ascii_lowercase().contains("denied") {
                d.help("run it as root to see every setting")
            } else {
                d
            });
        }
    }
    // In a path the first `:` or `=` ends the key; otherwise only `=` does, as values may contain `:`.
    let is_path = text.starts_with(['/', '.'])
        || text
            .find('/')
            .is_some_and(|s| text.find('.').is_none_or(|d| s < d));
    let at = if is_path {
        text.find([':', '='])
    } else {
        text.find('=')
    };
    let (key, value) = at
        .and_then(|i| Some((text.get(..i)?, text.get(i + 1..)?)))
        .ok_or_else(|| warn("no `key = value`"))?;
    // sysctl.conf puts a `-` before keys whose errors are to be ignored.
    let key = key.trim_ascii();
    let key = key.strip_prefix('-').unwrap_or(key);
    let inner = key
        .strip_prefix("./")
        .unwrap_or(key)
        .trim_start_matches('/');
    let fits = inner.contains(['.', '/'])
        && !below_root(key).trim_start_matches('/').is_empty()
        && inner.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && !key.contains(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '{' | '}' | ','));
    if !fits {
        return Err(warn("not the name of a setting"));
    }
    Ok(Sysctl {
        line: line.number,
        span: line.span(),
        key,
        value: value.trim_ascii(),
    })
}
