//! The kernel path of a packet, with Linux's names and order: skb, NAPI, netfilter hooks, IPv4/IPv6, sockets
