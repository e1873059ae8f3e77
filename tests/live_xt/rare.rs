//! Rules with what the lab's nodes do not have, by table.

pub const SETS: &str = "\
create foo hash:ip,port
create foo6 hash:ip,port family inet6
create ips hash:ip timeout 0
create skb hash:ip skbinfo
create ips6 hash:ip timeout 0 family inet6
";

type Rules = &'static [(&'static str, &'static str)];

/// Of both families.
pub const BOTH: Rules = &[
    (
        "filter",
        "
        INPUT -p tcp -m tcp ! --sport 1:1023 ! --dport 80 --tcp-option 5
        INPUT -p tcp -m tcp
        INPUT -p udp -m udp
        INPUT -p udp -m udp --sport 1024: --dport :53
        INPUT -p udp -m udp ! --dport :53
        INPUT -p sctp -m sctp ! --chunk-types all DATA:IUbe,ABORT:T,ASCONF
        INPUT -p sctp -m sctp --chunk-types only ALL
        INPUT -p sctp -m sctp --sport 1:2 ! --dport 3
        INPUT -p dccp -m dccp ! --dccp-types REQUEST,RESPONSE,INVALID
        INPUT -p dccp -m dccp --dport 5 --dccp-option 100
        INPUT -p tcp -m multiport ! --ports 1:2,3,4:5,65535
        INPUT -p tcp -m tcpmss ! --mss 1:2
        INPUT -p ipcomp -m ipcomp ! --ipcompspi 18
        INPUT -p ipcomp -m ipcomp --ipcompspi 1:18 --compres
        INPUT -p esp -m esp ! --espspi 7
        INPUT -m connbytes ! --connbytes 1:10 --connbytes-mode avgpkt --connbytes-dir reply
        INPUT -m connbytes --connbytes 10 --connbytes-mode bytes --connbytes-dir original
        INPUT -m connlabel ! --label 3 --set
        INPUT -m connlimit --connlimit-upto 3 --connlimit-mask 9 --connlimit-daddr
        INPUT -m cluster --cluster-total-nodes 3 ! --cluster-local-node 2 --cluster-hash-seed 0xdeadbeef
        INPUT -m conntrack --ctstate INVALID,UNTRACKED ! --ctproto 6 --ctorigsrcport 1:2 --ctexpire 5:6
        INPUT -m conntrack --ctdir REPLY --ctstatus NONE
        INPUT -m state --state NEW,UNTRACKED
        INPUT -m cgroup ! --cgroup 7
        INPUT -m cpu ! --cpu 1
        INPUT -m devgroup ! --src-group 0x5/0xf
        INPUT -m ecn ! --ecn-ip-ect 2
        INPUT -p tcp -m ecn --ecn-tcp-ece ! --ecn-tcp-cwr
        INPUT -m helper ! --helper \"sip-5060 x\"
        INPUT -m length ! --length 7:8
        INPUT -m limit --limit 7/day --limit-burst 9
        INPUT -m hashlimit --hashlimit-upto 1000/sec --hashlimit-burst 5 --hashlimit-mode srcip,srcport,dstip,dstport --hashlimit-name a1 --hashlimit-htable-size 8 --hashlimit-htable-max 9 --hashlimit-htable-gcinterval 60000 --hashlimit-htable-expire 2000
        INPUT -m hashlimit --hashlimit-above 1mb/s --hashlimit-burst 2mb --hashlimit-name a2
        INPUT -m hashlimit --hashlimit-above 300b/s --hashlimit-burst 1kb --hashlimit-name a3
        INPUT -m hashlimit --hashlimit-above 5kb/s --hashlimit-rate-match --hashlimit-rate-interval 30 --hashlimit-name a4
        INPUT -m mac ! --mac-source 0a:1b:2c:3d:4e:5f
        INPUT -m pkttype ! --pkt-type broadcast
        INPUT -m quota ! --quota 4000000000000
        INPUT -m recent ! --rcheck --seconds 5 --reap --hitcount 3 --rttl --name x.y --rdest
        INPUT -m statistic --mode nth ! --every 5 --packet 4
        INPUT -m statistic --mode random ! --probability 0.00001
        INPUT -m string --string \"a\\\"b c\" --algo bm --from 4 --to 9
        INPUT -m string ! --hex-string \"|0001ff|\" --algo kmp --icase
        INPUT -m time --timestart 01:02:03 --timestop 04:05:06 --monthdays 1,31 --weekdays Mon,Sun --datestart 2020-02-29T01:02:03 --datestop 2037-12-31T23:59:59
        INPUT -m time --kerneltz --contiguous --timestart 23:00 --timestop 01:00
        INPUT -m u32 ! --u32 \"0x0>>0x16&0x3c@0x0>>0x10=0x1:0x5,0x7&&0x4<<0x3&0xffff=0x0\"
        INPUT -m bpf --bytecode \"4,48 0 0 9,21 0 1 6,6 0 0 1,6 0 0 0\"
        INPUT -m mark ! --mark 0x5/0x7
        INPUT -m connmark ! --mark 0x0
        INPUT -m policy --dir in --pol ipsec --strict --reqid 1 --spi 0x1 --proto esp --mode transport --next --proto ah
        INPUT -m comment --comment \"it's \\\\ \\\"quoted\\\"\"
        INPUT -i eth+ -m physdev --physdev-is-bridged ! --physdev-in pod+
        INPUT -m socket --transparent --nowildcard --restore-skmark
        INPUT -p 250
        INPUT ! -i +
        INPUT -j NFQUEUE --queue-balance 0:7 --queue-bypass --queue-cpu-fanout
        INPUT -j NFQUEUE --queue-num 3
        INPUT -j LOG --log-prefix \"it's [x]: \" --log-level debug --log-tcp-sequence --log-tcp-options --log-ip-options --log-uid --log-macdecode
        INPUT -j NFLOG --nflog-group 5 --nflog-prefix \"a b\" --nflog-size 100 --nflog-threshold 3
        INPUT -j AUDIT --type drop
        INPUT -j IDLETIMER --timeout 60 --label alarm --alarm
        INPUT -p tcp -j SYNPROXY --sack-perm --timestamp --wscale 7 --mss 1460 --ecn
        INPUT -j RATEEST --rateest-name r1 --rateest-interval 250ms --rateest-ewmalog 500ms
        INPUT -m rateest --rateest r1 --rateest-lt --rateest-bps 8bit
        INPUT -m rateest --rateest-delta --rateest r1 --rateest-bps1 1Mbit --rateest-gt --rateest-bps2 2Mbit
        INPUT -m rateest --rateest r1 ! --rateest-eq --rateest-pps 10
        OUTPUT -m owner ! --uid-owner 5-6 --gid-owner 7 --suppl-groups
        OUTPUT -m owner --socket-exists
        ",
    ),
    (
        "mangle",
        "
        PREROUTING -j MARK --set-xmark 0x1/0x3
        PREROUTING -j CONNMARK --set-xmark 0x1/0x3
        PREROUTING -j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff00
        PREROUTING -j CONNMARK --set-mark 0x1 --left-shift-mark 4
        PREROUTING -j CONNMARK --save-mark --mask 0xff --right-shift-mark 8
        PREROUTING -j DSCP --set-dscp 0x3f
        PREROUTING -j TOS --xor-tos 0x3
        PREROUTING -m tos ! --tos 0x10/0x3f -j CHECKSUM --checksum-fill
        PREROUTING -m rpfilter --loose --validmark --accept-local --invert
        PREROUTING -p tcp -j TCPOPTSTRIP --strip-options 5,8,34,255
        PREROUTING -p tcp -j TCPOPTSTRIP
        PREROUTING -j CONNSECMARK --restore
        PREROUTING -j HMARK --hmark-tuple src,dst,sport,dport --hmark-rnd 0x1234 --hmark-mod 10 --hmark-offset 100
        PREROUTING -j HMARK --hmark-src-prefix 24 --hmark-sport-mask 0xff --hmark-dport 0x50 --hmark-proto-mask 0x1 --hmark-rnd 1 --hmark-mod 5
        POSTROUTING -j CLASSIFY --set-class 12:ab
        POSTROUTING -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1000
        POSTROUTING -p tcp -m tcp --tcp-flags ALL SYN -j TCPMSS --clamp-mss-to-pmtu
        POSTROUTING -p tcp -m tcp ! --tcp-flags ALL NONE
        ",
    ),
    (
        "raw",
        "
        PREROUTING -j TRACE
        PREROUTING -j NOTRACK
        PREROUTING -j CT --notrack
        PREROUTING -j CT --zone-reply mark --ctevents new,assured,natseqinfo,secmark --expevents new
        PREROUTING -p tcp -j CT --helper ftp --zone 7
        ",
    ),
];

