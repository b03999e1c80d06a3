"""netdash: how the containers of this host talk to the world, live in the terminal."""

__version__ = "0.1.0"
