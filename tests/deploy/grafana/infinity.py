"""What the Infinity data source 3.11 makes of an answer, as far as our dashboards use it.

It follows the plugin's server side (parser "backend"): gjson root selectors, typed columns, fields
sorted by name, cursor pages merged into one frame, long frames pivoted to series. Whatever it does
not know is an error, so that nothing passes here only because nobody looked at it.
"""
import datetime as dt
import json
import re
from urllib.parse import parse_qsl, urlencode, urlsplit

TARGET_KEYS = set("""refId datasource type source parser format root_selector url url_options columns
filters computed_columns filterExpression global_query_id pagination_mode pagination_max_pages
pagination_param_cursor_field_name pagination_param_cursor_field_type
pagination_param_cursor_extraction_path""".split())
URL_OPTION_KEYS = {"method", "data", "params"}
COLUMN_KEYS = {"selector", "text", "type"}
COLUMN_TYPES = {"string", "number", "boolean", "timestamp", "timestamp_epoch", "timestamp_epoch_s"}
FORMATS = {"table", "timeseries", "dataframe"}
# Times the column type "timestamp" reads. Everything else becomes null.
TIME = re.compile(r"(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)?"
                  r"| (\d\d:\d\d:\d\d)(Z| [+-]\d\d:\d\d)?)?")


class FrameError(Exception):
    """What Grafana would show as an error over the panel."""


class Field:
    """A column of a frame. Its kind is string, number, boolean or time.

    missing: no row has the selector. unread: values that are there, but not of the type asked for.
    """

    def __init__(self, kind, values, missing=False, unread=0):
        self.kind, self.values, self.missing, self.unread = kind, values, missing, unread


def rows_in(frame):
    return len(next(iter(frame.values())).values) if frame else 0


# ---- gjson ----

def _parts(path):
    """The parts of a path; a dot may be escaped, and dots within #(...) belong to it."""
    return [part.replace("\\.", ".") for part in
            re.findall(r"#\([^)]*\)#?|(?:\\.|[^.\\])+", path)]


def _match(item, condition):
    found = re.fullmatch(r"(\w+)==(.+)", condition)
    if not found:
        raise FrameError(f"the condition #({condition}) is not known here")
    return isinstance(item, dict) and found[1] in item and item[found[1]] == json.loads(found[2])


def gjson(value, path):
    """(whether the path exists, the value there)."""
    parts = _parts(path)
    for at, part in enumerate(parts):
        if isinstance(value, list) and part == "#":
            rest = ".".join(piece.replace(".", "\\.") for piece in parts[at + 1:])
            if not rest:
                return True, len(value)
            found = (gjson(item, rest) for item in value)
            return True, [item for exists, item in found if exists]
        condition = re.fullmatch(r"#\((.*)\)(#?)", part)
        if isinstance(value, list) and condition:
            matching = [item for item in value if _match(item, condition[1])]
            if not condition[2] and not matching:
                return False, None
            value = matching if condition[2] else matching[0]
        elif isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return False, None
    return True, value


# ---- cells and columns ----

