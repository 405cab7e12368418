#!/bin/sh
# Plans every Terragrunt stack and pushes what it found: the nightly drift job.
#
#   PUSHGATEWAY_URL=http://gitops-status-server:80 ./terragrunt-drift.sh
#
# Run it where the folder stacks/ is. Needs terragrunt, curl and the usual POSIX utilities.
# Settings and exit codes: README.md beside this file.
set -eu
umask 077
# With it, "cd stacks/dns" may end in another folder.
unset CDPATH

url=${PUSHGATEWAY_URL:-http://gitops-status-server.observability-stack.svc.cluster.local:80}
url=${url%/}
job=${DRIFT_JOB:-drift-detection}
stacks_dir=${STACKS_DIR:-stacks}
stacks_dir=${stacks_dir%/}
plan_files=${DRIFT_PLAN_FILE:-true}
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

# A name for the log: a line end in it is no line of ours.
printable() {
  printf '%s' "$1" | LC_ALL=C tr '\001-\037\177' '?'
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
  case $plan_files in
    true | false) ;;
    *) die "DRIFT_PLAN_FILE is neither true nor false: $plan_files" ;;
  esac
  case $stacks_dir in
    /*) ;;
    *) stacks_dir=./$stacks_dir ;;
  esac
  # With these every stack is planned as the same one, or from the same source, or many in one go.
  for name in TG_WORKING_DIR TERRAGRUNT_WORKING_DIR TG_CONFIG TERRAGRUNT_CONFIG TG_SOURCE TERRAGRUNT_SOURCE TG_ALL TERRAGRUNT_ALL \
    TG_RUN_ALL TERRAGRUNT_RUN_ALL TG_GRAPH TERRAGRUNT_GRAPH TG_FILTER TG_FILTERS_FILE TG_FILTER_AFFECTED; do
    value=
    eval "value=\${$name:-}"
    case $name=$value in
      *= | *_ALL=false | *_GRAPH=false | *_AFFECTED=false) ;;
      *) die "$name is set: with it a plan of a stack is not a plan of its own. Unset it" ;;
    esac
  done
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

# What the plan itself says, a word for each: clean, changes, partial, failed, json, unsaved. Colours and the prefix of
# Terragrunt's log ("12:00:00.000 STDOUT terraform: ") do not matter. Values of resources are indented, so a
# line of theirs is not taken for one of these.
words_of_plan() {
  LC_ALL=C awk '
    {
      gsub(/\033\[[0-9;]*m/, "")
      sub(/[ \r]+$/, "")
      sub(/^([0-9][0-9:.]+ +)?STDOUT +(\[[^]]*\] +)?(terraform|tofu): /, "")
      diagnostic = $0
      sub(/^[^A-Za-z]+/, "", diagnostic)
      sub(/^(Warning|Error): /, "", diagnostic)
    }
    # With -refresh-only or -destroy the words are others: such a plan does not compare with the configuration.
    $0 == "No changes. Your infrastructure matches the configuration." { seen["clean"] }
    $0 == "No changes. Infrastructure is up-to-date." || $0 == "No changes." { seen["clean"] }
    /^Plan: [0-9]+ to / || $0 == "Changes to Outputs:" { seen["changes"] }
    diagnostic == "Resource targeting is in effect" { seen["partial"] }
    diagnostic ~ /^Planning failed\. / || /planned the following actions, but then encountered a problem/ { seen["failed"] }
    /^\{"@level":/ { seen["json"] }
    diagnostic ~ /^Saving a generated plan is currently not supported/ { seen["unsaved"] }
    END { for (word in seen) printf " %s", word }
  ' "$work/output"
}

says() {
  case "$words " in
    *" $1 "*) ;;
    *) return 1 ;;
  esac
}

# Says why a plan is no evidence, if it is none: neither clean nor drift may be reported without.
doubt() {
  if says failed; then
    printf 'the plan did not run to its end\n'
  elif says clean && says changes; then
    printf 'the output has more than one plan\n'
  elif says clean && says partial; then
    printf 'only a part of the stack was planned (-target or -exclude)\n'
  elif says json; then
    printf 'the plan is JSON, which this script does not read: leave out -json\n'
  elif ! says clean && ! says changes; then
    printf 'the output has no result of a plan (skipped? ended by a hook? an option in TF_CLI_ARGS_plan?)\n'
  elif [ "$plan_files" = true ] && [ ! -f "$work/plan" ]; then
    printf 'no plan was written to the file that was asked for\n'
  elif [ "$code" -eq 2 ] && says clean; then
    printf 'its plan has no changes, so the exit code is not that of the plan (a hook?)\n'
  fi
}

# Plans one stack. Terragrunt's exit codes are 0 clean, 1 error, 2 drift; the metric has 1 drift, 2 error.
# An exit code is not a plan: it must have written a new file, and say its result. Both are of this run only.
# Last on the line: so a -refresh=false or an -out from elsewhere does not count.
plan() {
  set -- "$1" plan -detailed-exitcode -input=false -refresh=true
  [ "$plan_files" = false ] || set -- "$@" "-out=$work/plan"
  rm -f "$work/plan"
  {
    code=0
    (cd "$1" && shift && exec terragrunt "$@" </dev/null) || code=$?
    printf '%s\n' "$code" >"$work/code"
  } 2>&1 | tee "$work/output"
  code=$(cat "$work/code")
  words=$(words_of_plan)
  state=2 why="terragrunt ended with $code"
  case $code in
    0 | 2)
      why=$(doubt)
      if [ -n "$why" ]; then
        why="terragrunt ended with $code, but $why"
        ! says unsaved || why="$why. This backend cannot save plans: set DRIFT_PLAN_FILE=false"
      elif says changes; then
        state=1
      else
        state=0
      fi
      ;;
    *) ! says unsaved || why="$why: this backend cannot save plans: set DRIFT_PLAN_FILE=false" ;;
  esac
  # Plans have secrets in them.
  rm -f "$work/plan" "$work/output"
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
      case $code in
        0 | 2) printf '• %s: %s\n' "$1" "$why" >>"$work/errors" ;;
        *) printf '• %s\n' "$1" >>"$work/errors" ;;
      esac
      ;;
  esac
  [ "$first_seen" -eq 0 ] || printf 'drift_stack_first_seen{stack="%s"} %s\n' "$label" "$first_seen" >>"$work/metrics"
}

# Stacks that the pattern stacks/*/terragrunt.hcl does not see. Nobody plans them here, so say which.
name_the_others() {
  : >"$work/others"
  find "$stacks_dir/" -name .terragrunt-cache -prune -o \( -name terragrunt.hcl -o -name terragrunt.hcl.json \
    -o -name terragrunt.stack.hcl \) -exec sh -c '
      for path; do printf "%s" "$path" | LC_ALL=C tr "\001-\037\177" "?"; echo; done' sh {} + |
    sed 's|//*|/|g' | LC_ALL=C sort >"$work/found" || true
  while IFS= read -r path; do
    grep -qxF -- "$path" "$work/planned" || printf '%s\n' "$path" >>"$work/others"
  done <"$work/found"
  others=$(wc -l <"$work/others")
  others=$((others))
  [ "$others" -gt 0 ] || return 0
  say "NOT CHECKED: $others file(s) that $stacks_dir/*/terragrunt.hcl does not match (nested, generated, JSON), or with a
    control character in the name; see README.md:"
  sed 's/^/    NOT CHECKED: /' "$work/others"
}

