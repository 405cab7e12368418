#!/bin/sh
# Runs the drift check and reports what it saw to gitops-status-server.
#
#   GITOPS_STATUS_SERVER_URL=http://gitops-status-server:80 REPO_NAME=rsyslog SERVER_NAME=rsyslog-lab \
#     ./update-gitops-status.sh -i inventory.ini
#
# All arguments go to ansible-playbook. Needs ansible-playbook, curl and the usual POSIX utilities.
# Settings, exit codes and what is reported when: README.md beside this file.
set -eu
umask 077

readonly DEFAULT_URL=http://gitops-status-server.observability-stack.svc.cluster.local:80
url=${GITOPS_STATUS_SERVER_URL:-$DEFAULT_URL}
url=${url%/}
repo=${REPO_NAME:-${CI_REPO_NAME:-}}
server=${SERVER_NAME:-}
config_root=${CONFIG_ROOT:-/etc/}
config_root=${config_root%/}/
playbook=${DRIFT_PLAYBOOK:-}
attempts=${GITOPS_STATUS_ATTEMPTS:-3}
retry_delay=${GITOPS_STATUS_RETRY_DELAY:-2}
max_age=${GITOPS_STATUS_MAX_AGE:-}

say() {
  printf '%s\n' "$*"
}

die() {
  printf 'update-gitops-status: %s\n' "$*" >&2
  exit 1
}

# A URL may carry a password: the log gets it without.
shown() {
  printf '%s\n' "$1" | sed 's|://[^/@]*@|://|'
}

is_number() {
  case $1 in
    '' | *[!0-9]*) return 1 ;;
  esac
}

check_settings() {
  [ -n "$repo" ] || die 'REPO_NAME is not set: the group under which the server is shown'
  [ -n "$server" ] || die 'SERVER_NAME is not set: the server that is checked'
  command -v curl >/dev/null || die 'curl is not installed'
  is_number "$attempts" && [ "$attempts" -gt 0 ] || die "GITOPS_STATUS_ATTEMPTS is not a number above 0: $attempts"
  is_number "$retry_delay" || die "GITOPS_STATUS_RETRY_DELAY is not a number of seconds: $retry_delay"
  [ -z "$max_age" ] || is_number "$max_age" || die "GITOPS_STATUS_MAX_AGE is not a number of seconds: $max_age"
  case $url${GITOPS_STATUS_TOKEN:-} in
    *[[:cntrl:]]*) die 'GITOPS_STATUS_SERVER_URL or GITOPS_STATUS_TOKEN has a line end or another control character' ;;
  esac
  if [ -z "$playbook" ]; then
    playbook=drift-check.yml
    [ -e "$playbook" ] || playbook=$(dirname "$0")/drift-check.yml
  fi
}

# Options that leave tasks out: what then says SYNCED may never have compared anything. argparse takes them
# shortened, too, and -t behind other letters.
find_partial() {
  partial=
  for argument in "$@"; do
    case $argument in
      --ta* | --sk* | --star* | --ste* | -t*) partial=$argument ;;
      -[bCDJKkhv]*)
        letters=$(printf '%s' "$argument" | sed 's/^-[bCDJKkhv]*//')
        case $letters in t*) partial=$argument ;; esac
        ;;
    esac
  done
  [ -z "${ANSIBLE_RUN_TAGS:-}${ANSIBLE_SKIP_TAGS:-}" ] || partial='ANSIBLE_RUN_TAGS or ANSIBLE_SKIP_TAGS'
  # So does a section [tags] of ansible.cfg.
  [ -n "$partial" ] || ! ansible-config dump --only-changed </dev/null 2>/dev/null | grep -qE '^TAGS_(RUN|SKIP)\(' ||
    partial='[tags] in ansible.cfg'
  case ${GITOPS_STATUS_PARTIAL:-false} in
    true | TRUE | True | yes | 1) partial= ;;
  esac
}

# The check's own output stays visible while it is being kept; its exit code goes into a file,
# because the one of a pipe is that of tee. What is not its output (warnings, what ssh says) is no evidence.
run_check() {
  {
    {
      code=0
      CONFIG_ROOT=$config_root ansible-playbook "$@" "$playbook" </dev/null 2>&3 || code=$?
      printf '%s\n' "$code" >"$work/code"
    } | tee "$work/output"
  } 3>&2
  check_code=$(cat "$work/code")
}

