//! Settings under net.*.

use super::Origin;
use std::collections::HashMap;

/// Captured settings by path (`net/ipv4/conf/eth0.100/rp_filter`).
#[derive(Clone, Debug, Default)]
pub struct Sysctls {
    values: HashMap<String, (String, Origin)>,
}

impl Sysctls {
    /// Records a setting; the last one of a key wins. Gives back the earlier value where it differs.
    pub fn set(&mut self, path: String, value: &str, origin: Origin) -> Option<(String, Origin)> {
        let old = self.values.insert(path, (value.to_owned(), origin));
        old.filter(|(v, _)| v != value)
    }

    /// The number at a path, and where it was read. Only the first number of settings with several.
    pub fn get(&self, path: &str) -> Option<(i64, Origin)> {
        let (v, o) = self.values.get(path)?;
        let n = v.split_ascii_whitespace().next()?.parse().ok()?;
        Some((n, *o))
    }

    /// Whether anything below `prefix` was captured.
    pub fn any_below(&self, prefix: &str) -> bool {
        self.values.keys().any(|k| k.starts_with(prefix))
    }
}
