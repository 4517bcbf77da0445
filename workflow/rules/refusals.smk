# What the package refuses is told by Snakemake in one line.

from functools import wraps

from preprocess.errors import PreprocessError
from snakemake.exceptions import WorkflowError


def refusing(function):
    """An input function whose refusal is shown as it is, without where in the code it came from."""

    @wraps(function)
    def asked(wildcards):
        try:
            return function(wildcards)
        except PreprocessError as error:
            raise WorkflowError(str(error)) from None

    return asked
