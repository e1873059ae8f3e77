//! What the nodes of unit tests have in common.

/// `ip addr`: `eth0` to the network, one device of a pod.
pub const ADDR: &str = "\
1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN
    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00
    inet 127.0.0.1/8 scope host lo
2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc fq state UP
    link/ether 52:54:00:00:00:02 brd ff:ff:ff:ff:ff:ff
    inet 192.0.2.10/24 brd 192.0.2.255 scope global eth0
3: veth7@if2: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP
    link/ether 52:54:00:00:00:03 brd ff:ff:ff:ff:ff:ff link-netnsid 0
";

/// `ip rule` of a node without policy routing.
pub const RULE: &str = "\
0:\tfrom all lookup local
32766:\tfrom all lookup main
32767:\tfrom all lookup default
";

/// `sysctl -a`, of it what matters here.
pub const SYSCTL: &str = "\
net.ipv4.ip_forward = 1
net.ipv4.conf.all.accept_local = 0
net.ipv4.conf.all.rp_filter = 0
net.ipv4.conf.eth0.rp_filter = 0
net.ipv4.conf.veth7.rp_filter = 0
net.ipv4.conf.all.route_localnet = 0
";
