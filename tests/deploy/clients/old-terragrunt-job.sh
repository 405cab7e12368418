#!/usr/bin/env bash
# The nightly job as it was written for a Pushgateway, which never gave it a first_seen back: extra
# labels and floats. Only the host name is changed. A fixture; the job to use is in deploy/clients.
NOW=$(date +%s)
METRICS="" DRIFTED=0 ERRORS=0 CLEAN=0
for dir in stacks/*/; do
  [ -f "${dir}terragrunt.hcl" ] || continue
  stack=$(basename "$dir")
  (cd "$dir" && terragrunt plan -detailed-exitcode -input=false >/dev/null 2>&1)
  case $? in
    0) state=0 CLEAN=$((CLEAN + 1)) ;;
    2) state=1 DRIFTED=$((DRIFTED + 1)) ;;
    *) state=2 ERRORS=$((ERRORS + 1)) ;;
  esac
  age=0
  if [ "$state" -eq 1 ]; then
    first_seen=$(curl -s "$PUSHGATEWAY_URL/metrics" |
      awk -v want="drift_stack_first_seen{stack=\"$stack\"}" '$1 == want {print $2}')
    if [ -z "$first_seen" ] || [ "$first_seen" -eq 0 ]; then first_seen=$NOW; fi
    age=$(((NOW - first_seen) / 3600))
    METRICS+="drift_stack_first_seen{stack=\"$stack\"} $first_seen"$'\n'
    echo "$stack has drifted for $age h"
  fi
  METRICS+="drift_stack_state{stack=\"$stack\"} $state"$'\n'
  METRICS+="drift_stack_age_hours{stack=\"$stack\"} $age"$'\n'
done
METRICS+="drift_stack_count $DRIFTED"$'\n'
METRICS+="drift_error_count $ERRORS"$'\n'
METRICS+="drift_clean_count $CLEAN"$'\n'
METRICS+="drift_detection_last_run_timestamp $NOW"$'\n'
printf '%s' "$METRICS" | curl -s --data-binary @- "$PUSHGATEWAY_URL/metrics/job/drift-detection"
echo "$DRIFTED drifted, $CLEAN clean, $ERRORS errors"
