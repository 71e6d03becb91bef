"""To which addresses a webhook may be sent. Pure.

Whoever posts an image chooses the URL, so that a URL must not open what only this machine can reach.
"""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

# All IPv6 addresses of the internet are in the first network. In the second an IPv4 address lies in the last 32 bits,
# to which a gateway of the provider leads (NAT64).
GLOBAL_UNICAST, NAT64 = IPv6Network("2000::/3"), IPv6Network("64:ff9b::/96")
# Gateways to IPv4 that anybody may run (6to4, Teredo): nobody can tell where they lead.
GATEWAYS = tuple(map(ip_network, ("2002::/16", "2001::/32", "192.88.99.0/24")))
PRIVATE = tuple(map(ip_network, ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10",
                                 "::1/128", "fc00::/7")))
# Where clouds tell a machine its passwords, beside 169.254.169.254: no setting opens these.
METADATA = tuple(map(ip_address, ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254")))


def may_be_told(text: str, private: bool) -> bool:
    """Whether a webhook may be sent to an address: a public one, or where `private`, one of this machine or of its own
    network too. What is no address may not."""
    try:
        address = _meant(ip_address(text))
    except ValueError:
        return False
    return address not in METADATA and (_is_public(address) or (private and any(address in net for net in PRIVATE)))


def _meant(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 one stands for."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in NAT64 else address


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    is_unicast = address.version == 4 or address in GLOBAL_UNICAST
    return is_unicast and address.is_global and not address.is_multicast and not any(
        address in net for net in GATEWAYS)
