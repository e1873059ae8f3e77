//! The records as `cilium-dbg` prints them.

use super::text::PROTOCOLS;
use super::{Endpoint, Entry, Key, Listing, Numbered, Prefix, Range, Row, Setting};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

fn end(addr: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(addr, port)
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", end(self.addr, self.port))?;
        if let Some((name, _)) = PROTOCOLS
            .iter()
            .find(|(_, p)| p.is_some() && *p == self.proto)
        {
            write!(f, "/{name}")?;
        }
        f.write_str(if self.internal { "/i" } else { "" })
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.entry {
            Entry::Service { id, flags, .. } if self.agent => {
                write!(f, "{id}   {}   {}   ", self.key, flags.kind.name())
            }
            Entry::Service { id, flags, proxy } => {
                let any = if self.key.addr.is_ipv4() {
                    "0.0.0.0"
                } else {
                    "[::]"
                };
                write!(f, "{}   {any}:0 ({id}) (0) [{flags}] ", self.key)?;
                match proxy {
                    Some(port) => write!(f, "(L7LB Proxy Port: {port})"),
                    None => Ok(()),
                }
            }
            Entry::Backend {
                addr, port, state, ..
            } if self.agent => {
                write!(f, "     1 => {}", end(*addr, *port))?;
                match state {
                    Some(s) => write!(f, " ({})", s.name()),
                    None => Ok(()),
                }
            }
            Entry::Backend {
                id,
                slot,
                addr,
                port,
                ..
            } => {
                write!(f, "{}   {}", self.key, end(*addr, *port))?;
                write!(f, " ({})", id.unwrap_or_default())?;
                match slot {
                    Some(s) => write!(f, " ({s})"),
                    None => Ok(()),
                }
            }
            Entry::Missing(id) => write!(f, "{}   backend {id} not found", self.key),
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} ({})", self.net.0, self.net.1, self.id)
    }
}

impl fmt::Display for Numbered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}   ANY://{}", self.id, end(self.addr, self.port))?;
        match self.state {
            Some(s) => write!(f, " ({})", s.name()),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}   ", end(self.addr, 0))?;
        if self.host {
            return f.write_str("(localhost)");
        }
        write!(
            f,
            "id=0 flags=0x0000 ifindex={}",
            self.ifindex.unwrap_or_default()
        )
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let none = IpAddr::from([0; 4]);
        write!(
            f,
            "{}/{}   identity={} encryptkey=0 tunnelendpoint={} flags=<none>",
            self.net.0,
            self.net.1,
            self.identity,
            self.tunnel.unwrap_or(none)
        )
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {}: \"{}\"", self.key, self.value)
    }
}

/// Services of the agent, rows of the map, and the rest, each as a table of its own. What only the status says is left out.
impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows.iter().any(|r| r.agent) {
            writeln!(f, "ID   Frontend   Service Type   Backend")?;
            for r in self.rows.iter().filter(|r| r.agent) {
                writeln!(f, "{r}")?;
            }
        }
        if self.rows.iter().any(|r| !r.agent) {
            writeln!(f, "SERVICE ADDRESS   BACKEND ADDRESS (REVNAT_ID) (SLOT)")?;
            for r in self.rows.iter().filter(|r| !r.agent) {
                writeln!(f, "{r}")?;
            }
        }
        table(f, "SOURCE RANGE (REVNAT_ID)", &self.ranges)?;
        table(f, "ID   BACKEND ADDRESS (REVNAT_ID) (SLOT)", &self.numbers)?;
        table(f, "IP ADDRESS   LOCAL ENDPOINT INFO", &self.endpoints)?;
        table(f, "IP PREFIX/ADDRESS   IDENTITY", &self.prefixes)?;
        if self.settings.iter().any(|s| !s.status) {
            writeln!(f, "  name: cilium-config")?;
            for s in self.settings.iter().filter(|s| !s.status) {
                writeln!(f, "{s}")?;
            }
        }
        Ok(())
    }
}

fn table<T: fmt::Display>(f: &mut fmt::Formatter<'_>, head: &str, rows: &[T]) -> fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(f, "{head}")?;
    for r in rows {
        writeln!(f, "{r}")?;
    }
    Ok(())
}
