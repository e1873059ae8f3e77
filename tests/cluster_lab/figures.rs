//! What a run came to.

/// Counts of what agreed.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub clusters: u64,
    pub rules: u64,
    pub requests: u64,
    pub replies: u64,
    /// Requests that came out where they were to.
    pub arrived: u64,
    /// Of these, out of a tunnel or by another node.
    pub crossed: u64,
    pub tunnelled: u64,
    /// Replies that came out.
    pub returned: u64,
    pub returned_tunnelled: u64,
    pub forking: u64,
    pub unknown: u64,
    pub again: u64,
    /// Of the above those of IPv6.
    pub requests6: u64,
    pub replies6: u64,
    pub crossed6: u64,
    pub tunnelled6: u64,
    pub returned6: u64,
    pub returned_tunnelled6: u64,
}

impl std::ops::AddAssign for Figures {
    fn add_assign(&mut self, o: Self) {
        for (a, b) in [
            (&mut self.clusters, o.clusters),
            (&mut self.rules, o.rules),
            (&mut self.requests, o.requests),
            (&mut self.replies, o.replies),
            (&mut self.arrived, o.arrived),
            (&mut self.crossed, o.crossed),
            (&mut self.tunnelled, o.tunnelled),
            (&mut self.returned, o.returned),
            (&mut self.returned_tunnelled, o.returned_tunnelled),
            (&mut self.forking, o.forking),
            (&mut self.unknown, o.unknown),
            (&mut self.again, o.again),
            (&mut self.requests6, o.requests6),
            (&mut self.replies6, o.replies6),
            (&mut self.crossed6, o.crossed6),
            (&mut self.tunnelled6, o.tunnelled6),
            (&mut self.returned6, o.returned6),
            (&mut self.returned_tunnelled6, o.returned_tunnelled6),
        ] {
            *a += b;
        }
    }
}
