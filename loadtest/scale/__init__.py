"""What size costs: many groups, more nodes, very many keys. `python -m loadtest.scale PART` measures one part and writes docs/scale.md anew.

| part | what it measures |
|---|---|
| `groups` | processor time of an operation, latency at the same paced load, and what a closed loop yields, with 1, 16, 64 and 256 groups |
| `nodes` | the same with 3 and 5 nodes |
| `idle` | what groups cost that nobody asks, beside an event loop that only wakes as often as a node does |
| `keys` | memory of a key, a page of a list, a snapshot under full load, a restart; 10,000 to 1,000,000 keys |
| `page` | nothing: it writes the page from what docs/scale.json has |

Each part takes minutes, so each can be run by itself, and more than once (`--more` adds rounds to what is there). What was measured is kept
in docs/scale.json with the commit and the machine; `plan.py` derives from it what a larger cluster would need.
"""
