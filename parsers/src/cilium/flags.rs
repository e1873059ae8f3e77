//! What is written in the brackets behind a service (`ServiceFlags.String` in pkg/loadbalancer/loadbalancer.go).

use std::fmt;

/// The type of a service (`SVCType`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `ClusterIP`
    #[default]
    ClusterIp,
    /// `NodePort`
    NodePort,
    /// `ExternalIPs`
    ExternalIps,
    /// `LoadBalancer`
    LoadBalancer,
    /// `HostPort`
    HostPort,
    /// `LocalRedirect`
    LocalRedirect,
    /// `NONE`
    None,
}

impl Kind {
    const ALL: [(&'static str, Self); 7] = [
        ("ClusterIP", Self::ClusterIp),
        ("NodePort", Self::NodePort),
        ("ExternalIPs", Self::ExternalIps),
        ("LoadBalancer", Self::LoadBalancer),
        ("HostPort", Self::HostPort),
        ("LocalRedirect", Self::LocalRedirect),
        ("NONE", Self::None),
    ];

    /// As Cilium prints it.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, k)| *k == self)
            .map_or("", |k| k.0)
    }

    /// The type of that name.
    pub(super) fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(n, _)| *n == name).map(|k| k.1)
    }
}

/// A service's flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags {
    /// The type.
    pub kind: Kind,
    /// The others.
    pub bits: u32,
}

impl Flags {
    /// `externalTrafficPolicy: Local`.
    pub const LOCAL: u32 = 1;
    /// `internalTrafficPolicy: Local`.
    pub const INTERNAL_LOCAL: u32 = 1 << 1;
    /// Clients in the cluster are served by an entry of their own (`/i`).
    pub const TWO_SCOPES: u32 = 1 << 2;
    /// Clients stay with their backend.
    pub const AFFINITY: u32 = 1 << 3;
    /// Not for clients outside (a `ClusterIP`, and the `0.0.0.0` of a node port).
    pub const NON_ROUTABLE: u32 = 1 << 4;
    /// For some sources alone.
    pub const SOURCE_RANGE: u32 = 1 << 5;
    /// For all but some sources.
    pub const DENY: u32 = 1 << 6;
    /// Translated between IPv4 and IPv6.
    pub const NAT_46X64: u32 = 1 << 7;
    /// A proxy of the node takes it.
    pub const L7: u32 = 1 << 8;
    /// A host port at a loopback address.
    pub const LOOPBACK: u32 = 1 << 9;
    /// Left to the pod on the node, where there is one.
    pub const DELEGATE: u32 = 1 << 10;
    /// Of a backend: its health check failed.
    pub const QUARANTINED: u32 = 1 << 11;
    /// Answered by the backend's node, whatever others are.
    pub const DSR: u32 = 1 << 12;

    const NAMES: [(&'static str, u32); 13] = [
        ("Local", Self::LOCAL),
        ("InternalLocal", Self::INTERNAL_LOCAL),
        ("two-scopes", Self::TWO_SCOPES),
        ("sessionAffinity", Self::AFFINITY),
        ("non-routable", Self::NON_ROUTABLE),
        ("check source-range", Self::SOURCE_RANGE),
        ("deny", Self::DENY),
        ("46x64", Self::NAT_46X64),
        ("l7-load-balancer", Self::L7),
        ("loopback", Self::LOOPBACK),
        ("delegate-if-local", Self::DELEGATE),
        ("quarantined", Self::QUARANTINED),
        ("dsr", Self::DSR),
    ];

    /// Whether all of `bits` are set.
    pub fn has(self, bits: u32) -> bool {
        self.bits & bits == bits
    }

    /// What stands between the brackets. Words that are not known are left out.
    pub(super) fn parse(text: &str) -> Self {
        let mut out = Self::default();
        for word in text.split(", ").map(str::trim) {
            if let Some(kind) = Kind::of(word) {
                out.kind = kind;
            } else if let Some((_, bit)) = Self::NAMES.iter().find(|(n, _)| *n == word) {
                out.bits |= bit;
            }
        }
        out
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        for (name, bit) in Self::NAMES {
            if self.bits & bit != 0 {
                write!(f, ", {name}")?;
            }
        }
        Ok(())
    }
}
