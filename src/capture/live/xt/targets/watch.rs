//! What only looks at the packet.

use super::super::words::{Words, text};
use crate::capture::live::attr::Numbers as _;

/// `struct xt_log_info`
pub(super) fn log(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    let (level, flags, prefix) = (b.u8(0)?, b.u8(1)?, text(b.get(2..32)?));
    if !prefix.is_empty() {
        w.raw("--log-prefix");
        w.quoted(&prefix);
    }
    // Warnings are what is not printed (LOG_DEFAULT_LEVEL).
    if level != 4 {
        w.value(false, "--log-level", level);
    }
    w.switch(flags & 1 != 0, "--log-tcp-sequence");
    w.switch(flags & 2 != 0, "--log-tcp-options");
    w.switch(flags & 4 != 0, "--log-ip-options");
    w.switch(flags & 8 != 0, "--log-uid");
    w.switch(flags & 0x20 != 0, "--log-macdecode");
    Some(())
}

/// What `NFLOG` is told.
#[derive(Debug, Default)]
pub(in crate::capture::live) struct Nflog<'a> {
    pub(in crate::capture::live) prefix: std::borrow::Cow<'a, str>,
    pub(in crate::capture::live) group: u16,
    /// Bytes of a packet, and whether they are a limit that is kept.
    pub(in crate::capture::live) len: (u32, bool),
    pub(in crate::capture::live) threshold: u16,
}

impl Nflog<'_> {
    /// The options.
    pub(in crate::capture::live) fn print(&self, w: &mut Words<'_>) {
        if !self.prefix.is_empty() {
            w.raw("--nflog-prefix");
            w.quoted(&self.prefix);
        }
        if self.group != 0 {
            w.value(false, "--nflog-group", self.group);
        }
        match self.len {
            (len, true) => w.value(false, "--nflog-size", len),
            (0, false) => {}
            (len, false) => w.value(false, "--nflog-range", len),
        }
        if self.threshold != 0 {
            w.value(false, "--nflog-threshold", self.threshold);
        }
    }
}

/// `struct xt_nflog_info`
pub(super) fn nflog(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    let nflog = Nflog {
        prefix: text(b.get(12..76)?),
        group: b.u16(4)?,
        len: (b.u32(0)?, b.u16(8)? & 1 != 0),
        threshold: b.u16(6)?,
    };
    nflog.print(w);
    Some(())
}

/// `struct idletimer_tg_info` and `struct idletimer_tg_info_v1`
pub(super) fn idletimer(w: &mut Words<'_>, revision: u32, b: &[u8]) -> Option<()> {
    w.value(false, "--timeout", b.u32(0)?);
    w.raw("--label");
    w.word(&text(b.get(4..32)?));
    w.switch(revision == 1 && b.u8(33)? == 1, "--alarm");
    Some(())
}

/// `struct xt_led_info`; the kernel's name for it begins with `netfilter-`.
pub(super) fn led(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    let id = text(b.get(..27)?);
    let id = id.strip_prefix("netfilter-").unwrap_or(&id);
    w.raw("--led-trigger-id");
    w.out.push_str(" \"");
    for c in id.chars() {
        if matches!(c, '"' | '\\') {
            w.out.push('\\');
        }
        w.out.push(c);
    }
    w.out.push('"');
    match b.u32(28)? {
        0 => {}
        u32::MAX => w.raw("--led-delay inf"),
        delay => w.value(false, "--led-delay", delay),
    }
    w.switch(b.u8(27)? != 0, "--led-always-blink");
    Some(())
}

/// `struct xt_rateest_target_info`
pub(super) fn rateest(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    let (interval, log) = (b.u8(16)?, b.u8(17)?);
    w.raw("--rateest-name");
    w.word(&text(b.get(..16)?));
    // From a quarter of a second on, each twice the one before.
    let steps = u32::try_from(i32::from(i8::from_ne_bytes([interval])) + 2).ok()?;
    let interval = 1_000_000u64.checked_shl(steps)? / 4;
    let average = interval.checked_mul(1u64.checked_shl(log.into())?)?;
    for (name, micros) in [
        ("--rateest-interval", interval),
        ("--rateest-ewmalog", average),
    ] {
        w.raw(name);
        match micros {
            1_000_000.. => tenths(w, micros, 1_000_000, "s"),
            1000.. => tenths(w, micros, 1000, "ms"),
            _ => w.formatted(format_args!("{micros}us")),
        }
    }
    Some(())
}

/// ` 1.5s`
fn tenths(w: &mut Words<'_>, micros: u64, unit: u64, name: &str) {
    let tenths = (micros * 10 + unit / 2) / unit;
    w.formatted(format_args!("{}.{}{name}", tenths / 10, tenths % 10));
}
