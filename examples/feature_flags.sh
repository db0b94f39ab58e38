#!/bin/sh
# Feature flags: read them all once, follow them, and go on behind the last event when the connection was lost.
#
#     sh examples/feature_flags.sh
. "${0%/*}/api.sh"

told=$(mktemp)
trap 'rm -f "$config" "$told"' EXIT

change() { api PUT /kv/features/checkout -o /dev/null -d "{\"value\": {\"percent\": $1}}"; }

# Follow the flags in the background: from the present state on, or behind the event with the id $last_id.
last_id=
follow() {
    : > "$told"
    curl -sSN -m 60 -K "$config" -H "Last-Event-ID: $last_id" "$url/watch?prefix=features/" > "$told" &
    watcher=$!
}
hang_up() {
    kill "$watcher"
    wait "$watcher" 2> /dev/null || true
}
until_told() { # an event
    tries=0
    until grep -q "^event: $1\$" "$told"; do
        tries=$((tries + 1))
        [ "$tries" -lt 200 ]
        sleep 0.1
    done
    last_id=$(sed -n 's/^id: //p' "$told" | tail -n 1)
}
# Whether the newest event leaves the flag on; one user stands for all, a real one would be hashed into a percentage.
has() {
    percent=$(grep '^data: {"key"' "$told" | tail -n 1 | sed -n 's/.*"percent": *\([0-9]*\).*/\1/p')
    if [ "${percent:-0}" -gt 0 ]; then echo True; else echo False; fi
}

change 0
follow
until_told synced
echo "0 %: ada has the new checkout: $(has)"

change 100
until_told put
echo "100 %: ada has the new checkout: $(has)"

hang_up # the connection is lost, and meanwhile there are changes
change 50
api DELETE /kv/features/checkout -o /dev/null
follow
until_told delete
hang_up
echo "after the connection was lost:" $(sed -n 's/^event: //p' "$told")
echo "deleted: ada has the new checkout: $(has)"
