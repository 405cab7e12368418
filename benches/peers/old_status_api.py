"""A stand-in of the old status API (v2), written by us after its contract: not the real one.

usage: old_status_api.py flask|waitress PORT STATE_FILE

Flask with threads, all servers in one JSON file that every POST writes anew. Where the real one may
have been slower we chose the faster way: the state stays in memory, the file is written without
indentation and never synced.
"""

import json
import os
import sys
import threading
from datetime import datetime, timezone

from flask import Flask, jsonify, request

PIPELINE_FIELDS = (
    "project_name repo_name server_group server_type environment host status changed_files "
    "validation_status validation_message commit_sha branch updated_by last_pipeline_run"
).split()

app = Flask(__name__)
lock = threading.Lock()
servers: dict[str, dict] = {}


def now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def save() -> None:
    """Writes the whole file, and puts it in the old one's place."""
    part = STATE + ".part"
    with open(part, "w", encoding="utf-8") as file:
        file.write(json.dumps({"version": "2.0", "servers": servers}))
    os.replace(part, STATE)


def wrong(data) -> str | None:
    if not isinstance(data, dict):
        return "Invalid JSON"
    missing = [name for name in ("server_group", "host", "status") if not data.get(name)]
    return "Missing fields: " + ", ".join(missing) if missing else None


@app.post("/status/pipeline")
def pipeline():
    data = request.get_json(silent=True)
    if problem := wrong(data):
        return jsonify(success=False, error=problem), 400
    row = {name: data.get(name) for name in PIPELINE_FIELDS}
    row["changed_files"] = row["changed_files"] or []
    row["changed_files_count"] = len(row["changed_files"])
    row["timestamp"] = now()
    with lock:
        key = f"{data['server_group']}/{data['host']}"
        row["last_cron_check"] = servers.get(key, {}).get("last_cron_check")
        servers[key] = row
        save()
    return jsonify(success=True, message="Pipeline status updated", status=row)


@app.get("/status")
def status():
    with lock:
        return jsonify(list(servers.values()))


@app.get("/health")
@app.get("/ready")
def health():
    return jsonify(status="ok")


if __name__ == "__main__":
    SERVER, PORT, STATE = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    if os.path.exists(STATE):
        with open(STATE, encoding="utf-8") as kept:
            servers.update(json.load(kept)["servers"])
    if SERVER == "waitress":
        import waitress

        waitress.serve(app, host="127.0.0.1", port=PORT, threads=8, connection_limit=1000)
    else:
        import logging

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        app.run(host="127.0.0.1", port=PORT, threaded=True)
