"""How often the watch may look: what it spends stays within a share of the time that training takes."""

from __future__ import annotations

__all__ = ["Budget", "Pace"]

_EARLIEST_EXPECTED_COST_S = 1e-3
_WEIGHT_OF_LATEST = 0.3
_MOST_GROWTH = 3.0
_LONGEST_STEP = 1.5


class Budget:
    """Decides at which steps one kind of sample is taken.

    Every step earns some time. A sample is due once its expected cost has been earned (at most one
    sample's worth is saved up, so samples never come in bursts), and, however little was earned, at steps 0, 1, 2, 4,
    8 …, so that short runs are seen too (log₂ n samples of n steps). With ``every`` set, samples come at
    multiples of it and nothing else counts.

    Args:
        every: Sample each so many steps instead; None lets the budget decide.
        rarely: However little was earned, at steps 0, 1, 4, 16, 64 … only.
    """

    def __init__(self, every: int | None = None, *, rarely: bool = False) -> None:
        self._every = every
        self._rarely = rarely
        self._earned_s = self._overdraft_s = 0.0
        self._expected_cost_s = _EARLIEST_EXPECTED_COST_S
        self.spent_s = 0.0
        self.samples = 0
        """How many were taken."""

    def earn(self, time_s: float) -> float:
        """So much more may be spent; returns what is not needed, since a whole sample's worth is there."""
        earned_s = self._earned_s + time_s
        self._earned_s = min(earned_s, self._expected_cost_s)
        return earned_s - self._earned_s

    def is_due(self, step: int) -> bool:
        """Whether this step is to be sampled."""
        if self._every is not None:
            return step % self._every == 0
        if self._earned_s >= self._expected_cost_s:
            return True
        return step & (step - 1) == 0 and (not self._rarely or step.bit_length() % 2 == 1 or not step)

    def spend(self, cost_s: float) -> None:
        """A sample was taken and cost this much."""
        weight = _WEIGHT_OF_LATEST if self.spent_s else 1.0
        # One sample that met a busy machine must not silence the watch for long.
        believable_s = min(cost_s, _MOST_GROWTH * self._expected_cost_s) if self.spent_s else cost_s
        self._expected_cost_s += weight * (believable_s - self._expected_cost_s)
        self._overdraft_s += max(0.0, cost_s - self._earned_s)
        self._earned_s = 0.0
        self.spent_s += cost_s
        self.samples += 1

    def take_overdraft(self) -> float:
        """What was spent since this was asked last and had not been earned; it is for others to make up for."""
        overdraft_s, self._overdraft_s = self._overdraft_s, 0.0
        return overdraft_s


class Pace:
    """How long a step usually takes: a pause between two (an evaluation, a breakpoint) earns the watch nothing."""

    def __init__(self) -> None:
        self._usual_s = 0.0

    def believable(self, step_time_s: float) -> float:
        """The step's time, or half as much again as the usual one if it is longer than that."""
        if not self._usual_s:
            self._usual_s = step_time_s
        believable_s = min(step_time_s, _LONGEST_STEP * self._usual_s)
        self._usual_s += 0.1 * (believable_s - self._usual_s)
        return believable_s
