"""Load, chaos and soak: measure the running stack from outside, account for every reading, try to break it."""
