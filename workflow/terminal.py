"""What a person sees of a run: its progress and its errors instead of Snakemake's report of every job.

The report goes where it always goes, into ``.snakemake/log``. Snakemake's events are those of
``snakemake-interface-logger-plugins``; whoever asks for details (``--verbose``, ``--printshellcmds`` ...), for less
(``--quiet progress``) or for another logger gets what Snakemake makes of that.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.settings.enums import Quietness
from snakemake.settings.types import OutputSettings
from snakemake_interface_logger_plugins.common import LogEvent

from preprocess.plan.progress import Progress

#: told by the progress
JOBS = {
    LogEvent.RUN_INFO, LogEvent.RESOURCES_INFO, LogEvent.JOB_INFO, LogEvent.GROUP_INFO, LogEvent.SHELLCMD,
    LogEvent.JOB_STARTED, LogEvent.JOB_FINISHED, LogEvent.PROGRESS, LogEvent.JOB_ERROR, LogEvent.GROUP_ERROR,
}  # fmt: skip


def is_wanted(settings: OutputSettings) -> bool:
    """Whether nobody asked for what Snakemake itself says of a run."""
    asked = settings.verbose or settings.printshellcmds or settings.debug_dag or settings.show_failed_logs
    less = {Quietness.ALL, Quietness.PROGRESS, Quietness.RULES}.intersection(settings.quiet or ())
    return not (settings.dryrun or asked or less or settings.log_handler_settings)


class Terminal(logging.Handler):
    """Passes Snakemake's events on to a progress, and keeps them from the terminal."""

    def __init__(self) -> None:
        super().__init__()
        self.progress: Progress | None = None
        #: what a run that is only planned would cost, said last
        self.forecast: Callable[[], list[str]] | None = None
        self._steps = 0
        self._refusal = ""

    def take(self) -> None:
        """Stand beside Snakemake's own handlers; those of files stay as they are."""
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
                handler.addFilter(self._is_shown)
        logger.addHandler(self)

    def announce(self) -> None:
        """Stand beside Snakemake's handlers in a run that is only planned."""
        logger.addHandler(self)

    def refuse(self, why: object) -> WorkflowError:
        """The error that ends a run before its first job; the last line says why, not where in the code."""
        self._refusal = str(why)
        return WorkflowError(self._refusal)

    def close(self) -> None:
        """Called when Snakemake ends its logging."""
        if self._refusal:
            print(f"ERROR: {self._refusal}", file=sys.stderr)
        self._refusal = ""
        if self._steps and self.forecast is not None:
            print("\n".join(self.forecast()), file=sys.stderr)
        self.forecast = None
        super().close()

    def begin(self, progress: Progress) -> None:
        """From now on jobs run."""
        progress.begin(self._steps)
        self.progress = progress

    def _is_shown(self, record: logging.LogRecord) -> bool:
        event = getattr(record, "event", None)
        if event in JOBS or (self._refusal and record.levelno >= logging.ERROR):
            return False
        if self.progress is None or record.levelno > logging.INFO:
            # that a job failed is said by its own error
            return not (event == LogEvent.ERROR and self.progress is not None and self.progress.has_failed)
        return False

    def emit(self, record: logging.LogRecord) -> None:
        """Pass on one event."""
        event, said = getattr(record, "event", None), record.__dict__
        if event == LogEvent.RUN_INFO:
            self._steps = said["stats"]["total"]
        elif self.progress is not None:
            self._pass_on(self.progress, event, said)

    def _pass_on(self, progress: Progress, event: LogEvent | None, said: dict[str, Any]) -> None:
        if event == LogEvent.JOB_INFO:
            progress.started(said["jobid"], said["rule_name"], (said["wildcards"] or {}).get("dataset", ""))
        elif event == LogEvent.JOB_FINISHED:
            progress.finished(said["job_id"])
        elif event == LogEvent.JOB_ERROR:
            progress.failed(said["jobid"], said["rule_name"], said["log"])
