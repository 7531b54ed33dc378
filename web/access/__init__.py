"""Who asks, and what they may do: sessions, one-time links, tokens, and the gate before every request."""
