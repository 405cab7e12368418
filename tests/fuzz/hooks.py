"""What no schema says. A pattern of times knows no calendar: 30 February fits. And 600.0 is an integer
for JSON Schema, but not for us: an integer is written as one. An empty parameter is none (contract 4). And an
entry that is not there yet is waited for, and then 503."""

import re
from datetime import datetime

import schemathesis

DATE = re.compile(r"^(\d{4}-\d{2}-\d{2})[Tt ]")


def possible(value: object) -> bool:
    if isinstance(value, dict):
        return all(map(possible, value.values()))
    if isinstance(value, list):
        return all(map(possible, value))
    if isinstance(value, float) and value.is_integer():
        return False
    date = DATE.match(value) if isinstance(value, str) else None
    try:
        return date is None or 1970 < datetime.strptime(date[1], "%Y-%m-%d").year < 9999
    except ValueError:
        return False


@schemathesis.hook
def filter_body(context, body):
    return possible(body)


def is_ahead(value: object) -> bool:
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
    return isinstance(number, int) and not isinstance(number, bool) and 4 < number < 2**63


@schemathesis.hook
def map_case(context, case):
    query = case.query
    # run.py has reported four.
    if isinstance(query, dict) and is_ahead(query.get("at_least")):
        case.query = query | {"at_least": 4}
    return case


@schemathesis.hook
def filter_query(context, query):
    values = (query or {}).values()
    return all("" not in value if isinstance(value, list) else value != "" for value in values)
