"""Write the tables of docs/reference/fleet-file.md anew, from the models: `make reference`."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from phoenix.fleet.schema import fleet_schema

PAGE = Path(__file__).parents[2] / "docs/reference/fleet-file.md"
#: What follows in the page is written here.
MARK = "<!-- from here on written by `make reference`, from phoenix/fleet/file.py -->\n"
HEADS = {
    "FleetFile": "The file",
    "ContainerEntry": "A container",
    "Volume": "A volume",
    "MountPoint": "A mount point",
    "HealthCheckEntry": "A health check",
    "NetworkConfig": "A network card",
    "DockerRepo": "A repository of Docker's",
}
_WORDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
}


def page() -> str:
    """The page as it should be: what people wrote, and the tables."""
    written, mark, _ = PAGE.read_text("utf-8").partition(MARK)
    return written + mark + tables()


def tables() -> str:
    """One table for each object of the file, in the order in which one meets them."""
    schema = fleet_schema()
    models = {"FleetFile": schema, **schema["$defs"]}
    assert models.keys() == HEADS.keys(), models.keys() ^ HEADS.keys()
    return "".join(f"\n## {head}\n\n{_table(models[name])}" for name, head in HEADS.items())


def _table(model: Mapping[str, Any]) -> str:
    lines = ["| key | value | default | meaning |", "|---|---|---|---|"]
    for key, field in model["properties"].items():
        default = _default(field, key in model.get("required", ()))
        meaning = _example(field["description"], field.get("examples", ()))
        cells = (f"`{key}`", " or ".join(dict.fromkeys(_kinds(field))), default, meaning)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _default(field: Mapping[str, Any], required: bool) -> str:
    if required:
        return "required"
    default = field.get("default")
    # what an absent key means stands in its meaning, where it means something
    return "" if default in (None, [], ()) else f"`{json.dumps(default)}`"


def _example(description: str, examples: Any) -> str:
    written = [f"`{json.dumps(one)}`" for one in examples]
    return f"{description} For instance {', '.join(written)}." if written else description


def _kinds(field: Mapping[str, Any]) -> Iterator[str]:
    """In words what a value may be; null is in none, it means the same as no key."""
    if choices := field.get("anyOf") or field.get("oneOf"):
        for one in choices:
            yield from _kinds(one)
    elif "$ref" in field:
        head = HEADS[field["$ref"].rpartition("/")[2]]
        anchor = head.lower().replace(" ", "-").replace("'", "")
        yield f"[{head[0].lower()}{head[1:]}](#{anchor})"
    elif "enum" in field:
        yield ", ".join(f"`{one}`" for one in field["enum"])
    elif field.get("type") == "array":
        inner = [*dict.fromkeys(_kinds(field["items"]))]
        yield f"list of {inner[0]}" if len(inner) == 1 else f"list of ({' or '.join(inner)})"
    elif field.get("type") == "object":
        members = field.get("additionalProperties")
        each = f" of {' or '.join(_kinds(members))}" if isinstance(members, dict) else ""
        yield f"object{each}"
    elif field.get("type") not in (None, "null"):
        yield _WORDS[field["type"]] + _bounds(field)


def _bounds(field: Mapping[str, Any]) -> str:
    low, high = field.get("minimum"), field.get("maximum")
    if high is None:
        return "" if low is None else f", {low} or more"
    return f", {low} to {high}"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
