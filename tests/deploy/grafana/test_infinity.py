#!/usr/bin/env python3
"""The traps of the data source, one by one: what the helpers must refuse, and what they must take."""
import copy
import json
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import static  # noqa: E402
from check import Check, check_metrics, frame_problems  # noqa: E402
from grafana import ALL, Value, interpolate, interval, options_of, partition, transformed  # noqa: E402
from infinity import FrameError, expand, frame_of, gjson, merge, path_of, pivot, query, rows_in, time_of  # noqa: E402


def target(columns="", root="", url="/x", params=(), **more):
    made = {"refId": "A", "datasource": {}, "type": "json", "source": "url", "parser": "backend", "format": "table",
            "root_selector": root, "url": url, "filters": [], "computed_columns": [], "filterExpression": "",
            "url_options": {"method": "GET", "data": "", "params": [{"key": k, "value": v} for k, v in params]},
            "columns": [dict(zip(("selector", "text", "type"), (name, name, kind)))
                        for name, kind in (word.split(":") for word in columns.split())]}
    return made | more


CURSOR = {"pagination_mode": "cursor", "pagination_max_pages": 5, "pagination_param_cursor_field_name": "cursor",
          "pagination_param_cursor_field_type": "query", "pagination_param_cursor_extraction_path": "next_cursor"}


def pages(*bodies):
    """A server that answers one page after the other."""
    left = list(bodies)
    return lambda path: (200, json.dumps(left.pop(0)).encode())


class Frames(unittest.TestCase):
    def test_fields_are_sorted_by_name_and_typed(self):
        frame = frame_of([{"b": "3.5", "a": True}, {"a": 3}], target("b:number a:string"))
        self.assertEqual(list(frame), ["a", "b"])
        self.assertEqual(frame["a"].values, ["true", "3"])
        self.assertEqual(frame["b"].values, [3.5, None])

    def test_a_number_then_a_string_panics_unless_typed(self):
        for rows in ([{"a": 1}, {"a": "x"}], [{"a": "x"}, {"a": 1}]):
            with self.assertRaisesRegex(FrameError, "panic"):
                frame_of(rows, target())
        typed = frame_of([{"a": 1}, {"a": "x"}], target("a:number"))["a"]
        self.assertEqual((typed.values, typed.unread), ([1, None], 1))

    def test_an_empty_list_is_no_data_and_a_missing_root_an_error(self):
        self.assertEqual(frame_of([], target("a:string")), {})
        self.assertEqual(frame_of({"items": []}, target("a:string", "items")), {})
        with self.assertRaisesRegex(FrameError, "no results"):
            frame_of({"item": []}, target("a:string", "items"))

    def test_a_selector_that_exists_nowhere_is_told_from_one_that_is_null(self):
        frame = frame_of([{"a": None}], target("a:string b:string"))
        self.assertEqual((frame["a"].missing, frame["b"].missing), (False, True))

    def test_objects_lists_and_scalars(self):
        self.assertEqual(rows_in(frame_of({"a": 1}, target("a:number"))), 1)
        self.assertEqual(frame_of(["x", "y"], target())["A"].values, ["x", "y"])
        self.assertEqual(frame_of([{"a": ["x", 1]}], target("a:string"))["a"].values, ['["x",1]'])

    def test_selectors(self):
        value = {"a.b": 1, "files": [{"name": "x", "ok": True}, {"name": "y", "ok": False}]}
        self.assertEqual(gjson(value, "a\\.b"), (True, 1))
        self.assertEqual(gjson(value, "files.#"), (True, 2))
        self.assertEqual(gjson(value, "files.#.name"), (True, ["x", "y"]))
        self.assertEqual(gjson(value, "files.1.name"), (True, "y"))
        self.assertEqual(gjson(value["files"], '#(name=="y")#'), (True, [value["files"][1]]))
        self.assertEqual(gjson(value["files"], '#(name=="z")#'), (True, []))
        self.assertEqual(gjson(value, "files.5"), (False, None))

    def test_times(self):
        for text in ("2026-04-26T10:30:00Z", "2026-04-26T13:30:00+03:00", "2026-04-26 10:30:00",
                     "2026-04-26T10:30:00.000000000Z", "2026-04-26 13:30:00 +03:00", "2026-04-26T10:30:00"):
            self.assertEqual(time_of(text), 1777199400, text)
        for text in ("2026-04-26T10:30Z", "2026-04-26T10:30:00+0300", "1777199400", 1777199400, None, ""):
            self.assertIsNone(time_of(text), text)


