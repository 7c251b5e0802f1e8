"""Contexts: threads, progress and cancellation of calls, and what they report."""
import ctypes
import os
import threading
import warnings
from typing import Callable, List, Optional

from . import _library as c
from . import errors
from ._library import lib

_SEVERITIES = ("error", "warning", "note", "remark")


def text(raw):
    return None if raw is None else raw.decode("utf-8", "replace")


def encoded(value):
    """A text as bytes; None stays."""
    return None if value is None else value.encode()


def path(value):
    """A path as bytes; None stays."""
    return None if value is None else os.fsencode(value)


def _diagnostic(raw, notes):
    return errors.Diagnostic(_SEVERITIES[raw.severity], text(raw.code), text(raw.message), text(raw.help),
                             text(raw.file), raw.line or None, raw.column or None, notes)


class Context:
    """What calls run in. Every thread has one of its own by default, so most programs make none.

    threads: threads of a call, 0 for all processors. No result depends on it.
    progress: called as progress(label, done, total) during long work, total 0 where it is unknown. Where
    it returns False the call ends with `Cancelled`; an exception that it raises ends the call, too.
    time_limit: seconds after which a search for places ends with the best so far, and other work with
    `Cancelled`; 0 for none.

    A context serves one call at a time: other threads wait, a call from within `progress` is an error.
    """

    def __init__(self, threads: int = 0,
                 progress: Optional[Callable[[str, int, int], Optional[bool]]] = None,
                 time_limit: float = 0.0):
        self._handle = None
        self._progress = progress
        self._stop = False
        self._raised = None
        self._busy = None
        self._lock = threading.Lock()
        self._callbacks = (c.PROGRESS(self._on_progress), c.CANCELLED(self._on_cancelled))
        options = c.ContextOptions(threads, *self._callbacks, None, time_limit)
        handle = ctypes.c_void_p()
        status = lib.spk_context_create(options, handle)
        if status != 0:
            raise errors.of_status(status, "", [])
        self._handle = handle

    def __del__(self, destroy=lib.spk_context_destroy):
        if getattr(self, "_handle", None) is not None:
            destroy(self._handle)

    def cancel(self) -> None:
        """Ends the call that runs in this context now, from any thread."""
        self._stop = True

    # An exception must not leave a callback: it is kept until the call has returned. Ctrl-C arrives as
    # KeyboardInterrupt in one of these, on the main thread.
    def _on_progress(self, _user, label, done, total):
        try:
            if self._progress is not None and self._raised is None:
                if self._progress(text(label), done, total) is False:
                    self._stop = True
        except BaseException as raised:
            self._raised = raised

    def _on_cancelled(self, _user):
        try:
            return self._stop or self._raised is not None
        except BaseException as raised:
            self._raised = raised
            return True

    def diagnostics(self) -> List[errors.Diagnostic]:
        """Of the last call: a list of Diagnostic."""
        found = []
        for i in range(lib.spk_context_diagnostic_count(self._handle)):
            raw = c.Diagnostic()
            lib.spk_context_diagnostic(self._handle, i, raw)
            notes = []
            for k in range(raw.n_notes):
                note = c.Diagnostic()
                lib.spk_context_diagnostic_note(self._handle, i, k, note)
                notes.append(_diagnostic(note, []))
            found.append(_diagnostic(raw, notes))
        return found

    def call(self, function, *arguments, allow=()):
        """Calls a function of the library whose first argument is the context, and returns its status:
        0 or one that is allowed; others become exceptions, warnings become SpikecWarning."""
        if self._busy == threading.get_ident():
            raise RuntimeError("a progress function cannot use the context of its call")
        with self._lock:
            self._busy = threading.get_ident()
            self._stop, self._raised = False, None
            try:
                status = function(self._handle, *arguments)
                found = self.diagnostics()
                shown = text(lib.spk_context_diagnostics(self._handle)) if found else ""
            finally:
                self._busy = None
            raised, self._raised = self._raised, None
        if raised is not None:
            raise raised
        if status != 0 and status not in allow:
            raise errors.of_status(status, shown, found)
        for d in found:
            if d.severity == "warning":
                warnings.warn(f"{d.code}: {d.message}" + (f" ({d.help})" if d.help else ""),
                              errors.SpikecWarning, stacklevel=4)
        return status


_of_thread = threading.local()


def context_of(given):
    """The context that was given, or the one of this thread."""
    if given is not None:
        return given
    if not hasattr(_of_thread, "context"):
        _of_thread.context = Context()
    return _of_thread.context
