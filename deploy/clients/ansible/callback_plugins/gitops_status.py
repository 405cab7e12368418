"""Reports what a check-mode run of ansible-playbook saw to gitops-status-server."""

from __future__ import annotations

DOCUMENTATION = """
name: gitops_status
type: notification
short_description: report drift seen in check mode to gitops-status-server
description:
  - Reports every host of a C(--check) run to C(/status/cron), with the files that would change.
  - C(synced) is said only with evidence, that is if every play ran to its end on the host, and a task compared it.
  - The host C(localhost) is left out.
  - No diff and no file content leaves the machine; only paths and task names do.
options:
  server_url:
    description: Address of the server.
    default: http://gitops-status-server.observability-stack.svc.cluster.local:80
    env: [{name: GITOPS_STATUS_SERVER_URL}]
    ini: [{section: gitops_status, key: server_url}]
  server_group:
    description: The group of hosts without a variable C(gitops_server_group). Default is the innermost inventory group.
    type: str
    env: [{name: GITOPS_STATUS_SERVER_GROUP}]
    ini: [{section: gitops_status, key: server_group}]
  token: {description: Access token., type: str, env: [{name: GITOPS_STATUS_TOKEN}]}
  config_root:
    description: Paths below this folder are reported without it, such as C(/etc/).
    type: str
    env: [{name: GITOPS_STATUS_CONFIG_ROOT}]
  comparing_modules:
    description:
      - Modules that compare the host with what is wanted, beside those that the plugin knows.
      - Names with or without their collection; C(*) stands for any characters.
    type: list
    elements: str
    default: []
    env: [{name: GITOPS_STATUS_COMPARING_MODULES}]
    ini: [{section: gitops_status, key: comparing_modules}]
  only_check_runs:
    description: If false, other runs report too, but only hosts on which tasks ran in check mode of their own.
    default: true
    type: bool
    env: [{name: GITOPS_STATUS_ONLY_CHECK_RUNS}]
  partial:
    description: If true, C(synced) is also said after C(--tags), C(--skip-tags), C(--start-at-task) or C(--step).
    default: false
    type: bool
    env: [{name: GITOPS_STATUS_PARTIAL}, {name: GITOPS_STATUS_PARTIAL_RUNS}]
  accept_ignored_errors:
    description: If true, a task whose failure was ignored or rescued does not make its host C(unknown).
    default: false
    type: bool
    env: [{name: GITOPS_STATUS_ACCEPT_IGNORED_ERRORS}]
  accept_delegated:
    description: If true, a task that is delegated to another host counts for the host that it was run for.
    default: false
    type: bool
    env: [{name: GITOPS_STATUS_ACCEPT_DELEGATED}]
  fatal:
    description:
      - If true, ansible-playbook ends with exit code 1 when a report was not taken, or the plugin itself failed.
      - If false, it warns.
    default: true
    type: bool
    env: [{name: GITOPS_STATUS_FATAL}]
    ini: [{section: gitops_status, key: fatal}]
  spool:
    description:
      - A file for reports that were not taken. The next run sends them first. Other users may not read it.
      - What the server refuses for good goes into a file of the same name with C(.refused).
    type: str
    env: [{name: GITOPS_STATUS_SPOOL}]
    ini: [{section: gitops_status, key: spool}]
  max_age:
    {description: For how many seconds the report is good., type: int, env: [{name: GITOPS_STATUS_MAX_AGE}]}
  run_id:
    description: Number of the CI run.
    type: str
    env: [{name: CI_PIPELINE_NUMBER}, {name: GITOPS_STATUS_RUN_ID}]
  run_url:
    description: Address of the CI run.
    type: str
    env: [{name: CI_PIPELINE_URL}, {name: GITOPS_STATUS_RUN_URL}]
  commit_sha:
    description: The commit compared with.
    type: str
    env: [{name: CI_COMMIT_SHA}, {name: GITOPS_STATUS_COMMIT_SHA}]
"""

import atexit
import contextlib
import fcntl
import fnmatch
import functools
import json
import os
import re
import stat
import time
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timezone
from urllib.error import HTTPError

from ansible import constants as C
from ansible import context
from ansible.module_utils.urls import open_url
from ansible.playbook import Playbook
from ansible.playbook.handler import Handler
from ansible.plugins.callback import CallbackBase
from ansible.template import Templar

try:
    from ansible.executor.play_iterator import IteratingStates, PlayIterator
except ImportError:  # not as it was known here: nobody can be seen to come to the end of a play
    IteratingStates = PlayIterator = None

ATTEMPTS = 3
MAX_REPORTS = 1000
MAX_BODY_BYTES = 512 * 1024
MAX_FILES = 10000
MAX_PATH_BYTES = 4096
MAX_REASON = 80
# What the server will not take however often it is sent.
FINAL_REFUSALS = (400, 404, 409, 413)


# ---- what is evidence: plain values in, plain values out ----

# Tasks that say nothing about the host, not even if they are "changed".
SILENT_MODULES = {
    "add_host", "assert", "debug", "fail", "gather_facts", "group_by", "import_playbook", "import_role", "import_tasks",
    "include_role", "include_tasks", "include_vars", "meta", "pause", "set_fact", "set_stats", "setup",
    "validate_argument_spec", "wait_for", "wait_for_connection",
}

