"""The few exceptions of gemforest: who is told, and what stops.

`GenomeError` ends one genome and becomes its ledger row. `InputError` ends the command before any work: the user's
config, sheet or media are wrong. `InfrastructureError` ends a shard job: the disk is full, a program is missing.
"""

from __future__ import annotations

from gemforest.ledger import Outcome, Reason


class GemforestError(Exception):
    """Root of all errors that are foreseen; its text says what was expected, what was found and what to do."""


class InputError(GemforestError):
    """The user's own input is wrong; nothing was started."""


class InfrastructureError(GemforestError):
    """The machine, not a genome, is at fault; the shard job stops and its finished genomes stay finished."""


class GenomeError(GemforestError):
    """One genome cannot go on.

    Parameters
    ----------
    reason
        The ledger's reason.
    detail
        What was expected, what was found, how to mend it: one sentence for a biologist.
    outcome
        `refused` where the input is at fault, `failed` where the method is.
    """

    def __init__(self, reason: Reason, detail: str, outcome: Outcome = Outcome.FAILED) -> None:
        super().__init__(reason, detail, outcome)
        self.reason = reason
        self.detail = detail
        self.outcome = outcome

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


class RefusedError(GenomeError):
    """The genome's input is at fault and no rerun will help until it is mended."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail, Outcome.REFUSED)

    def __reduce__(self) -> tuple[type, tuple[Reason, str]]:
        return type(self), (self.reason, self.detail)
