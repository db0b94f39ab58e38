"""What a process of Concord is made of, whatever it is for: time, tasks, settings, logs, figures, ports. Knows no other room.

Nothing here knows of keys, groups or messages. What the others import is in the modules themselves:

- `clock`, `tasks`, `backoff`: time that can be handed in, work that goes on beside everything else, how long to pause after failures
- `sweep`, `patience`: deadlines of many things with one timer, and a part of a task that ends by one
- `settings`, `logs`: flags, environment and file as one struct; what happens, a line each
- `histogram`, `exposition`, `metrics_server`: figures, figures as Prometheus' text, and the listener that serves them
- `address`, `listener`, `descriptors`, `memory`: `host:port`, binding and accepting, what is asked of the system
- `lazy`: the door of a room whose modules are loaded when they are asked for
"""