class Series(unittest.TestCase):
    COLUMNS = "time:timestamp host:string state:number"

    def row(self, minute, host="a", state=0):
        return {"time": f"2026-04-26T10:{minute:02}:00Z", "host": host, "state": state}

    def test_rows_become_series_and_the_last_of_a_time_wins(self):
        rows = [self.row(0), self.row(1, "b"), self.row(1, "b", 2), self.row(2)]
        series = pivot(frame_of(rows, target(self.COLUMNS)))
        self.assertEqual([(key[1][0][1], len(points)) for key, points in series.items()], [("a", 2), ("b", 1)])
        self.assertEqual(series["state", (("host", "b"),)][0][1], 2)

    def test_unsorted_times_stay_long(self):
        with self.assertRaisesRegex(FrameError, "ascending"):
            pivot(frame_of([self.row(1), self.row(0)], target(self.COLUMNS)))

    def test_two_time_columns_a_null_time_or_no_number(self):
        rows = [dict(self.row(0), last="2026-04-26T10:00:00Z"), dict(self.row(1), last=None)]
        with self.assertRaisesRegex(FrameError, "one time column, not 2"):
            pivot(frame_of(rows, target(self.COLUMNS + " last:timestamp")))
        with self.assertRaisesRegex(FrameError, "null"):
            pivot(frame_of(rows, target("last:timestamp state:number")))
        with self.assertRaisesRegex(FrameError, "number"):
            pivot(frame_of(rows, target("time:timestamp host:string")))


class Pages(unittest.TestCase):
    def run_pages(self, *bodies, columns="a:number"):
        return query(target(columns, "items", **CURSOR), pages(*bodies), 0, 1)

    def test_pages_are_merged(self):
        frame, paths = self.run_pages({"items": [{"a": 1}], "next_cursor": "x+/="},
                                      {"items": [{"a": None}], "next_cursor": None})
        self.assertEqual(frame["a"].values, [1, None])
        self.assertEqual(paths, ["/x", "/x?cursor=x%2B%2F%3D"])

    def test_a_missing_cursor_loses_the_panel(self):
        with self.assertRaisesRegex(FrameError, "cursor value"):
            self.run_pages({"items": [{"a": 1}]})

    def test_an_empty_last_page_cannot_be_merged_but_an_empty_first_one_is_fine(self):
        with self.assertRaisesRegex(FrameError, "different fields"):
            self.run_pages({"items": [{"a": 1}], "next_cursor": "x"}, {"items": [], "next_cursor": None})
        self.assertEqual(self.run_pages({"items": [], "next_cursor": None})[0], {})

    def test_without_types_a_page_of_nulls_cannot_be_merged(self):
        bodies = ({"items": [{"a": None}], "next_cursor": "x"}, {"items": [{"a": 1}], "next_cursor": None})
        with self.assertRaisesRegex(FrameError, "different field types"):
            self.run_pages(*bodies, columns="")
        self.assertEqual(self.run_pages(*bodies)[0]["a"].values, [None, 1])

    def test_false_is_no_end_and_the_pages_are_capped(self):
        bodies = [{"items": [{"a": 1}], "next_cursor": False}] * 9
        frame, paths = self.run_pages(*bodies)
        self.assertEqual((len(paths), paths[-1]), (6, "/x?cursor=false"))

    def test_errors_and_empty_bodies(self):
        for answer in ((404, b"{}"), (200, b"")):
            with self.assertRaises(FrameError):
                query(target("a:number"), lambda path, answer=answer: answer, 0, 1)

    def test_unknown_keys_are_refused(self):
        for wrong in ({"root_selecter": "x"}, {"parser": "simple"}, {"format": "logs"}, {"url": "x"}):
            with self.assertRaises(FrameError):
                query(target("a:number", **wrong), pages([]), 0, 1)

    def test_merging_one_frame_changes_nothing(self):
        frame = frame_of([{"a": 1}], target("a:number"))
        self.assertIs(merge([frame]), frame)


