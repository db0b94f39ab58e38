"""Programs that load a real cluster and measure it, on this machine and over loopback only.

| command | what it does |
|---|---|
| `python -m loadtest.bench` | Concord and etcd in the same run, by `wrk`; writes docs/bench.md (`make bench`). On demand, in tables of their own: both at a steady rate (`--steady`), Concord with one group (`--one-group`), and Redis, ZooKeeper and NATS KV asked by their own clients (`--redis`, `--zookeeper`, `--nats`; `marks.py`), whose Debian packages the Makefile installs when asked for: without systemd they start nothing, with it `redis-server` and `nats-server` start a service of their own, which the benchmark does not use |
| `python -m loadtest.scenarios` | sessions, flags, rate limits, imports, watches, asked by Locust (`make loadtest`); a verdict at the end |
| `python -m loadtest.idle` | what many idle groups cost |
| `python -m loadtest.overload` | the peak of the goodput, and what is left of it when three times as much is offered |
| `python -m loadtest.scale PART` | what groups, nodes and keys cost as they grow in number; writes docs/scale.md |
| `python -m loadtest.million` | a million keys: load rate, memory, pauses while snapshots are taken, restarts |

Each starts what it measures in a directory of its own and ends it by pid. Nothing of the server imports this package.
"""
