"""x"""

from __future__ import annotations


def features(dice):
    return []