class Requests(unittest.TestCase):
    def test_macros_of_the_time_range(self):
        self.assertEqual(expand("${__timeFrom} ${__from} ${__timeTo:date:iso}", 1777161600250, 1777161600000),
                         "1777161600250 1777161600250 2026-04-26T00:00:00Z")
        self.assertEqual(expand("${__timeFrom:date:iso} ${__timeFrom:date:YYYY-MM-DD} $__timeFrom", 1777161600250, 0),
                         "2026-04-26T00:00:00.25Z 2026-04-26 $__timeFrom")

    def test_parameters_are_encoded_and_sorted(self):
        odd = "a&b=c#d+e%20f ü/x?"
        made = target(url="/x?z=1", params=[("host", odd), ("b", "")])
        self.assertEqual(path_of(made, 0, 1), "/x?b=&host=a%26b%3Dc%23d%2Be%2520f+%C3%BC%2Fx%3F&z=1")

    def test_all_is_an_empty_filter(self):
        variables = {"none": Value(""), "host": Value(ALL, "All", "${none}")}
        self.assertEqual(interpolate("${host}|$host|[[host]]|${host:text}|${other}", variables), "|||All|${other}")
        # Why no filter may be written with percentencode.
        self.assertEqual(interpolate("${host:percentencode}", variables), "%24%7Bnone%7D")

    def test_options_of_a_variable(self):
        frame = frame_of([{"a": "x"}, {"a": "x"}, {"a": None}], target("a:string"))
        self.assertEqual(options_of(frame), [("x", "x"), ("", "")])
        self.assertEqual(options_of(frame, "/.+/"), [("x", "x")])
        frame = frame_of([{"__text": "All", "__value": ""}], target("__text:string __value:string"))
        self.assertEqual(options_of(frame), [("All", "All")])

    def test_steps(self):
        panel = {"maxDataPoints": 100, "interval": "5m"}
        self.assertEqual([interval(days * 86400, panel) for days in (0.1, 1, 7, 90, 120)],
                         ["5m", "15m", "2h", "12h", "1d"])

    def test_partition(self):
        frame = frame_of([{"a": "x", "b": 1}, {"a": "y", "b": 2}, {"a": "x", "b": 3}], target("a:string b:number"))
        self.assertEqual({key: part["b"].values for key, part in partition(frame, ["a"]).items()},
                         {("x",): [1, 3], ("y",): [2]})


def panel_with(dashboard, transformation):
    return next(panel for panel in dashboard["panels"]
                if any(step["id"] == transformation for step in panel.get("transformations", [])))


