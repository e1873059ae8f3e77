//! Beginnings of devices' names, which wildcards hold.

use crate::capture::redact::words::plain_stem;
use std::collections::BTreeMap;

/// New beginnings for devices that are matched together: what begins with one of them begins with its image, and nothing else does.
pub(super) fn settled(
    stems: &BTreeMap<String, String>,
    devices: &[String],
    kept: impl Fn(&str) -> bool,
) -> BTreeMap<String, String> {
    let stays = |stem: &str| {
        let mut devices = devices.iter().filter(|d| kept(d));
        plain_stem(stem) || devices.any(|d| d.starts_with(stem))
    };
    let olds: Vec<String> = stems.keys().cloned().collect();
    let mut new: BTreeMap<String, String> = BTreeMap::new();
    for old in olds.iter().filter(|s| stays(s)) {
        new.insert(old.clone(), old.clone());
    }
    // A beginning of another one sorts before it.
    for old in olds.iter().filter(|s| !stays(s)) {
        let begun = new.iter().filter(|(o, _)| old.starts_with(o.as_str()));
        let parent = begun
            .max_by_key(|(o, _)| o.len())
            .map_or("", |(_, n)| n.as_str());
        // What stands behind keeps room.
        let most = old.len().max(parent.len() + 3).min(12);
        let apart = |image: &str| {
            let of = |o: &String, n: &String| {
                !old.starts_with(o.as_str())
                    && (n.starts_with(image) || image.starts_with(n.as_str()))
            };
            let kept = |d: &&String| d.starts_with(image);
            image.len() <= most
                && !new.iter().any(|(o, n)| of(o, n))
                && !olds
                    .iter()
                    .any(|o| o.starts_with(image) || o != parent && image.starts_with(o.as_str()))
                && !devices.iter().any(|d| kept(&d))
        };
        let letters = |n: u32| {
            (b'a'..=b'z')
                .chain(b'A'..=b'Z')
                .nth(usize::try_from(n).unwrap_or(0))
        };
        let image = (0..52 * 52).find_map(|n| {
            let (a, b) = (letters(n / 52)?, letters(n % 52)?);
            let image = format!("{parent}x{}{}", char::from(a), char::from(b));
            apart(&image).then_some(image)
        });
        new.insert(old.clone(), image.unwrap_or_else(|| old.clone()));
    }
    new
}
