"""Reads YAML as JSON, and holds its documents to a schema.

    documents.py read FILE
    documents.py check SCHEMA FILE
"""

import json
import sys

import jsonschema
import yaml


def documents(path):
    with open(path, encoding="utf-8") as file:
        return [document for document in yaml.safe_load_all(file) if document is not None]


def main():
    if sys.argv[1] == "read":
        json.dump(documents(sys.argv[2]), sys.stdout)
        return
    with open(sys.argv[2], encoding="utf-8") as file:
        schema = json.load(file)
    validator = jsonschema.Draft7Validator(schema)
    faults = [
        f"{document['kind']} {'.'.join(map(str, error.path))}: {error.message}"
        for document in documents(sys.argv[3])
        for error in validator.iter_errors(document)
    ]
    if faults:
        sys.exit("\n".join(faults))


main()
