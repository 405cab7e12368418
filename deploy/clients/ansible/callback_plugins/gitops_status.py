"""Reports what a check-mode run of ansible-playbook saw to gitops-status-server."""

from __future__ import annotations

DOCUMENTATION = """
name: gitops_status
type: notification
short_description: report drift seen in check mode to gitops-status-server
description:
  - Reports every host of a C(--check) run to C(/status/cron), with the files that would change.
  - C(synced) is said only of a host on which every play ran to its end and something was compared.
  - No diff and no file content leaves the machine; only paths and task names do.
options:
  server_url:
    description: Address of the server.
    default: http://gitops-status-server.observability-stack.svc.cluster.local:80
    env: [{name: GITOPS_STATUS_SERVER_URL}]
    ini: [{section: gitops_status, key: server_url}]
  server_group:
    description: The group of hosts without a variable C(gitops_server_group). Default is the innermost inventory group.
    env: [{name: GITOPS_STATUS_SERVER_GROUP}]
    ini: [{section: gitops_status, key: server_group}]
  token: {description: Access token., env: [{name: GITOPS_STATUS_TOKEN}]}
  config_root:
    description: Paths below this folder are reported without it, such as C(/etc/).
    env: [{name: GITOPS_STATUS_CONFIG_ROOT}]
  only_check_runs:
    description: If false, other runs report too, but only hosts on which tasks ran in check mode of their own.
    default: true
    type: bool
    env: [{name: GITOPS_STATUS_ONLY_CHECK_RUNS}]
  report_partial_runs:
    description: If true, runs with C(--tags), C(--skip-tags), C(--start-at-task) or C(--step) report too.
    default: false
    type: bool
    env: [{name: GITOPS_STATUS_PARTIAL_RUNS}]
  accept_ignored_errors:
    description: If true, a task whose failure was ignored or rescued does not make its host C(unknown).
    default: false
    type: bool
    env: [{name: GITOPS_STATUS_ACCEPT_IGNORED_ERRORS}]
  fatal:
    description: If true, ansible-playbook ends with exit code 1 when a report could not be delivered.
    default: false
    type: bool
    env: [{name: GITOPS_STATUS_FATAL}]
    ini: [{section: gitops_status, key: fatal}]
  max_age:
    {description: For how many seconds the report is good., type: int, env: [{name: GITOPS_STATUS_MAX_AGE}]}
  run_id: {description: Number of the CI run., env: [{name: CI_PIPELINE_NUMBER}, {name: GITOPS_STATUS_RUN_ID}]}
  run_url: {description: Address of the CI run., env: [{name: CI_PIPELINE_URL}, {name: GITOPS_STATUS_RUN_URL}]}
  commit_sha: {description: The commit compared with., env: [{name: CI_COMMIT_SHA}, {name: GITOPS_STATUS_COMMIT_SHA}]}
"""

import json
import time
import uuid
from datetime import datetime, timezone
from urllib.error import HTTPError

from ansible import constants as C
from ansible import context
from ansible.module_utils.urls import open_url
from ansible.playbook.handler import Handler
from ansible.plugins.callback import CallbackBase
from ansible.template import Templar

# Tasks that compare nothing: a host with no other task was not checked.
SILENT_ACTIONS = {
    "add_host", "assert", "debug", "fail", "gather_facts", "group_by", "import_role", "import_tasks",
    "include_role", "include_tasks", "include_vars", "meta", "pause", "set_fact", "set_stats", "setup",
    "validate_argument_spec", "wait_for", "wait_for_connection",
}
ATTEMPTS = 3
MAX_REPORTS = 1000
MAX_BODY_BYTES = 512 * 1024
MAX_FILES = 10000


def short_action(task):
    """The module's name without its collection."""
    action = str(task.action)
    return action.rsplit(".", 1)[-1] if action.startswith(("ansible.builtin.", "ansible.legacy.")) else action


def arguments_of(result):
    return (result.get("invocation") or {}).get("module_args") or {}


