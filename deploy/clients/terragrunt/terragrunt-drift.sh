#!/bin/sh
# Plans every Terragrunt stack and pushes what it found: the nightly drift job.
#
#   PUSHGATEWAY_URL=http://gitops-status-server:80 ./terragrunt-drift.sh
#
# Run it where the folder stacks/ is. Needs terragrunt, curl and the usual POSIX utilities.
# Settings and exit codes: README.md beside this file.
set -eu
umask 077

url=${PUSHGATEWAY_URL:-http://gitops-status-server.observability-stack.svc.cluster.local:80}
url=${url%/}
job=${DRIFT_JOB:-drift-detection}
stacks_dir=${STACKS_DIR:-stacks}
attempts=${PUSH_ATTEMPTS:-3}
retry_delay=${PUSH_RETRY_DELAY:-5}

say() {
  printf '%s\n' "$*"
}

die() {
  printf 'terragrunt-drift: %s\n' "$*" >&2
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

# A text between the quotes of a metric's label or of a curl config file: both escape the same two.
quoted() {
  printf '%s' "$1" | sed 's/[\\"]/\\&/g'
}

# A text between the quotes of JSON, with \n for line ends.
json_text() {
  printf '%s' "$1" | LC_ALL=C tr '\001-\011\013-\037' ' ' | LC_ALL=C awk '
    {
      if (NR > 1) printf "\\n"
      for (i = 1; i <= length($0); i++) {
        c = substr($0, i, 1)
        printf "%s", (c == "\"" || c == "\\") ? "\\" c : c
      }
    }'
}

check_settings() {
  command -v curl >/dev/null || die 'curl is not installed'
  # Every stack would look like one with an error.
  command -v terragrunt >/dev/null || die 'terragrunt is not installed'
  is_number "$attempts" && [ "$attempts" -gt 0 ] || die "PUSH_ATTEMPTS is not a number above 0: $attempts"
  is_number "$retry_delay" || die "PUSH_RETRY_DELAY is not a number of seconds: $retry_delay"
  case $url${SLACK_WEBHOOK:-}${GITOPS_STATUS_TOKEN:-} in
    *[[:cntrl:]]*) die 'PUSHGATEWAY_URL, SLACK_WEBHOOK or GITOPS_STATUS_TOKEN has a control character' ;;
  esac
}

# URL and token stand in a file of ours: arguments are visible in the process list.
write_request() {
  {
    printf 'url = "%s"\n' "$(quoted "$2")"
    [ "$1" = slack ] || [ -z "${GITOPS_STATUS_TOKEN:-}" ] ||
      printf 'header = "Authorization: Bearer %s"\n' "$(quoted "$GITOPS_STATUS_TOKEN")"
  } >"$work/$1.request"
}

# When the drift of a stack was first seen, as the server says; 0 if it says nothing.
read_back() {
  [ -s "$work/known" ] || { printf '0\n'; return; }
  KEY="drift_stack_first_seen{stack=\"$(quoted "$1")\"}" LC_ALL=C awk '
    BEGIN { key = ENVIRON["KEY"] }
    # The first word must be the key and nothing else; a stack may have blanks in its name.
    index($0, key " ") == 1 {
      value = substr($0, length(key) + 2)
      if (value ~ /^[0-9]+$/) { print value; found = 1; exit }
    }
    END { if (!found) print 0 }' "$work/known"
}

# Plans one stack. Terragrunt's exit codes are 0 clean, 1 error, 2 drift; the metric has 1 drift, 2 error.
plan() {
  code=0
  (cd "$1" && terragrunt plan -detailed-exitcode -input=false </dev/null) || code=$?
  case $code in
    0) state=0 ;;
    2) state=1 ;;
    *) state=2 ;;
  esac
}