/// Of IPv4.
pub const IPV4: Rules = &[
    (
        "filter",
        "
        INPUT ! -f
        INPUT -s 10.0.0.0/255.0.255.0 ! -d 10.1.0.0/17
        INPUT -p icmp -m icmp --icmp-type any
        INPUT -p icmp -m icmp ! --icmp-type 3/4
        INPUT -p ah -m ah ! --ahspi 5:6
        INPUT -m ttl ! --ttl-eq 9
        INPUT -m ttl --ttl-lt 9
        INPUT -m realm ! --realm 0x5/0xff
        INPUT -m iprange ! --src-range 10.0.0.1-10.0.0.9 --dst-range 10.1.0.0-10.1.0.255
        INPUT -m addrtype ! --src-type UNICAST,NAT,XRESOLVE --dst-type LOCAL --limit-iface-in
        INPUT -m conntrack --ctorigsrc 10.0.0.0/8 ! --ctrepldst 10.0.0.1
        INPUT -m policy --dir in --pol ipsec --strict --proto esp --mode tunnel --tunnel-src 10.0.0.0/8 --tunnel-dst 10.1.0.1
        INPUT -m set ! --match-set foo src,dst --return-nomatch ! --update-counters --packets-lt 5 ! --bytes-eq 7
        INPUT -m recent --set --name m --mask 255.255.0.0
        INPUT -j SET --add-set ips src --exist --timeout 60
        INPUT -j SET --del-set foo dst,src
        INPUT -j REJECT --reject-with icmp-admin-prohibited
        ",
    ),
    (
        "mangle",
        "
        POSTROUTING -j SET --map-set skb src --map-mark --map-prio --map-queue
        PREROUTING -j TTL --ttl-dec 3
        PREROUTING -p tcp -j ECN --ecn-tcp-remove
        PREROUTING -j TEE --gateway 10.0.0.1
        PREROUTING -p udp -j TPROXY --on-port 1234 --on-ip 10.0.0.1 --tproxy-mark 0x23/0xff
        ",
    ),
    (
        "nat",
        "
        PREROUTING -p tcp -j DNAT --to-destination 10.0.0.1-10.0.0.9:80-90 --random --persistent
        PREROUTING -p tcp -m tcp --dport 80:90 -j DNAT --to-destination :8080-8090/80
        PREROUTING -p tcp -j REDIRECT --to-ports 80-90 --random
        PREROUTING -d 10.0.0.0/24 -j NETMAP --to 10.1.0.0/24
        POSTROUTING -p tcp -j SNAT --to-source 10.0.0.1:1000-2000 --random-fully
        POSTROUTING -p udp -j MASQUERADE --to-ports 1000-2000 --random --random-fully
        ",
    ),
];