def path_of(result):
    """The file a result is about, or None."""
    arguments = arguments_of(result)
    for source in (result, arguments):
        for key in ("dest", "path"):
            path = source.get(key)
            if not isinstance(path, str) or not path:
                continue
            origin = arguments.get("_original_basename") or arguments.get("src")
            if key == "dest" and path.endswith("/") and isinstance(origin, str) and not origin.endswith("/"):
                # One file copied into a folder.
                return path + origin.rsplit("/", 1)[-1]
            return path.rstrip("/") or "/"
    return None


def kind_of(action, result):
    """modified, missing, extra or mode, as far as the result tells; None if it does not.

    A diff's texts are compared with each other, and never kept.
    """
    if action == "file" and arguments_of(result).get("state") == "absent":
        return "extra"
    diffs = result.get("diff") or []
    kinds = set()
    for diff in [diffs] if isinstance(diffs, dict) else diffs:
        before, after = diff.get("before"), diff.get("after")
        if isinstance(before, dict) and isinstance(after, dict):
            if before.get("state") == "absent":
                kinds.add("missing")
            elif after.get("state") == "absent":
                kinds.add("extra")
            elif set(before) | set(after) <= {"path", "mode", "owner", "group"} and before != after:
                kinds.add("mode")
        elif "before_header" in diff and before != after:
            kinds.add("modified")
        elif before == "" and "before_header" not in diff:
            kinds.add("missing")
    return kinds.pop() if len(kinds) == 1 else None


class HostRun:
    """What was seen of one host."""

    def __init__(self, host):
        self.host = host
        self.compared = 0
        self.files = {}
        self.unreachable = False
        self.failed_task = None
        self.ignored_task = None
        self.incomplete = False

    def saw(self, path, kind):
        """A path that two tasks see in different ways is just changed; bytes that are no UTF-8 cannot be sent."""
        path = path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        self.files[path] = kind if self.files.get(path, kind) == kind else None


