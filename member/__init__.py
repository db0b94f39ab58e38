"""A node, and gateways, on a thread of somebody's program. What uses it is the SDK, by the entry point of `concord.inprocess`."""
