"""The error codes as a page for people: `python -m gateway.catalogue > docs/errors.md`."""

import sys

from gateway.errors import MEANINGS, ApiCode

_MAYBE_APPLIED = frozenset({ApiCode.TIMEOUT, ApiCode.INTERNAL})

_HEAD = """# Errors

Every failure has this body, whatever its source. Written from the one table of codes in `gateway/errors.py` by
`python -m gateway.catalogue > docs/errors.md`.

```json
{"status": "error", "error": {"code": "…", "message": "…", "applied": false, "retryable": true}}
```

`applied` is `false` when nothing was applied, and `"unknown"` when a write may have been or may yet be. `retryable` says whether the same
request may succeed later. In a bulk request each item has a code of its own: `not_found`, `UNKNOWN` (as `"unknown"` above), or one of
these.

| code | HTTP | what it means | applied | retry | what to do |
|---|---|---|---|---|---|
"""


def page() -> str:
    """The page in Markdown."""
    return _HEAD + "".join(map(_row, MEANINGS))


def _row(code: ApiCode) -> str:
    meaning = MEANINGS[code]
    applied = "see `applied`" if code in _MAYBE_APPLIED else "no"
    retry = "yes" if meaning.retryable else "no"
    return f"| `{code.value}` | {meaning.status} | {meaning.text} | {applied} | {retry} | {meaning.advice} |\n"


if __name__ == "__main__":
    sys.stdout.write(page())
