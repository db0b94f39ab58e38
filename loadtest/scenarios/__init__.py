"""What people use Concord for, as load: `make loadtest`, or `python -m loadtest.scenarios`. What each does is in docs/loadtest.md.

`uses.py` says what each kind of user asks and how a right answer looks; it is pure and knows no load generator. `locustfile.py` lets Locust
ask it, from any number of processes. `run.py` starts a cluster and Locust, and `verdict.py` judges what came of it.

The load is an open loop: a user's requests are due at a steady pace that no answer delays, and a time counts from the moment when the
request was due. A server that stalls for a second shows in every request that was due in it.
"""
