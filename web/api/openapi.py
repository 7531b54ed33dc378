"""The OpenAPI 3.1 document, made from the definitions that parse requests and encode answers (pure)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec

import weir
from web.api import answers
from web.api.cors import BASE
from web.api.endpoints import ENDPOINTS, Endpoint

ERRORS = {
    "400": "A parameter is wrong: `parameter` names it",
    "401": "No token, or one that is unknown, revoked or too old",
    "403": "Only an operator may do this",
    "404": "There is no such thing",
    "429": "Too many requests: Retry-After says when to come again",
    "503": "Postgres, Redis or Kafka does not answer just now",
}


@lru_cache
def document() -> dict[str, Any]:
    """The whole document, JSON-ready."""
    kinds = [one.takes for one in ENDPOINTS] + [one.answers for one in ENDPOINTS] + [answers.Problem]
    kinds += [one.body for one in ENDPOINTS if one.body is not None]
    _, schemas = msgspec.json.schema_components(list(dict.fromkeys(kinds)), ref_template="#/components/schemas/{name}")
    taken = {one.takes.__name__ for one in ENDPOINTS}
    paths: dict[str, Any] = {}
    for one in ENDPOINTS:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, schemas[one.takes.__name__])
    return {
        "openapi": "3.1.0",
        "info": {"title": "Weir", "version": weir.__version__, "description": _ABOUT},
        "servers": [{"url": BASE}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": {name: _plain(schema) for name, schema in schemas.items() if name not in taken},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


_ABOUT = (
    "What the dashboard shows. Times in answers are milliseconds since the epoch, UTC; in requests RFC 3339 and "
    "-6h will do as well. Units are SenML codes (RFC 8428). Lists come in pages: pass `next` as `cursor`."
)


def _operation(one: Endpoint, schema: dict[str, Any]) -> dict[str, Any]:
    required = set(schema.get("required", ()))
    found: dict[str, Any] = {
        "operationId": one.name,
        "summary": one.about,
        "parameters": [
            _parameter(name, kind, name in required, f"{{{name}}}" in one.path)
            for name, kind in schema.get("properties", {}).items()
        ],
        "responses": {
            str(one.status): {"description": _about(one.answers), "content": _json(one.answers)},
            **{
                status: {
                    "description": text,
                    "content": {"application/problem+json": {"schema": _ref(answers.Problem)}},
                }
                for status, text in ERRORS.items()
                if status != "403" or one.body is not None
            },
        },
    }
    if one.body is not None:
        found["requestBody"] = {"required": True, "content": _json(one.body)}
    return found


def _parameter(name: str, kind: dict[str, Any], required: bool, in_path: bool) -> dict[str, Any]:
    kind = _plain(kind)
    choices = kind.get("anyOf", [kind])
    about = next((one["description"] for one in choices if "description" in one), "")
    # An absent parameter is how one says null: the schema of what is written in the address has none.
    written = [{k: v for k, v in one.items() if k != "description"} for one in choices if one != {"type": "null"}]
    schema = written[0] if len(written) == 1 else {"anyOf": written}
    if kind.get("default") is not None:
        schema["default"] = kind["default"]
    if isinstance(schema.get("enum"), list):
        schema["enum"] = [one for one in schema["enum"] if one is not None]
        schema["type"] = "string"
    return {
        "name": name, "in": "path" if in_path else "query", "required": required, "schema": schema,
        **({"description": about} if about else {}),
    }  # fmt: skip


def _plain(schema: Any) -> Any:
    """`\\Z`, by which Python ends a text, is `$` in JSON Schema's dialect."""
    if isinstance(schema, dict):
        return {
            key: value.replace("\\Z", "$") if key == "pattern" and isinstance(value, str) else _plain(value)
            for key, value in schema.items()
        }
    return [_plain(one) for one in schema] if isinstance(schema, list) else schema


def _about(kind: type[Any]) -> str:
    text = kind.__doc__ or ""
    return "A page" if text.startswith(f"{kind.__name__}(") or not text else text.splitlines()[0]


def _ref(kind: type[Any]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


def _json(kind: type[Any]) -> dict[str, Any]:
    return {"application/json": {"schema": _ref(kind)}}
