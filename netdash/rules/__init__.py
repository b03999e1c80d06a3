"""The rules of every backend: read, merged into one truth, and whether one matches a packet. Pure."""
