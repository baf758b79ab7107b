"""What a standard validator says of the JSON Schema and of manifests: one line of JSON each.

    python tests/peers/schema.py SCHEMA MANIFEST...

The schema is checked against its metaschema, and each of its examples against the part of it that
the example is of. Then every manifest is accepted or refused, as `check-jsonschema` sees it.
"""

import json
import subprocess
import sys

from jsonschema import Draft7Validator


def check_jsonschema(*args):
    command = [sys.executable, "-m", "check_jsonschema", "-o", "json", *args]
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        return json.loads(done.stdout)
    except ValueError:
        sys.exit(f"check-jsonschema: {done.stdout}{done.stderr}")


def properties(schema, path=()):
    """Every field of the schema, with the part that says what it may be; conditions are none."""
    if isinstance(schema, dict):
        for name, part in schema.get("properties", {}).items():
            yield "/".join((*path, name)), part
            yield from properties(part, (*path, name))
        for key, part in schema.items():
            if key not in ("properties", "if", "examples"):
                yield from properties(part, (*path, key))
    elif isinstance(schema, list):
        for index, part in enumerate(schema):
            yield from properties(part, (*path, str(index)))


def main(path, manifests):
    meta = check_jsonschema("--check-metaschema", path)
    with open(path) as file:
        schema = json.load(file)
    fields = {}
    for name, part in properties(schema):
        # `then` narrows a field that is described where it stands.
        narrows = "description" not in part and name.split("/")[-2:-1] == ["then"]
        if narrows:
            continue
        own = Draft7Validator({**part, "definitions": schema["definitions"]})
        misfits = [e for e in part.get("examples", []) if not own.is_valid(e)]
        fields[name] = {
            "described": bool(part.get("description")),
            "examples": len(part.get("examples", [])),
            "misfits": misfits,
        }
    said = check_jsonschema("--schemafile", path, *manifests)
    unread = {each["filename"] for each in said["parse_errors"]}
    refused = {each["filename"] for each in said["errors"]}
    word = lambda m: "unreadable" if m in unread else "refused" if m in refused else "accepted"
    answer = {"meta": meta["status"], "fields": fields, "manifests": {m: word(m) for m in manifests}}
    print(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
