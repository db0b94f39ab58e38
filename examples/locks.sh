#!/bin/sh
# Locks: what a lock guards is written under its fence, so that a holder which slept over its time can do no harm.
#
#     sh examples/locks.sh
. "${0%/*}/api.sh"

ttl=3

# Queue for the lock, first come, first served; prints the fence, which rises each time the lock changes hands.
acquire() { api POST /locks/weekly/acquire -d "{\"owner\": \"$1\", \"ttl\": $ttl, \"wait_ms\": 10000}" | number fence; }
# Write under a fence: refused (412) once somebody has written under a higher one.
write() { status PUT /kv/weekly/report -d "{\"value\": \"$1\", \"if_fence\": $2}"; }

slow=$(acquire worker-1)
echo "worker-1 has the lock, its write is answered $(write worker-1 "$slow")"
renewed=$(status POST /locks/weekly/renew -d "{\"owner\": \"worker-1\", \"fence\": $slow, \"ttl\": $ttl}")
[ "$renewed" = 200 ] && echo "worker-1 holds it for longer: True"
sleep "$ttl" # a long pause: a full disk, a suspended machine, …

fast=$(acquire worker-2)
[ "$fast" -gt "$slow" ] && echo "worker-2 has the lock, under a higher fence: True"
echo "worker-2's write is answered $(write worker-2 "$fast")"
echo "worker-1 wakes up and still believes in its lock: its write is answered $(write worker-1 "$slow")"
echo "the report is that of $(api GET /kv/weekly/report | sed 's/.*"value":"\([^"]*\)".*/\1/')"
api POST /locks/weekly/release -o /dev/null -d "{\"owner\": \"worker-2\", \"fence\": $fast}"
