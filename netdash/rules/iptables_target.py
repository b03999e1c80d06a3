"""What an iptables rule does with a packet: the words after -j."""

from __future__ import annotations

from netdash.model.addresses import address, subnet
from netdash.model.host import Effect, Target, Verb
from netdash.model.memory import kept
from netdash.rules.parts import FULL, number

CONTINUE = Target(Verb.CONTINUE)
_FINAL = {"ACCEPT": Target(Verb.ACCEPT), "DROP": Target(Verb.DROP), "RETURN": Target(Verb.RETURN)}
GO_ON = frozenset(
    "AUDIT CHECKSUM CLASSIFY CONNMARK CONNSECMARK CT DSCP ECN HL HMARK IDLETIMER LED LOG MARK NFLOG NOTRACK RATEEST"
    " SECMARK SET TCPMSS TCPOPTSTRIP TEE TOS TRACE TTL ULOG".split()
)
"""Targets after which the next rule is tried (man iptables-extensions)."""
_OTHERS = frozenset("CLUSTERIP DNPT NETMAP NFQUEUE QUEUE SNPT STEAL SYNPROXY TARPIT TPROXY".split())
XT_TARGETS = GO_ON | _OTHERS | {"DNAT", "SNAT", "MASQUERADE", "REDIRECT", "REJECT"}
_ALONE = frozenset(("--random", "--random-fully", "--persistent"))


def read_target(option: str, name: str, args: list[str]) -> tuple[Target, str]:
    """(target, what of it is not understood) of `-j NAME ARGS` or `-g NAME`."""
    if option == "-g":
        return Target(Verb.GOTO, chain=name), ""
    final = _FINAL.get(name)
    if final:
        return final, ""
    if name in _NAT:
        return _nat(_NAT[name], args)
    if name == "REJECT":
        return Target(Verb.REJECT, detail=args[1] if args[:1] == ["--reject-with"] and len(args) > 1 else ""), ""
    if name in GO_ON:
        made, rest = _effect(name, args)
        return Target(Verb.CONTINUE, detail=" ".join((name, *args)), effects=(made,)), rest
    if name == "NETMAP":
        net = subnet(args[1]) if len(args) == 2 and args[0] == "--to" else None
        return Target(Verb.OTHER, detail=name, net=net), "" if net else " ".join(("-j", name, *args))
    if name == "TPROXY":
        return Target(Verb.OTHER, detail=name, ports=_on_port(args)), ""
    if name == "SYNPROXY":
        return Target(Verb.OTHER, detail=name), ""
    if name in _OTHERS:
        return Target(Verb.OTHER, detail=name), " ".join(("-j", name, *args))
    return _jump(name), " ".join(args)


def _on_port(args: list[str]) -> tuple[int, int] | None:
    """TPROXY's port; None where it is the packet's own."""
    port = number(args[args.index("--on-port") + 1]) if "--on-port" in args[:-1] else None
    return (port, port) if port else None


# --- effects ----------------------------------------------------------------------------------------------------------

_KINDS = {
    "CLASSIFY": "priority",
    "CONNSECMARK": "secmark",
    "HL": "hoplimit",
    "NOTRACK": "notrack",
    "TCPMSS": "mss",
    "TEE": "dup",
    "ULOG": "nflog",
} | {name: name.lower() for name in "DSCP LOG NFLOG SECMARK SET TOS TRACE TTL".split()}


def _effect(name: str, args: list[str]) -> tuple[Effect, str]:
    """(effect, what of it is not understood)."""
    if name in ("MARK", "CONNMARK"):
        kind = name.lower()
        made = _marks(kind, args)
        return made or Effect(_changed(args, kind), None, detail=" ".join(args)), "" if made else " ".join(args)
    if name == "CT":
        return _connection(args)
    return Effect(_KINDS.get(name, name), detail=" ".join(args)), ""


def _changed(args: list[str], kind: str) -> str:
    return "mark" if "--restore-mark" in args else kind


