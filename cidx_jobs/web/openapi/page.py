"""The document of the API as one page of HTML: no script, no network, nothing but a style."""

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

_STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8881}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1rem}
h1,h2{line-height:1.2}h2{border-bottom:1px solid var(--line);margin-top:2.5rem}
code,pre{font:13px/1.5 ui-monospace,monospace}
code{background:var(--soft);padding:.1em .3em;border-radius:3px}
pre{background:var(--soft);padding:.75rem;overflow:auto;border-radius:4px}
details{border:1px solid var(--line);border-radius:4px;margin:.5rem 0;padding:.4rem .8rem}
summary{cursor:pointer}details details{border-style:dotted}
table{border-collapse:collapse;width:100%;margin:.5rem 0;font-size:14px}
th,td{text-align:left;vertical-align:top;padding:.3rem .6rem;border-top:1px solid var(--line)}
.get,.post,.patch,.delete{font-weight:700;display:inline-block;min-width:4.5em}
.get{color:#2678b3}.post{color:#3a8738}.patch{color:#a86c00}.delete{color:#b8403a}
"""
STYLE_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
"""What the page's policy allows: this style, and nothing else."""

_CODE = re.compile(r"`([^`]+)`")

Json = Mapping[str, Any]


def make_page(document: Json) -> str:
    """Return the page for an OpenAPI document of ours."""
    info = document["info"]
    title = f"{escape(info['title'])} {escape(info['version'])}"
    groups = "".join(_group(document, tag) for tag in document["tags"])
    schemas = "".join(map(_schema, document["components"]["schemas"].items()))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body><h1>{title}</h1>"
        f"{_paragraphs(info['description'])}"
        '<p>The same for programs: <a href="openapi.json">openapi.json</a>.</p>\n'
        f'{groups}<h2 id="schemas">Documents</h2>{schemas}</body></html>\n'
    )


def _group(document: Json, tag: Json) -> str:
    operations = "".join(
        _operation(document, path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if tag["name"] in operation["tags"]
    )
    name = escape(tag["name"])
    return f'<h2 id="{name}">{name}</h2><p>{_text(tag["description"])}</p>{operations}\n'


def _operation(document: Json, path: str, method: str, operation: Json) -> str:
    scope = [role for rule in operation["security"] for role in rule["bearer"]]
    needs = f"<p>Needs the scope <code>{escape(scope[0])}</code>.</p>" if scope else ""
    return (
        f'<details id="{escape(operation["operationId"])}"><summary>'
        f'<span class="{method}">{method.upper()}</span> <code>{escape(path)}</code> '
        f"{_text(operation['summary'])}</summary>"
        f"{_paragraphs(operation.get('description', ''))}{needs}"
        f"{_parameters(document, operation['parameters'])}"
        f"{_body(operation.get('requestBody'))}{_answers(document, operation['responses'])}"
        "</details>\n"
    )


def _parameters(document: Json, parameters: Iterable[Json]) -> str:
    rows = [
        (
            f"<code>{escape(one['name'])}</code>",
            escape(one["in"]) + (", required" if one.get("required") else ""),
            _kind(one["schema"]),
            _text(one["description"]),
        )
        for one in (_resolved(document, parameter) for parameter in parameters)
    ]
    return _table(("parameter", "in", "type", "what it is"), rows)


def _body(body: Json | None) -> str:
    if body is None:
        return ""
    ((media, content),) = body["content"].items()
    need = "" if body["required"] else ", or none"
    return (
        f"<p>Body: {_kind(content['schema'])} as <code>{escape(media)}</code>{need}</p>"
        f"{_example(content['example'])}"
    )


def _answers(document: Json, responses: Json) -> str:
    return "".join(
        _answer(document, status, _resolved(document, response))
        for status, response in responses.items()
    )


def _answer(document: Json, status: str, response: Json) -> str:
    rows = [
        (f"<code>{escape(name)}</code>", _text(_resolved(document, header)["description"]))
        for name, header in response["headers"].items()
    ]
    forms = "".join(
        f"<p>{_kind(content['schema'])} as <code>{escape(media)}</code></p>"
        + "".join(map(_example, _examples(content)))
        for media, content in response.get("content", {}).items()
    )
    lines = response["description"].removeprefix("- ").split("\n- ")
    return (
        f"<details><summary><code>{escape(status)}</code> {'<br>'.join(map(_text, lines))}"
        f"</summary>{forms}{_table(('header', 'what it says'), rows)}</details>"
    )


def _schema(named: tuple[str, Json]) -> str:
    name, schema = named
    required = schema.get("required", ())
    rows = [
        (
            f"<code>{escape(member)}</code>" + (" (required)" if member in required else ""),
            _kind(rule),
            _text(rule.get("description", "")),
        )
        for member, rule in schema.get("properties", {}).items()
    ]
    values = ", ".join(f"<code>{escape(str(one))}</code>" for one in schema.get("enum", ()))
    return (
        f'<details id="schema-{escape(name)}"><summary><code>{escape(name)}</code> '
        f"{_text(schema['description'])}</summary><p>{values}</p>"
        f"{_table(('member', 'type', 'what it is'), rows)}</details>\n"
    )


def _kind(schema: Json) -> str:
    """Return the type of a value in a word or two."""
    match schema:
        case {"$ref": str(place)}:
            name = escape(place.rpartition("/")[2])
            return f'<a href="#schema-{name}">{name}</a>'
        case {"allOf": [first, *_]}:
            return _kind(first)
        case {"anyOf": kinds}:
            return " or ".join(map(_kind, kinds))
        case {"enum": values} | {"items": {"enum": values}}:
            return " | ".join(f"<code>{escape(str(value))}</code>" for value in values)
        case {"type": "array", "items": Mapping() as items}:
            return f"list of {_kind(items)}"
        case {"type": list(names)}:
            return escape(" or ".join(names))
        case {"type": str(name)}:
            return escape(name)
        case _:
            return "any"


def _examples(content: Json) -> list[Any]:
    if "example" in content:
        return [content["example"]]
    return [one["value"] for one in content.get("examples", {}).values()]


def _example(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    return f"<pre>{escape(text)}</pre>"


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{one}</th>" for one in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _resolved(document: Json, value: Json) -> Json:
    """Return what a reference within the document leads to; other values as they are."""
    found: Json = value
    if "$ref" in value:
        found = document
        for step in value["$ref"].removeprefix("#/").split("/"):
            found = found[step]
    return found


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{_text(part)}</p>" for part in text.split("\n\n") if part)


def _text(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", escape(text))