# Adds the stack's samples. An error carries no age, but keeps the time when its open drift began.
record() {
  label=$(quoted "$1")
  first_seen=$(read_back "$1")
  printf 'drift_stack_state{stack="%s"} %s\n' "$label" "$state" >>"$work/metrics"
  case $state in
    0)
      clean=$((clean + 1))
      printf 'drift_stack_age_hours{stack="%s"} 0\n' "$label" >>"$work/metrics"
      return
      ;;
    1)
      drifted=$((drifted + 1))
      [ "$first_seen" -gt 0 ] || first_seen=$now
      age=$(((now - first_seen) / 3600))
      [ "$age" -ge 0 ] || age=0
      printf 'drift_stack_age_hours{stack="%s"} %s\n' "$label" "$age" >>"$work/metrics"
      printf '• %s, for %s h\n' "$1" "$age" >>"$work/drifted"
      ;;
    2)
      errors=$((errors + 1))
      printf '• %s\n' "$1" >>"$work/errors"
      ;;
  esac
  [ "$first_seen" -eq 0 ] || printf 'drift_stack_first_seen{stack="%s"} %s\n' "$label" "$first_seen" >>"$work/metrics"
}

check_stacks() {
  for folder in "$stacks_dir"/*/; do
    [ -f "$folder/terragrunt.hcl" ] || continue
    name=$(basename "$folder")
    say "--- $name: terragrunt plan"
    plan "$folder"
    record "$name"
    say "--- $name: terragrunt ended with $code"
  done
  # A push without stacks would look like a clean night.
  [ $((clean + drifted + errors)) -gt 0 ] || die "no folder in $stacks_dir has a terragrunt.hcl: nothing was checked"
  {
    printf 'drift_stack_count %s\ndrift_error_count %s\ndrift_clean_count %s\n' "$drifted" "$errors" "$clean"
    printf 'drift_detection_last_run_timestamp %s\n' "$(date +%s)"
  } >>"$work/metrics"
}

# All in one push: taken whole or not at all. The same again is harmless, so no answer and 5xx are tried again.
push() {
  write_request push "$url/metrics/job/$job"
  attempt=1
  while :; do
    : >"$work/answer"
    curl_code=0
    http=$(curl -sS --config "$work/push.request" --data-binary @- -o "$work/answer" -w '%{http_code}' \
      --connect-timeout 10 --max-time 60 <"$work/metrics") || curl_code=$?
    say "push to $(shown "$url")/metrics/job/$job, attempt $attempt of $attempts: HTTP $http"
    case $curl_code/$http in
      0/2??) return 0 ;;
      0/408 | 0/429 | 0/5??) ;;
      0/*) break ;;
    esac
    [ "$attempt" -lt "$attempts" ] || break
    sleep "$retry_delay"
    attempt=$((attempt + 1))
  done
  LC_ALL=C tr '\001-\011\013-\037' ' ' <"$work/answer" | head -n 20 >&2
  return 1
}

# One message for the run. Losing it does not fail the job: the numbers are on the server.
tell_slack() {
  [ -n "${SLACK_WEBHOOK:-}" ] || return 0
  text="Terragrunt drift: $drifted drifted, $clean clean, $errors with errors"
  [ ! -s "$work/drifted" ] || text="$text
Drifted:
$(cat "$work/drifted")"
  [ ! -s "$work/errors" ] || text="$text
Errors:
$(cat "$work/errors")"
  [ "$pushed" = yes ] || text="$text
The push of these numbers FAILED."
  [ -z "${CI_PIPELINE_URL:-}" ] || text="$text
$CI_PIPELINE_URL"
  printf '{"text":"%s"}' "$(json_text "$text")" >"$work/message"
  write_request slack "$SLACK_WEBHOOK"
  curl -sS --fail --config "$work/slack.request" -H 'Content-Type: application/json' --data-binary "@$work/message" \
    -o /dev/null --connect-timeout 10 --max-time 30 || say 'The Slack message was not delivered' >&2
}

check_settings
work=${TMPDIR:-/tmp}/terragrunt-drift.$$
mkdir "$work" || die "cannot make the directory $work"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

now=$(date +%s)
clean=0 drifted=0 errors=0 pushed=no
: >"$work/metrics"
write_request known "$url/metrics"
curl -sS --fail --config "$work/known.request" -o "$work/known" --connect-timeout 10 --max-time 30 ||
  say "Could not read $(shown "$url")/metrics: every drift seen now counts as new in this run's message" >&2
check_stacks
if push; then pushed=yes; fi
say "$drifted drifted, $clean clean, $errors with errors"
tell_slack
[ "$pushed" = yes ] || die 'the stacks were checked, but the push failed'
