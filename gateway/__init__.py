"""The HTTP side of Concord: a stateless gateway that turns HTTP into RPCs to the groups that own the keys."""
