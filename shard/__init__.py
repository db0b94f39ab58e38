"""A node: the state machine of a group, and the service that hosts many groups."""
