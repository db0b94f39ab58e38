"""The error codes as a page for people: `python -m gateway.catalogue > docs/errors.md`."""

import sys

from gateway.errors import HTTP_SERVER_ANSWERS, MAYBE_APPLIED, MEANINGS, ApiCode

_HEAD = """# Errors

Every failure has this body, whatever its source; only those of the HTTP server itself, [at the end](#without-a-body), have none. Written
from the tables in `gateway/errors.py` by `python -m gateway.catalogue > docs/errors.md`.

```json
{"status": "error", "error": {"code": "…", "message": "…", "applied": false, "retryable": true}}
```

`applied` is `false` when nothing was applied, and `"unknown"` when a write may have been or may yet be. `retryable` says whether the same
request may succeed later. In a bulk request each item has a code of its own: `not_found`, `UNKNOWN` (as `"unknown"` above), or one of
these. Further members: of a lock that another holds, `error` has `holder` with its `owner`, `fence` and remaining `ttl` in seconds; with
`?verbose` a gateway that is not ready lists its `checks` in `data`, beside `error`.

| code | HTTP | what it means | applied | retry | what to do |
|---|---|---|---|---|---|
"""

_WITHOUT_A_BODY = """
## Without a body

What is not well-formed HTTP/1.1, or too long for the HTTP server, is answered by that server itself, before the gateway sees it: with
one of these statuses, an empty body, `Connection: close` and none of the gateway's headers. Nothing was applied, and the same request
will be refused again. A 400 with the body above is the gateway's own.

| HTTP | when |
|---|---|
"""


def page() -> str:
    """The page in Markdown."""
    bare = "".join(f"| {status} | {meaning} |\n" for status, meaning in HTTP_SERVER_ANSWERS.items())
    return _HEAD + "".join(map(_row, MEANINGS)) + _WITHOUT_A_BODY + bare


def _row(code: ApiCode) -> str:
    meaning = MEANINGS[code]
    applied = "see `applied`" if code in MAYBE_APPLIED else "no"
    retry = "yes" if meaning.retryable else "no"
    return f"| `{code.value}` | {meaning.status} | {meaning.text} | {applied} | {retry} | {meaning.advice} |\n"


if __name__ == "__main__":
    sys.stdout.write(page())