class CallbackModule(CallbackBase):
    """Collects results while plays run, and reports once at the end."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "gitops_status"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._hosts = {}
        self._variables = None
        self._planned = set()
        self._play = None
        self._expected = []
        self._batch_size = 0
        self._seen = set()
        self._stumbled = set()
        self._troubled = False
        self._all_stop = False
        self._check_run = False

    # ---- what happens during the run ----

    def v2_playbook_on_start(self, playbook):
        self._check_run = bool(context.CLIARGS.get("check"))
        self._planned.update(play._uuid for play in playbook.get_plays())

    def v2_playbook_on_play_start(self, play):
        # With "serial", a play starts again for each batch.
        if self._play is None or play._uuid != self._play._uuid:
            self._close_play()
        self._planned.discard(play._uuid)
        self._play, self._stumbled = play, set()
        self._variables = play.get_variable_manager()
        inventory = self._variables._inventory
        # All hosts of the play, also those of later batches of "serial".
        self._expected = inventory.get_hosts(play.hosts, ignore_restrictions=True)
        self._batch_size = len(inventory.get_hosts(play.hosts))
        for host in self._expected:
            self._hosts.setdefault(host.get_name(), HostRun(host))

    def v2_playbook_on_no_hosts_remaining(self):
        self._all_stop = True

    def v2_runner_on_ok(self, result):
        self._record(result)

    def v2_runner_on_skipped(self, result):
        self._run_of(result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        run = self._record(result, failed=True)
        name = result._task.get_name()
        if ignore_errors:
            run.ignored_task = name
        else:
            run.failed_task = name
            self._stumble(result)

    def v2_runner_on_unreachable(self, result):
        self._run_of(result).unreachable = True
        self._stumble(result)

    def v2_playbook_on_stats(self, stats):
        self._close_play()
        if not self._check_run and self.get_option("only_check_runs"):
            return self._display.display("gitops-status: nothing is reported of a run without --check")
        if self._is_partial() and not self.get_option("report_partial_runs"):
            return self._display.display("gitops-status: nothing is reported of a run of chosen tasks only")
        if self._planned:
            for run in self._hosts.values():
                run.incomplete = True
        runs = [run for run in self._hosts.values() if self._check_run or run.compared]
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        reports = [self._report(run, stats, now) for run in runs]
        if reports and not self._send_all(reports) and self.get_option("fatal"):
            self._display.error("gitops-status: a report was not delivered, and that is fatal here")
            # Exceptions of callbacks become warnings; this one ends the run.
            raise SystemExit(1)

    # ---- collecting ----

    def _run_of(self, result):
        host = result._host
        self._seen.add(host.get_name())
        return self._hosts.setdefault(host.get_name(), HostRun(host))

    def _stumble(self, result):
        """One failure may end the play for everybody."""
        self._troubled = True
        self._stumbled.add(result._host.get_name())
        share = self._play.max_fail_percentage
        if self._play.any_errors_fatal or result._task.any_errors_fatal:
            self._all_stop = True
        elif share is not None and len(self._stumbled) * 100 > float(share) * self._batch_size:
            self._all_stop = True

    def _close_play(self):
        """Who has not seen all of the play: everybody if it was stopped, or hosts without a word if it went wrong."""
        for host in self._expected:
            unheard = self._troubled and host.get_name() not in self._seen
            if self._all_stop or unheard:
                self._hosts[host.get_name()].incomplete = True
        self._expected, self._seen, self._troubled, self._all_stop = [], set(), False, False

    def _record(self, result, failed=False):
        run = self._run_of(result)
        task, action = result._task, short_action(result._task)
        # A handler follows from a change, and a task outside check mode has really run: neither is drift.
        if isinstance(task, Handler) or not task.check_mode or action in SILENT_ACTIONS:
            return run
        parts = [part for part in result._result.get("results") or [] if isinstance(part, dict)]
        for part in parts or [result._result]:
            if part.get("skipped") or part.get("failed") or (failed and not parts):
                continue
            run.compared += 1
            if part.get("changed"):
                self._drift(run, task, action, part)
        return run

    def _drift(self, run, task, action, part):
        delegated = task.delegate_to and task.delegate_to != run.host.get_name()
        path = None if delegated else path_of(part)
        if path is None:
            run.saw("task: " + task.get_name()[:1000], None)
            return
        root = (self.get_option("config_root") or "").rstrip("/") + "/"
        if root != "/" and path.startswith(root):
            path = path[len(root):]
        run.saw(path, kind_of(action, part))

    @staticmethod
    def _is_partial():
        arguments = context.CLIARGS
        chosen = [tag for tag in arguments.get("tags") or [] if tag != "all"]
        return bool(chosen or arguments.get("skip_tags") or arguments.get("start_at_task") or arguments.get("step"))

    # ---- reporting ----

    def _verdict(self, run, stats):
        """The status and, where nobody can say synced or out_of_sync, why."""
        name = run.host.get_name()
        if stats.failures.get(name):
            return "failed", f"task failed: {run.failed_task}"
        if run.unreachable or stats.dark.get(name):
            return "unknown", "unreachable"
        if run.files:
            return "out_of_sync", None
        if run.incomplete:
            return "unknown", "the run ended early"
        missed = run.failed_task or run.ignored_task
        if missed and not self.get_option("accept_ignored_errors"):
            return "unknown", f"a failure was ignored: {missed}"
        if not run.compared:
            return "unknown", "no task compared anything"
        return "synced", None

    def _report(self, run, stats, now):
        status, reason = self._verdict(run, stats)
        group, host = self._names(run.host)
        files = sorted(run.files.items())[:MAX_FILES]
        report = {"server_group": group, "host": host, "status": status, "last_cron_check": now}
        if files or status == "synced":
            report["changed_files"] = [{"path": path, "kind": kind} if kind else path for path, kind in files]
        if reason:
            report["labels"] = {"reason": reason[:80]}
        for key in ("commit_sha", "run_id", "run_url", "max_age"):
            value = self.get_option(key)
            if value:
                report[key] = value
        words = ["gitops-status", f"{group}/{host} {status}", reason, ", ".join(path for path, _ in files[:10])]
        self._display.display(": ".join(word for word in words if word))
        return report

    def _names(self, host):
        """Group and host as the server shall know them."""
        variables = self._variables.get_vars(host=host, include_hostvars=False)

        def said(name):
            value = variables.get(name)
            if isinstance(value, str) and "{{" in value:
                value = Templar(loader=None, variables=variables).template(value)
            return str(value) if value else None

        groups = [group for group in host.get_groups() if group.name not in ("all", "ungrouped")]
        innermost = min(groups, key=lambda group: (-group.depth, group.name)).name if groups else "ungrouped"
        group = said("gitops_server_group") or self.get_option("server_group") or innermost
        return group, said("gitops_host") or host.get_name()

    def _send_all(self, reports):
        return all([self._send(chunk) for chunk in self._chunks(reports)])

    @staticmethod
    def _chunks(reports):
        chunk, size = [], 0
        for report in reports:
            weight = len(json.dumps(report)) + 2
            if chunk and (len(chunk) == MAX_REPORTS or size + weight > MAX_BODY_BYTES):
                yield chunk
                chunk, size = [], 0
            chunk.append(report)
            size += weight
        yield chunk

    def _send(self, reports):
        """Sends one array; where the server refuses some of its reports, the others once more without them."""
        problem, refused = self._deliver(reports)
        if problem is None:
            return True
        self._warn(problem)
        others = [report for index, report in enumerate(reports) if index not in refused]
        if refused and others:
            self._send(others)
        return False

    def _warn(self, problem):
        """In one line, which Ansible's own warnings are not."""
        self._display.display(f"[WARNING]: gitops-status: NOT delivered: {problem}", color=C.COLOR_WARN, stderr=True)

    def _deliver(self, reports):
        """Tries as long as trying again may help; gives what went wrong and the reports the server refused."""
        key, problem, refused = f"ansible-{uuid.uuid4()}", None, set()
        for attempt in range(ATTEMPTS):
            time.sleep(2 * attempt)
            try:
                self._show(self._post(reports, key))
                return None, set()
            except HTTPError as error:
                problem, refused = self._words(error, reports)
                if error.code not in (408, 429, 502, 503, 504):
                    break
            except Exception as error:  # no answer, TLS, a proxy, an answer that is not JSON
                problem = f"{len(reports)} report(s): {error}"
        return problem, refused

    def _post(self, reports, key):
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        if self.get_option("token"):
            headers["Authorization"] = "Bearer " + self.get_option("token")
        response = open_url(
            self.get_option("server_url").rstrip("/") + "/status/cron?create=true",
            method="POST", data=json.dumps(reports).encode(), headers=headers, use_netrc=False,
            timeout=30, follow_redirects="none", http_agent="gitops-status-callback")
        return json.loads(response.read())

    @staticmethod
    def _words(error, reports):
        """What the server says is wrong, with the hosts it speaks of, and their places in the array."""
        body = error.read().decode("utf-8", "replace")
        refused = set()
        try:
            problem = json.loads(body)
            words = [str(problem["detail"])]
            for wrong in problem.get("errors") or []:
                index = wrong.get("index")
                known = isinstance(index, int) and 0 <= index < len(reports)
                if known:
                    refused.add(index)
                host = reports[index]["host"] + " " if known else ""
                words.append(f"{host}{wrong.get('field')}: {wrong.get('message')}")
        except (ValueError, KeyError, TypeError, AttributeError):
            words = [body[:500]]
        return f"HTTP {error.code}: " + "; ".join(words), refused

    def _show(self, answer):
        for receipt in answer.get("reports") or []:
            self._display.display("gitops-status receipt {origin} {id} {hash}".format(**receipt))
        for warning in answer.get("warnings") or []:
            self._display.display(f"gitops-status: the server's warning: {warning}")
