"""The rules that an engine should have written, from what its API tells of networks and containers. Reads no rule."""
