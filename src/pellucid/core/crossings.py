"""Where quantities that are affine along segments change which piece they are on."""

from __future__ import annotations

import numpy as np

__all__ = ["maximum_changes", "sign_changes"]

Found = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Segment, quantity (or group), and the fraction of the segment at which it happens, 0 < f < 1."""


def sign_changes(start: np.ndarray, end: np.ndarray) -> Found:
    """Where quantities (segments × quantities, given at both ends) pass zero inside a segment.

    >>> [part.tolist() for part in sign_changes(np.array([[-1.0, 2.0]]), np.array([[3.0, 1.0]]))]
    [[0], [0], [0.25]]
    """
    segment, quantity = np.nonzero(((start < 0) & (end > 0)) | ((start > 0) & (end < 0)))
    before, after = start[segment, quantity], end[segment, quantity]
    return segment, quantity, before / (before - after)


def maximum_changes(start: np.ndarray, end: np.ndarray) -> Found:
    """Where another member of a group becomes the largest (segments × groups × members, given at both ends).

    The largest member at both ends is the largest all along, since a difference of affine functions has one sign
    if it has it at both ends; so only groups whose largest changes are walked, from one overtaking to the next.
    """
    first, last = start.argmax(-1), end.argmax(-1)
    segment, group = np.nonzero(first != last)
    low, rise = start[segment, group], end[segment, group] - start[segment, group]
    each = np.arange(len(segment))
    leader, done = first[segment, group], np.zeros(len(segment))
    found: list[Found] = []
    while len(each):
        behind = low[each, leader[each]][:, None] - low[each]
        faster = rise[each] - rise[each, leader[each]][:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            when = np.where(faster > 0, behind / faster, np.inf)
        when = np.where(when >= done[each][:, None], when, np.where(faster > 0, done[each][:, None], np.inf))
        following = when.argmin(1)
        at = when[np.arange(len(each)), following]
        going = at < 1
        each, following, at = each[going], following[going], at[going]
        leader[each], done[each] = following, at
        inside = at > 0
        found.append((segment[each[inside]], group[each[inside]], at[inside]))
    empty = np.empty(0, dtype=np.int64)
    if not found:
        return empty, empty, np.empty(0)
    parts = [np.concatenate(part) for part in zip(*found, strict=True)]
    return parts[0], parts[1], parts[2]
