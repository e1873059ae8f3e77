//! Explains what netfilter and IPVS on a Kubernetes node do to one packet.
