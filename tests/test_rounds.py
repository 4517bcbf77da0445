"""How often Snakemake's scheduler looks for jobs to start."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
from snakemake.scheduling.job_scheduler import JobRateLimiter, JobScheduler
from snakemake.settings.types import MaxJobsPerTimespan

from workflow.rounds import calm


def scheduler(limit: str | None) -> SimpleNamespace:
    """What a scheduler holds of a limit on starts."""
    limiter = JobRateLimiter(MaxJobsPerTimespan.parse_choice(limit)) if limit else None
    return SimpleNamespace(job_rate_limiter=limiter)


@pytest.mark.parametrize(
    ("limit", "stays"), [("100/1s", False), ("6000/1m", False), ("1/1s", True), ("100/1m", True), (None, False)]
)
def test_a_limit_stays_where_somebody_asked_for_it(limit, stays):
    given = scheduler(limit)
    calm(given)
    assert (given.job_rate_limiter is not None) == stays


def test_this_snakemake_starts_a_timer_a_round_for_its_limit_and_none_without():
    """Once it does not, there is nothing left to calm."""
    names = JobScheduler.schedule.__code__.co_names
    assert {"job_rate_limiter", "_schedule_reevalutation"} <= set(names)
    assert "Timer" in JobScheduler._schedule_reevalutation.__code__.co_names
    assert threading.Timer(1, print).daemon is False  # each holds up the end of a run by its second