# Modules that compare a host with what is wanted. Some do so only with some of these arguments.
COMPARING_MODULES = {
    "apt": ("name", "package", "pkg", "deb", "upgrade", "autoremove"),
    "apt_key": (), "apt_repository": (), "assemble": (), "blockinfile": (), "copy": (), "cron": (),
    "deb822_repository": (),
    "debconf": ("value", "answer"),
    "dnf": ("name", "pkg", "autoremove"), "dnf5": ("name", "pkg", "autoremove"), "yum": ("name", "pkg", "autoremove"),
    "dpkg_selections": (), "file": (), "get_url": (), "git": (), "group": (), "hostname": (), "iptables": (),
    "known_hosts": (), "lineinfile": (), "package": ("name", "package", "pkg"), "pip": ("name", "requirements"),
    "replace": (), "rpm_key": (),
    "service": ("state", "enabled"), "subversion": (),
    "systemd": ("state", "enabled", "masked"), "systemd_service": ("state", "enabled", "masked"),
    "sysvinit": ("state", "enabled"),
    "template": (), "unarchive": (), "user": (), "yum_repository": (),
    # Of other collections, what does without a "state": where that is written, it speaks for itself.
    "ansible.posix.authorized_key": (), "ansible.posix.synchronize": (), "ansible.posix.sysctl": (),
    "ansible.windows.win_copy": (), "ansible.windows.win_hostname": (), "ansible.windows.win_regedit": (),
    "ansible.windows.win_template": (), "community.crypto.openssl_csr": (), "community.crypto.openssl_privatekey": (),
    "community.crypto.x509_certificate": (), "community.docker.docker_container": (), "community.docker.docker_network": (),
    "community.general.alternatives": (), "community.general.git_config": ("value",), "community.general.htpasswd": (),
    "community.general.ini_file": (), "community.general.locale_gen": (), "community.general.modprobe": (),
    "community.general.pam_limits": (), "community.general.pamd": (), "community.general.ssh_config": (),
    "community.general.sudoers": (), "community.general.timezone": (), "community.mysql.mysql_user": (),
    "community.postgresql.postgresql_db": (), "community.postgresql.postgresql_set": ("value", "reset"),
    "community.postgresql.postgresql_user": (), "community.windows.win_lineinfile": (),
    "community.windows.win_timezone": (), "kubernetes.core.k8s": ("definition", "src", "template", "resource_definition"),
}

# Modules that only read, whatever their arguments are called.
READING_NAMES = re.compile(
    r"(^|_)(facts?|info|ping|stat|find|query|lookup|wait|wait_for|exec|logs?|command|shell|script|raw|expect|uri|slurp|"
    r"fetch|getent|tempfile|test|validate|list|search|status|get|reboot|login|backup|dump|export)$|wait_for")
# Modules that say in a warning that they could not look, which some versions hide under no_log.
WARNING_MODULES = ("service", "systemd", "systemd_service", "sysvinit")
# Arguments that name what shall be there: written and empty, there is nothing to compare.
SUBJECTS = ("name", "names", "pkg", "package", "packages", "requirements")
# Arguments that only prepare a comparison.
PREPARING = {"state", "update_cache", "refresh", "cache_valid_time", "force"}
# Of modules that the plugin does not know: values of "state" that ask instead of demand.
READING_STATES = {"all", "keys", "current", "searched", "gathered", "rendered", "parsed", "info", "facts", "list", "query", "get", "read", "search", "show",
                  "status", "stat", "dump", "export", "exported", "fetch", "fetched", "validate", "validated", "test"}


def short_name(module):
    """The name of a module without the collection, if it is one of Ansible's own."""
    prefix, _, name = str(module).rpartition(".")
    return name if prefix in ("ansible.builtin", "ansible.legacy") else str(module)


def listed(module, more):
    """Whether the user names the module as one that compares."""
    return any(fnmatch.fnmatchcase(text, pattern) for pattern in more for text in (short_name(module), str(module)))


def compares(module, arguments, diff, more=()):
    """Whether an unchanged result of the module is evidence that the host is as it shall be.

    What is not known to compare is no evidence: a demand in the arguments as they were written (defaults demand
    nothing), or both sides in the diff, show it.
    """
    name = short_name(module)
    if listed(module, more):
        return True
    if any(key in arguments and not demanded(key, arguments[key]) for key in SUBJECTS):
        return False
    if name in COMPARING_MODULES:
        wanted = COMPARING_MODULES[name]
        # With these, dnf lists packages, and git and subversion do not look at the files.
        if arguments.get("list") or any(
                is_no(arguments.get(key)) or is_template(arguments.get(key)) for key in ("update", "checkout")):
            return False
        return not wanted or any(demanded(key, arguments.get(key)) for key in wanted)
    if not may_compare(module):
        return False
    state = arguments.get("state")
    if demanded("state", state) and not ("update_cache" in arguments and set(arguments) <= PREPARING):
        return str(state).lower() not in READING_STATES
    sides = [part for part in parts_of_diff(diff) if "before" in part and "after" in part]
    return any(part["before"] or part["after"] for part in sides)


def may_compare(module):
    """Whether a module that the plugin does not know is worth a second look."""
    own = short_name(module) != str(module)
    return not own and not READING_NAMES.search(str(module).rpartition(".")[2])


def is_no(value):
    return str(value).lower() in ("false", "no", "0")


def is_template(value):
    """Whether a value has not been worked out: nobody knows then what it asks for."""
    return isinstance(value, str) and ("{{" in value or "{%" in value)