check_stacks() {
  for folder in "$stacks_dir"/*/; do
    [ -f "${folder}terragrunt.hcl" ] || continue
    name=${folder%/}
    name=${name##*/}
    # The server takes no such name, and refuses the whole push.
    [ "$name" = "$(printable "$name")" ] || continue
    printf '%s\n' "${folder}terragrunt.hcl" | sed 's|//*|/|g' >>"$work/planned"
    say "--- $name: terragrunt plan"
    plan "$folder"
    record "$name"
    case $state in
      0) say "--- $name: clean (terragrunt ended with $code)" ;;
      1) say "--- $name: drifted (terragrunt ended with $code)" ;;
      *) say "--- $name: ERROR: $why" ;;
    esac
  done
  name_the_others
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
  [ "$others" -eq 0 ] || text="$text
Not checked: $others (the log names them)"
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
# Terragrunt runs in other folders.
work=$(cd "$work" && pwd)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

now=$(date +%s)
clean=0 drifted=0 errors=0 others=0 pushed=no
: >"$work/metrics"
: >"$work/planned"
# The plan as it is printed, without the prefix of Terragrunt's log.
export TG_TF_FORWARD_STDOUT=true
write_request known "$url/metrics"
curl -sS --fail --config "$work/known.request" -o "$work/known" --connect-timeout 10 --max-time 30 ||
  say "Could not read $(shown "$url")/metrics: every drift seen now counts as new in this run's message" >&2
check_stacks
if push; then pushed=yes; fi
say "$drifted drifted, $clean clean, $errors with errors"
tell_slack
[ "$pushed" = yes ] || die 'the stacks were checked, but the push failed'
