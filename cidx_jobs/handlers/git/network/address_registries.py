"""Blocks of IP addresses that are no hosts of the public internet, from IANA's registries.

As of 2025-11-01: the special-purpose registries of IPv4 and IPv6 (RFC 6890), the IPv4 address
space, and the IPv6 global unicast assignments. An address of IPv6 is public only inside 2000::/3:
all else, the deprecated site-local fec0::/10 too, is reserved or special. A block that may be
reached from everywhere and serves a protocol, not hosts (anycast of PCP, AS112, ORCHID), stands
here as well: nobody keeps repositories there.
"""

import ipaddress

AS_OF = "2025-11-01"
"""The date of the registries that the tables were taken from."""

NO_HOSTS_IPV4 = tuple(
    ipaddress.IPv4Network(block)
    for block in (
        "0.0.0.0/8",  # this network, RFC 791
        "10.0.0.0/8",  # private, RFC 1918
        "100.64.0.0/10",  # shared by carriers, RFC 6598
        "127.0.0.0/8",  # loopback, RFC 1122
        "169.254.0.0/16",  # link-local, RFC 3927
        "172.16.0.0/12",  # private, RFC 1918
        "192.0.0.0/24",  # protocol assignments, RFC 6890
        "192.0.2.0/24",  # documentation, RFC 5737
        "192.31.196.0/24",  # AS112, RFC 7535
        "192.52.193.0/24",  # AMT, RFC 7450
        "192.88.99.0/24",  # relays of 6to4, deprecated by RFC 7526
        "192.168.0.0/16",  # private, RFC 1918
        "192.175.48.0/24",  # AS112, RFC 7534
        "198.18.0.0/15",  # benchmarking, RFC 2544
        "198.51.100.0/24",  # documentation, RFC 5737
        "203.0.113.0/24",  # documentation, RFC 5737
        "224.0.0.0/4",  # multicast, RFC 5771
        "240.0.0.0/4",  # reserved, RFC 1112, and the limited broadcast, RFC 8190
    )
)
UNICAST_IPV6 = ipaddress.IPv6Network("2000::/3")
"""The only part of IPv6 from which hosts have got addresses."""
NO_HOSTS_IPV6 = tuple(
    ipaddress.IPv6Network(block)
    for block in (
        "2001::/23",  # protocol assignments (Teredo, ORCHID, AMT, benchmarking), RFC 2928
        "2001:db8::/32",  # documentation, RFC 3849
        "2002::/16",  # 6to4, RFC 3056; what it wraps is looked at by itself
        "2620:4f:8000::/48",  # AS112, RFC 7534
        "2d00::/8",  # reserved
        "2e00::/7",  # reserved
        "3000::/4",  # reserved, with the documentation of RFC 9637 and the former 6bone
    )
)