def demanded(key, value):
    """Whether an argument asks for something. "enabled: false" does, "autoremove: false" and a list of blanks do not."""
    if isinstance(value, (list, tuple)):
        return any(demanded(key, part) for part in value)
    if (key in ("autoremove", "upgrade") and is_no(value)) or is_template(value):
        return False
    return value is not None and str(value).strip() != "" and value != {}


def may_hide_a_failure(result, censored):
    """Whether a result under failed_when may be a failure all the same: it then has a message, or a code."""
    if "failed_when_suppressed_exception" in result:
        return True
    if "failed_when_result" not in result and not censored:
        return False
    return bool(censored or result.get("msg") or result.get("exception") or result.get("rc")
                or result.get("module_stderr") or result.get("reason"))


def could_not_look(result):
    """Whether a module warns that it could not look, as systemd does in a chroot."""
    return any("false positives" in str(warning) for warning in result.get("warnings") or [])


def parts_of_diff(diff):
    """Modules send one diff or a list of them; texts and nulls among them say nothing."""
    parts = [diff] if isinstance(diff, dict) else diff if isinstance(diff, list) else []
    return [part for part in parts if isinstance(part, dict)]


def path_of(module, arguments, result):
    """The file a result is about, by its own word or by the arguments; None if there is none, or it is hidden."""
    if "censored" in result:
        return None
    names = ("dest", "path", "destfile")
    if short_name(module) in ("file", "lineinfile", "blockinfile", "replace"):
        names += ("name",)
    invocation = result.get("invocation")
    called = invocation.get("module_args") if isinstance(invocation, dict) else None
    called = called if isinstance(called, dict) else {}
    for source, keys in ((result, names[:2]), (called, names[:2]), (arguments, names)):
        for key in keys:
            path = source.get(key)
            if not isinstance(path, str) or not path or is_template(path):
                continue
            origin = called.get("_original_basename") or called.get("src") or arguments.get("src")
            if key == "dest" and path.endswith("/") and isinstance(origin, str) and not origin.endswith("/"):
                # One file copied into a folder.
                return path + origin.rsplit("/", 1)[-1]
            return path.rstrip("/") or "/"
    return None


def kind_of(module, arguments, result):
    """modified, missing, extra or mode, as far as the result tells; None if it does not.

    A diff's texts are compared with each other, and never kept.
    """
    if short_name(module) == "file" and arguments.get("state") == "absent":
        return "extra"
    kinds = set()
    for diff in parts_of_diff(result.get("diff")):
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


def shown(text):
    """A text from elsewhere on one line of a log: what would steer a terminal, or end the line, is spelled out."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode() for char in str(text))


def as_utf8(text):
    """Bytes of a name that are no UTF-8 cannot be sent."""
    return str(text).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def cut_to_bytes(text, most):
    """What is too long is cut between two characters."""
    data = as_utf8(text).encode()
    return data[:most].decode("utf-8", "ignore")


@dataclass
class Seen:
    """All that was seen of one host, and that decides about it."""

    plays: int = 0  # plays of the run that the host belongs to
    finished: int = 0  # those which Ansible says it has no further task for the host of
    compared: int = 0  # results that are evidence
    skipped_comparisons: int = 0  # comparing tasks that were skipped
    checked: bool = False  # some task ran in check mode, whatever came of it
    files: dict = field(default_factory=dict)  # path: kind, of what would change
    failed_task: str | None = None
    rescued_task: str | None = None
    ignored_task: str | None = None
    hidden_task: str | None = None  # its result may be a failure that failed_when hides
    cut_short: bool = False  # another host's failure took tasks of this one away
    unfinished_task: str | None = None
    unreachable: bool = False
    broken: str | None = None  # an exception of the plugin's own

    def drift(self, path):
        """A file that would change, before anybody asks how."""
        path = cut_to_bytes(path, MAX_PATH_BYTES)
        self.files.setdefault(path, "")
        return path

    def drift_kind(self, path, kind):
        """A path that two tasks see in different ways is just changed."""
        self.files[path] = kind if self.files[path] in ("", kind) else None


@dataclass
class Invocation:
    """What holds for every host that one ansible-playbook was called for."""

    playbooks_missing: bool = False
    partial: bool = False
    accept_ignored_errors: bool = False
    broken: str | None = None


@dataclass
class Progress:
    """How far a play went on one host."""

    states: int = 0  # batches of the play that the host is in, as Ansible has them: one, or none
    complete: bool = False  # there is no further task for the host
    at_the_end: bool = False  # and that since all were taken, not since something ended the host
    failed: bool = False  # by Ansible's count: its own failure, or one that counts for everybody
    lost_tasks: bool = False  # a failure made Ansible leave out tasks of the host
    own_failure: bool = False  # the host itself failed, rescued or not
    ended_for_all: bool = False  # the play has an end_play or end_batch


def came_to_the_end(progress):
    """Whether the play ran to its end on the host. What end_host ends is over on purpose, for this host alone."""
    if progress.states != 1 or not progress.complete or progress.failed:
        return False
    return progress.at_the_end or not progress.ended_for_all


def was_cut_short(progress):
    """Whether a failure that was rescued, but not this host's, made Ansible leave out tasks of it."""
    return progress.lost_tasks and not progress.failed and not progress.own_failure


