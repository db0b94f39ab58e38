# What the shell examples share: `api METHOD PATH [curl's options]` asks Concord. Sourced by them, not run. Needs curl 7.84.
set -eu

url=${CONCORD_URL:-http://127.0.0.1:4000}/api/v1

# The token goes through a file that only its owner can read: arguments are shown to everybody on the machine.
config=$(mktemp)
trap 'rm -f "$config"' EXIT
[ -z "${CONCORD_TOKEN:-}" ] || printf 'header = "Authorization: Bearer %s"\n' "$CONCORD_TOKEN" > "$config"

ask() {
    method=$1 path=$2
    shift 2
    curl -sS -K "$config" -X "$method" -H 'Content-Type: application/json' "$@" "$url$path"
}
api() { ask "$@" --fail-with-body; }                   # prints the answer; a refusal is a failure
status() { ask "$@" -o /dev/null -w '%{http_code}'; } # prints the HTTP status, whatever it is

# The number that a JSON answer on stdin has under a name.
number() { sed -n "s/.*\"$1\":\([0-9][0-9]*\).*/\1/p"; }
