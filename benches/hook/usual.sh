#!/usr/bin/env bash
# A hook as they are usually written: a jq for each field, one for the body, and curl.
input=$(cat)
tool=$(jq -r '.tool_name // empty' <<<"$input")
arguments=$(jq -c '.tool_input // {}' <<<"$input" | head -c 10240)
session=$(jq -r '.session_id // empty' <<<"$input")
folder=$(jq -r '.cwd // empty' <<<"$input")
body=$(jq -n --arg tool "$tool" --arg input "$arguments" --arg session "$session" --arg folder "$folder" \
  '{tool_name: $tool, tool_type: "builtin", input: $input, session_id: $session, project_path: $folder}')
curl -s --connect-timeout 1 --max-time 2 -X POST -H 'Content-Type: application/json' -d "$body" \
  "$DCM_URL/api/actions" >/dev/null 2>&1
exit 0
