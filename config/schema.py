"""The JSON Schema of an environment file, for editors. `python -m config.schema` writes it."""

import json

from config.loader import OWN
from config.model import Environment

SCHEMA = OWN / "environment.schema.json"


def schema() -> str:
    return json.dumps(Environment.model_json_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(schema(), encoding="utf-8")
