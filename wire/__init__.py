"""What goes between processes: frames, typed messages, RPC, TLS. Knows no other room."""
