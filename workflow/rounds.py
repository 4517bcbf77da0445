"""How often Snakemake looks for jobs that can start: when one has ended, and at no other time."""

from __future__ import annotations

from snakemake.scheduling.job_scheduler import JobScheduler

#: jobs a second that Snakemake starts at most if nobody asks for less; no machine comes near
UNLIMITED = 100


def calm(scheduler: JobScheduler) -> None:
    """Take away a limit on starts that cannot be reached by jobs of this machine; a lower one, asked for, stays.

    For the sake of the limit Snakemake (9.13 to 9.27) sets a timer in each round of its scheduler, and while jobs wait
    each timer's round sets the next one: after 200 jobs it goes 200 rounds a second, in each of which it asks for the
    resources of all that wait and looks for their files. That took a third of the CPU time of a run of small jobs.
    """
    limiter = getattr(scheduler, "job_rate_limiter", None)
    if limiter is not None and limiter.max_jobs >= UNLIMITED * limiter.timespan:
        scheduler.job_rate_limiter = None