/// Of IPv6.
pub const IPV6: Rules = &[
    (
        "filter",
        "
        INPUT -s fd00::/ffff:0:ffff:: ! -d fe80::/10
        INPUT -s ::1.2.3.4/128
        INPUT -p ipv6-icmp -m icmp6 ! --icmpv6-type 1/4
        INPUT -m ah ! --ahspi 5:6 --ahlen 16 --ahres
        INPUT -m hl ! --hl-eq 9
        INPUT -m hl --hl-gt 9
        INPUT -m frag --fragid 1:42 --fraglen 42 --fragres --fragfirst --fragmore
        INPUT -m frag ! --fragid 7 --fraglast
        INPUT -m rt --rt-type 0 ! --rt-segsleft 1:23 --rt-len 42 --rt-0-res --rt-0-addrs ::1,::2 --rt-0-not-strict
        INPUT -m hbh --hbh-len 5 --hbh-opts 1:2,23:42,4
        INPUT -m hbh ! --hbh-len 5
        INPUT -m dst --dst-len 5 --dst-opts 149:92,12
        INPUT -m ipv6header --header hop-by-hop --soft
        INPUT -m ipv6header ! --header ipv6-frag,ah,esp
        INPUT -p mobility-header -m mh ! --mh-type 3:5
        INPUT -p mobility-header -m mh
        INPUT -m srh --srh-next-hdr 17 ! --srh-hdr-len-eq 8 --srh-segs-left-gt 4 --srh-last-entry-lt 4 --srh-tag 2
        INPUT -m srh --srh-psid a::/64 ! --srh-nsid b::/128 --srh-lsid c::/0
        INPUT -m eui64
        INPUT -m iprange ! --src-range fd00::1-fd00::9
        INPUT -m addrtype --dst-type LOCAL,UNREACHABLE
        INPUT -m conntrack --ctorigsrc fd00::/8 ! --ctrepldst fd00::1
        INPUT -m set ! --match-set foo6 src,dst --return-nomatch ! --update-counters --packets-lt 5 ! --bytes-eq 7
        INPUT -m recent --set --name m6 --mask ffff:ffff::
        INPUT -m policy --dir in --pol ipsec --strict --proto esp --mode tunnel --tunnel-src fd00::/8 --tunnel-dst fd00::1
        INPUT -j SET --add-set ips6 src --exist --timeout 60
        INPUT -j REJECT --reject-with icmp6-policy-fail
        INPUT -j REJECT --reject-with icmp6-reject-route
        ",
    ),
    (
        "mangle",
        "
        INPUT -s fd00::/64 -j SNPT --src-pfx fd00::/64 --dst-pfx 2001:db8::/64
        POSTROUTING -s fd00::/64 -j SNPT --src-pfx fd00::/64 --dst-pfx 2001:db8::/64
        PREROUTING -d 2001:db8::/64 -j DNPT --src-pfx 2001:db8::/64 --dst-pfx fd00::/64
        PREROUTING -j HL --hl-inc 3
        PREROUTING -j TEE --gateway fd00::1
        PREROUTING -p udp -j TPROXY --on-port 1234 --on-ip fd00::1 --tproxy-mark 0x23/0xff
        ",
    ),
    (
        "nat",
        "
        PREROUTING -p tcp -j DNAT --to-destination [fd00::1-fd00::9]:80-90 --random --persistent
        PREROUTING -p tcp -m tcp --dport 80:90 -j DNAT --to-destination [fd00::1]:8080-8090/80
        PREROUTING -p tcp -j REDIRECT --to-ports 80-90 --random
        PREROUTING -d fd00::/64 -j NETMAP --to fd01::/64
        POSTROUTING -p tcp -j SNAT --to-source [fd00::1]:1000-2000 --random-fully
        POSTROUTING -p udp -j MASQUERADE --to-ports 1000-2000 --random
        ",
    ),
];
