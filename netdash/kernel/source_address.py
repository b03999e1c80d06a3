"""Which of its addresses a host takes as the source of what it sends: inet_select_addr (net/ipv4/devinet.c) and
ipv6_dev_get_saddr (net/ipv6/addrconf.c, RFC 6724). Knows no routes."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Address, ip_network

from netdash.model.host import IP, AddressDetail, Interface, Link

UNIVERSE, LINK_SCOPE, HOST_SCOPE = 0, 253, 254  # RT_SCOPE_*
_SCOPES = {"global": UNIVERSE, "site": 200, "link": LINK_SCOPE, "host": HOST_SCOPE, "nowhere": 255}
_PLAIN = AddressDetail()


def own_addresses(link: Link | None, family: int) -> Iterator[tuple[Interface, AddressDetail]]:
    """The device's addresses of one family, in the kernel's order."""
    if link is None:
        return
    details = link.details if len(link.details) == len(link.addresses) else (_PLAIN,) * len(link.addresses)
    for address, detail in zip(link.addresses, details, strict=True):
        if address.version == family:
            yield address, detail


def scope_of(scope: str) -> int:
    """RT_SCOPE_* as a number, greater for what is nearer; a word that is not known counts as global."""
    return _SCOPES.get(scope, int(scope) if scope.isdigit() else UNIVERSE)


def source_address(link: Link | None, towards: IP | None, family: int, scope: int = UNIVERSE) -> IP | None:
    """The device's own address for a packet to `towards`: of IPv4 the first primary one in the next hop's subnet, else
    the first, of those whose scope is no nearer than `scope`; of IPv6 the one that RFC 6724 takes. None when it has
    none."""
    if family == 6:
        best = _select6((link,) if link else (), link, towards)
        return None if best is None or best.is_link_local else best
    found = [
        address
        for address, detail in own_addresses(link, 4)
        if "secondary" not in detail.flags and scope_of(detail.scope) <= scope and not address.ip.is_loopback
    ]
    near = [address for address in found if towards is not None and towards in address.network]
    return (near or found)[0].ip if found else None


def chosen_source(links: tuple[Link, ...], device: Link | None, towards: IP, scope: int = UNIVERSE) -> IP | None:
    """The address that a packet to `towards` by a device is given: one of the device, else one of any other."""
    if towards.version == 6:
        return _select6(links, device, towards)
    own = source_address(device, towards, 4, scope) if device is None or device.name != "lo" else None
    if own is not None:
        return own
    for link in sorted(links, key=lambda link: link.index):
        for address, detail in own_addresses(link, 4):
            near = scope_of(detail.scope)
            if "secondary" not in detail.flags and near != LINK_SCOPE and near <= scope and not address.ip.is_loopback:
                return address.ip
    return None


# --- IPv6 -------------------------------------------------------------------------------------------------------------


def _select6(links: tuple[Link, ...], device: Link | None, towards: IP | None) -> IP | None:
    """Towards a link-local or multicast address only the outgoing device's own addresses are looked at."""
    target = towards if isinstance(towards, IPv6Address) else IPv6Address("2000::")
    narrow = target.is_link_local or target.is_multicast
    candidates = [
        (address, detail, link)
        for link in sorted(links, key=lambda link: link.index)
        if not narrow or link is device
        for address, detail in own_addresses(link, 6)
        if not detail.flags & {"dadfailed"} and ("tentative" not in detail.flags or "optimistic" in detail.flags)
    ]
    best: IP | None = None
    rank: tuple[int, ...] = ()
    for address, detail, link in candidates:
        score = _score(address, detail, link is device, target)
        if best is None or score > rank:
            best, rank = address.ip, score
    return best


def _score(own: Interface, detail: AddressDetail, outgoing: bool, target: IPv6Address) -> tuple[int, ...]:
    """RFC 6724's rules in their order, the greater the better (ipv6_get_saddr_eval): same address, scope, not
    deprecated, outgoing device, label, public rather than temporary, longest common prefix."""
    ip = own.ip
    mine, wanted = _scope6(ip), _scope6(target)
    suits = -mine if mine >= wanted else mine - 128  # the smallest that is enough, else the greatest there is
    common = 128 - (int(ip) ^ int(target)).bit_length()
    return (
        int(ip == target),
        suits,
        int("deprecated" not in detail.flags),
        int(outgoing),
        int(_label(ip) == _label(target)),
        int("temporary" not in detail.flags),
        min(common, own.network.prefixlen),
    )


def _scope6(ip: IP) -> int:
    """IPV6_ADDR_SCOPE_*: greater for what reaches farther."""
    if ip.is_multicast:
        return (int(ip) >> 112) & 0xF
    if ip.is_loopback or ip.is_link_local:
        return 2
    return 5 if ip in _SITE_LOCAL else 14


_SITE_LOCAL = ip_network("fec0::/10")
_LABELS = (
    (ip_network("::1/128"), 0),
    (ip_network("::ffff:0:0/96"), 4),
    (ip_network("2001::/32"), 6),
    (ip_network("2001:10::/28"), 7),
    (ip_network("2002::/16"), 2),
    (ip_network("fc00::/7"), 5),
    (ip_network("fec0::/10"), 11),
    (ip_network("3ffe::/16"), 12),
    (ip_network("::/96"), 3),
)
"""net/ipv6/addrlabel.c, ip6addrlbl_init_table; the longest first where two hold one address."""


def _label(ip: IP) -> int:
    return next((label for net, label in _LABELS if ip in net), 1)
