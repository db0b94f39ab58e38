#!/bin/sh
# Sessions: each has a time to live that every visit begins anew, so those that nobody uses go away by themselves.
#
#     sh examples/sessions.sh
. "${0%/*}/api.sh"

ttl=3 # half an hour, in real life

new_id() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; } # nobody can guess it
begin() { api PUT "/kv/sessions/$1" -o /dev/null -H 'If-None-Match: *' -d "{\"value\": \"\", \"ttl\": $ttl}"; }
visit() { status POST "/kv/sessions/$1/touch" -d "{\"ttl\": $ttl}"; } # 404: touch does not bring back what has expired
cart() { api GET "/kv/sessions/$1" | sed -n 's/.*"value":"\([^"]*\)".*/\1/p'; }
save() { status PUT "/kv/sessions/$1" -d "{\"value\": \"$2\", \"ttl\": $ttl, \"if_absent\": false}"; }

used=$(new_id) forgotten=$(new_id)
begin "$used"
begin "$forgotten"
for item in tea milk sugar bread; do
    [ "$(visit "$used")" = 200 ]
    have=$(cart "$used")
    [ "$(save "$used" "${have:+$have }$item")" = 200 ]
    sleep 1
done
echo "visited all the time: $(cart "$used")"

while [ "$(status GET "/kv/sessions/$forgotten")" = 200 ]; do sleep 0.1; done # it is due by now
[ "$(visit "$forgotten")" = 404 ] && echo "not visited: None"
api DELETE "/kv/sessions/$used" -o /dev/null
[ "$(visit "$used")" = 404 ] && echo "logged out: None"
[ "$(save "$used" "")" = 412 ] && echo "saved afterwards: False"