# The evidence: "H HOST" for each host that a result or the recap names, "W HOST" for each result of a task on that
# host, not of a loop, whose message is SYNC_STATUS=SYNCED and nothing else. Texts within results (file names,
# what commands printed) are no messages, and no line of theirs begins a result.
find_evidence() {
  LC_ALL=C awk '
    # The message of a JSON result: the values of its own key "msg", a text or a list of texts.
    function read_json(text,   i, c, depth, key, list, previous, start, value) {
      if (!index(text, "\"SYNC_STATUS=SYNCED\"")) return
      depth = 0; previous = ""
      for (i = 1; i <= length(text); i++) {
        c = substr(text, i, 1)
        if (c == " ") continue
        if (c == "\"") {
          start = i + 1
          for (i++; i <= length(text) && (c = substr(text, i, 1)) != "\""; i++) if (c == "\\") i++
          value = substr(text, start, i - start)
          if (depth == 1 && previous != ":") key = value
          else if (key == "msg" && (depth == 1 || (depth == 2 && list)) && value == "SYNC_STATUS=SYNCED") print "W " host
          c = "\""
        } else if (c == "{" || c == "[") {
          depth++
          if (depth == 2) list = c == "["
        } else if (c == "}" || c == "]") depth--
        previous = c
      }
    }
    function finish() {
      if (mode == "json") read_json(held)
      mode = ""; in_list = 0
    }
    {
      gsub(/\033\[[0-9;]*[A-Za-z]/, "")
      sub(/ *\r?$/, "")
    }
    /^(ok|changed|skipping|failed|fatal|unreachable): \[[^]]+\]/ {
      finish()
      good = /^(ok|changed): /
      rest = substr($0, index($0, "[") + 1)
      host = substr(rest, 1, index(rest, "]") - 1)
      rest = substr(rest, index(rest, "]") + 1)
      sub(/ -> .*/, "", host)
      print "H " host
      sub(/^ \[CHECK MODE\]/, "", rest)
      if (!good || rest !~ /^ =>( \{|$)/) next
      rest = substr(rest, 5)
      mode = rest == "" ? "yaml" : "json"; held = rest
      if (mode == "json" && rest != "{") finish()
      next
    }
    # The callbacks minimal and oneline.
    /^[^ {}"]+ \| [A-Z]+!?( |$)/ {
      finish()
      host = $1
      print "H " host
      if ($0 !~ /^[^ ]+ \| (SUCCESS|CHANGED) => \{/) next
      held = substr($0, index($0, " => {") + 4)
      mode = "json"
      if (held != "{") finish()
      next
    }
    /^PLAY RECAP / { finish(); recap = 1; next }
    recap && /^[^ ]+ +: ok=[0-9]/ { print "H " $1; next }
    mode == "json" { held = held " " $0; if (/^\}/) finish(); next }
    mode == "yaml" {
      if ($0 !~ /^ /) { finish(); next }
      if (/^    [^ -]/) in_list = $0 == "    msg:"
      value = $0
      if (!(sub(/^    msg: /, "", value) || (in_list && sub(/^    (  )?- /, "", value)))) next
      if (value ~ /^\047.*\047$/ || value ~ /^".*"$/) value = substr(value, 2, length(value) - 2)
      if (value == "SYNC_STATUS=SYNCED") print "W " host
    }
    END { finish() }
  ' "$work/output" | LC_ALL=C sort -u
}

# A playbook of the user's own may end a host before anything is printed of it, so its hosts are asked for. In ours
# every host has results.
find_hosts() {
  # In drift-check.yml as it comes every host has a result; a copy that ends hosts early may leave some out.
  if grep -q 'register: drift_on_server$' "$playbook" && ! grep -qE '(^|[^a-z_])meta:' "$playbook"; then return 0; fi
  CONFIG_ROOT=$config_root ansible-playbook "$@" --list-hosts "$playbook" </dev/null >"$work/hosts" 2>/dev/null || return 1
  sed -n 's/^      \([^ ].*\)$/H \1/p' "$work/hosts" >>"$work/evidence"
}

# The hosts of the run of which there is no evidence. A helper play on localhost is no server.
find_unproven() {
  LC_ALL=C awk '
    /^H / { seen[substr($0, 3)] }
    /^W / { proven[substr($0, 3)]; any = 1 }
    END {
      for (host in seen) if (!(host in proven) && !(any && host == "localhost")) print host
      if (!any) print "any host"
    }
  ' "$work/evidence" | LC_ALL=C sort | head -n 5
}

# Finds the markers in what ansible-playbook printed. One line each: how the text was quoted (double,
# single, plain) and the text as it stood. Takes JSON results, YAML results (which break long lines
# at blanks) and one line each, with or without colours.
find_markers() {
  LC_ALL=C awk '
    # The position of the quote that ends a double-quoted text, 0 if it goes on in the next line.
    function end_of(text,   i, c) {
      for (i = 1; i <= length(text); i++) {
        c = substr(text, i, 1)
        if (c == "\\") i++
        else if (c == "\"") return i
      }
      return 0
    }
    # Every double-quoted marker in the line; the last may go on in the next one.
    function double_quoted(text,   stop) {
      while (match(text, /"(DRIFTED_FILES|SYNC_STATUS)=/)) {
        text = substr(text, RSTART + 1)
        stop = end_of(text)
        if (!stop) { mode = "double"; held = text; return }
        print "double " substr(text, 1, stop - 1)
        text = substr(text, stop + 1)
      }
    }
    function indent_of(text) { match(text, /^ */); return RLENGTH }
    function finish() {
      sub(/ +$/, "", held)
      if (mode == "single") sub(/\047$/, "", held)
      if (mode == "single" || mode == "plain") print mode " " held
      mode = ""
    }
    {
      gsub(/\033\[[0-9;]*[A-Za-z]/, "")
      sub(/\r$/, "")
    }
    mode != "" {
      if ($0 ~ /[^ ]/ && indent_of($0) > indent) {
        more = substr($0, indent_of($0) + 1)
        backslashes = mode == "double" && match(held, /\\+$/) ? RLENGTH : 0
        if (backslashes % 2) held = substr(held, 1, length(held) - 1) more
        else held = held " " more
        if (mode == "double" && end_of(held)) { mode = ""; double_quoted("\"" held) }
        next
      }
      finish()
    }
    /^(TASK|PLAY|RUNNING HANDLER|HANDLER) / { next }
    /^  +(- +|msg: +)+\047?(DRIFTED_FILES|SYNC_STATUS)=/ {
      indent = indent_of($0)
      match($0, /(DRIFTED_FILES|SYNC_STATUS)=/)
      mode = substr($0, RSTART - 1, 1) == "\047" ? "single" : "plain"
      held = substr($0, RSTART)
      next
    }
    { indent = indent_of($0); double_quoted($0) }
    END { finish() }
  ' "$work/output"
}

# Turns each text into what stands between the quotes of a JSON string: ours is built from it.
unify_escapes() {
  LC_ALL=C awk '
    function hex(text,   i, n) {
      n = 0
      for (i = 1; i <= length(text); i++)
        n = n * 16 + index("0123456789abcdef", tolower(substr(text, i, 1))) - 1
      return n
    }
    function json_code(n) {
      if (n < 65536) return sprintf("\\u%04x", n)
      n -= 65536
      return sprintf("\\u%04x\\u%04x", 55296 + int(n / 1024), 56320 + n % 1024)
    }
    # Double-quoted YAML has all escapes of JSON, and some more.
    function from_double(text,   out, i, c) {
      out = ""
      for (i = 1; i <= length(text); i++) {
        c = substr(text, i, 1)
        if (c != "\\") { out = out c; continue }
        c = substr(text, ++i, 1)
        if (c == "x") { out = out json_code(hex(substr(text, i + 1, 2))); i += 2 }
        else if (c == "U") { out = out json_code(hex(substr(text, i + 1, 8))); i += 8 }
        else if (c in yaml_only) out = out yaml_only[c]
        else out = out "\\" c
      }
      return out
    }
    function from_raw(text, doubled_quotes,   out, i, c) {
      out = ""
      for (i = 1; i <= length(text); i++) {
        c = substr(text, i, 1)
        if (doubled_quotes && c == "\047") i++
        if (c == "\"" || c == "\\") c = "\\" c
        out = out c
      }
      return out
    }
    BEGIN {
      yaml_only["0"] = "\\u0000"; yaml_only["a"] = "\\u0007"; yaml_only["v"] = "\\u000b"
      yaml_only["e"] = "\\u001b"; yaml_only["N"] = "\\u0085"; yaml_only["_"] = "\\u00a0"
      yaml_only["L"] = "\\u2028"; yaml_only["P"] = "\\u2029"; yaml_only[" "] = " "
    }
    /^double / { print from_double(substr($0, 8)) }
    /^single / { print from_raw(substr($0, 8), 1) }
    /^plain / { print from_raw(substr($0, 7), 0) }
  '
}

# Writes a line "S WORD" for each SYNC_STATUS and "F PATH" for each file, once, below the root.
# Paths are absolute, so only a comma before a slash ends one: names may have commas.
split_markers() {
  ROOT=$(json_text "$config_root") LC_ALL=C awk '
    BEGIN { root = ENVIRON["ROOT"] }
    /^SYNC_STATUS=/ { print "S " substr($0, 13) }
    /^DRIFTED_FILES=/ {
      text = substr($0, 15)
      absolute = substr(text, 1, 1) == "/"
      n = split(text, path, absolute ? ", */" : ",")
      for (i = 1; i <= n; i++) {
        if (absolute && i > 1) path[i] = "/" path[i]
        if (index(path[i], root) == 1) path[i] = substr(path[i], length(root) + 1)
        if (path[i] != "" && !(path[i] in seen)) { seen[path[i]] = 1; print "F " path[i] }
      }
    }
  '
}

# Whether a line of the output has this in it.
said() {
  sed 's/.\[[0-9;]*m//g' "$work/output" | grep -Eq "$1"
}

# SYNCED needs a check that ran to its end (exit code 0, nobody unreachable or failed, no task left out), a message
# SYNC_STATUS=SYNCED of every host, and no marker or file that says otherwise. A drift that was seen stays a drift,
# whatever broke later.
judge() {
  others=$(grep -c '^S ' "$work/markers") || true
  synced=$(grep -c '^S SYNCED$' "$work/markers") || true
  drifted=$(grep -c '^S OUT_OF_SYNC$' "$work/markers") || true
  files=$(grep -c '^F ' "$work/markers") || true
  status=UNKNOWN
  if [ "$drifted" -gt 0 ] || [ "$files" -gt 0 ]; then
    status=OUT_OF_SYNC reason='the check found a drift'
    [ "$files" -gt 0 ] || say 'No DRIFTED_FILES marker names the files: the drift is reported without names'
  elif [ "$others" -eq 0 ]; then
    reason="the check printed no SYNC_STATUS (ansible-playbook ended with $check_code)"
  elif [ "$check_code" -ne 0 ]; then
    reason="the check did not finish (ansible-playbook ended with $check_code)"
  elif said 'unreachable=[1-9]' || said '^fatal: .*: UNREACHABLE! =>'; then
    reason='a host was unreachable'
  elif said ': ok=.* failed=[1-9]'; then
    reason='a task of the check failed'
  elif said ': ok=.* (rescued|ignored)=[1-9]'; then
    reason='a failure of the check was ignored or rescued'
  elif [ "$synced" -ne "$others" ]; then
    reason='a SYNC_STATUS is neither SYNCED nor OUT_OF_SYNC'
  elif ! find_hosts "$@"; then
    reason='the hosts of the check could not be listed (ansible-playbook --list-hosts)'
  elif unproven=$(find_unproven | tr '\n' ' ') && [ -n "$unproven" ]; then
    reason="the check printed no SYNC_STATUS=SYNCED of ${unproven% }"
  elif [ -n "$partial" ]; then
    reason="only part of the check ran ($partial); GITOPS_STATUS_PARTIAL=true allows it"
  else
    status=SYNCED reason='every file is as in the repository'
  fi
  [ "$status" = OUT_OF_SYNC ] || files=0
}

# A text as it stands between the quotes of a JSON string.
json_text() {
  TEXT=$1 LC_ALL=C awk 'BEGIN {
    for (i = 1; i < 32; i++) code[sprintf("%c", i)] = sprintf("\\u%04x", i)
    text = ENVIRON["TEXT"]
    for (i = 1; i <= length(text); i++) {
      c = substr(text, i, 1)
      if (c == "\"" || c == "\\") c = "\\" c
      else if (c in code) c = code[c]
      printf "%s", c
    }
  }'
}

# The v1 object. What follows the six keys of v1 is there only if the environment has it.
build_body() {
  {
    printf '{"repo":"%s","server":"%s",' "$(json_text "$repo")" "$(json_text "$server")"
    printf '"sync_status":"%s","drift_count":%s,"files":[' "$status" "$files"
    if [ "$files" -gt 0 ]; then
      LC_ALL=C awk '/^F / { printf "%s{\"name\":\"%s\"}", comma, substr($0, 3); comma = "," }' "$work/markers"
    fi
    printf '],"last_check":"%s"' "$checked_at"
    [ -z "$max_age" ] || printf ',"max_age":%s' "$max_age"
    [ "$status" != UNKNOWN ] || printf ',"labels":{"reason":"%s"}' "$(json_text "$reason")"
    [ -z "${CI_PIPELINE_NUMBER:-}" ] || printf ',"run_id":"%s"' "$(json_text "$CI_PIPELINE_NUMBER")"
    [ -z "${CI_PIPELINE_URL:-}" ] || printf ',"run_url":"%s"' "$(json_text "$CI_PIPELINE_URL")"
    printf '}'
  } >"$work/body"
}

# A value between the quotes of a curl config file.
curl_text() {
  printf '%s' "$1" | sed 's/[\\"]/\\&/g'
}

# All that curl must know stands in a file of ours: arguments are visible in the process list.
# The key is the same for all attempts, so that a repeated report is stored once.
write_request() {
  key=$(printf 'check-%s-%s-%s' "${CI_PIPELINE_NUMBER:-manual}" "$checked_at" "$(cksum <"$work/body")" |
    tr -c 'A-Za-z0-9:-' '-')
  {
    printf 'url = "%s/api/status"\n' "$(curl_text "$url")"
    printf 'request = "POST"\n'
    printf 'header = "Content-Type: application/json"\n'
    printf 'header = "Idempotency-Key: %s"\n' "$key"
    [ -z "${GITOPS_STATUS_TOKEN:-}" ] ||
      printf 'header = "Authorization: Bearer %s"\n' "$(curl_text "$GITOPS_STATUS_TOKEN")"
    printf 'data-binary = "@%s"\n' "$(curl_text "$work/body")"
    printf 'output = "%s"\n' "$(curl_text "$work/answer")"
    printf 'dump-header = "%s"\n' "$(curl_text "$work/headers")"
    printf 'write-out = "%%{http_code}"\nsilent\nshow-error\nconnect-timeout = 10\nmax-time = 30\n'
  } >"$work/request"
}

# Waits before the next attempt: what the server asks for, at most half a minute.
pause() {
  wait_for=$((retry_delay * attempt))
  asked=$(sed -n 's/^[Rr][Ee][Tt][Rr][Yy]-[Aa][Ff][Tt][Ee][Rr]: *\([0-9][0-9]*\).*$/\1/p' "$work/headers" | tail -n 1)
  [ -z "$asked" ] || wait_for=$asked
  [ "$wait_for" -le 30 ] || wait_for=30
  say "    trying again in $wait_for s"
  sleep "$wait_for"
}

# Succeeds once the server has answered 2xx. Tries again what a moment later may work.
deliver() {
  attempt=1
  while :; do
    : >"$work/answer"
    : >"$work/headers"
    curl_code=0
    http=$(curl --config "$work/request") || curl_code=$?
    if [ "$curl_code" -ne 0 ]; then
      say "    attempt $attempt of $attempts: no answer (curl ended with $curl_code)"
    else
      say "    attempt $attempt of $attempts: HTTP $http"
      case $http in
        2??) return 0 ;;
        408 | 429 | 502 | 503 | 504) ;;
        *) return 1 ;;
      esac
    fi
    [ "$attempt" -lt "$attempts" ] || return 1
    pause
    attempt=$((attempt + 1))
  done
}

