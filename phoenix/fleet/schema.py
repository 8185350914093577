"""The JSON Schema of the fleet file, with which editors complete and underline."""

from __future__ import annotations

import json
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from phoenix.fleet.file import FleetFile


def fleet_schema() -> dict[str, Any]:
    """Generate the schema (draft 2020-12) from the models in `phoenix.fleet.file`.

    It is a little wider than `parse_fleet`: what concerns two places at once (a CTID twice,
    contradicting options) no schema can say.
    """
    body = FleetFile.model_json_schema(schema_generator=_Plain)
    return {"$schema": GenerateJsonSchema.schema_dialect, **body}


def schema_text() -> str:
    """Write the schema as it is committed in `phoenix_lxc_configs.schema.json`."""
    return json.dumps(fleet_schema(), indent=2, ensure_ascii=False) + "\n"


class _Plain(GenerateJsonSchema):
    """Without a title per field: it would only repeat the key."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False