class Dashboards(unittest.TestCase):
    def found(self, mutate, name="host.json"):
        boards = copy.deepcopy(static.dashboards())
        mutate(boards[name])
        return list(static.problems(boards))

    def test_as_committed_they_have_no_problem(self):
        self.assertEqual(self.found(lambda d: None), [])

    def test_what_is_wrong_is_found(self):
        def variable(name, **keys):
            return lambda d: next(v for v in d["templating"]["list"] if v["name"] == name).update(keys)
        wrong = {
            "an empty allValue": variable("group", allValue=""),
            "no constant": variable("none", query="x"),
            "several values": variable("host", multi=True),
            "an unknown variable": lambda d: d["panels"][0]["targets"][0].update(url="/timeline?a=${nothing}"),
            "All in percentencode": lambda d: d["panels"][0]["targets"][0].update(url="/x?host=${host:percentencode}"),
            "an unknown data source": lambda d: d["panels"][0]["targets"][0]["datasource"].update(uid="x"),
            "a panel over another": lambda d: d["panels"][1]["gridPos"].update(y=0),
            "a panel too wide": lambda d: d["panels"][1]["gridPos"].update(x=1),
            "the same id": lambda d: d["panels"][1].update(id=1),
            "no description": lambda d: d["panels"][1].pop("description"),
            "a dead link": lambda d: d["panels"][3]["fieldConfig"]["overrides"].append(
                {"matcher": {"id": "byName", "options": "Host"},
                 "properties": [{"id": "links", "value": [{"title": "x", "url": "/d/nowhere"}]}]}),
            "a link out of any text": lambda d: panel_with(d, "extractFields")["transformations"].pop(0),
            "a link out of text that begins otherwise": lambda d: panel_with(d, "extractFields")[
                "transformations"][0]["options"].update(regExp="/(?<run>.*)/"),
            "a link to what a field says": lambda d: d["panels"][3]["fieldConfig"]["overrides"].append(
                {"matcher": {"id": "byName", "options": "Host"},
                 "properties": [{"id": "links", "value": [{"title": "x", "url": "${__data.fields.host}"}]}]}),
            "a link with a text that is not encoded": lambda d: d["panels"][3]["fieldConfig"]["overrides"].append(
                {"matcher": {"id": "byName", "options": "Host"},
                 "properties": [{"id": "links", "value": [{"title": "x", "url": "/d/gitops-host?a=${__value.raw}"}]}]}),
            "another plugin": lambda d: d["panels"][0].update(type="polystat"),
            "the schema": lambda d: d.update(schemaVersion=36),
        }
        for what, mutate in wrong.items():
            with self.subTest(what):
                self.assertNotEqual(self.found(mutate), [])

    def test_only_web_addresses_become_links(self):
        for name in ("fleet.json", "host.json"):
            panel = panel_with(static.dashboards()[name], "extractFields")
            target = dict(panel["targets"][0], root_selector="")
            texts = ["https://ci.example.org/1", "HTTP://ci/2?a=b#c", "javascript:alert(1)", "data:text/html,x",
                     "//evil.example", "/logout", "ftp://x", " https://x", "x https://y", "https://", "https://a b",
                     "https://a\njavascript:x", "", None]
            row = {column["selector"]: None for column in target["columns"]}
            frame = frame_of([dict(row, run_url=text) for text in texts], target)
            frames, names = transformed(panel, frame)
            self.assertEqual(frames[()]["run"].values, texts[:2] + [None] * (len(texts) - 2))
            self.assertEqual(names["run"], "Run")
            self.assertNotIn("run_url", names)

    def test_metric_and_label_names_are_compared(self):
        def expression(text):
            return lambda d: d["panels"][-2]["targets"][0].update(expr=text)
        for text in ("sum by (source, result) (rate(gitops_report_total[5m]))",
                     "sum by (source, status) (rate(gitops_reports_total[5m]))",
                     'sum by (source, result) (gitops_reports_total{host="x"})', "1 + 1"):
            with self.subTest(text):
                self.assertNotEqual(self.found(expression(text), "fleet.json"), [])

    def test_frames_are_held_against_their_panels(self):
        panel = static.dashboards()["host.json"]["panels"][0]
        made = panel["targets"][0]
        row = {"time": "2026-04-26T10:00:00Z", "server_group": "g", "host": "h", "status_code": 4}
        good = [row, dict(row, host="i"), dict(row, host="i", time="2026-04-26T11:00:00Z")]
        self.assertEqual(list(frame_problems(panel, made, frame_of(good, made))), [])
        for what, rows in {"an unknown state": [dict(row, status_code=5)], "no state": [{"time": row["time"]}],
                           "the same time twice": [row, row],
                           "going back": [row, dict(row, time="2026-04-26T09:00:00Z")]}.items():
            with self.subTest(what):
                self.assertNotEqual(list(frame_problems(panel, made, frame_of(rows, made))), [])


class Metrics(unittest.TestCase):
    """The comparison with a server's own /metrics, against made-up ones."""

    GOOD = ('gitops_reports_total{source="cron",result="stored"} 7\n'
            'gitops_host_last_report_timestamp_seconds{server_group="g",host="h, \\"x\\"",source="cron"} 1777200000\n'
            'gitops_host_drift_since_timestamp_seconds{server_group="g",host="h",environment=""} 1.7772e+09\n')

    def failures(self, text, status=200, required=True):
        server, check = type("Fake", (), {"fetch": lambda self, path: (status, text.encode())})(), Check()
        check_metrics(check, static.dashboards(), server, required)
        return check.failures

    def test_what_dashboards_ask_for_must_be_there_with_its_labels(self):
        self.assertEqual(self.failures(self.GOOD), [])
        self.assertNotEqual(self.failures(""), [])
        self.assertNotEqual(self.failures(self.GOOD.replace("gitops_reports_total", "gitops_reports")), [])
        self.assertNotEqual(self.failures(self.GOOD.replace("result=", "outcome=")), [])

    def test_a_server_without_metrics(self):
        self.assertNotEqual(self.failures("", 404), [])
        self.assertNotEqual(self.failures("", 500, required=False), [])


if __name__ == "__main__":
    unittest.main()