# Reads the answer: "receipt" prints the receipt line, "warnings" and "problem" the server's words.
answer() {
  LC_ALL=C awk -v want="$1" '
    # The text behind a key, as far as the next quote that is not escaped.
    function value(json, key,   at, i, c, out) {
      at = index(json, "\"" key "\":\"")
      if (!at) return ""
      return quoted(substr(json, at + length(key) + 4))
    }
    function quoted(text,   i, c, out) {
      out = ""
      for (i = 1; i <= length(text); i++) {
        c = substr(text, i, 1)
        if (c == "\"") break
        if (c == "\\") {
          c = substr(text, ++i, 1)
          if (c ~ /[bfnrt]/) c = " "
          else if (c == "u") c = "\\u"
        }
        out = out c
      }
      rest = substr(text, i + 1)
      return out
    }
    { gsub(/[\001-\037\177]/, " "); json = json $0 }
    END {
      if (want == "receipt") {
        at = index(json, "\"report\":{")
        if (!at) exit
        json = substr(json, at)
        if (value(json, "hash") != "")
          print "gitops-status receipt " value(json, "origin") " " value(json, "id") " " value(json, "hash")
      } else if (want == "warnings") {
        at = index(json, "\"warnings\":[\"")
        rest = at ? "," substr(json, at + 12) : ""
        while (substr(rest, 1, 2) == ",\"") print "    warning: " quoted(substr(rest, 3))
      } else if (value(json, "detail") == "") {
        print "    " substr(json, 1, 1000)
      } else {
        print "    " value(json, "detail")
        at = index(json, "\"errors\":[")
        json = at ? substr(json, at) : ""
        while (value(json, "field") != "") {
          field = value(json, "field")
          print "    - " field ": " value(rest, "message")
          json = rest
        }
      }
    }' "$work/answer"
}

