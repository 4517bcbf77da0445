"""The three ways in which something can go wrong."""


class PreprocessError(Exception):
    """Stops the run. Its text is the one line a user sees: file, cause, what to do."""


class UnreadableError(PreprocessError):
    """One sample's file cannot be decoded: stops a strict run, excludes the sample under ``warn``."""


class ExcludeSample(Exception):
    """This sample cannot be part of the dataset; ``reason`` is a name of :mod:`preprocess.reasons`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
