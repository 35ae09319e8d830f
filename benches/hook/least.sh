#!/usr/bin/env bash
# The least that bash, jq and curl can do.
jq -c '{tool_name, tool_type: "builtin", input: (.tool_input | tostring), session_id, project_path: .cwd}' |
  curl -s --connect-timeout 1 --max-time 2 -X POST -H 'Content-Type: application/json' -d @- \
    "$DCM_URL/api/actions" >/dev/null 2>&1
exit 0