def text_of(value):
    """A cell of a string column."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def number_of(value):
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def time_of(text):
    """Seconds since 1970, or null."""
    found = TIME.fullmatch(text) if isinstance(text, str) else None
    if not found:
        return None
    day, clock, fraction, zone, blank_clock, blank_zone = found.groups()
    zone = (zone or blank_zone or "Z").strip().replace("Z", "+00:00")
    whole = dt.datetime.fromisoformat(f"{day}T{clock or blank_clock or '00:00:00'}{zone}")
    return whole.timestamp() + float(f"0.{fraction or 0}")


def epoch_of(divisor):
    def read(value):
        if isinstance(value, str) and not re.fullmatch(r"\d+(\.\d+)?", value):
            return None
        number = number_of(value)
        return None if number is None else int(number) / divisor
    return read


READERS = {"string": ("string", text_of), "number": ("number", number_of),
           "boolean": ("boolean", lambda value: value if isinstance(value, bool) else None),
           "timestamp": ("time", time_of), "timestamp_epoch": ("time", epoch_of(1000)),
           "timestamp_epoch_s": ("time", epoch_of(1))}


def _kind(value):
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, (int, float)) else "string"


def _untyped(name, values):
    kinds = [_kind(value) for value in values if value is not None]
    kind = kinds[0] if kinds else "string"
    plain = {_kind(v) for v in values if v is not None and not isinstance(v, (list, dict))}
    if len(plain) > 1:
        raise FrameError(f"panic: {name} is {' and '.join(sorted(plain))}")
    return Field(kind, [float(v) if kind == "number" and v is not None else
                        text_of(v) if kind == "string" else v for v in values])


def frame_of(document, target):
    """One answer as a frame: {name: Field}, sorted by name; {} is "No data"."""
    root = target["root_selector"]
    exists, value = gjson(document, root) if root else (True, document)
    if not exists:
        raise FrameError(f"root selector {root}: no results found")
    if not isinstance(value, (list, dict)):
        return {target["refId"]: _untyped(target["refId"], [value])}
    rows = value if isinstance(value, list) else [value]
    if not rows:
        return {}
    if all(not isinstance(row, (dict, list)) for row in rows):
        return {target["refId"]: _untyped(target["refId"], rows)}
    frame = {}
    for column in target["columns"]:
        kind, read = READERS[column["type"]]
        found = [gjson(row, column["selector"]) for row in rows]
        name = column["text"] or column["selector"]
        cells = [read(value) for _, value in found]
        frame[name] = Field(kind, cells, not any(exists for exists, _ in found),
                            sum(cell is None and value is not None for cell, (_, value) in zip(cells, found)))
    if not target["columns"]:
        for name in {name for row in rows for name in row}:
            frame[name] = _untyped(name, [row.get(name) for row in rows])
    frame = {name: frame[name] for name in sorted(frame)}
    return _filtered(frame, target["filterExpression"])


def _filtered(frame, expression):
    if not expression:
        return frame
    found = re.fullmatch(r"(\w+) == ['\"](.*)['\"]", expression)
    if not found or found[1] not in frame:
        raise FrameError(f"the filter {expression} is not known here")
    kept = [at for at, value in enumerate(frame[found[1]].values) if value == found[2]]
    return {name: Field(f.kind, [f.values[at] for at in kept], f.missing, f.unread) for name, f in frame.items()}


def merge(frames):
    """The pages of one query as one frame."""
    if len(frames) == 1:
        return frames[0]
    first = frames[0]
    for frame in frames[1:]:
        if list(frame) != list(first):
            raise FrameError("unable to merge fields due to different fields")
        if any(frame[name].kind != field.kind for name, field in first.items()):
            raise FrameError("unable to merge fields due to different field types")
    return {name: Field(field.kind, [v for frame in frames for v in frame[name].values],
                        all(frame[name].missing for frame in frames),
                        sum(frame[name].unread for frame in frames))
            for name, field in first.items()}


def pivot(frame):
    """A long frame as series {(name, labels): [(time, value)]}; an error says why it stays long."""
    times = [name for name, field in frame.items() if field.kind == "time"]
    if len(times) != 1:
        raise FrameError(f"a time series needs one time column, not {len(times)}: {', '.join(times)}")
    axis = frame[times[0]].values
    if any(time is None for time in axis):
        raise FrameError(f"{times[0]}: a time is null, so nothing is pivoted")
    if any(later < earlier for earlier, later in zip(axis, axis[1:])):
        raise FrameError(f"{times[0]}: not ascending, so nothing is pivoted")
    numbers = [name for name, field in frame.items() if field.kind == "number"]
    if not numbers:
        raise FrameError("a time series needs a number column")
    labels = [name for name, field in frame.items() if field.kind == "string"]
    series = {}
    for at, time in enumerate(axis):
        key = tuple((name, frame[name].values[at] or "") for name in labels)
        for name in numbers:
            points = series.setdefault((name, key), [])
            if points and points[-1][0] == time:
                points.pop()  # The last row of a time wins.
            points.append((time, frame[name].values[at]))
    return series


# ---- requests ----

def closed(target):
    """Refuses what the plugin would silently ignore: a misspelt key, another parser."""
    unknown = set(target) - TARGET_KEYS
    unknown |= set(target["url_options"]) - URL_OPTION_KEYS
    unknown |= {key for column in target["columns"] for key in set(column) - COLUMN_KEYS}
    if unknown:
        raise FrameError(f"unknown keys: {', '.join(sorted(unknown))}")
    wrong = [column["type"] for column in target["columns"] if column["type"] not in COLUMN_TYPES]
    if wrong or target["format"] not in FORMATS or target.get("pagination_mode") not in (None, "cursor"):
        raise FrameError("a column type, format or pagination mode that is not known here")
    if (target["type"], target["source"], target["parser"]) != ("json", "url", "backend"):
        raise FrameError("only type json, source url and parser backend are read by the server side")
    if not target["url"].startswith("/") or target["computed_columns"] or target["filters"]:
        raise FrameError("the URL must begin with a slash; no computed columns, no filters")


def expand(text, begin, end):
    """The macros of the time range, which the plugin fills in (begin and end in milliseconds)."""
    for names, value in ((("__timeFrom", "__from"), begin), (("__timeTo", "__to"), end)):
        day = dt.datetime.fromtimestamp(value // 1000, dt.timezone.utc)
        fraction = f".{value % 1000:03d}".rstrip("0").rstrip(".")
        for name in names:
            for form, shown in (("}", str(value)), (":date:iso}", f"{day:%Y-%m-%dT%H:%M:%S}{fraction}Z"),
                                (":date:seconds}", str(value // 1000)),
                                (":date:YYYY-MM-DD}", f"{day:%Y-%m-%d}")):
                text = text.replace("${" + name + form, shown)
    return text


def path_of(target, begin, end, cursor=None):
    """Path and query as they are sent: parameters encoded anew, and sorted by name."""
    url = urlsplit(expand(target["url"], begin, end))
    pairs = parse_qsl(url.query, keep_blank_values=True)
    pairs += [(p["key"], expand(p["value"], begin, end)) for p in target["url_options"]["params"]]
    if cursor is not None:
        pairs.append((target["pagination_param_cursor_field_name"], cursor))
    query = urlencode(sorted(pairs, key=lambda pair: pair[0]))
    return url.path + ("?" + query if query else "")


def query(target, fetch, begin, end, most_pages=5):
    """Runs an interpolated target: (frame, paths asked for). fetch(path) gives (status, body)."""
    closed(target)
    frames, paths, cursor = [], [], None
    paged = target.get("pagination_mode") == "cursor"
    # One request more than pages: that is how the plugin counts in cursor mode.
    for _ in range(min(target["pagination_max_pages"], most_pages) + 1 if paged else 1):
        paths.append(path_of(target, begin, end, cursor))
        status, body = fetch(paths[-1])
        if status >= 400:
            raise FrameError(f"{paths[-1]}: unsuccessful HTTP response code: {status}: {body[:300]!r}")
        if not body:
            raise FrameError("empty response body received")
        document = json.loads(body)
        frames.append(frame_of(document, target))
        if not paged:
            break
        exists, cursor = gjson(document, target["pagination_param_cursor_extraction_path"])
        if not exists:
            raise FrameError("error while extracting the cursor value")
        if cursor is None or cursor == "":
            break
        cursor = text_of(cursor)
    return merge(frames), paths
