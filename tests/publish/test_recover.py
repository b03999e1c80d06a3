"""What is left of an interrupted change: what the engine shows decides; what cannot be read is never nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from netdash.apply import change, journal_files, publication, state_directory
from netdash.cli.main import main
from netdash.model.errors import Exit, NetdashError
from netdash.publish import payload
from netdash.publish.journal import Journal, load_journal
from netdash.publish.undo import LATE, Choice, Pending, Seen, Shown, Unreadable, Way, finish, rollback, shown, suspects
from tests.publish.test_state import CHANGE, INSPECT

WHOLE = Path(__file__).parents[1] / "journals/interrupted.jsonl"
NAME = "1795920458-bb332c97"
OLD = Shown(CHANGE.old_id, CHANGE.backup, "exited")
NEW = Shown("e" * 64, "web", "running")
OTHER = Shown("d" * 64, "web", "running")
BEGUN = Journal(replace(CHANGE, environment=False), begun=(0, 1))


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NETDASH_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    return state_directory.ensure(state_directory.journals())


# --- what the engine shows --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "back", "forth"),
    [
        (Seen(OLD, NEW, NEW), Way.PLANNED, Way.PLANNED),
        (Seen(None, NEW, NEW), Way.FROM_NEW, Way.PLANNED),
        (Seen(OLD, None, None), Way.PLANNED, Way.PLANNED),
        (Seen(), Way.FROM_JOURNAL, Way.FROM_JOURNAL),
        (Seen(OLD, NEW, NEW, networks=("net",)), Way.REFUSED, Way.REFUSED),
        (Seen(None, NEW, NEW, volumes=("data",)), Way.REFUSED, Way.REFUSED),
        (Seen(OLD, None, OTHER), Way.PLANNED, Way.REFUSED),
        (Seen(None, NEW, OTHER), Way.REFUSED, Way.REFUSED),
        (Seen(None, None, OTHER), Way.REFUSED, Way.REFUSED),
        (Seen(OLD, NEW, NEW, old_taken=("port 80/tcp is published by x",)), Way.REFUSED, Way.PLANNED),
        (Seen(OLD, None, None, new_taken=("port 8080/tcp is published by x",)), Way.PLANNED, Way.REFUSED),
        (Seen(OLD, None, None, image=False), Way.PLANNED, Way.PLANNED),
        (Seen(image=False), Way.FROM_JOURNAL, Way.REFUSED),
    ],
)
def test_what_is_there_decides_the_way(seen: Seen, back: Way, forth: Way) -> None:
    for course, way in ((rollback(BEGUN, seen), back), (finish(BEGUN, seen), forth)):
        assert course.way is way
        assert bool(course.refusal) == (way is Way.REFUSED)
        assert bool(course.steps) != bool(course.refusal)


def test_an_environment_that_is_not_written_down_is_not_made_up() -> None:
    needs = Journal(replace(CHANGE, environment=True), begun=(0, 1))
    for course in (rollback(needs, Seen()), finish(needs, Seen())):
        assert course.way is Way.REFUSED
        assert "environment" in course.refusal
    assert rollback(replace(needs, source=INSPECT), Seen()).way is Way.FROM_JOURNAL
    kept = payload.settings({**INSPECT, "Config": {**INSPECT["Config"], "Env": ["PASSWORD=hidden"]}})
    assert "hidden" not in replace(CHANGE, settings=kept).line()
    assert load_journal(replace(CHANGE, settings=kept).line()) == Journal(replace(CHANGE, settings=kept))


def test_nothing_is_left_but_the_record() -> None:
    before = Journal(replace(CHANGE, steps=("hold", "stop")), begun=(0,))
    assert rollback(before, Seen()).way is Way.RECORD
    new = Journal(replace(CHANGE, kind="run", old_id=""), begun=(0,))
    assert rollback(new, Seen()).way is Way.RECORD
    assert rollback(new, Seen(None, NEW, NEW)).way is Way.PLANNED


def test_a_name_that_another_has_does_not_keep_the_old_one_down() -> None:
    steps = rollback(BEGUN, Seen(OLD, None, OTHER)).steps
    assert steps[-1] == "start web.netdash-1"
    assert "the name web is taken by another container (dddddddddddd, running)" in steps[-2]


def test_what_is_stopped_is_said_first() -> None:
    lines = shown(BEGUN, Seen(OLD, replace(NEW, state="created")))
    assert lines[0] == "web is down: none of its containers runs"
    lines = shown(BEGUN, Seen(OLD, NEW))
    assert lines == (
        "web.netdash-1 (ffffffffffff) is exited, the old one",
        "web (eeeeeeeeeeee) is running, the new one",
    )


# --- a record that cannot be read -------------------------------------------------------------------------------------


def zeroed(path: Path) -> None:
    path.write_bytes(b"\0" + WHOLE.read_bytes()[1:])


def cut(path: Path) -> None:
    path.write_bytes(WHOLE.read_bytes()[30:])


def bad_byte(path: Path) -> None:
    path.write_bytes(WHOLE.read_bytes().replace(b'"name": "b8"', b'"name": "b\xff"'))


def linked(path: Path) -> None:
    path.symlink_to("/nowhere/at/all")


DAMAGES: tuple[Callable[[Path], None], ...] = (zeroed, cut, bad_byte, Path.mkdir, os.mkfifo, linked, Path.touch)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda it: it.__name__)
def test_a_damaged_record_is_named_by_every_command(
    state: Path, damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    path = state / f"{NAME}.jsonl"
    damage(path)
    state_directory.write(state / "1-a.jsonl", CHANGE.line() + "\n")
    commands = (["recover"], ["recover", "--json"], ["published"], ["published", "--json"], ["undo", "--yes"])
    for words in (*commands, ["publish", "x", "80", "--dry-run"], ["recover", "--rollback"]):
        assert main(words) == 4, words
        said = "".join(capsys.readouterr())
        assert str(path) in said, words
        assert "nothing was interrupted" not in said
    assert journal_files.listed() == ()  # the other record was rolled back all the same
    assert main(["recover", "--forget", NAME]) == 0
    assert main(["recover"]) == 0
    assert not os.path.lexists(path)


def test_a_whole_record_is_read(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (state / f"{NAME}.jsonl").write_bytes(WHOLE.read_bytes())
    assert main(["recover"]) == 1
    said = capsys.readouterr().out
    assert "interrupted after 6 of 9 steps" in said
    assert "  now: the engine does not say what is there" in said


def test_what_the_engine_shows_of_an_unreadable_record() -> None:
    lost = Unreadable(NAME, "/x", "damaged", ("b8",))
    original = Shown("a" * 64, "b8.netdash-20261129-024738", "exited")
    made = Shown("b" * 64, "b8", "created")
    lines = suspects(lost, (NEW, made, original))
    assert lines == (
        "b8 (bbbbbbbbbbbb) is created",
        "b8.netdash-20261129-024738 (aaaaaaaaaaaa) is exited, the original b8",
    )
    assert suspects(replace(lost, names=()), (original,))[-1] == "there is no container b8"
    assert suspects(replace(lost, names=()), (NEW,)) == ("no container that the engine shows has a name of a change",)


def test_names_are_taken_from_what_is_left_of_a_record(state: Path) -> None:
    cut(state / f"{NAME}.jsonl")
    (found,) = journal_files.unreadable()
    assert (found.id, found.engine) == (NAME, "unix:///run/docker.sock")
    assert found.names[:2] == ("b8", "b8.netdash-20261129-024738")


def test_a_damaged_line_may_have_been_the_next_step() -> None:
    lines = WHOLE.read_text().splitlines()
    lines[-2:] = ["\ufffd\ufffd"]
    found = load_journal("\n".join(lines))
    assert found is not None
    assert found.to_undo == (5, 4, 1, 0, 3, 2)
    assert load_journal("\n".join([*lines[:3], '{"beg'])).begun == (0,)  # type: ignore[union-attr]


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        yield


@pytest.mark.usefixtures("read_only")
def test_a_disk_that_takes_no_change_is_said(state: Path) -> None:
    journal_files.begin(CHANGE)
    with pytest.raises(NetdashError, match=r"cannot remove .*Read-only file system") as raised:
        journal_files.end(CHANGE)
    assert raised.value.code is Exit.REFUSED


# --- each record by itself --------------------------------------------------------------------------------------------


def test_one_record_that_fails_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b", "c"):
        journal_files.begin(replace(CHANGE, id=name, name=name))

    def act(_: object, journal: Journal, __: object) -> None:
        if journal.change.id == "b":
            raise NetdashError("nothing was changed: gone", code=Exit.REFUSED)
        journal_files.end(journal.change)

    monkeypatch.setattr(change, "rollback", act)
    assert main(["recover", "--rollback"]) == 4
    assert "b: nothing was changed: gone" in capsys.readouterr().err
    assert [one.change.id for one in journal_files.listed()] == ["b"]
    assert main(["recover", "--forget", "z"]) == 4
    assert main(["recover", "--forget", "b"]) == 0
    assert journal_files.listed() == ()


def test_json_of_what_was_interrupted(capsys: pytest.CaptureFixture[str]) -> None:
    journal_files.begin(CHANGE)
    assert main(["recover", "--json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)["records"]
    assert (found["id"], found["unreadable"], found["rollback"]["way"]) == ("1-a", None, "record")


def test_an_old_container_that_stays_beyond_its_time_is_spoken_of() -> None:
    settled = Journal(CHANGE, settled=100.0)
    due = settled.due
    assert due is not None
    assert Pending(journals=(settled,), now=due + LATE - 1).interrupted == ()
    assert Pending(journals=(settled,), now=due + LATE + 1).interrupted == (settled,)


def test_a_lost_record_is_not_done_twice() -> None:
    with pytest.raises(NetdashError, match="over"):
        publication.recover(BEGUN, Choice.ROLLBACK, lambda _: None)
