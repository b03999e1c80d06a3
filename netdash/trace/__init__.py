"""What becomes of one packet on this host, rule by rule, and of the answer to it. Pure: sends nothing, asks nothing."""
