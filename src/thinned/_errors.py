"""The errors and warnings that are ours."""


class NoEffectError(ValueError):
    """A call would have changed nothing: no site, layer or key is as it asked.

    The message names what was asked, and what the model holds instead.
    """


class ThinnedWarning(UserWarning):
    """Something is not as it seems; the run goes on.

    One category for all of our warnings, so that one filter reaches them.
    """
