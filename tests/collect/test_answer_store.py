from __future__ import annotations

import time
from dataclasses import replace

import pytest

from netdash.bundle.recording import Recording
from netdash.collect.answer_store import _REST, AnswerStore


def test_what_costs_much_is_published_less_often_once_all_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys need the interpreter too."""
    store, published, cost, spent = AnswerStore(), list[Recording](), 0.02, time.thread_time
    made = store.recording
    monkeypatch.setattr(store, "recording", lambda: replace(made(), pending=frozenset()))

    def publish(recording: Recording) -> None:
        until = spent() + cost
        while spent() < until:
            pass
        published.append(recording)

    store.start(publish)
    began, number = time.monotonic(), 0
    while (gone := time.monotonic() - began) < 0.6 or (len(published) < 2 and gone < 60):  # the machine may be busy
        store.put("links", {"ip/addr.json": [number]})
        number += 1
        time.sleep(0.002)
    store.stop()
    assert 2 <= len(published) <= 2 + (time.monotonic() - began) / (cost * (1 + _REST))