def _marks(kind: str, args: list[str]) -> Effect | None:
    said = args[:1]
    if said in (["--save-mark"], ["--restore-mark"]):
        return _copied(args)
    value, _, mask = (args[1] if len(args) == 2 else "").partition("/")
    xor, bits = number(value), number(mask or "0xffffffff")
    if xor is None or bits is None or not said:
        return None
    forms = {
        "--set-xmark": (~bits, xor),
        "--set-mark": (~(bits | xor), xor),
        "--and-mark": (xor, 0),
        "--or-mark": (~xor, xor),
        "--xor-mark": (FULL, xor),
    }
    if said[0] not in forms:
        return None
    keep, xor = forms[said[0]]
    return Effect(kind, keep & FULL, xor & FULL)


def _copied(args: list[str]) -> Effect | None:
    """--save-mark: ct = (ct & ~ctmask) ^ (mark & nfmask); --restore-mark: mark = (mark & ~nfmask) ^ (ct & ctmask)."""
    masks = dict(zip(args[1::2], args[2::2], strict=False))
    both = number(masks.pop("--mask", "0xffffffff"))
    nfmask, ctmask = (number(masks.pop(name, f"{both}")) for name in ("--nfmask", "--ctmask"))
    if masks or nfmask is None or ctmask is None or len(args) % 2 == 0:
        return None
    if args[0] == "--save-mark":
        return Effect("connmark", ~ctmask & FULL, other_keep=nfmask)
    return Effect("mark", ~nfmask & FULL, other_keep=ctmask)


def _connection(args: list[str]) -> tuple[Effect, str]:
    if args == ["--notrack"]:
        return Effect("notrack"), ""
    side = _ZONES.get(args[0] if args else "")
    if len(args) == 2 and side is not None:
        return Effect("zone", detail=f"{side} {args[1]}".strip()), ""
    if len(args) == 2 and args[0] == "--helper":
        return Effect("helper", detail=" ".join(args)), ""
    return Effect("CT", detail=" ".join(args)), "" if "--notrack" not in args else " ".join(args)


_ZONES = {"--zone": "", "--zone-orig": "original", "--zone-reply": "reply"}


@kept
def _jump(chain: str) -> Target:
    return Target(Verb.JUMP, chain=chain)


_NAT = {"DNAT": Verb.DNAT, "SNAT": Verb.SNAT, "MASQUERADE": Verb.MASQUERADE, "REDIRECT": Verb.REDIRECT}


def _nat(verb: Verb, args: list[str]) -> tuple[Target, str]:
    flags = " ".join([arg[2:] for arg in args if arg in _ALONE])
    rest = [arg for arg in args if arg not in _ALONE]
    if not rest:
        return Target(verb, detail=flags), ""
    made = translation(verb, rest[1], flags) if len(rest) == 2 and rest[0].startswith("--to-") else None
    return (made, "") if made else (Target(verb, detail=flags), " ".join(rest))


@kept
def translation(verb: Verb, to: str, detail: str = "") -> Target | None:
    """`to` of --to-destination, --to-source or --to-ports: A, A:P, A-B:P-Q, :P, [A6]:P, A:P-Q/BASE. None: not so."""
    if verb in (Verb.MASQUERADE, Verb.REDIRECT):
        ips, ports = "", to
    elif to.startswith("[") and "]" in to:
        ips, _, ports = to[1:].partition("]")
        second, _, after = ports.partition("[")[2].partition("]")
        ips, ports = (f"{ips}-{second}", after) if second else (ips, ports)
        ports = ports.removeprefix(":")
    elif to.count(":") > 1:
        ips, ports = to, ""
    else:
        ips, _, ports = to.partition(":")
    first, _, last = ips.partition("-")
    low, high = address(first), address(last)
    span, base = _span(ports)
    if (first and low is None) or (last and high is None) or (ports and span is None) or not (first or ports):
        return None
    return Target(verb, address=low, address_to=high, ports=span, base_port=base, detail=detail)


def _span(ports: str) -> tuple[tuple[int, int] | None, int | None]:
    span, _, base = ports.partition("/")
    low, dash, high = span.partition("-")
    try:
        pair = (int(low), int(high) if dash else int(low))
        start = int(base) if base else None
    except ValueError:
        return None, None
    return (pair, start) if 0 <= pair[0] <= pair[1] <= 65535 else (None, None)
