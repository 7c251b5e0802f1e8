"""What goes wrong, as exceptions that carry the diagnostics as data."""
from dataclasses import dataclass, field
from typing import List, Optional


@dataclass(frozen=True)
class Diagnostic:
    """One finding. `line` and `column` count from 1 and are None where the place has none."""
    severity: str  #: "error", "warning", "note" or "remark"
    code: str      #: "E0404"; of a note ""
    message: str
    help: Optional[str] = None    #: what to do about it
    file: Optional[str] = None    #: or a place in words, "net.safetensors: tensor x"
    line: Optional[int] = None
    column: Optional[int] = None
    notes: List["Diagnostic"] = field(default_factory=list)


class SpikecError(Exception):
    """A call that failed. str() is the text that the tool prints, with source lines and carets."""

    #: status of include/spikec/spikec.h
    status: int
    diagnostics: List[Diagnostic]

    def __init__(self, status, text, diagnostics):
        super().__init__(text)
        self.status = status
        self.diagnostics = diagnostics


class UsageError(SpikecError, ValueError):
    """Wrong options or arguments."""


class InputError(SpikecError, ValueError):
    """A bad model, weights, target or input."""


class DoesNotFit(SpikecError):
    """The network does not fit on the target; notes and help say what would."""


class FileError(SpikecError, OSError):
    """A file or the system failed."""

    def __str__(self):  # OSError's own would show a tuple
        return self.args[0]


class Cancelled(SpikecError):
    """Somebody asked to stop: Context.cancel, or a progress function that returned False."""


class InternalError(SpikecError):
    """A broken invariant of the library."""


class SpikecWarning(UserWarning):
    """A warning of a call that succeeded."""


def of_status(status, text, diagnostics):
    """The exception of a status."""
    if status == 6:
        return MemoryError(text or "out of memory")
    kind = {2: UsageError, 3: InputError, 4: DoesNotFit, 5: FileError, 7: Cancelled}
    return kind.get(status, InternalError)(status, text.rstrip() or f"status {status}", diagnostics)
