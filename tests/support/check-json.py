#!/usr/bin/python3
"""check-json.py SCHEMA [FILE]: whether FILE (standard input) is JSON to that schema; says where it is not."""
import json
import sys

import jsonschema

with open(sys.argv[1], encoding="utf-8") as file:
    schema = json.load(file)
if len(sys.argv) > 2:
    with open(sys.argv[2], encoding="utf-8") as file:
        value = json.load(file)
else:
    value = json.load(sys.stdin)
jsonschema.Draft7Validator.check_schema(schema)
errors = list(jsonschema.Draft7Validator(schema).iter_errors(value))
for error in errors:
    print("/".join(str(part) for part in error.absolute_path) + ": " + error.message[:300])
sys.exit(1 if errors else 0)
