"""The budget: what is spent stays within the share, whatever samples cost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.watch.budget import Budget, Pace


@given(
    share=st.floats(0.001, 0.2),
    step_s=st.floats(1e-4, 1e-1),
    costs=st.lists(st.floats(1e-5, 5e-2), min_size=1, max_size=20),
)
def test_spending_stays_within_the_share(share, step_s, costs):
    budget = Budget()
    spent = forced = 0.0
    steps = 4_000
    for step in range(steps):
        if budget.is_due(step):
            cost = costs[step % len(costs)]
            budget.spend(cost)
            spent += cost
            forced += cost if step & (step - 1) == 0 else 0.0
        budget.earn(share * step_s)
    # What a sample is expected to cost is learnt from the last ones, so it may be exceeded by as much as costs differ.
    assert spent - forced <= share * steps * step_s * max(costs) / min(costs) + max(costs)


def test_cheap_samples_are_taken_often_and_dear_ones_seldom():
    def samples(cost_s):
        budget, taken = Budget(), 0
        for step in range(1, 10_000):
            if budget.is_due(step):
                taken += 1
                budget.spend(cost_s)
            budget.earn(0.03 * 1e-3)
        return taken

    assert 250 <= samples(1e-3) <= 350  # 0.03 × 10 s / 1 ms, and those at powers of two
    assert 14 <= samples(0.1) <= 20


def test_short_runs_are_seen_at_powers_of_two():
    budget = Budget()
    due = []
    for step in range(70):
        if budget.is_due(step):
            due.append(step)
            budget.spend(1.0)
    assert due == [0, 1, 2, 4, 8, 16, 32, 64]


def test_a_fixed_interval_counts_alone():
    budget = Budget(every=5)
    assert [step for step in range(20) if budget.is_due(step)] == [0, 5, 10, 15]


def test_what_is_dear_is_forced_at_powers_of_four():
    budget = Budget(rarely=True)
    due = []
    for step in range(300):
        if budget.is_due(step):
            due.append(step)
            budget.spend(1.0)
    assert due == [0, 1, 4, 16, 64, 256]


def test_what_a_sample_does_not_need_is_given_back():
    budget = Budget()
    budget.spend(2e-3)
    assert budget.earn(1.5e-3) == 0.0
    assert budget.earn(1.5e-3) == pytest.approx(1e-3)
    assert budget.is_due(3)


def test_a_pause_between_steps_earns_hardly_more_than_a_step():
    pace = Pace()
    assert [pace.believable(0.01) for _ in range(5)] == [pytest.approx(0.01)] * 5
    assert pace.believable(60.0) == pytest.approx(0.015)


def test_what_is_spent_beyond_what_was_earned_is_told_once():
    budget = Budget()
    budget.spend(0.5)  # at step 0, whatever it costs
    assert budget.take_overdraft() == 0.5
    budget.earn(0.5)
    budget.spend(0.75)
    assert budget.take_overdraft() == pytest.approx(0.25)
    assert budget.take_overdraft() == 0.0
