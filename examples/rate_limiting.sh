#!/bin/sh
# Rate limiting: three mails at once, then one every two seconds, however many processes send, through whichever gateway.
#
#     sh examples/rate_limiting.sh
. "${0%/*}/api.sh"

# Take one out of the limit; prints the seconds to wait before asking again, nothing when it was given. Retry-After is on a
# 200 that says no, on 429 (the gateway has too much to do) and on 503 (the cluster cannot answer now).
must_wait_s() {
    ask POST /limits/letters/acquire -o /dev/null -w '%header{retry-after}' \
        -d '{"limit": 3, "window": 6, "algorithm": "gcra"}'
}

for number in 1 2 3 4 5; do
    while wait_s=$(must_wait_s) && [ -n "$wait_s" ]; do
        echo "mail $number waits for $wait_s s"
        sleep "$wait_s"
    done
    echo "mail $number is sent"
done
