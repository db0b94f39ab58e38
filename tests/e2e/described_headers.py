"""A check for Schemathesis: no answer carries a header that the description does not name. Named in schemathesis.toml."""

from typing import Any

import schemathesis

from tests.gateway.described import OF_HTTP


@schemathesis.check
def headers_are_described(
    ctx: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case[Any]
) -> None:
    """Compare the names with those of the response with this status."""
    del ctx
    document = case.operation.schema.raw_schema
    responses = document["paths"][case.operation.path][case.operation.method]["responses"]
    if case.method.lower() != case.operation.method or str(response.status_code) not in responses:
        return  # another check looks at the status
    described: dict[str, Any] = responses[str(response.status_code)]
    if "$ref" in described:
        described = document["components"]["responses"][described["$ref"].rpartition("/")[2]]
    unknown = {name.lower() for name in response.headers} - {name.lower() for name in described["headers"]} - OF_HTTP
    assert not unknown, f"not described: {unknown}"