def judged(module, arguments, result, more=(), failed_when=False, changed_when=False, elsewhere=False):
    """What an unchanged result is worth: "evidence", "hidden" (it may be a failure), "unknown" (a module that nobody
    knows), or "nothing". Neither what was told not to fail, nor what was told not to change, is evidence.
    """
    known = short_name(module) in COMPARING_MODULES or listed(module, more)
    if not known and not may_compare(module):
        return "nothing"  # it only reads: it may fail as well
    if could_not_look(result) or (failed_when and may_hide_a_failure(result, "censored" in result)):
        return "hidden"
    if "censored" in result and short_name(module) in WARNING_MODULES:
        return "nothing"
    if not compares(module, arguments, result.get("diff"), more):
        return "nothing" if known else "unknown"
    if changed_when or elsewhere or (failed_when and not known):
        return "nothing"
    return "evidence"


def verdict(seen, invocation):
    """The status of a host and, where nobody can say synced or out_of_sync, why.

    A drift that was seen is a drift, whatever broke later. For synced, nothing may be left open.
    """
    if seen.failed_task is not None:
        return "failed", f"task failed: {seen.failed_task}"
    if seen.unreachable:
        return "unknown", "unreachable"
    if seen.files:
        return "out_of_sync", None
    broken = seen.broken or invocation.broken
    if broken is not None:
        return "unknown", f"the plugin failed: {broken}"
    if invocation.playbooks_missing:
        return "unknown", "a playbook of this run did not start"
    if seen.cut_short:
        return "unknown", "another host's failure took tasks away"
    if not invocation.accept_ignored_errors:
        ignored = seen.ignored_task or seen.rescued_task
        if ignored is not None:
            return "unknown", f"a failure was ignored: {ignored}"
        if seen.hidden_task is not None:
            return "unknown", f"a failure may be hidden: {seen.hidden_task}"
    if seen.plays == 0 or seen.finished < seen.plays:
        return "unknown", "the play ended early"
    if seen.unfinished_task is not None:
        return "unknown", f"a task was not waited for: {seen.unfinished_task}"
    if invocation.partial or (not seen.compared and seen.skipped_comparisons):
        return "unknown", "only part ran"
    if not seen.compared:
        return "unknown", "no task compared anything"
    return "synced", None


def merged(reports):
    """Two hosts under one name are one host: what is worst of them counts, with the files of all."""
    kept = {}
    for report in reports:
        name = (report["server_group"], report["host"])
        if name not in kept:
            kept[name] = report
            continue
        order = ("out_of_sync", "failed", "unknown", "synced")
        worst, other = sorted((kept[name], report), key=lambda one: order.index(one["status"]))
        files = list(worst.get("changed_files") or [])
        files += [file for file in other.get("changed_files") or [] if file not in files]
        kept[name] = {**worst, **({"changed_files": files[:MAX_FILES]} if "changed_files" in worst else {})}
    return list(kept.values())


