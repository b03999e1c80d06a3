"""A published port: what is asked, planned, refused, written down. Pure; changes nothing."""
