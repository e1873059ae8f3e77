//! `nft list ruleset` without the lab's own tables.

/// Tables of the lab itself.
const OWN: [&str; 2] = ["lab", "labct"];

/// The text form.
pub fn text(listing: &str) -> String {
    let mut out = String::new();
    let mut own = false;
    for line in listing.lines() {
        if line.starts_with("table ") {
            own = OWN.iter().any(|t| line == format!("table inet {t} {{"));
        }
        if !own {
            out += line;
            out.push('\n');
        }
        if line == "}" {
            own = false;
        }
    }
    out
}

/// The JSON form: `{"nftables": [{...}, {...}]}`. The objects that stay are as the tool wrote them.
pub fn json(listing: &str) -> String {
    let Some((head, rest)) = listing.split_once('[') else {
        return listing.to_owned();
    };
    let mut kept = Vec::new();
    let (mut depth, mut from, mut quoted, mut escaped) = (0, 0, false, false);
    let mut end = rest.len();
    for (i, c) in rest.char_indices() {
        if quoted {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => quoted = false,
                _ => {}
            }
            continue;
        }
        match c {
            '"' => quoted = true,
            '{' | '[' => {
                if depth == 0 {
                    from = i;
                }
                depth += 1;
            }
            '}' | ']' if depth > 0 => {
                depth -= 1;
                if depth == 0 {
                    kept.push(&rest[from..=i]);
                }
            }
            ']' => {
                end = i;
                break;
            }
            _ => {}
        }
    }
    kept.retain(|object| {
        !OWN.iter().any(|t| {
            object.starts_with(&format!(
                "{{\"table\": {{\"family\": \"inet\", \"name\": \"{t}\""
            )) || object.contains(&format!("\"table\": \"{t}\","))
        })
    });
    format!("{head}[{}{}", kept.join(", "), &rest[end..])
}
