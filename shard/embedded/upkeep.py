"""The engine's thread for what no write should wait for: removing keys whose time is up, and taking snapshots."""

import logging
import threading

from shard.embedded.engine import Engine
from shard.embedded.trouble import Trouble, TroubleError

_log = logging.getLogger(__name__)

_PASSING = {Trouble.TIMEOUT, Trouble.OVERLOADED}


class Upkeep:
    """A daemon: the end of the process does not wait for it, as nothing that it does is promised to anybody."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="concord-upkeep", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._engine.kept_by(self)
        self._thread.start()

    def wake(self) -> None:
        """See Helper."""
        self._wake.set()

    def stop(self) -> None:
        """See Helper."""
        self._stopping = True
        self._wake.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        pause_s = 0.0
        while not self._stopping:
            self._wake.wait(pause_s)
            self._wake.clear()
            if self._stopping:
                return
            try:
                if self._engine.snapshot_is_due:
                    self._engine.snapshot()
                pause_s = self._engine.expire()
            except TroubleError as error:
                if error.trouble not in _PASSING:
                    if error.trouble is not Trouble.CLOSED:
                        _log.error("the store has stopped: %s", error.message)
                    return
