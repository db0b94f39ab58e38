"""Python imports this at its start when it lies on PYTHONPATH: whatever level a program asks for, its logs hold everything."""

import logging
from typing import Any

_set_up = logging.basicConfig


def _talkative(**asked: Any) -> None:
    _set_up(**{**asked, "level": logging.DEBUG})


logging.basicConfig = _talkative
