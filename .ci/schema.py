#!/usr/bin/env python3
"""`windlass schema` by validators of other people: the examples are valid, and wrong settings are not.

    python3 .ci/schema.py <windlass> <taplo>

`taplo` is the program behind editors' checks of TOML. Each wrong file is an example with one change. The folder of
scratch files is removed at the end.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import tomllib

import jsonschema

ROOT = pathlib.Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "host/examples").glob("*.toml"))

# A route and a filter; what follows belongs to the filter.
FILTER = """
[[listener]]
address = "127.0.0.1:8080"
[[route]]
path    = "/"
filters = ["f"]
respond = {}
[filter.f]
"""

# What is right, and what is wrong with the same plugin.
CASES = [
    ('plugin = "builtin:api-key"\nsettings = { header = "x-key", missing = 403 }', True),
    ('plugin = "builtin:api-key"\nsettings = { heeder = "x-key" }', False),
    ('plugin = "builtin:api-key"\nsettings = { missing = 404 }', False),
    ('plugin = "builtin:api-key"\nsettings = { from = [{ cookie = "k" }] }', True),
    ('plugin = "builtin:api-key"\nsettings = { from = [{ cokie = "k" }] }', False),
    ('plugin = "builtin:cors"\nsettings = { origins = "https://a.example" }', False),
    ('plugin = "other.wasm"\nsettings = { anything = 1 }', True),
    ('plugin = "oci://registry.example/a:1@sha256:' + "0" * 64 + '"', True),
    ('plugin = "https://a.example/a.wasm"\nsha256 = "' + "0" * 64 + '"', True),
    ('plugin = "https://a.example/a.wasm"\nsha256 = "0"', False),
    ('plugin = "ftp://a.example/a"', False),
    ('plugin = "builtin:cors"\non_error = "maybe"', False),
]


def schema(windlass, config=None):
    command = [windlass, "schema"] + (["--config", str(config)] if config else [])
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def plain(value):
    """TOML as JSON: dates are texts, as the gateway hands them to a plugin."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool)) else str(value)


class Check:
    def __init__(self, taplo, scratch, schema):
        jsonschema.Draft7Validator.check_schema(schema)
        self.validator = jsonschema.Draft7Validator(schema)
        self.taplo = taplo
        self.schema = scratch / "schema.json"
        self.schema.write_text(json.dumps(schema))

    def accepts(self, file):
        """Whether both validators take the file. They must agree."""
        errors = list(self.validator.iter_errors(plain(tomllib.loads(file.read_text()))))
        command = [self.taplo, "lint", "--no-auto-config", "--schema", self.schema.as_uri(), str(file)]
        linted = subprocess.run(command, capture_output=True, text=True)
        if (not errors) != (linted.returncode == 0):
            sys.exit(f"{file}: the validators disagree: {errors}\n{linted.stderr}")
        return errors


def main():
    windlass, taplo = sys.argv[1:3]
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        check = Check(taplo, scratch, schema(windlass))
        for example in EXAMPLES:
            errors = check.accepts(example)
            if errors:
                wrong.append(f"{example.name}: {errors[0].message} at {list(errors[0].path)}")
        for text, is_good in CASES:
            file = scratch / "case.toml"
            file.write_text(FILTER + text + "\n")
            errors = check.accepts(file)
            if bool(errors) == is_good:
                wrong.append(f"{text!r}: {'refused: ' + errors[0].message if errors else 'accepted'}")
    print(f"{len(EXAMPLES)} examples, {len(CASES)} cases")
    if wrong:
        sys.exit("\n".join(wrong))


main()
