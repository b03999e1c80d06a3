"""What plans, courses and running changes have to say, as kinds and values. The words are in view/statements.py."""

from __future__ import annotations

from enum import StrEnum, auto

from netdash.model.records import dataclass


class Kind(StrEnum):
    """What a statement is about; its values are named in the table of words."""

    # titles of plans
    PUBLISH = auto()
    FORWARD = auto()
    RECREATE = auto()
    RECREATE_WITHOUT = auto()
    RUN = auto()
    # steps of plans and of running changes
    FORWARD_PORT = auto()
    KEEP_FORWARD = auto()
    CONNECT = auto()
    HOLD_RESTART = auto()
    STOP_FOLLOWERS = auto()
    STOP = auto()
    COMMIT = auto()
    CREATE_EQUAL = auto()
    RENAME_BOTH = auto()
    START_AND_WAIT = auto()
    RECREATE_FOLLOWERS = auto()
    REMOVE_OLD = auto()
    PULL = auto()
    CREATE_FROM_IMAGE = auto()
    START_WELL = auto()
    STOP_FOLLOWER = auto()
    RECREATE_FOLLOWER = auto()
    HOLD = auto()
    KEEP_CHANGES = auto()
    CREATE = auto()
    CONNECT_NETWORK = auto()
    RENAME = auto()
    START = auto()
    WAIT = auto()
    RELEASE = auto()
    TAKE_BACK = auto()
    STEPS = auto()
    COURSE_STEP = auto()
    # beside the steps of a running change
    INTERRUPTED = auto()
    FAILED_TAKES_BACK = auto()
    FAILED_PUTS_NEW_BACK = auto()
    TAKEN_BACK = auto()
    NEW_RUNS_AGAIN = auto()
    WAS_DOWN = auto()
    OLD_REMOVED = auto()
    OLD_KEPT = auto()
    CHANGE_INTERRUPTED = auto()
    FORWARD_OVER = auto()
    FORWARD_REOPENED = auto()
    FORWARD_DROPPED = auto()
    # how a plan is undone
    UNPUBLISH = auto()
    UNPUBLISH_RECREATE = auto()
    UNDO_IN_TIME = auto()
    UNDO = auto()
    UNDO_RUN = auto()
    PUBLISH_AGAIN = auto()
    # what is lost with the old container
    LOST_FILES = auto()
    LOST_MEMORY = auto()
    LOST_TMPFS = auto()
    LOST_LOG = auto()
    LOST_ID = auto()
    # whom the container sees, and who reaches the port
    CLIENT_GATEWAY = auto()
    CLIENT_OWN = auto()
    REACHED_AT = auto()
    REACHED_FROM_OUTSIDE_AT = auto()
    REACHED_IF_LISTENS = auto()
    LOOPBACK_ONLY = auto()
    NOT_MODELLED = auto()
    OWN_ADDRESS_UNKNOWN = auto()
    DEPENDS_ON_RULES = auto()
    NOT_REACHED = auto()
    ROUTED_AWAY = auto()
    NOT_READ = auto()
    DECIDED_BY_RULE = auto()
    DECIDED = auto()
    # refusals: the container
    CONTAINER_GONE = auto()
    ENGINE_ERROR = auto()
    ENGINE_ON_ANOTHER_MACHINE = auto()
    HOST_NETWORK = auto()
    NO_NETWORK_MODE = auto()
    SHARES_NETWORK = auto()
    LEFT_BEHIND = auto()
    NOT_RUNNING = auto()
    NETWORKS_UNREAD = auto()
    NETWORK_UNKNOWN = auto()
    NETWORK_INTERNAL = auto()
    NETWORK_WITHOUT_BRIDGE = auto()
    NO_ADDRESS = auto()
    BRIDGE_NOT_HERE = auto()
    NO_NETWORK = auto()
    NO_ENDPOINT = auto()
    # refusals: the port
    NO_PORT_TO_CHOOSE = auto()
    PRIVILEGED_PORT = auto()
    PORT_HELD = auto()
    PORT_RESERVED = auto()
    PORT_OF_FORWARD = auto()
    PORT_TRANSLATED = auto()
    NOT_OWN_ADDRESS = auto()
    ENGINE_NAMESPACE = auto()
    NOT_PUBLISHED = auto()
    PORT_TWICE = auto()
    BAD_NAME = auto()
    NAME_EXISTS = auto()
    # refusals: making it anew
    SETTINGS_UNREAD = auto()
    SWARM_TASK = auto()
    AUTO_REMOVE = auto()
    CHANGES_UNREAD = auto()
    VOLUMES_GONE = auto()
    USES_NAMESPACE = auto()
    LINKED = auto()
    USES_VOLUMES = auto()
    # warnings
    LISTENERS_UNREAD = auto()
    LISTENS_AT_DEVICE = auto()
    LISTENS_ELSEWHERE = auto()
    NOBODY_LISTENS = auto()
    PORT_FORCED = auto()
    FORWARD_FORCED = auto()
    BEFORE_FIREWALL = auto()
    HOST_SOCKETS_UNREAD = auto()
    HOST_RULES_UNREAD = auto()
    HOST_RULES_UNSURE = auto()
    CHANGES_LOST = auto()
    CHANGES_KEPT = auto()
    SHARERS_UNREAD = auto()
    SHARERS = auto()
    ANONYMOUS_VOLUME = auto()
    FORWARDS_STAY = auto()
    IMAGE_MOVED = auto()
    RANDOM_PORTS = auto()
    ADDRESSES_CHANGE = auto()
    COMPOSE_PROJECT = auto()


@dataclass(frozen=True, slots=True)
class Statement:
    kind: Kind
    values: tuple[tuple[str, object], ...] = ()

    @property
    def failed(self) -> bool:
        """Whether it says what follows from it that the step before failed."""
        return self.kind in (Kind.FAILED_TAKES_BACK, Kind.FAILED_PUTS_NEW_BACK)

    @property
    def is_step(self) -> bool:
        """Of what a running change says: whether this is under way from now on, or a note that needs no time."""
        return self.kind not in _NOTES

    @property
    def forceable(self) -> bool:
        """Of a refusal: whether --force does it all the same."""
        return self.kind in _FORCEABLE


def say(kind: Kind, **values: object) -> Statement:
    return Statement(kind, tuple(values.items()))


_NOTES = frozenset(
    {
        Kind.INTERRUPTED,
        Kind.FAILED_TAKES_BACK,
        Kind.FAILED_PUTS_NEW_BACK,
        Kind.TAKEN_BACK,
        Kind.NEW_RUNS_AGAIN,
        Kind.WAS_DOWN,
        Kind.OLD_REMOVED,
        Kind.OLD_KEPT,
        Kind.CHANGE_INTERRUPTED,
        Kind.FORWARD_OVER,
        Kind.FORWARD_REOPENED,
        Kind.FORWARD_DROPPED,
    }
)
_FORCEABLE = frozenset({Kind.PORT_RESERVED, Kind.PORT_OF_FORWARD, Kind.USES_NAMESPACE, Kind.LINKED, Kind.USES_VOLUMES})
