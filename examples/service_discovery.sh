#!/bin/sh
# Service discovery: an instance is listed as long as its heart beats, and leaves at once when it stops in order.
#
#     sh examples/service_discovery.sh
. "${0%/*}/api.sh"

ttl=3 # after how many seconds without a heartbeat an instance counts as dead

register() { # name, address
    api PUT "/services/mail/$1" -o /dev/null \
        -d "{\"address\": \"$2\", \"port\": 8080, \"metadata\": {\"version\": \"1.4\"}, \"ttl\": $ttl}"
}
beat() { # name, address; whoever was cut off for too long comes back
    code=$(status POST "/services/mail/$1/touch" -d "{\"ttl\": $ttl}") || return 0
    [ "$code" != 404 ] || register "$1" "$2"
}
living() {
    api GET /services/mail | tr '{' '\n' |
        sed -n 's/.*"instance":"\([^"]*\)".*"address":"\([^"]*\)","port":\([0-9]*\).*/\1 at \2:\3/p' | paste -s -d ',' | sed 's/,/, /g'
}

register a 10.0.0.1
register b 10.0.0.2
for _ in 1 2 3 4; do # three beats in a life, so that one lost request does no harm
    sleep 1
    beat a 10.0.0.1
    beat b 10.0.0.2
done
echo "both live: $(living)"

while living | grep -q 'b at'; do # b's heart has stopped
    sleep 0.2
    beat a 10.0.0.1
done
echo "b crashed: $(living)"

api DELETE /services/mail/a -o /dev/null
left=$(living)
echo "a has left: ${left:-nobody}"