def chunks(reports):
    """Arrays that the server takes: bounded in number and bytes."""
    chunk, size = [], 0
    for report in reports:
        while len(json.dumps(report)) > MAX_BODY_BYTES:
            report = {**report, "changed_files": report["changed_files"][:len(report["changed_files"]) // 2]}
        weight = len(json.dumps(report)) + 2
        if chunk and (len(chunk) == MAX_REPORTS or size + weight > MAX_BODY_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(report)
        size += weight
    if chunk:
        yield chunk


# ---- what waits to be sent ----


@dataclass
class Batch:
    """One request: an array of reports under one idempotency key."""

    reports: list
    key: str = field(default_factory=lambda: f"ansible-{uuid.uuid4()}")


class Memory:
    """Batches of this run only."""

    damaged = 0

    def __init__(self):
        self._batches = {}

    def add(self, batches):
        self._batches.update((batch.key, batch) for batch in batches)

    def batches(self):
        return list(self._batches.values())

    def settle(self, batch, rest=None):
        """The batch is done with; what is left of it stays under a key of its own."""
        del self._batches[batch.key]
        if rest:
            self._batches[rest.key] = rest

    def set_aside(self, reports, problem):
        """Refused reports have been named already; nothing else is kept of them."""

    def kept(self):
        return None


class Spool:
    """Batches in a file, one JSON object a line: they outlive the run. Several runs may share it."""

    def __init__(self, path):
        self._path = path
        self._refused = path + ".refused"
        self.damaged = 0  # lines that were set aside
        for name in (path, self._refused, path + ".lock"):
            if not os.path.lexists(name):
                continue
            about = os.lstat(name)
            if not stat.S_ISREG(about.st_mode):
                raise OSError(f"{name} is no plain file")
            # What somebody else wrote would be reported as ours.
            if about.st_uid != os.geteuid() or about.st_mode & 0o022:
                raise OSError(f"{name} is not ours alone to write (owner {about.st_uid}, mode {about.st_mode & 0o777:o})")

    def add(self, batches):
        with self._locked():
            self._write(self._read() + batches)

    def batches(self):
        with self._locked():
            return self._read()

    def settle(self, batch, rest=None):
        with self._locked():
            held = self._read()
            kept = [one for one in held if one.key != batch.key]
            # Where another run was quicker, the rest is its as well.
            self._write(kept + [rest] if rest and len(kept) < len(held) else kept)

    def set_aside(self, reports, problem):
        with self._locked():
            self._append(self._refused, json.dumps({"problem": problem, "reports": reports}))

    def kept(self):
        with self._locked():
            count = sum(len(batch.reports) for batch in self._read())
        return f"{count} report(s) wait in {self._path}, and the next run sends them" if count else None

    @contextlib.contextmanager
    def _locked(self):
        lock = os.open(self._path + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _read(self):
        """The batches; lines that are none are set aside."""
        batches, damaged = [], []
        try:
            with open(self._path, encoding="utf-8", errors="replace") as file:
                lines = file.read().split("\n")
        except FileNotFoundError:
            return batches
        for line in lines[:-1] if lines[-1] == "" else lines:
            try:
                held = json.loads(line)
                batches.append(Batch([dict(report) for report in held["reports"]], str(held["key"])))
            except (ValueError, KeyError, TypeError):
                damaged.append(json.dumps({"problem": "this line of the spool is damaged", "line": line}))
        if damaged:
            self._append(self._refused, *damaged)
            self._write(batches)
            self.damaged += len(damaged)
        return batches

    def _write(self, batches):
        """Replaces the file as a whole, so that a run that is killed loses nothing."""
        if not batches:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)
            return
        beside = f"{self._path}.{os.getpid()}.tmp"
        lines = [json.dumps({"key": batch.key, "reports": batch.reports}) for batch in batches]
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
        self._append(beside, *lines)
        os.replace(beside, self._path)
        folder = os.open(os.path.dirname(self._path) or ".", os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @staticmethod
    def _append(path, *lines):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            os.fchmod(handle, 0o600)
            file.write("".join(line + "\n" for line in lines))
            file.flush()
            os.fsync(handle)


# ---- the callback ----


def guarded(method):
    """An exception of ours is told, and leaves its host without a verdict: Ansible would only warn."""

    @functools.wraps(method)
    def call(self, *args, **kwargs):
        try:
            return method(self, *args, **kwargs)
        except Exception as error:
            return self._failed_inside(method.__name__, error, args)

    return call


class CallbackModule(CallbackBase):
    """Collects results while plays run, and reports once at the end."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "gitops_status"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._begin()
        self._watch_plays()
        atexit.register(self._at_exit, os.getpid())

    def _begin(self):
        self._hosts = {}  # inventory name: (host, Seen)
        self._invocation = Invocation()
        self._variables = None
        self._planned = {}  # plays that have not started, by id
        self._play = None
        self._batches = []  # PlayIterator of each batch of the current play
        self._expected = []  # hosts of the current play
        self._lost = set()  # hosts of the current play that Ansible has taken tasks from
        self._failed = set()  # hosts of the current play that have failed themselves, rescued or not
        self._ended_for_all = False  # the current play has come to an end_play or end_batch
        self._looped = set()  # host and task of the loops whose items have come
        self._playbooks = 0
        self._started = False
        self._stats = None
        self._local = set()  # hosts that the inventory itself calls local
        self._unknown_modules = set()
        self._trouble = False

    def _watch_plays(self):
        """Only the iterator of a play knows who has come to its end, and no callback is given it.

        Where it is not to be had, nobody has come to an end.
        """
        if PlayIterator is None:
            return
        make, notice = PlayIterator.__init__, self._notice

        @functools.wraps(make)
        def made(iterator, *args, **kwargs):
            make(iterator, *args, **kwargs)
            notice(iterator)

        PlayIterator.__init__ = made

    @guarded
    def _notice(self, iterator):
        mark, lost = iterator.mark_host_failed, self._lost

        def marked(host, *args, **kwargs):
            lost.add(host.get_name())
            return mark(host, *args, **kwargs)

        iterator.mark_host_failed = marked
        self._batches.append(iterator)

    # ---- what happens during the run ----

    @guarded
    def v2_playbook_on_start(self, playbook):
        # An ad-hoc command passes for a playbook of one task; it checks nothing to the end.
        if isinstance(context.CLIARGS.get("args"), str):
            return
        self._started = True
        self._playbooks += 1
        self._planned.update((play._uuid, play) for play in playbook.get_plays())

    @guarded
    def v2_playbook_on_play_start(self, play):
        # With "serial", a play starts again for each batch.
        if self._play is None or play._uuid != self._play._uuid:
            self._close_play()
            self._play = play
            self._planned.pop(play._uuid, None)
            # All hosts of the play, as Ansible parts them into batches now: add_host changes nothing of that later.
            self._expected = self._hosts_of(play)
        self._variables = play.get_variable_manager()
        for host in self._expected:
            if host.get_name() not in self._hosts and is_local(
                    self._variables.get_vars(host=host, include_hostvars=False).get("ansible_connection")):
                self._local.add(host.get_name())
            self._seen(host)

    @guarded
    def v2_playbook_on_task_start(self, task, is_conditional):
        if short_name(task.action) == "meta" and task.args.get("_raw_params") in ("end_play", "end_batch"):
            self._ended_for_all = True

    # The items of a loop come by themselves, before its end: only with them come the arguments as they were worked out.

    @guarded
    def v2_runner_item_on_ok(self, result):
        self._looped.add((result._host.get_name(), result._task._uuid))
        self._record(result)

    @guarded
    def v2_runner_on_ok(self, result):
        if result._task.loop:
            self._end_loop(result)
        else:
            self._record(result)

    @guarded
    def v2_runner_on_skipped(self, result):
        task, seen = result._task, self._seen(result._host)
        arguments = {key: True for key in task.args}
        if self._counts_for_drift(result) and compares(module_of(result), arguments, None, self.get_option("comparing_modules")):
            seen.skipped_comparisons += 1

    @guarded
    def v2_runner_on_failed(self, result, ignore_errors=False):
        # Noted before anything is looked at.
        seen, name = self._seen(result._host), result._task.get_name()
        if ignore_errors:
            seen.ignored_task = name
        else:
            seen.failed_task = name
            self._failed.add(result._host.get_name())
        seen.checked |= self._counts_for_drift(result)
        if result._task.loop:
            self._end_loop(result)

    @guarded
    def v2_runner_on_unreachable(self, result):
        seen = self._seen(result._host)
        seen.unreachable = True
        seen.checked |= self._counts_for_drift(result)

    def v2_playbook_on_stats(self, stats):
        self._stats = stats
        if not self._started:
            return
        # Comes after each playbook of the command line: what counts is the last.
        if self._playbooks >= len(context.CLIARGS.get("args") or ()):
            self._finish()
            trouble = self._trouble
            self._begin()
            if trouble and self.get_option("fatal"):
                self._display.error("gitops-status: not everything was reported, and that is fatal here")
                # Exceptions of callbacks become warnings; this one ends the run.
                raise SystemExit(1)

    def _at_exit(self, process):
        """Reports a run that has ended before its last playbook; its exit code says so already."""
        if self._started and os.getpid() == process:
            self._finish()

    # ---- collecting ----

    def _seen(self, host):
        return self._hosts.setdefault(host.get_name(), (host, Seen()))[1]

    @staticmethod
    def _hosts_of(play):
        return play.get_variable_manager()._inventory.get_hosts(play.hosts, ignore_restrictions=True)

    def _close_play(self):
        """Counts the play for each of its hosts, and whether it ran to its end there."""
        batches, expected = self._batches, self._expected
        names = {host.get_name() for host in expected}
        names.update(name for batch in batches for name in batch.host_states if name in self._hosts)
        for name in names:
            seen = self._hosts[name][1]
            seen.plays += 1
            try:
                progress = self._progress(name, batches)
                seen.finished += came_to_the_end(progress)
                seen.cut_short |= was_cut_short(progress)
            except Exception as error:
                self._failed_inside("the end of the play", error, (), self._hosts[name][0])
        self._batches, self._expected, self._lost = [], [], set()
        self._failed, self._ended_for_all = set(), False

    def _progress(self, name, batches):
        # Without blocks Ansible only remembers a failure of an earlier play.
        states = [batch.host_states[name] for batch in batches if name in batch.host_states]
        states = [state for state in states if state._blocks]
        return Progress(
            states=len(states),
            complete=all(state.run_state == IteratingStates.COMPLETE for state in states),
            at_the_end=all(state.cur_block >= len(state._blocks) for state in states),
            failed=any(name in batch.get_failed_hosts() for batch in batches if name in batch.host_states),
            lost_tasks=name in self._lost,
            own_failure=name in self._failed,
            ended_for_all=self._ended_for_all or any(batch.end_play for batch in batches))

    @staticmethod
    def _counts_for_drift(result):
        """Whether the task may say something about the host's drift.

        A handler follows from a change, and a task outside check mode has really run: neither is drift.
        """
        checks = result._task_fields.get("check_mode", result._task.check_mode)
        return bool(checks) and not isinstance(result._task, Handler) and (
            short_name(module_of(result)) not in SILENT_MODULES)

    def _record(self, result):
        """Takes in one result of a task, or of one item of its loop."""
        seen, task, data = self._seen(result._host), result._task, result._result
        if not self._counts_for_drift(result) or data.get("skipped"):
            return
        seen.checked = True
        if data.get("unreachable"):
            seen.unreachable = True
        elif (data.get("ansible_job_id") and not data.get("finished")) or (
                "censored" in data and result._task_fields.get("async_val") and not result._task_fields.get("poll")):
            seen.unfinished_task = task.get_name()
        elif data.get("changed"):
            self._drift(seen, result, data)
        else:
            self._unchanged(seen, result, data)

    def _end_loop(self, result):
        """What an item's own event does not tell; should there have been none, at least the drift."""
        seen = self._seen(result._host)
        parts = [part for part in result._result.get("results") or [] if isinstance(part, dict)]
        if any(part.get("unreachable") for part in parts):
            seen.unreachable = True
        known = (result._host.get_name(), result._task._uuid)
        if known in self._looped:
            self._looped.discard(known)
        elif self._counts_for_drift(result):
            for part in parts or [result._result]:
                if part.get("changed"):
                    seen.checked = True
                    self._drift(seen, result, part)

    def _drift(self, seen, result, data):
        """Notes what would change, and only then asks how."""
        module, arguments = module_of(result), written(result)
        path = None if self._delegated(result) else path_of(module, arguments, data)
        if path is None:
            seen.drift("task: " + result._task.get_name()[:1000])
            return
        root = (self.get_option("config_root") or "").rstrip("/") + "/"
        if root != "/" and path.startswith(root):
            path = path[len(root):]
        path = seen.drift(path)
        seen.drift_kind(path, kind_of(module, arguments, data))

    def _unchanged(self, seen, result, data):
        task, module = result._task, module_of(result)
        worth = judged(
            module, written(result), data, self.get_option("comparing_modules"), failed_when=bool(task.failed_when),
            changed_when=bool(task.changed_when),
            elsewhere=self._delegated(result) and not self.get_option("accept_delegated"))
        if worth == "evidence":
            seen.compared += 1
        elif worth == "hidden":
            seen.hidden_task = seen.hidden_task or task.get_name()
        elif worth == "unknown":
            self._unknown_modules.add(str(module))

    def _delegated(self, result):
        """Whether the task looked at another host than the one it was run for; a task that is local, where neither
        play nor host are, looks at the machine that runs the play.
        """
        fields, name = result._task_fields, result._host.get_name()
        to = fields["delegate_to"] if "delegate_to" in fields else result._task.delegate_to
        if to and to != name:
            return True
        if is_local(self._play.connection) or name in self._local:
            return False
        by_variable = result._task.get_vars().get("ansible_connection")
        return is_local(fields.get("connection")) or is_local(by_variable) or is_template(by_variable)

    def _failed_inside(self, place, error, args, host=None):
        """What the plugin could not take in, it cannot vouch for."""
        self._trouble = True
        words = f"{place}: {type(error).__name__}: {error}"
        host = host or (getattr(args[0], "_host", None) if args else None)
        if host is not None:
            self._seen(host).broken = words
        else:
            self._invocation.broken = words
        self._warn(f"an error of the plugin itself{' at ' + host.get_name() if host else ''}: {words}")

    # ---- reporting ----

    def _finish(self):
        """Reports every host of the run, once."""
        self._started = False
        try:
            self._close_play()
            self._send_all(self._outbox_of([Batch(chunk) for chunk in chunks(self._reports())]))
        except Exception as error:
            self._failed_inside("report", error, ())

    def _outbox_of(self, batches):
        """What is to be sent, in the spool if there is one: nothing is lost then if this run is killed."""
        path = self.get_option("spool")
        try:
            outbox = Spool(os.path.expanduser(path)) if path else Memory()
            outbox.add(batches)
        except OSError as error:
            self._trouble = True
            self._warn(f"the spool cannot be used: {error}")
            outbox = Memory()
            outbox.add(batches)
        return outbox

    def _reports(self):
        invocation = self._invocation
        checks = bool(context.CLIARGS.get("check"))
        if not checks and self.get_option("only_check_runs"):
            self._say("gitops-status: nothing is reported of a run without --check")
            return []
        invocation.playbooks_missing = self._playbooks < len(context.CLIARGS.get("args") or ())
        invocation.partial = self._is_partial() and not self.get_option("partial")
        invocation.accept_ignored_errors = self.get_option("accept_ignored_errors")
        self._expect_planned()
        if self._hosts.pop("localhost", None):
            self._say("gitops-status: localhost is left out; give a host of its own name to report it")
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        seen = [(host, seen) for host, seen in self._hosts.values() if checks or seen.checked]
        reports = [self._report_or_say_why(host, seen, now) for host, seen in seen]
        if self._unknown_modules and any(report["status"] == "unknown" for report in reports):
            names = ", ".join(sorted(self._unknown_modules)[:10])
            self._say(f"gitops-status: not known to compare anything (GITOPS_STATUS_COMPARING_MODULES): {names}")
        once = merged(reports)
        if len(once) < len(reports):
            self._warn("several hosts of the inventory have the same gitops_host: they are reported as one")
        return once

    def _expect_planned(self):
        """Plays that never started leave their hosts unfinished; so do playbooks."""
        for path in (context.CLIARGS.get("args") or ())[self._playbooks:]:
            with contextlib.suppress(Exception):  # perhaps just this one cannot be read
                playbook = Playbook.load(path, variable_manager=self._variables, loader=self._variables._loader)
                self._planned.update((play._uuid, play) for play in playbook.get_plays())
        for play in self._planned.values():
            with contextlib.suppress(Exception):  # a pattern that only earlier plays could have made plain
                for host in self._hosts_of(play):
                    self._seen(host).plays += 1
        if self._planned:
            for _, seen in self._hosts.values():
                seen.plays += 1

    @staticmethod
    def _is_partial():
        arguments = context.CLIARGS
        chosen = [tag for tag in arguments.get("tags") or [] if tag != "all"]
        return bool(chosen or arguments.get("skip_tags") or arguments.get("start_at_task") or arguments.get("step"))

    def _report_or_say_why(self, host, seen, now):
        """An error with one host's report costs no other host its own."""
        try:
            return self._report(host, seen, now)
        except Exception as error:
            self._failed_inside("report", error, (), host)
            report = {"server_group": as_utf8(self.get_option("server_group") or self._innermost(host)).strip(),
                      "host": as_utf8(host.get_name()).strip(), "last_cron_check": now}
            if seen.files:
                return {**report, "status": "out_of_sync", "changed_files": sorted(seen.files)[:MAX_FILES]}
            return {**report, "status": "unknown", "labels": {"reason": "the plugin failed"}}

    def _report(self, host, seen, now):
        name = host.get_name()
        if seen.failed_task is not None and self._stats is not None and not self._stats.failures.get(name):
            # A failure that Ansible does not count was rescued.
            seen.rescued_task, seen.failed_task = seen.failed_task, None
        status, reason = verdict(seen, self._invocation)
        group, known_as = self._names(host)
        files = sorted(seen.files.items())[:MAX_FILES]
        report = {"server_group": group, "host": known_as, "status": status, "last_cron_check": now}
        if files or status == "synced":
            report["changed_files"] = [{"path": path, "kind": kind} if kind else path for path, kind in files]
        if reason:
            report["labels"] = {"reason": as_utf8(" ".join(reason.split()))[:MAX_REASON]}
        for key in ("commit_sha", "run_id", "run_url"):
            value = self.get_option(key)
            if value:
                report[key] = as_utf8(value)
        if self.get_option("max_age"):
            report["max_age"] = self.get_option("max_age")
        words = ["gitops-status", f"{group}/{known_as} {status}", reason, ", ".join(path for path, _ in files[:10])]
        self._say(": ".join(word for word in words if word))
        return report

    def _names(self, host):
        """Group and host as the server shall know them; the inventory's, if a variable cannot be worked out."""
        variables = {}

        def said(name):
            try:
                if not variables:
                    variables.update(self._variables.get_vars(host=host))
                value = variables.get(name)
                if isinstance(value, str):
                    value = Templar(loader=self._variables._loader, variables=variables).template(value)
                return str(value).strip() if value is not None else None
            except Exception as error:
                self._trouble = True
                self._warn(f"{host.get_name()} is reported under its inventory name: {name} cannot be worked out: {error}")
                return None

        group = said("gitops_server_group") or self.get_option("server_group") or self._innermost(host)
        known_as = said("gitops_host") or host.get_name()
        # As the server reads them: else two names of one host would not be seen to be one.
        return as_utf8(group).strip(), as_utf8(known_as).strip()

    @staticmethod
    def _innermost(host):
        groups = [group for group in host.get_groups() if group.name not in ("all", "ungrouped")]
        return min(groups, key=lambda group: (-group.depth, group.name)).name if groups else "ungrouped"

    # ---- sending ----

    def _send_all(self, outbox):
        """Sends what waits, oldest first. Where nobody answers, each of the others is tried once."""
        attempts = ATTEMPTS
        for batch in outbox.batches():
            while batch:
                problem, refused, final = self._deliver(batch, attempts)
                if problem is None:
                    outbox.settle(batch)
                    break
                self._trouble = True
                self._warn(f"NOT delivered: {problem}")
                if not final:
                    attempts = 1
                    break
                batch = self._refuse(outbox, batch, refused, problem)
        if outbox.damaged:
            self._trouble = True
            self._warn(f"{outbox.damaged} line(s) of the spool are damaged: they are in the file .refused beside it")
        kept = outbox.kept()
        if kept:
            self._warn(kept)

    @staticmethod
    def _refuse(outbox, batch, refused, problem):
        """Takes out what the server refuses for good; gives what is left of the batch, to be sent again."""
        aside = [report for index, report in enumerate(batch.reports) if not refused or index in refused]
        others = [report for index, report in enumerate(batch.reports) if refused and index not in refused]
        rest = Batch(others) if others else None
        outbox.set_aside(aside, problem)
        outbox.settle(batch, rest)
        return rest

    def _warn(self, words):
        """In one line, which Ansible's own warnings are not."""
        words = shown(" ".join(words.split()))
        self._display.display(f"[WARNING]: gitops-status: {words}", color=C.COLOR_WARN, stderr=True)

    def _say(self, words):
        self._display.display(shown(words))

    def _deliver(self, batch, attempts):
        """Tries as long as trying again may help.

        Gives what went wrong (None: nothing), the places of the reports that the server refuses, and whether for good.
        """
        problem, refused, final = None, set(), False
        for attempt in range(attempts):
            time.sleep(2 * attempt)
            try:
                self._show(self._post(batch))
                return None, set(), False
            except HTTPError as error:
                problem, refused = self._words(error, batch.reports)
                final = error.code in FINAL_REFUSALS
                if error.code not in (408, 429, 502, 503, 504):
                    break
            except Exception as error:  # no answer, TLS, a proxy, an answer that is not the server's
                problem = f"{len(batch.reports)} report(s): {error}"
        return problem, refused, final

    def _post(self, batch):
        headers = {"Content-Type": "application/json", "Idempotency-Key": batch.key}
        if self.get_option("token"):
            headers["Authorization"] = "Bearer " + self.get_option("token")
        response = open_url(
            self.get_option("server_url").rstrip("/") + "/status/cron?create=true",
            method="POST", data=json.dumps(batch.reports).encode(), headers=headers, use_netrc=False,
            timeout=30, follow_redirects="none", http_agent="gitops-status-callback")
        answer = json.loads(response.read())
        receipts = answer.get("reports") if isinstance(answer, dict) else None
        if not isinstance(receipts, list) or len(receipts) != len(batch.reports):
            raise ValueError("the answer has no receipt for each report: is this a gitops-status-server?")
        return answer

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
        for receipt in answer["reports"]:
            self._say("gitops-status receipt {origin} {id} {hash}".format(**receipt))
        for warning in answer.get("warnings") or []:
            self._say(f"gitops-status: the server's warning: {warning}")


def is_local(connection):
    return short_name(connection) == "local"


def written(result):
    """The arguments that the task gives to its module, worked out; without the module's defaults."""
    arguments = result._task_fields.get("args")
    arguments = arguments if isinstance(arguments, dict) else dict(result._task.args)
    return {key: value for key, value in arguments.items() if not str(key).startswith("_ansible_")}


def module_of(result):
    """The module's full name, as far as this version of Ansible says it."""
    chosen = result._task_fields.get("action") or result._task.action
    resolved = getattr(result._task, "resolved_action", None)
    # An action that is a template was resolved to nothing, or to its text.
    return resolved if resolved and str(resolved).rpartition(".")[2] == str(chosen).rpartition(".")[2] else str(chosen)