fail_on_drift() {
  case ${FAIL_ON_DRIFT:-false} in
    true | TRUE | True | yes | 1) [ "$status" != SYNCED ] ;;
    *) false ;;
  esac
}

check_settings
work=${TMPDIR:-/tmp}/update-gitops-status.$$
mkdir "$work" || die "cannot make the directory $work"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say "[1/4] Drift check of $server ($repo): ansible-playbook $* $playbook"
# So that the results are printed, and as this script knows them; and a file name that is not UTF-8 reaches the check,
# which names it.
export ANSIBLE_STDOUT_CALLBACK=default ANSIBLE_CALLBACK_RESULT_FORMAT=json ANSIBLE_DISPLAY_OK_HOSTS=true \
  ANSIBLE_DISPLAY_FAILED_STDERR=false ANSIBLE_MODULE_STRICT_UTF8_RESPONSE=false
find_partial "$@"
run_check "$@"
checked_at=$(date -u +%Y-%m-%dT%H:%M:%SZ)

say "[2/4] Reading the result (ansible-playbook ended with $check_code)"
find_markers | unify_escapes | split_markers >"$work/markers"
find_evidence >"$work/evidence"
judge "$@"
say "    $status: $reason"
[ "$files" -eq 0 ] || sed -n 's/^F /    drifted: /p' "$work/markers"

say "[3/4] Building the report: $status, $files file(s), checked at $checked_at"
build_body

say "[4/4] Sending it to $(shown "$url")/api/status"
write_request
if ! deliver; then
  [ ! -s "$work/answer" ] || answer problem >&2
  die "the check ran ($status), but its report was not delivered"
fi
receipt=$(answer receipt)
if [ -n "$receipt" ]; then say "$receipt"; else say '    the answer has no receipt'; fi
answer warnings
if fail_on_drift; then
  say "FAIL_ON_DRIFT is set and the status is $status"
  exit 2
fi
