#!/bin/sh
# Configuration: changed only as it was read (compare and set), and several keys together or not at all.
#
#     sh examples/configuration.sh
. "${0%/*}/api.sh"

size() { api GET /kv/config/workers | sed -n 's/.*"size": *\([0-9]*\).*/\1/p'; }

# Read, edit, write back: when somebody else was faster (412), once more from the start.
grow() {
    while :; do
        answer=$(api GET /kv/config/workers -w '\n%header{etag}')
        old=$(echo "$answer" | sed -n 's/.*"size": *\([0-9]*\).*/\1/p') etag=$(echo "$answer" | tail -n 1)
        code=$(status PUT /kv/config/workers -H "If-Match: $etag" \
            -d "{\"value\": {\"size\": $((old + 1))}}")
        [ "$code" != 200 ] || return 0
        [ "$code" = 412 ] || { echo "$code" >&2 && return 1; }
    done
}

# Move the database: primary and standby change together, and only if the primary is the one we think. A common tag in
# braces puts both keys into one slot, as a transaction needs it.
fail_over() {
    api POST /txn -d "{\"compare\": [{\"key\": \"{database}/primary\", \"value\": \"$1\"}],
        \"success\": [{\"op\": \"put\", \"key\": \"{database}/primary\", \"value\": \"$2\"},
                      {\"op\": \"put\", \"key\": \"{database}/standby\", \"value\": \"$1\"}],
        \"failure\": []}" | sed 's/.*"succeeded":true.*/True/; s/.*"succeeded":false.*/False/'
}

api PUT /kv/config/workers -o /dev/null -d '{"value": {"size": 10}}'
for _ in 1 2 3 4; do
    (for _ in 1 2 3 4 5; do grow; done) &
done
wait
echo "10 and 20 changes at once make $(size)"

api POST /kv/bulk -o /dev/null -d '{"atomic": true, "operations": [
    {"key": "{database}/primary", "value": "db1"}, {"key": "{database}/standby", "value": "db2"}]}'
echo "db1 to db2: $(fail_over db1 db2)"
echo "the same again, by somebody who did not know: $(fail_over db1 db2)"
echo "primary: $(api GET /kv/%7Bdatabase%7D/primary | sed 's/.*"value":"\([^"]*\)".*/\1/')"
