"""Writes files that are hard to read, and says what pyarrow reads of them: one line of JSON.

    python tests/peers/tables.py FOLDER

For each file: its columns in order, each with its kind and its cells. Numbers are text: integers in
decimal, reals as the bits of a 64-bit float.
"""

import datetime
import decimal
import io
import json
import struct
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

NASTY = (
    "\ufeffid,\"na\"\"me\",amount,big,flag,note,empty\r\n"
    "1,\"a, b\",1.5,9223372036854775807,true,\"two\r\nlines\",\r\n"
    "2,\"say \"\"hi\"\"\",-0.0,-9223372036854775808,False,\"\",\r\n"
    "\r\n"
    "3,\u6f22\u5b57\U0001f600,1e-7,0,TRUE,\"\n\",\"\"\r\n"
    "-4,,5e-324,7,,tab\there,\r\n"
    "5,e\u0301\u00e9,1.7976931348623157e308,-1,false,  spaces  ,\r\n"
    "6,plain \"quote,.5,12,false,x,\r\n"
    "7,0.1,0.1,3,true,123456789012345678.5,\r\n"
    "8,last,9007199254740993,4,true,y,"
)
EXPONENTS = "a,b,c\n" + "".join(
    f"{a},{b},{c}\n"
    for a, b, c in [
        ("9223372036854775808", "1E5", "0.3"),
        ("1", "-1e+2", "123456789.123456789"),
        ("007", "1e22", "2.2250738585072011e-308"),
        ("18446744073709551616", "1e23", "179769313486231580793e289"),
        ("-0", "8.5e-3", "0.000000000000000000000000000000000000001"),
        ("42", "6.02214076e23", "9007199254740993.0"),
    ]
)
RAGGED = "a,b\n1,x\n2\n3,y,z\n\"4\n\",w\n\n5,v\n"
JSON_LINES = [
    {"id": 1, "name": "a \"b\" \\ \u6f22 \U0001f600 \n", "x": 1.5, "ok": True},
    {"id": -2, "x": 1e-7, "name": None},
    {"ok": False, "id": 9223372036854775807, "late": "here", "x": 3},
]


def bits(real):
    return str(struct.unpack("<Q", struct.pack("<d", real))[0])


def cell(value):
    match value:
        case bool():
            return value
        case int():
            return str(value)
        case float():
            return bits(value)
        case decimal.Decimal():
            return bits(float(value))
        case datetime.datetime():
            text = value.replace(tzinfo=None).isoformat(timespec="milliseconds")
            text = text.removesuffix(".000")
            return f"{text}Z" if value.tzinfo else text
        case datetime.date():
            return value.isoformat()
        case _:
            return value


def kind(ty):
    if pa.types.is_dictionary(ty):
        return kind(ty.value_type)
    if pa.types.is_boolean(ty):
        return "boolean"
    if pa.types.is_integer(ty):
        return "integer"
    if pa.types.is_floating(ty) or pa.types.is_decimal(ty):
        return "number"
    return "string"


def shown(table):
    def column(name):
        array = table.column(name)
        return {"name": name, "kind": kind(array.type), "cells": [cell(x) for x in array.to_pylist()]}

    return [column(name) for name in table.column_names]


def read_csv(text, **parse):
    return pa.csv.read_csv(
        io.BytesIO(text.encode()),
        parse_options=pa.csv.ParseOptions(newlines_in_values=True, **parse),
        convert_options=pa.csv.ConvertOptions(null_values=[""], strings_can_be_null=True),
    )


def typed():
    moment = datetime.datetime(2026, 11, 21, 3, 15, 0, 250_000)
    stamps = [moment, None, datetime.datetime(1969, 12, 31, 23, 59, 59)] * 2
    return pa.table(
        {
            "tiny": pa.array([1, None, -128] * 2, pa.int8()),
            "wide": pa.array([2**63 - 1, -(2**63), 0] * 2, pa.int64()),
            "unsigned": pa.array([2**63 - 1, 0, None] * 2, pa.uint64()),
            "half": pa.array([0.1, -2.5, None] * 2, pa.float32()),
            "real": pa.array([0.1, -0.0, 5e-324] * 2, pa.float64()),
            "text": pa.array(["\u6f22\u5b57", "", None] * 2, pa.string()),
            "large": pa.array(["x" * 1000, "\U0001f600", "y"] * 2, pa.large_string()),
            "word": pa.array(["a", "b", "a"] * 2).dictionary_encode(),
            "flag": pa.array([True, None, False] * 2, pa.bool_()),
            "day": pa.array([datetime.date(2026, 11, 21), None, datetime.date(1900, 1, 1)] * 2),
            "plain": pa.array(stamps, pa.timestamp("ms")),
            "zoned": pa.array(stamps, pa.timestamp("ms", tz="Europe/Zurich")),
            "money": pa.array([decimal.Decimal("123.45"), None, decimal.Decimal("-0.01")] * 2),
        }
    )


def in_utc(table):
    """The same instants as text says them: in UTC, whatever zone they are shown in."""
    place = table.column_names.index("zoned")
    return table.set_column(place, "zoned", table.column("zoned").cast(pa.timestamp("ms", "UTC")))


def main(folder):
    folder = Path(folder)
    answer = {}
    for name, text in [("nasty.csv", NASTY), ("exponents.csv", EXPONENTS)]:
        (folder / name).write_bytes(text.encode())
        answer[name] = shown(read_csv(text))
    (folder / "ragged.csv").write_bytes(RAGGED.encode())
    answer["ragged.csv"] = shown(read_csv(RAGGED, invalid_row_handler=lambda row: "skip"))
    lines = "".join(json.dumps(line) + "\n" for line in JSON_LINES)
    (folder / "lines.json").write_text(lines)
    answer["lines.json"] = shown(pa.json.read_json(io.BytesIO(lines.encode())))
    table = typed()
    for codec in ["none", "snappy", "zstd", "gzip"]:
        for version in ["1.0", "2.0"]:
            name = f"{codec}-{version}.parquet"
            pa.parquet.write_table(
                table,
                folder / name,
                compression=codec,
                data_page_version=version,
                row_group_size=2,
                store_schema=version == "2.0",
            )
            answer[name] = shown(in_utc(table))
    for name, make in [("file.arrow", pa.ipc.new_file), ("stream.arrow", pa.ipc.new_stream)]:
        with make(folder / name, table.schema) as writer:
            writer.write_table(table, max_chunksize=4)
        answer[name] = shown(in_utc(table))
    print(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1])
